//! tus's header values: `Upload-Metadata` and `Upload-Checksum`, and checksums themselves.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use workspacefs_files_proto::FilePath;

use super::path_of;
use crate::error::Error;
use crate::facts::parse_rfc3339;

/// It is kept with each upload and sent back with each HEAD: a path of 4 KiB in base64, and something beside it.
const BYTES_MAX: usize = 8 * 1024;

/// What a caller says of the file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Meta {
    /// Its path.
    pub path: FilePath,
    /// Time of modification, nanoseconds since 1970.
    pub modified: Option<i128>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Whether a file that has the name is replaced.
    pub overwrite: bool,
    /// Of the whole, in base64.
    pub sha256: Option<String>,
    /// The header's value.
    pub text: String,
}

impl Meta {
    /// From the header: pairs of a key and base64, separated by commas. Other keys are kept and mean nothing here.
    ///
    /// # Errors
    /// `BadRequest` with the key as field.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |message: &str| Error::field("Upload-Metadata", message.to_owned());
        if text.len() > BYTES_MAX {
            return Err(bad("the metadata is longer than 8 KiB"));
        }
        let mut keys = HashSet::new();
        let mut meta = Self { text: text.into(), ..Self::default() };
        let mut has_path = false;
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if !keys.insert(key) {
                return Err(bad("a key is there twice"));
            }
            let value = BASE64_STANDARD.decode(value.trim()).map_err(|_| bad("the values are base64"))?;
            let value = String::from_utf8(value).map_err(|_| bad("the values are text in base64"))?;
            match key {
                "path" => (meta.path, has_path) = (path_of("path", &value)?, true),
                "modified" => meta.modified = Some(parse_modified(&value)?),
                "mode" => meta.mode = Some(parse_mode(&value)?),
                "overwrite" => meta.overwrite = matches!(&*value, "" | "true" | "1"),
                "sha256" => {
                    let checksum = Checksum::sha256(&value);
                    checksum.ok_or_else(|| Error::field("sha256", "a SHA-256 is 32 bytes in base64"))?;
                    meta.sha256 = Some(value);
                }
                _ => {}
            }
        }
        if has_path { Ok(meta) } else { Err(bad("the metadata names the file in its key path")) }
    }
}

/// A time as callers give it.
///
/// # Errors
/// `BadRequest` for `modified`.
pub fn parse_modified(text: &str) -> Result<i128, Error> {
    parse_rfc3339(text).ok_or_else(|| Error::field("modified", "the time is not RFC 3339"))
}

/// Permission bits as callers give them: neither set-user-id nor set-group-id, which would outlive whoever may set them.
///
/// # Errors
/// `BadRequest` for `mode`.
pub fn parse_mode(text: &str) -> Result<u32, Error> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && !text.starts_with('+'));
    mode.ok_or_else(|| Error::field("mode", "the mode is octal, at most 0777"))
}

/// A checksum to compare with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checksum {
    algorithm: Algorithm,
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Algorithm {
    Sha256,
    Sha1,
}

/// Of a content that is still read.
pub struct Digester(Context);

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digester")
    }
}

impl Digester {
    /// More of it.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl Checksum {
    /// From base64.
    pub fn sha256(base64: &str) -> Option<Self> {
        Self::of(Algorithm::Sha256, base64)
    }

    /// From `Upload-Checksum`: an algorithm and base64.
    pub fn parse(header: &str) -> Option<Self> {
        let (algorithm, value) = header.trim().split_once(' ')?;
        match algorithm {
            "sha256" => Self::of(Algorithm::Sha256, value),
            "sha1" => Self::of(Algorithm::Sha1, value),
            _ => None,
        }
    }

    /// From `Repr-Digest` (RFC 9530): the SHA-256 of a list of digests, if there is one.
    ///
    /// # Errors
    /// `BadRequest`: it is malformed.
    pub fn of_representation(header: &str) -> Result<Option<Self>, Error> {
        let bad = || Error::field("Repr-Digest", "the digest is sha-256=:base64:");
        let members = header.split(',').filter_map(|member| member.trim().split_once('='));
        let mut found = members.filter(|(algorithm, _)| *algorithm == "sha-256").map(|(_, value)| value);
        let Some(value) = found.next() else { return Ok(None) };
        let value = value.strip_prefix(':').and_then(|value| value.strip_suffix(':')).ok_or_else(bad)?;
        Self::sha256(value).map(Some).ok_or_else(bad)
    }

    /// To compare with it.
    pub fn digester(&self) -> Digester {
        Digester(Context::new(match self.algorithm {
            Algorithm::Sha256 => &SHA256,
            Algorithm::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
        }))
    }

    /// Whether the content that was read has it.
    pub fn matches(&self, digester: Digester) -> bool {
        digester.0.finish().as_ref() == self.value
    }

    fn of(algorithm: Algorithm, base64: &str) -> Option<Self> {
        let length = match algorithm {
            Algorithm::Sha256 => 32,
            Algorithm::Sha1 => 20,
        };
        let value = BASE64_STANDARD.decode(base64.trim()).ok()?;
        (value.len() == length).then_some(Self { algorithm, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_tus_clients_write_it() {
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        let sum = encode("01234567890123456789012345678901");
        let text = format!(
            "path {},filename {},overwrite, mode {},modified {},sha256 {}",
            encode("a/b%FF"),
            encode("b"),
            encode("0640"),
            encode("2026-11-27T23:00:00Z"),
            encode(&sum),
        );
        let meta = Meta::parse(&text).unwrap();
        assert_eq!(meta.path.as_bytes(), b"a/b\xff");
        assert_eq!((meta.mode, meta.overwrite, meta.sha256), (Some(0o640), true, Some(sum)));
        assert_eq!(meta.modified, parse_rfc3339("2026-11-27T23:00:00Z"));
    }

    #[test]
    fn bad_metadata_names_the_key_to_correct() {
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        for (text, field) in [
            (String::new(), "Upload-Metadata"),
            ("path !".into(), "Upload-Metadata"),
            (format!("filename {}", encode("x")), "Upload-Metadata"),
            (format!("path {},path {}", encode("x"), encode("y")), "Upload-Metadata"),
            (format!("path {},other,other", encode("x")), "Upload-Metadata"),
            (format!("path {},filename {}", encode("x"), encode(&"x".repeat(7000))), "Upload-Metadata"),
            (format!("path {}", encode("../x")), "path"),
            (format!("path {},mode {}", encode("x"), encode("4755")), "mode"),
            (format!("path {},mode {}", encode("x"), encode("rw")), "mode"),
            (format!("path {},modified {}", encode("x"), encode("now")), "modified"),
            (format!("path {},sha256 {}", encode("x"), encode("short")), "sha256"),
        ] {
            let error = Meta::parse(&text).unwrap_err();
            assert_eq!(error.body().field.as_deref(), Some(field), "{text}");
        }
    }

    #[test]
    fn checksums_match_what_they_are_of() {
        let sha1 = Checksum::parse("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").unwrap();
        let sha256 = "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=";
        let sha256 = [
            Checksum::parse(&format!("sha256 {sha256}")).unwrap(),
            Checksum::of_representation(&format!("md5=:xx:, sha-256=:{sha256}:")).unwrap().unwrap(),
        ];
        for checksum in [sha1].iter().chain(&sha256) {
            for (content, same) in [("hello world", true), ("hello world!", false)] {
                let mut digester = checksum.digester();
                digester.update(content.as_bytes());
                assert_eq!(checksum.matches(digester), same);
            }
        }
        assert!(Checksum::parse("md5 xxxx").is_none() && Checksum::parse("sha256 AAAA").is_none());
        assert_eq!(Checksum::of_representation("sha-512=:xx:").unwrap(), None);
        assert!(Checksum::of_representation("sha-256=AAAA").is_err());
    }
}
