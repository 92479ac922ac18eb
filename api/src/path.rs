//! Paths that people give us: `folder`, `mountFrom`. They name something beneath a root and are checked here before the
//! kernel resolves them (openat2 with RESOLVE_BENEATH); this check makes messages clear, the kernel makes them safe.

use std::fmt;

use thiserror::Error;

use crate::RESERVED_FOLDER;

/// The longest path accepted, in bytes (PATH_MAX without its final NUL).
pub const MAX_BYTES: usize = 4095;
const MAX_PART_BYTES: usize = 255;

/// A path beneath some root, normalised: no leading or trailing slash, no `.`, `..` or empty part, not inside
/// `.workspacefs`. The root itself is the empty path.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct RelativePath(String);

/// Why a path was refused.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum PathError {
    /// A part is `..`.
    #[error("path {0:?} has a part \"..\"")]
    Parent(String),
    /// A NUL or another control character.
    #[error("path {0:?} has a control character")]
    Control(String),
    /// The whole is over [`MAX_BYTES`] or a part over 255 bytes.
    #[error("path is too long: {0} bytes")]
    TooLong(usize),
    /// It names our own folder.
    #[error("path {0:?} is inside {RESERVED_FOLDER}, which no volume may enter")]
    Reserved(String),
}

impl RelativePath {
    /// Reads a path as people write it: a leading slash means the root it is relative to, doubled slashes and `.` are
    /// passed over.
    ///
    /// # Errors
    /// [`PathError`] names the part that cannot be accepted.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_BYTES {
            return Err(PathError::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(PathError::Control(text.into()));
        }
        let mut parts = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." {
                return Err(PathError::Parent(text.into()));
            }
            if part.len() > MAX_PART_BYTES {
                return Err(PathError::TooLong(part.len()));
            }
            parts.push(part);
        }
        if parts.first() == Some(&RESERVED_FOLDER) {
            return Err(PathError::Reserved(text.into()));
        }
        Ok(Self(parts.join("/")))
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Without leading slash; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leading_doubled_and_trailing_slashes_do_not_matter() {
        for same in ["a/b", "/a/b", "//a//b/", "./a/./b"] {
            assert_eq!(RelativePath::parse(same), Ok(RelativePath("a/b".into())), "{same}");
        }
        for root in ["", "/", ".", "//", "/./"] {
            assert!(RelativePath::parse(root).is_ok_and(|p| p.is_root()), "{root}");
        }
    }

    #[test]
    fn what_leads_out_or_into_our_own_folder_is_refused() {
        assert!(matches!(RelativePath::parse("a/../b"), Err(PathError::Parent(_))));
        assert!(matches!(RelativePath::parse(".."), Err(PathError::Parent(_))));
        assert!(matches!(RelativePath::parse("a\0b"), Err(PathError::Control(_))));
        assert!(matches!(RelativePath::parse("/.workspacefs/trash"), Err(PathError::Reserved(_))));
        assert!(matches!(RelativePath::parse(&"a".repeat(256)), Err(PathError::TooLong(256))));
        assert!(RelativePath::parse("a/.workspacefs").is_ok(), "only the export's root holds our folder");
        assert!(RelativePath::parse("..a/b..").is_ok());
    }

    proptest! {
        #[test]
        fn no_accepted_path_has_a_part_that_climbs(text in "[a./\\\\ ]{0,40}") {
            if let Ok(path) = RelativePath::parse(&text) {
                prop_assert!(!path.as_str().starts_with('/'));
                prop_assert!(path.is_root() || path.as_str().split('/').all(|p| !p.is_empty() && p != "." && p != ".."));
            }
        }
    }
}
