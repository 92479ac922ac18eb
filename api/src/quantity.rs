//! Kubernetes quantities, as far as sizes need: the API server writes `1024Gi` as `1Ti`, so they are compared as numbers.

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

/// What a suffix multiplies by, in thousandths.
fn scale(suffix: &str) -> Option<i128> {
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let decimal = ["k", "M", "G", "T", "P", "E"];
    if suffix.is_empty() {
        return Some(1000);
    }
    if let Some(step) = binary.iter().position(|s| *s == suffix) {
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
    fn what_is_no_quantity_has_no_value() {
        for text in ["", "banana", "Gi", "1Xi", "1.2.3", "--1", "1e", ".", "e5"] {
            assert_eq!(milli(text), None, "{text:?}");
        }
    }
}
