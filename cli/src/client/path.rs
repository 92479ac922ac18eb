//! A path of a file system behind the gateway: names of any bytes, as a user types it and as it goes into a URL.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use thiserror::Error;
use workspacefs_files_proto::path::{BadPath, FilePath, check_name, encode};

use crate::text;

/// The server's own folder: nobody sees it.
const HIDDEN: &[u8] = b".workspacefs";

/// Why it is no path.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PathError {
    /// Nothing was typed.
    #[error("an empty path: the root of a file system is /")]
    Empty,
    /// Such as `..`.
    #[error("{0}: {1}")]
    Bad(String, BadPath),
    /// The server's folder.
    #[error("/.workspacefs is workspacefs' own")]
    Hidden,
}

/// From the root, which is the default; a name is any bytes but `/` and NUL, and neither `.` nor `..`.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RemotePath {
    names: Vec<Vec<u8>>,
    /// It was typed with a slash at its end: what goes there goes into it.
    into: bool,
}

impl RemotePath {
    /// As typed; the slash at its beginning may be left out, several count as one.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn typed(text: &OsStr) -> Result<Self, PathError> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(PathError::Empty);
        }
        let mut path = Self { names: Vec::new(), into: bytes.ends_with(b"/") };
        for name in bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            check_name(name).map_err(|error| PathError::of(bytes, error))?;
            path.names.push(name.to_vec());
        }
        if path.names.first().is_some_and(|name| name == HIDDEN) {
            return Err(PathError::Hidden);
        }
        Ok(path)
    }

    /// As the server names it: percent-encoded, without leading slash. Whatever it sends leads nowhere else.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn from_wire(text: &str) -> Result<Self, PathError> {
        let path = FilePath::decode(text).map_err(|error| PathError::of(text.as_bytes(), error))?;
        Ok(Self { names: path.segments().map(<[u8]>::to_vec).collect(), into: false })
    }

    /// As it goes into a URL, into JSON and into tus metadata.
    pub fn encoded(&self) -> String {
        encode(&self.names.join(&b'/'))
    }

    /// The path of a name in this folder.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut names = self.names.clone();
        names.push(name.to_vec());
        Self { names, into: false }
    }

    /// The path of a path below this folder.
    #[must_use]
    pub fn join_all(&self, below: &[Vec<u8>]) -> Self {
        Self { names: [self.names.as_slice(), below].concat(), into: false }
    }

    /// Where something called `name` lands: at this path, or in it if it was typed with a slash at its end.
    #[must_use]
    pub fn landing(&self, name: &[u8]) -> Self {
        if self.into || self.is_root() { self.join(name) } else { self.clone() }
    }

    /// The last name; none is the root's.
    pub fn name(&self) -> Option<&[u8]> {
        self.names.last().map(Vec::as_slice)
    }

    /// All of them.
    pub fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    /// The folder it lies in; none is the root's.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.names.split_last()?;
        Some(Self { names: above.to_vec(), into: false })
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether it was typed with a slash at its end.
    pub fn is_into(&self) -> bool {
        self.into
    }

    /// Whether it is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.names.starts_with(&other.names)
    }
}

impl fmt::Display for RemotePath {
    /// As it may be shown to people: begins with `/`, and moves no cursor.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.names.join(&b'/');
        let path = PathBuf::from(OsStr::from_bytes(&[b"/".as_slice(), &bytes].concat()));
        f.write_str(&text::shown(&path))
    }
}

impl PathError {
    /// With what was typed in the sentence.
    fn of(whole: &[u8], error: BadPath) -> Self {
        Self::Bad(text::shown(std::path::Path::new(OsStr::from_bytes(whole))), error)
    }
}

/// For clap.
///
/// # Errors
/// A sentence.
pub fn parser() -> impl clap::builder::TypedValueParser<Value = RemotePath> {
    use clap::builder::{OsStringValueParser, TypedValueParser};
    OsStringValueParser::new().try_map(|text| RemotePath::typed(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Result<RemotePath, PathError> {
        RemotePath::typed(OsStr::from_bytes(bytes))
    }

    #[test]
    fn a_path_is_bytes_and_goes_into_a_url_byte_by_byte() {
        for (text, wire, shown) in [
            (&b"/"[..], "", "/"),
            (b"a/b", "a/b", "/a/b"),
            (b"//a///b//", "a/b", "/a/b"),
            (b"/a b/\xff", "a%20b/%FF", r#""/a b/\xFF""#),
            ("é".as_bytes(), "%C3%A9", "/é"),
            (b"a%20b?x#y\\", "a%2520b%3Fx%23y%5C", "/a%20b?x#y\\"),
            (b"...", "...", "/..."),
        ] {
            let path = typed(text).unwrap();
            assert_eq!((path.encoded().as_str(), path.to_string().as_str()), (wire, shown));
            assert_eq!(RemotePath::from_wire(wire).unwrap().names(), path.names());
        }
    }

    #[test]
    fn what_leads_elsewhere_is_no_path() {
        for bad in [&b""[..], b"..", b"a/../b", b"a/.", b"./a", b"a\0b", b".workspacefs/x"] {
            assert!(typed(bad).is_err(), "{bad:?}");
        }
        assert!(typed(&[b'a'; 256]).is_err() && typed(&[b'a'; 255]).is_ok());
        assert!(typed(b"a/../b").unwrap_err().to_string().starts_with("a/../b: "));
        for bad in ["%2e%2e/x", "a/..", "a%2Fb", "a%00b", "a%"] {
            assert!(RemotePath::from_wire(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slash_at_the_end_says_into() {
        let lands = |text: &[u8]| typed(text).unwrap().landing(b"x").to_string();
        assert_eq!(
            (lands(b"/d").as_str(), lands(b"/d/").as_str(), lands(b"/").as_str()),
            ("/d", "/d/x", "/x")
        );
        assert!(typed(b"a/b").unwrap().is_within(&typed(b"a").unwrap()));
        assert!(!typed(b"ab").unwrap().is_within(&typed(b"a").unwrap()));
    }
}
