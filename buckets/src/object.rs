//! An object as a listing, or the headers of an answer, tell it.

use std::fmt;

use http::HeaderMap;
use jiff::Timestamp;

/// The service's name for one version of an object's content, in quotes as it sends it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ETag(String);

/// An object of a bucket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    /// Its whole key, with the prefix.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Of this version of it.
    pub etag: ETag,
    /// When it was written.
    pub modified: Timestamp,
}

impl ETag {
    /// As it stands in a header or a listing; quotes are added where a service leaves them out, and the mark of a weak one is
    /// taken away: as versions of content there is no other.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let text = text.strip_prefix("W/").unwrap_or(text);
        Self(format!("\"{}\"", text.trim_matches('"')))
    }

    /// With its quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest, if it has the form of an MD5. That of an object in parts has a `-`.
    pub fn md5(&self) -> Option<[u8; 16]> {
        let text = self.0.trim_matches('"');
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
    }

    /// Whether it is of an object that was uploaded in parts.
    pub(crate) fn is_of_parts(&self) -> bool {
        let text = self.0.trim_matches('"');
        text.split_once('-').is_some_and(|(digest, parts)| digest.len() == 32 && parts.parse::<u32>().is_ok())
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A header's value, if it is there once and is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_the_form_of_an_md5_is_one() {
        let plain = ETag::new("d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(plain, ETag::new("\"d41d8cd98f00b204e9800998ecf8427e\""));
        assert_eq!(plain.md5().map(|digest| digest[..2].to_vec()), Some(vec![0xd4, 0x1d]));
        let parts = ETag::new("\"d41d8cd98f00b204e9800998ecf8427e-12\"");
        assert!(parts.md5().is_none() && parts.is_of_parts() && !plain.is_of_parts());
        for other in ["", "x", "+41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427é"] {
            assert!(ETag::new(other).md5().is_none(), "{other}");
        }
        assert_eq!(ETag::new("W/\"a\""), ETag::new("a"));
    }
}
