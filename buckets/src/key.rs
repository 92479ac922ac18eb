//! Which file an object is. Pure.

use std::path::PathBuf;

use thiserror::Error;

/// The most that Linux takes as one name, bytes.
const NAME_BYTES_MAX: usize = 255;

/// Why a key, or what follows the prefix of one, is not the path of a file.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NotAPath {
    /// There is nothing of it.
    #[error("it is empty")]
    Empty,
    /// It ends in a slash.
    #[error("it ends in a slash, as only folders do")]
    TrailingSlash,
    /// It begins with a slash, or has two side by side.
    #[error("a part of it between slashes is empty")]
    EmptyPart,
    /// A part is `.` or `..`.
    #[error("a part of it is . or ..")]
    Dots,
    /// It has a zero byte.
    #[error("it has a zero byte")]
    Nul,
    /// A part is longer than a name can be.
    #[error("a part of it has more than 255 bytes")]
    NameTooLong,
}

/// The relative path that a key stands for, in the one way in which it can be written: no two keys have the same. That another
/// key wants a file where this one needs a folder is not seen here.
///
/// # Errors
/// [`NotAPath`]: it stands for none.
pub fn path_of(key: &str) -> Result<PathBuf, NotAPath> {
    if key.is_empty() {
        return Err(NotAPath::Empty);
    }
    if key.contains('\0') {
        return Err(NotAPath::Nul);
    }
    for part in key.strip_suffix('/').unwrap_or(key).split('/') {
        match part {
            "" => return Err(NotAPath::EmptyPart),
            "." | ".." => return Err(NotAPath::Dots),
            name if name.len() > NAME_BYTES_MAX => return Err(NotAPath::NameTooLong),
            _ => {}
        }
    }
    if key.ends_with('/') { Err(NotAPath::TrailingSlash) } else { Ok(key.into()) }
}

/// Whether an object only says that there is a folder, as consoles of services make it: empty, with a slash at the end of a key
/// that would else be a path.
pub fn is_folder_marker(key: &str, size: u64) -> bool {
    size == 0 && path_of(key) == Err(NotAPath::TrailingSlash)
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_a_path_or_says_why_not() {
        let long = "ä".repeat(128);
        for (key, expected) in [
            ("", NotAPath::Empty),
            ("/", NotAPath::EmptyPart),
            ("/a", NotAPath::EmptyPart),
            ("a//b", NotAPath::EmptyPart),
            ("a//", NotAPath::EmptyPart),
            ("a/", NotAPath::TrailingSlash),
            ("a/b/", NotAPath::TrailingSlash),
            (".", NotAPath::Dots),
            ("..", NotAPath::Dots),
            ("../", NotAPath::Dots),
            ("a/../b", NotAPath::Dots),
            ("a/./b", NotAPath::Dots),
            ("a/..", NotAPath::Dots),
            ("a\0b", NotAPath::Nul),
            (&format!("a/{long}"), NotAPath::NameTooLong),
        ] {
            assert_eq!(path_of(key), Err(expected), "{key:?}");
        }
        let longest = "b".repeat(255);
        for key in ["a", "a/b", "...", "a/..b", ".a", "a\\b", "a\nb", "\u{202e}", "%2e%2e/a", " ", &longest] {
            assert_eq!(path_of(key), Ok(key.into()), "{key:?}");
        }
    }

    #[test]
    fn only_an_empty_object_with_a_slash_at_its_end_stands_for_a_folder() {
        assert!(is_folder_marker("a/", 0) && is_folder_marker("a/b/", 0));
        for (key, size) in [("a/", 1), ("a", 0), ("/", 0), ("a//", 0), ("../", 0)] {
            assert!(!is_folder_marker(key, size), "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_key_its_path_stays_below_and_is_the_keys_own(key in "[a./\\\\\0\n%ä]{0,12}") {
            if let Ok(path) = path_of(&key) {
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(path.to_str(), Some(&*key));
            }
        }
    }
}
