//! Kubernetes quantities, as far as sizes need: the API server writes `1024Gi` as `1Ti`, so they are compared as numbers.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The value in thousandths, or None where the text is no quantity (or does not fit).
pub fn milli(text: &str) -> Option<i128> {
    let digits_end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let (numerator, denominator): (i128, i128) = match suffix {
        "n" | "u" => return None,
        "m" => (1, 1),
        _ => (scale(suffix)?, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let negative = whole.starts_with('-');
    let whole: i128 = if matches!(whole, "" | "+" | "-") { 0 } else { whole.parse().ok()? };
    if number.trim_start_matches(['+', '-']).trim_matches('.').is_empty() {
        return None;
    }
    let power = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = if negative { -part } else { part };
    let scaled = whole.checked_mul(power)?.checked_add(part)?.checked_mul(numerator)?;
    Some(scaled / power / denominator)
}

/// The value as a number of bytes, rounded up; None where it is no quantity, negative, or too large.
pub fn bytes(text: &str) -> Option<u64> {
    let milli = milli(text)?;
    u64::try_from(milli.checked_add(999)?.div_euclid(1000)).ok()
}

/// A number of bytes in the shortest form that says it exactly.
pub fn exact(bytes: u64) -> Quantity {
    let step =
        (0..BINARY.len()).rev().find(|step| bytes != 0 && bytes.is_multiple_of(1 << (10 * (step + 1))));
    Quantity(match step {
        Some(step) => format!("{}{}", bytes >> (10 * (step + 1)), BINARY[step]),
        None => bytes.to_string(),
    })
}

/// A number of bytes that changes all the time: in whole Mi, or Ki where there are few; rounded up.
pub fn rounded(bytes: u64) -> Quantity {
    let (shift, suffix) = if bytes >= 10 << 20 { (20, "Mi") } else { (10, "Ki") };
    match bytes {
        0 => Quantity("0".into()),
        bytes => Quantity(format!("{}{suffix}", bytes.div_ceil(1 << shift))),
    }
}

/// What a suffix multiplies by, in thousandths.
fn scale(suffix: &str) -> Option<i128> {
    let decimal = ["k", "M", "G", "T", "P", "E"];
    if suffix.is_empty() {
        return Some(1000);
    }
    if let Some(step) = BINARY.iter().position(|s| *s == suffix) {
        return Some(1000 << (10 * (step + 1)));
    }
    if let Some(step) = decimal.iter().position(|s| *s == suffix) {
        return Some(10_i128.pow(3 * u32::try_from(step + 1).ok()? + 3));
    }
    let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (exponent <= 24).then(|| 10_i128.pow(exponent + 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sizes_are_equal_however_they_are_written() {
        for (a, b) in [
            ("1Ti", "1024Gi"),
            ("1.5Ti", "1536Gi"),
            ("1000", "1k"),
            ("1000m", "1"),
            ("5e3", "5k"),
            ("0.5", "500m"),
            ("-1.5", "-1500m"),
            ("12E6", "12M"),
        ] {
            assert!(milli(a).is_some(), "{a}");
            assert_eq!(milli(a), milli(b), "{a} {b}");
        }
        assert_ne!(milli("1G"), milli("1Gi"));
    }

    #[test]
    fn bytes_are_written_so_that_they_read_back() {
        for (bytes_, exact_, rounded_) in [
            (0, "0", "0"),
            (1, "1", "1Ki"),
            (4096, "4Ki", "4Ki"),
            (100 << 30, "100Gi", "102400Mi"),
            ((1 << 40) + 1, "1099511627777", "1048577Mi"),
            (u64::MAX, "18446744073709551615", "17592186044416Mi"),
        ] {
            assert_eq!((exact(bytes_).0.as_str(), rounded(bytes_).0.as_str()), (exact_, rounded_));
            assert_eq!(bytes(exact_), Some(bytes_));
        }
        assert_eq!((bytes("1500m"), bytes("-1"), bytes("x")), (Some(2), None, None));
    }

    #[test]
    fn what_is_no_quantity_has_no_value() {
        for text in ["", "banana", "Gi", "1Xi", "1.2.3", "--1", "1e", ".", "e5"] {
            assert_eq!(milli(text), None, "{text:?}");
        }
    }
}
