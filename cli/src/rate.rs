//! A rate as people write it, `--bwlimit 1.5M`; as in rsync's option of that name.

use std::num::NonZeroU64;
use std::str::FromStr;

use thiserror::Error;

/// Bytes per second; none is no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate(pub Option<NonZeroU64>);

/// Not a rate.
#[derive(Debug, Error)]
pub enum RateError {
    #[error("it begins with no number")]
    Number,
    #[error("{0:?} is no unit: B, K, M, G or T")]
    Unit(String),
    #[error("it is too large")]
    TooLarge,
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| RateError::Number)?;
        let bytes = number * factor(unit).ok_or_else(|| RateError::Unit(unit.to_owned()))?;
        if bytes >= u64::MAX as f64 {
            return Err(RateError::TooLarge);
        }
        // What is more than nothing must not become "no limit".
        let least = if bytes > 0.0 { 1 } else { 0 };
        Ok(Self(NonZeroU64::new((bytes as u64).max(least))))
    }
}

/// Units are powers of 1024; a number without one is in K.
fn factor(unit: &str) -> Option<f64> {
    let power = match unit.to_ascii_lowercase().as_str() {
        "b" => 0,
        "" | "k" | "kib" => 1,
        "m" | "mib" => 2,
        "g" | "gib" => 3,
        "t" | "tib" => 4,
        _ => return None,
    };
    Some(1024_f64.powi(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_rsync_reads_them() {
        for (text, bytes) in [
            ("100", 102_400),
            ("1K", 1024),
            ("1.5m", 1_572_864),
            ("2G", 2 << 30),
            ("1TiB", 1 << 40),
            ("700B", 700),
            ("0.1b", 1),
            (".5k", 512),
            ("0", 0),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap(), Rate(NonZeroU64::new(bytes)), "{text}");
        }
        for bad in ["", "K", "-1", "1KB", "1 M", "1e3", "1.2.3", "inf", "nan", "1x", "99999999999T"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
