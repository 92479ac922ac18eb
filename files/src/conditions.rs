//! Conditional and partial requests, as RFC 9110 has them: pure decisions from headers and what is known of the file.

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

use crate::error::Error;
use crate::facts::Facts;
use crate::http::text;

const NS_PER_S: i128 = 1_000_000_000;

/// What is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// 304.
    NotModified,
    /// 200.
    Whole,
    /// 206: from here, so many bytes.
    Part {
        /// First byte.
        from: u64,
        /// How many; at least one.
        length: u64,
    },
}

/// Decides.
///
/// # Errors
/// `Precondition`, `Range`.
pub fn decide(headers: &HeaderMap, facts: &Facts) -> Result<Answer, Error> {
    let etag = facts.etag();
    let get = |name: header::HeaderName| text(headers, name.as_str());
    if get(header::IF_MATCH).is_some_and(|tags| !matches(tags, &etag, false)) {
        return Err(Error::Precondition);
    }
    if get(header::IF_MATCH).is_none()
        && get(header::IF_UNMODIFIED_SINCE).and_then(parse_date).is_some_and(|since| seconds(facts) > since)
    {
        return Err(Error::Precondition);
    }
    let fresh = match (get(header::IF_NONE_MATCH), get(header::IF_MODIFIED_SINCE).and_then(parse_date)) {
        (Some(tags), _) => matches(tags, &etag, true),
        (None, Some(since)) => seconds(facts) <= since,
        (None, None) => false,
    };
    if fresh {
        return Ok(Answer::NotModified);
    }
    let same = match get(header::IF_RANGE) {
        None => true,
        Some(tag) if tag.contains('"') => tag == etag,
        // A date says less than an ETag: two changes within one second.
        Some(date) => parse_date(date) == Some(seconds(facts)),
    };
    match get(header::RANGE).filter(|_| same) {
        Some(range) => part(range, facts.size),
        None => Ok(Answer::Whole),
    }
}

/// The tags of an `If-Match`, for a condition that is checked later.
pub fn tags(list: &str) -> Vec<String> {
    list.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect()
}

/// The time of the last change as `Last-Modified` has it.
pub fn last_modified(facts: &Facts) -> Option<String> {
    date(facts.modified)
}

/// A time, nanoseconds since 1970, as HTTP's headers have it.
pub fn date(nanoseconds: i128) -> Option<String> {
    let time = Timestamp::from_nanosecond(nanoseconds).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
}

fn matches(list: &str, etag: &str, weak: bool) -> bool {
    list.trim() == "*"
        || tags(list)
            .iter()
            .any(|tag| tag == etag || weak && tag.strip_prefix("W/").is_some_and(|tag| tag == etag))
}

fn seconds(facts: &Facts) -> i128 {
    facts.modified.div_euclid(NS_PER_S)
}

fn parse_date(text: &str) -> Option<i128> {
    let time = DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(time.as_nanosecond().div_euclid(NS_PER_S))
}

/// One range. Several, or what is not understood, is as none: the whole is a right answer then.
fn part(range: &str, size: u64) -> Result<Answer, Error> {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Ok(Answer::Whole);
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a number holds: beyond every file.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (from, end) = match (number(first.trim()), number(last.trim())) {
        (Some(from), None) if last.trim().is_empty() => (from, size),
        (Some(from), Some(last)) if from <= last => (from, size.min(last.saturating_add(1))),
        (None, Some(suffix)) if first.trim().is_empty() => (size.saturating_sub(suffix), size),
        _ => return Ok(Answer::Whole),
    };
    if from >= end { Err(Error::Range(size)) } else { Ok(Answer::Part { from, length: end - from }) }
}

#[cfg(test)]
mod tests {
    use workspacefs_files_proto::types::EntryType;

    use super::*;

    /// Changed at 2026-11-27 23:00:00.5.
    fn facts() -> Facts {
        let modified = 1_795_820_400_500_000_000;
        let kind = EntryType::File;
        Facts { dev: 1, ino: 2, kind, mode: 0o644, uid: 0, gid: 0, size: 1000, modified, changed: modified }
    }

    fn decided(headers: &[(header::HeaderName, &str)]) -> Result<Answer, Error> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, value.parse().unwrap());
        }
        decide(&map, &facts())
    }

    #[test]
    fn ranges_are_cut_to_the_file_and_refused_beyond_it() {
        let part = |from, length| Ok(Answer::Part { from, length });
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=10-19", part(10, 10)),
            ("bytes=990-2000", part(990, 10)),
            ("bytes=999-", part(999, 1)),
            ("bytes=-1", part(999, 1)),
            ("bytes=-5000", part(0, 1000)),
            ("bytes=0-99999999999999999999999", part(0, 1000)),
            ("bytes=1000-", Err(Error::Range(1000))),
            ("bytes=-0", Err(Error::Range(1000))),
            ("bytes=5-4", Ok(Answer::Whole)),
            ("bytes=0-1,3-4", Ok(Answer::Whole)),
            ("bytes=-", Ok(Answer::Whole)),
            ("bytes=+1-2", Ok(Answer::Whole)),
            ("lines=1-2", Ok(Answer::Whole)),
        ] {
            assert_eq!(decided(&[(header::RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn conditions_are_weighed_in_the_order_of_the_standard() {
        let etag = facts().etag();
        let other = "\"x\"";
        let (date, earlier) = ("Fri, 27 Nov 2026 23:00:00 GMT", "Fri, 27 Nov 2026 22:59:59 GMT");
        assert_eq!(last_modified(&facts()).unwrap(), date);
        let weak = format!("W/{etag}");
        let list = format!("{other}, {etag}");
        use header::*;
        for (headers, expected) in [
            (vec![(IF_MATCH, other)], Err(Error::Precondition)),
            (vec![(IF_MATCH, weak.as_str())], Err(Error::Precondition)),
            (vec![(IF_MATCH, list.as_str())], Ok(Answer::Whole)),
            (vec![(IF_MATCH, "*")], Ok(Answer::Whole)),
            (vec![(IF_UNMODIFIED_SINCE, earlier)], Err(Error::Precondition)),
            (vec![(IF_UNMODIFIED_SINCE, date)], Ok(Answer::Whole)),
            (vec![(IF_UNMODIFIED_SINCE, "yesterday")], Ok(Answer::Whole)),
            (vec![(IF_MATCH, "*"), (IF_UNMODIFIED_SINCE, earlier)], Ok(Answer::Whole)),
            (vec![(IF_NONE_MATCH, weak.as_str())], Ok(Answer::NotModified)),
            (vec![(IF_NONE_MATCH, "*")], Ok(Answer::NotModified)),
            (vec![(IF_NONE_MATCH, other), (IF_MODIFIED_SINCE, date)], Ok(Answer::Whole)),
            (vec![(IF_MODIFIED_SINCE, date)], Ok(Answer::NotModified)),
            (vec![(IF_MODIFIED_SINCE, earlier)], Ok(Answer::Whole)),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], Ok(Answer::Whole)),
            (vec![(RANGE, "bytes=0-0"), (IF_RANGE, other)], Ok(Answer::Whole)),
            (vec![(RANGE, "bytes=0-0"), (IF_RANGE, earlier)], Ok(Answer::Whole)),
            (vec![(RANGE, "bytes=0-0"), (IF_RANGE, &etag)], Ok(Answer::Part { from: 0, length: 1 })),
            (vec![(RANGE, "bytes=0-0"), (IF_RANGE, date)], Ok(Answer::Part { from: 0, length: 1 })),
        ] {
            assert_eq!(decided(&headers), expected, "{headers:?}");
        }
    }
}
