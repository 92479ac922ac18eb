//! What makes two volumes share one kernel mount: server, export, version, port and mount options. Not the folder, and
//! not the FileSystem: two FileSystems on one export use one mount.

use std::fmt;

use serde::{Deserialize, Serialize};
use workspacefs_api::NfsVersion;
use workspacefs_api::mount_options::MountOption;
use workspacefs_api::volume::VolumeAttributes;

/// One export of one server, mounted in one way.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct ShareSpec {
    /// Host name or address of the server.
    pub server: String,
    /// Absolute path that the server exports.
    pub export: String,
    /// The version asked for; None tries 4.2, 4.1, 4.0.
    pub version: Option<NfsVersion>,
    /// TCP port, if not 2049.
    pub port: Option<u16>,
    /// Key and value of each mount option, sorted; from the allow list only.
    pub options: Vec<(String, Option<String>)>,
}

impl ShareSpec {
    /// The share that a volume lies on. `options` come from [`workspacefs_api::mount_options::parse`]; a FileSystem with
    /// `localCache` has `fsc` among them.
    pub fn new(attributes: &VolumeAttributes, options: &[MountOption]) -> Self {
        // What holds anyway must not make a second mount when it is said. The kernel does not even know `nosoftreval`.
        let options = options
            .iter()
            .filter(|option| !["hard", "nosoftreval"].contains(&option.key.as_str()))
            .map(|option| (option.key.clone(), option.value.clone()))
            .collect();
        Self {
            server: attributes.server.clone(),
            export: attributes.export.clone(),
            version: attributes.version,
            port: attributes.port,
            options,
        }
    }

    /// The share's name on this node.
    pub fn key(&self) -> ShareKey {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part(&self.server);
        part(&self.export);
        part(self.version.map_or("", NfsVersion::as_str));
        part(&self.port.unwrap_or(0).to_string());
        for (key, value) in &self.options {
            part(key);
            part(value.as_deref().unwrap_or(""));
        }
        ShareKey(hasher.finalize().to_hex()[..32].to_string())
    }
}

impl fmt::Display for ShareSpec {
    /// `server:/export`, for messages only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.server, self.export)
    }
}

/// The first 32 hexadecimal digits of the spec's hash: names the share's mount point and its record.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShareKey(String);

impl ShareKey {
    /// Reads a key, as a directory's or record's name has it.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.into()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ShareKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a share's key is 32 hexadecimal digits")
    }
}

impl From<ShareKey> for String {
    fn from(key: ShareKey) -> Self {
        key.0
    }
}

impl fmt::Display for ShareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn spec() -> ShareSpec {
        ShareSpec { server: "a".into(), export: "/b".into(), version: None, port: None, options: vec![] }
    }

    #[test]
    fn whatever_changes_the_mount_changes_the_key_and_nothing_slides_between_fields() {
        let option = |key: &str, value: Option<&str>| (key.to_string(), value.map(Into::into));
        let variants = [
            spec(),
            ShareSpec { server: "a/".into(), export: "b".into(), ..spec() },
            ShareSpec { export: "/c".into(), ..spec() },
            ShareSpec { version: Some(NfsVersion::V4_0), ..spec() },
            ShareSpec { port: Some(2050), ..spec() },
            ShareSpec { options: vec![option("hard", None)], ..spec() },
            ShareSpec { options: vec![option("nconnect", Some("4"))], ..spec() },
            ShareSpec { options: vec![option("nconnect4", None)], ..spec() },
        ];
        let keys: HashSet<ShareKey> = variants.iter().map(ShareSpec::key).collect();
        assert_eq!(keys.len(), variants.len());
        assert_eq!(spec().key(), spec().key());
    }

    #[test]
    fn a_key_is_a_safe_file_name_and_nothing_else_is_a_key() {
        let key = spec().key();
        assert_eq!(ShareKey::parse(key.as_str()), Some(key));
        for bad in ["", "..", "0123", &"g".repeat(32), &"A".repeat(32), &"0".repeat(33)] {
            assert_eq!(ShareKey::parse(bad), None, "{bad}");
        }
    }
}
