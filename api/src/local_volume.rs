//! What travels from the operator to the node for a volume on a LocalStorage: its id and attributes, in typed form. Both are
//! read as hostile input, like those of the shared driver.

use std::collections::BTreeMap;
use std::fmt;

use crate::volume::{AttributesError, VolumeIdError, is_kubernetes_key, is_uid};

/// The id of a workspace's share of a LocalStorage: `v1.ls.<LocalStorage uid>.<namespace uid>`. One id for all nodes: each
/// node has files of its own under it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct LocalVolumeId {
    /// The LocalStorage's uid.
    pub storage: String,
    /// The namespace's uid.
    pub namespace: String,
}

impl LocalVolumeId {
    /// Reads an id strictly: whatever it accepts prints as the same bytes again.
    ///
    /// # Errors
    /// [`VolumeIdError`] for everything else.
    pub fn parse(text: &str) -> Result<Self, VolumeIdError> {
        let parts = text.strip_prefix("v1.ls.").and_then(|rest| rest.split_once('.'));
        let (storage, namespace) = parts.ok_or(VolumeIdError)?;
        (is_uid(storage) && is_uid(namespace))
            .then(|| Self { storage: storage.into(), namespace: namespace.into() })
            .ok_or(VolumeIdError)
    }
}

impl fmt::Display for LocalVolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1.ls.{}.{}", self.storage, self.namespace)
    }
}

/// What the node needs beside the id. The size is not here: a PersistentVolume's attributes cannot change, the quota may.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalVolumeAttributes {
    /// Name of the LocalStorage.
    pub storage: String,
    /// Name of the workspace's namespace.
    pub namespace: String,
    /// The node group, for messages.
    pub node_group: String,
}

impl LocalVolumeAttributes {
    /// The string map that goes into a PersistentVolume.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        [(STORAGE, &self.storage), (NAMESPACE, &self.namespace), (NODE_GROUP, &self.node_group)]
            .map(|(key, value)| (key.to_string(), value.clone()))
            .into()
    }

    /// The inverse of [`LocalVolumeAttributes::to_map`].
    ///
    /// # Errors
    /// [`AttributesError`] for a missing, unknown or malformed attribute.
    pub fn from_map<'a, I>(map: I) -> Result<Self, AttributesError>
    where
        I: IntoIterator<Item = (&'a String, &'a String)>,
    {
        let mut fields: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in map.into_iter().filter(|(name, _)| !is_kubernetes_key(name)) {
            if ![STORAGE, NAMESPACE, NODE_GROUP].contains(&name.as_str()) {
                return Err(AttributesError::Unknown(name.clone()));
            }
            fields.insert(name, value.clone());
        }
        let mut take = |name: &'static str| {
            let value = fields.remove(name).ok_or(AttributesError::Missing(name))?;
            if is_name(&value) { Ok(value) } else { Err(AttributesError::Invalid(name)) }
        };
        Ok(Self { storage: take(STORAGE)?, namespace: take(NAMESPACE)?, node_group: take(NODE_GROUP)? })
    }
}

/// Names of objects and values of labels.
fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

const STORAGE: &str = "localStorage";
const NAMESPACE: &str = "namespace";
const NODE_GROUP: &str = "nodeGroup";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STORAGE_UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    const NAMESPACE_UID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

    #[test]
    fn an_id_survives_the_way_there_and_back_and_fits_into_csis_strings() {
        let id = LocalVolumeId { storage: STORAGE_UID.into(), namespace: NAMESPACE_UID.into() };
        let text = id.to_string();
        assert_eq!(LocalVolumeId::parse(&text), Ok(id));
        assert!(text.len() <= 128);
        for bad in [
            "",
            "v1.ls.",
            &format!("v1.ls.{STORAGE_UID}"),
            &format!("v1.ls.{STORAGE_UID}."),
            &format!("v1.ls.{STORAGE_UID}.{NAMESPACE_UID}."),
            &format!("v1.ls.{STORAGE_UID}/{NAMESPACE_UID}"),
            &format!("v1.fs.{STORAGE_UID}.{NAMESPACE_UID}"),
            &format!("v1.ls.{STORAGE_UID}.{}", NAMESPACE_UID.to_uppercase()),
            &format!("v1.ls.{STORAGE_UID}.../../../../../../../../../../../../etc"),
        ] {
            assert_eq!(LocalVolumeId::parse(bad), Err(VolumeIdError), "{bad:?}");
        }
    }

    #[test]
    fn attributes_survive_the_way_there_and_back_and_nothing_else_is_taken() {
        let attributes = LocalVolumeAttributes {
            storage: "fast".into(),
            namespace: "team-a".into(),
            node_group: "gpu".into(),
        };
        let mut map = attributes.to_map();
        map.insert("csi.storage.k8s.io/pod.name".into(), "p".into());
        assert_eq!(LocalVolumeAttributes::from_map(&map), Ok(attributes));
        map.insert("mountFrom".into(), "a".into());
        assert_eq!(LocalVolumeAttributes::from_map(&map), Err(AttributesError::Unknown("mountFrom".into())));
        map.remove("mountFrom");
        map.insert(STORAGE.into(), "../etc".into());
        assert_eq!(LocalVolumeAttributes::from_map(&map), Err(AttributesError::Invalid(STORAGE)));
        map.remove(STORAGE);
        assert_eq!(LocalVolumeAttributes::from_map(&map), Err(AttributesError::Missing(STORAGE)));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_as_an_id_prints_as_the_same_bytes(text in "v1[.]ls[.][-0-9a-f.]{70,75}|\\PC*") {
            if let Ok(id) = LocalVolumeId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
