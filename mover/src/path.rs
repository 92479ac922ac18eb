//! A path of the source, as the spec has it.

use std::str::FromStr;

use thiserror::Error;

/// An absolute path beneath the source's root, in the one way in which it can be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CachePath(String);

/// It is not one, or does not go with another.
#[derive(Debug, Error, PartialEq)]
pub enum PathError {
    /// Relative, with empty parts, `.` or `..`, or the root itself.
    #[error("{0:?} is not an absolute path of a folder, without '.', '..' and empty parts")]
    Malformed(String),
    /// One lies in the other, or both are the same.
    #[error("{0:?} and {1:?} overlap")]
    Overlap(String, String),
}

impl CachePath {
    /// As it was given.
    pub fn absolute(&self) -> &str {
        &self.0
    }

    /// From the source's root.
    pub(crate) fn relative(&self) -> &str {
        self.0.get(1..).unwrap_or_default()
    }

    /// Where it lies, from the source's root, and its name.
    pub(crate) fn split(&self) -> (&str, &str) {
        self.relative().rsplit_once('/').unwrap_or(("", self.relative()))
    }

    /// The folders that it lies in, the nearest first and the root, which is empty, last.
    pub(crate) fn above(&self) -> impl Iterator<Item = &str> {
        let nearest = Some(self.split().0);
        std::iter::successors(nearest, |path| match path.rsplit_once('/') {
            Some((above, _)) => Some(above),
            None => (!path.is_empty()).then_some(""),
        })
    }

    fn overlaps(&self, other: &Self) -> bool {
        let lies_in = |inner: &Self, outer: &Self| {
            inner.0.strip_prefix(&outer.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        lies_in(self, other) || lies_in(other, self)
    }
}

impl FromStr for CachePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        match text.strip_prefix('/').is_some_and(|path| path.split('/').all(is_name)) {
            true => Ok(Self(text.to_owned())),
            false => Err(PathError::Malformed(text.to_owned())),
        }
    }
}

/// No two of them overlap.
///
/// # Errors
/// [`PathError::Overlap`].
pub(crate) fn check(paths: &[CachePath]) -> Result<(), PathError> {
    for (number, path) in paths.iter().enumerate() {
        if let Some(other) = paths.iter().take(number).find(|other| path.overlaps(other)) {
            return Err(PathError::Overlap(other.0.clone(), path.0.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> CachePath {
        text.parse().unwrap()
    }

    #[test]
    fn only_absolute_paths_of_names_are_paths() {
        for good in ["/a", "/a/b", "/...", "/ä b\n"] {
            assert_eq!(path(good).absolute(), good);
        }
        for bad in ["", "/", "a", "a/b", "/a/", "//a", "/a//b", "/.", "/a/..", "/../a", "/a/./b", "/a\0b"] {
            assert_eq!(bad.parse::<CachePath>(), Err(PathError::Malformed(bad.to_owned())));
        }
    }

    #[test]
    fn the_folders_above_come_from_the_nearest_to_the_root() {
        assert_eq!(path("/a/b/c").above().collect::<Vec<_>>(), ["a/b", "a", ""]);
        assert_eq!(path("/a").above().collect::<Vec<_>>(), [""]);
        assert_eq!((path("/a/b").split(), path("/a").split()), (("a", "b"), ("", "a")));
    }

    #[test]
    fn paths_overlap_if_one_lies_in_the_other() {
        for (paths, overlap) in
            [(["/a", "/a/b"], true), (["/a/b", "/a"], true), (["/a", "/a"], true), (["/a", "/ab"], false)]
        {
            assert_eq!(check(&paths.map(path)).is_err(), overlap, "{paths:?}");
        }
    }
}
