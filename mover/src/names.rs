//! The names in the cache's folder of a target.

/// What a name there stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    /// A whole generation.
    Generation(i64),
    /// One that is being filled.
    Filling(i64),
    /// One that is being removed.
    Removing(i64),
    /// Nothing of ours, or the lock.
    Other,
}

/// The lock's file.
pub(crate) const LOCK: &str = "lock";
/// The paths at their places.
pub(crate) const DATA: &str = "data";
/// A manifest per path, by its number.
pub(crate) const MANIFEST: &str = "manifest";
/// An empty folder, as long as a generation is filled.
pub(crate) const EMPTY: &str = "empty";

/// Files on their way, as long as a generation of a bucket is filled.
pub(crate) const SCRATCH: &str = "scratch";

const FILLING: &str = "filling-";
const REMOVING: &str = "removing-";

/// See [`Kept`].
pub(crate) fn kept(name: &[u8]) -> Kept {
    let Ok(name) = std::str::from_utf8(name) else { return Kept::Other };
    let kept = match (name.strip_prefix(FILLING), name.strip_prefix(REMOVING)) {
        (Some(number), _) => parse(number).map(Kept::Filling),
        (_, Some(number)) => parse(number).map(Kept::Removing),
        (None, None) => parse(name).map(Kept::Generation),
    };
    kept.unwrap_or(Kept::Other)
}

pub(crate) fn generation(number: i64) -> String {
    number.to_string()
}

pub(crate) fn filling(number: i64) -> String {
    format!("{FILLING}{number}")
}

pub(crate) fn removing(number: i64) -> String {
    format!("{REMOVING}{number}")
}

/// A number in the one way in which we write it.
fn parse(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| *number > 0 && number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_we_write_them_stand_for_something() {
        for (name, expected) in [
            ("7", Kept::Generation(7)),
            ("filling-7", Kept::Filling(7)),
            ("removing-7", Kept::Removing(7)),
            ("lock", Kept::Other),
            ("07", Kept::Other),
            ("+7", Kept::Other),
            ("0", Kept::Other),
            ("-7", Kept::Other),
            ("filling-", Kept::Other),
            ("filling-x", Kept::Other),
            ("9223372036854775808", Kept::Other),
        ] {
            assert_eq!(kept(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(kept(b"\xff"), Kept::Other);
        for name in [generation(3), filling(3), removing(3)] {
            assert_ne!(kept(name.as_bytes()), Kept::Other, "{name}");
        }
    }
}
