//! The records that describe an entry beside its header: `length key=value`, a line each, where the length counts all of it. A value
//! may hold any bytes, line breaks too.

use super::{BadArchive, NS_PER_S, SHA256_RECORD};

/// What records say of an entry; none where they do not.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub size: Option<u64>,
    /// Nanoseconds since 1970.
    pub modified: Option<i128>,
    pub sha256: Option<String>,
    /// Its content is not what it looks like.
    pub is_sparse: bool,
}

impl Records {
    pub fn parse(mut text: &[u8]) -> Result<Self, BadArchive> {
        let mut records = Self::default();
        while !text.is_empty() {
            let (key, value, rest) = first(text).ok_or(BadArchive::Record)?;
            text = rest;
            match key {
                b"path" => records.path = Some(value.to_vec()),
                b"size" => records.size = Some(number(value).ok_or(BadArchive::Record)?),
                b"mtime" => records.modified = Some(time(value).ok_or(BadArchive::Record)?),
                _ if key == SHA256_RECORD.as_bytes() => {
                    let value = String::from_utf8(value.to_vec()).map_err(|_| BadArchive::Record)?;
                    records.sha256 = Some(value);
                }
                _ => records.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(records)
    }
}

/// Appends a record.
pub(super) fn write(into: &mut Vec<u8>, key: &str, value: &[u8]) {
    let bare = key.len() + value.len() + 3;
    // The digits of the length count too.
    let mut length = bare + 1;
    while length != bare + length.to_string().len() {
        length = bare + length.to_string().len();
    }
    into.extend_from_slice(format!("{length} {key}=").as_bytes());
    into.extend_from_slice(value);
    into.push(b'\n');
}

/// A time as records write it.
pub(super) fn time_text(modified: i128) -> String {
    let (sign, modified) = if modified < 0 { ("-", -modified) } else { ("", modified) };
    format!("{sign}{}.{:09}", modified / NS_PER_S, modified % NS_PER_S)
}

/// Key and value of the first record, and what follows it.
fn first(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&text[..space])?).ok()?;
    let record = text.get(space + 1..length)?;
    let (b'\n', record) = record.split_last()? else { return None };
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &text[length..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds with any number of digits behind the point; those below a nanosecond do not count.
fn time(value: &[u8]) -> Option<i128> {
    let (sign, value) = match value.strip_prefix(b"-") {
        Some(rest) => (-1, rest),
        None => (1, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let seconds = i128::from(number(parts.next()?)?);
    let mut nanoseconds = 0;
    if let Some(fraction) = parts.next() {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for at in 0..9 {
            let digit = fraction.get(at).map_or(0, |digit| digit - b'0');
            nanoseconds = nanoseconds * 10 + i128::from(digit);
        }
    }
    Some(sign * (seconds * NS_PER_S + nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length_and_its_value_is_any_bytes() {
        for length in 0..1200 {
            let value: Vec<u8> = b"\n=\xff 7 a=".iter().copied().cycle().take(length).collect();
            let mut text = Vec::new();
            write(&mut text, "path", &value);
            write(&mut text, "size", b"7");
            let records = Records::parse(&text).unwrap();
            assert_eq!((records.path, records.size), (Some(value), Some(7)));
        }
    }

    #[test]
    fn what_is_no_record_is_refused_and_unknown_ones_are_passed_over() {
        for bad in [
            &b"x"[..],
            b"5 a=b",
            b"6 a=b\n9",
            b"4 a=b\n",
            b"7 a=b\n",
            b"99999999999999999999 a=b\n",
            b"-6 a=b\n",
            b"0 ",
            b"2 \n",
            b"4 a\n",
            b"9 size=x\n",
            b"10 size=-1\n",
            b"11 mtime=x\n",
            b"27 size=99999999999999999999\n",
        ] {
            assert_eq!(Records::parse(bad), Err(BadArchive::Record), "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(Records::parse(b"6 a=b\n"), Ok(Records::default()));
        assert!(Records::parse(b"22 GNU.sparse.major=1\n").unwrap().is_sparse);
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for nanoseconds in [0, 1, 1_234_567_890_123_456_789, -1, -1_500_000_000, 999_999_999] {
            assert_eq!(time(time_text(nanoseconds).as_bytes()), Some(nanoseconds));
        }
        assert_eq!(time(b"7"), Some(7_000_000_000));
        assert_eq!(time(b"7.5"), Some(7_500_000_000));
        assert_eq!(time(b"7.1234567899"), Some(7_123_456_789));
        for bad in [&b""[..], b".5", b"1.x", b"1e5", b"--1", b"1.2.3"] {
            assert_eq!(time(bad), None, "{bad:?}");
        }
    }
}
