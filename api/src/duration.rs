//! Durations as objects of ours write them: whole hours, minutes and seconds, as in `1h30m`.

/// The seconds of a duration; None where the text is none, or too long a time to count with.
pub fn seconds(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut seconds = 0_i64;
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        let Some((number, after)) = rest.split_once(unit) else { continue };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(length)?)?;
        rest = after;
    }
    // A thousand years, so that it can be added to any time.
    (rest.is_empty() && !text.is_empty() && seconds <= 1000 * 366 * 86_400).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_the_sum_of_its_parts() {
        for (text, wanted) in
            [("1h", 3600), ("90m", 5400), ("45s", 45), ("1h30m", 5400), ("1h1s", 3601), ("168h", 604_800)]
        {
            assert_eq!(seconds(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_none() {
        for text in [
            "",
            "1",
            "h",
            "1d",
            "1m1h",
            "1.5h",
            "-1h",
            "1h 1m",
            "1ms",
            "99999999999999999999h",
            "9000000000h",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
