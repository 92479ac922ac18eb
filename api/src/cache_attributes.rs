//! What travels from the operator to the node for the claim of an FsCache: the id of its volume and its attributes, in
//! typed form. Both are read as hostile input, like those of the other volumes. Where the copy lies is not in them: the
//! node decides that when it publishes, by what it knows of the FsCache then.

use std::collections::BTreeMap;
use std::fmt;

use crate::volume::{AttributesError, VolumeIdError, is_kubernetes_key, is_uid};

/// The id of the volume of an FsCache's claim: `v1.cache.<FsCache uid>`. One id for all nodes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CacheVolumeId(String);

impl CacheVolumeId {
    /// Of the FsCache with that uid, as an API server gave it.
    pub fn of(uid: &str) -> Self {
        Self(uid.into())
    }

    /// Reads an id strictly: whatever it accepts prints as the same bytes again.
    ///
    /// # Errors
    /// [`VolumeIdError`] for everything else.
    pub fn parse(text: &str) -> Result<Self, VolumeIdError> {
        let uid = text.strip_prefix(PREFIX).filter(|uid| is_uid(uid)).ok_or(VolumeIdError)?;
        Ok(Self(uid.into()))
    }

    /// The FsCache's uid.
    pub fn uid(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CacheVolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

/// What the node needs beside the id: whose it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CacheVolumeAttributes {
    /// The FsCache's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl CacheVolumeAttributes {
    /// The string map that goes into a PersistentVolume.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        [(FS_CACHE.to_string(), format!("{}/{}", self.namespace, self.name))].into()
    }

    /// The inverse of [`CacheVolumeAttributes::to_map`]. Keys that Kubernetes adds are passed over.
    ///
    /// # Errors
    /// [`AttributesError`] for a missing, unknown or malformed attribute.
    pub fn from_map<'a, I>(map: I) -> Result<Self, AttributesError>
    where
        I: IntoIterator<Item = (&'a String, &'a String)>,
    {
        let mut whose = None;
        for (key, value) in map.into_iter().filter(|(key, _)| !is_kubernetes_key(key)) {
            if key != FS_CACHE {
                return Err(AttributesError::Unknown(key.clone()));
            }
            whose = Some(value);
        }
        let whose = whose.ok_or(AttributesError::Missing(FS_CACHE))?;
        let (namespace, name) = whose.split_once('/').ok_or(AttributesError::Invalid(FS_CACHE))?;
        if !is_label(namespace) || !is_label(name) {
            return Err(AttributesError::Invalid(FS_CACHE));
        }
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }
}

/// A DNS label, as namespaces and FsCaches are named.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

const PREFIX: &str = "v1.cache.";
const FS_CACHE: &str = "fsCache";

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    #[test]
    fn an_id_is_read_back_as_written_and_nothing_else_is_one() {
        let text = CacheVolumeId::of(UID).to_string();
        let id = CacheVolumeId::parse(&text).unwrap();
        assert_eq!((id.uid(), id.to_string()), (UID, text.clone()));
        for bad in [
            "",
            "v1.cache.",
            "v1.cache.x",
            &format!("v1.fs.{UID}"),
            &format!("{text}/.."),
            &text.to_uppercase(),
        ] {
            assert!(CacheVolumeId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn attributes_name_one_fs_cache_and_nothing_more() {
        let whose = CacheVolumeAttributes { namespace: "team-a".into(), name: "warm".into() };
        let mut map = whose.to_map();
        map.insert("csi.storage.k8s.io/pod.namespace".into(), "team-a".into());
        assert_eq!(CacheVolumeAttributes::from_map(&map).unwrap(), whose);
        map.insert("server".into(), "x".into());
        assert_eq!(CacheVolumeAttributes::from_map(&map), Err(AttributesError::Unknown("server".into())));
        assert_eq!(
            CacheVolumeAttributes::from_map(&BTreeMap::new()),
            Err(AttributesError::Missing(FS_CACHE))
        );
        for bad in ["", "/", "a", "a/", "/a", "a/b/c", "a/..", "A/b", "a/b\n"] {
            let map = BTreeMap::from([(FS_CACHE.to_string(), bad.to_string())]);
            assert_eq!(
                CacheVolumeAttributes::from_map(&map),
                Err(AttributesError::Invalid(FS_CACHE)),
                "{bad:?}"
            );
        }
    }
}
