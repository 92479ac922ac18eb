//! Paths in URLs and in JSON. A name is bytes, so a path is percent-encoded byte by byte, and each segment is decoded exactly
//! once: what was checked is what is opened.

use std::fmt::{self, Write as _};

use thiserror::Error;

/// The longest name, in bytes: Linux has none longer.
pub const NAME_BYTES_MAX: usize = 255;

/// No path of a file system.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BadPath {
    /// `%` without two hexadecimal digits behind it.
    #[error("a % in a path is followed by two hexadecimal digits")]
    Escape,
    /// `.` or `..`.
    #[error("a path holds no segment . or ..")]
    Dots,
    /// A zero byte, or a slash inside of a name.
    #[error("a name holds neither NUL nor a slash")]
    Byte,
    /// A name of more than [`NAME_BYTES_MAX`] bytes.
    #[error("a name has at most {NAME_BYTES_MAX} bytes")]
    Long,
}

/// A path from the root of a file system: names of any bytes but `/` and NUL, none of them `.` or `..`. Empty is the root.
#[derive(Clone, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FilePath(Vec<u8>);

impl FilePath {
    /// From the percent-encoded form. Empty segments collapse, so `/a//b/` is `a/b`; characters that need no escape may stand
    /// for themselves.
    ///
    /// # Errors
    /// [`BadPath`].
    pub fn decode(encoded: &str) -> Result<Self, BadPath> {
        let mut path = Self::default();
        for segment in encoded.split('/').filter(|segment| !segment.is_empty()) {
            path.push(&decode_segment(segment)?)?;
        }
        Ok(path)
    }

    /// From names as they are: nothing is decoded.
    ///
    /// # Errors
    /// [`BadPath`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadPath> {
        let mut path = Self::default();
        for segment in bytes.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
            path.push(segment)?;
        }
        Ok(path)
    }

    /// Adds a name at the end.
    ///
    /// # Errors
    /// [`BadPath`]; then the path is as it was.
    pub fn push(&mut self, name: &[u8]) -> Result<(), BadPath> {
        check_name(name)?;
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
        Ok(())
    }

    /// This path and one more name.
    ///
    /// # Errors
    /// [`BadPath`].
    pub fn join(&self, name: &[u8]) -> Result<Self, BadPath> {
        let mut path = self.clone();
        path.push(name)?;
        Ok(path)
    }

    /// As it goes into a URL or JSON: everything but letters, digits, `-._~` is escaped; no slash in front.
    pub fn encode(&self) -> String {
        encode(&self.0)
    }

    /// The names joined by slashes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty())
    }

    /// The root has no name.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder it lies in, and its name there; None for the root.
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self::default(), &self.0[..]),
        })
    }

    /// Whether it is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        match self.0.strip_prefix(&other.0[..]) {
            Some(rest) => rest.is_empty() || other.is_root() || rest[0] == b'/',
            None => false,
        }
    }
}

impl fmt::Debug for FilePath {
    /// Encoded: a name may hold line breaks, and logs are read line by line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.encode())
    }
}

impl fmt::Display for FilePath {
    /// To be shown to people: U+FFFD for what is not UTF-8.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

/// Percent-encodes bytes; slashes stay.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(*byte as char)
            }
            _ => {
                // Writing to a string does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// Whether it can be the name of an entry.
///
/// # Errors
/// [`BadPath`].
pub fn check_name(name: &[u8]) -> Result<(), BadPath> {
    match name {
        b"." | b".." => Err(BadPath::Dots),
        b"" => Err(BadPath::Byte),
        _ if name.iter().any(|byte| matches!(byte, 0 | b'/')) => Err(BadPath::Byte),
        _ if name.len() > NAME_BYTES_MAX => Err(BadPath::Long),
        _ => Ok(()),
    }
}

fn decode_segment(segment: &str) -> Result<Vec<u8>, BadPath> {
    let mut name = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| (byte as char).to_digit(16));
                let (high, low) = (digit().ok_or(BadPath::Escape)?, digit().ok_or(BadPath::Escape)?);
                // Two hexadecimal digits are below 256.
                u8::try_from(high * 16 + low).map_err(|_| BadPath::Escape)?
            }
            byte => byte,
        });
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_but_slash_and_nul_survives_a_url() {
        let name: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
        let path = FilePath::default().join(b"a").unwrap().join(&name).unwrap();
        let encoded = path.encode();
        assert!(encoded.is_ascii() && !encoded.contains(['\\', '<', '"', ' ', '?', '#']), "{encoded}");
        assert_eq!(FilePath::decode(&encoded).unwrap(), path);
        assert_eq!(path.split().unwrap().1, name);
    }

    #[test]
    fn a_segment_is_decoded_once() {
        let decode = |text| FilePath::decode(text).map(|path| path.as_bytes().to_vec());
        assert_eq!(
            decode("%252e%252e/x").unwrap(),
            b"%2e%2e/x",
            "what looks like dots after a second decoding is a name"
        );
        assert_eq!(decode("//a///b/").unwrap(), b"a/b");
        assert_eq!(decode("").unwrap(), b"");
        assert_eq!(decode(r"..\..\etc").unwrap(), br"..\..\etc", "a backslash is a byte of a name");
        assert_eq!(decode("%FF+ü").unwrap(), b"\xff+\xc3\xbc");
        assert_eq!(decode(".../..a/a..").unwrap(), b".../..a/a..");
    }

    #[test]
    fn dots_zeros_slashes_in_names_and_long_names_are_refused() {
        for (text, why) in [
            ("..", BadPath::Dots),
            ("a/../b", BadPath::Dots),
            ("%2e%2E/x", BadPath::Dots),
            (".%2e", BadPath::Dots),
            ("a/%2e", BadPath::Dots),
            ("a%00b", BadPath::Byte),
            ("a%2Fb", BadPath::Byte),
            ("..%2f..%2fetc", BadPath::Byte),
            ("%", BadPath::Escape),
            ("%f", BadPath::Escape),
            ("%+1", BadPath::Escape),
            ("%ü", BadPath::Escape),
        ] {
            assert_eq!(FilePath::decode(text), Err(why), "{text}");
        }
        assert!(FilePath::decode(&"x".repeat(255)).is_ok());
        assert_eq!(FilePath::decode(&"x".repeat(256)), Err(BadPath::Long));
    }

    #[test]
    fn below_is_by_whole_names() {
        let path = |text| FilePath::decode(text).unwrap();
        assert!(
            path("a/b").is_within(&path("a"))
                && path("a").is_within(&path("a"))
                && path("a").is_within(&path(""))
        );
        assert!(!path("ab").is_within(&path("a")) && !path("a").is_within(&path("a/b")));
    }
}
