//! What travels from the operator to the node for a volume on a LocalStorage: its id and attributes, in typed form. Both are
//! read as hostile input, like those of the shared driver.

use std::collections::BTreeMap;
use std::fmt;

use crate::volume::{AttributesError, VolumeIdError, is_kubernetes_key, is_uid};

/// The id of a volume on a LocalStorage.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum LocalVolumeId {
    /// A workspace's share: `v1.ls.<LocalStorage uid>.<namespace uid>`. One id for all nodes: each node has files of its own
    /// under it.
    Share {
        /// The LocalStorage's uid.
        storage: String,
        /// The namespace's uid.
        namespace: String,
    },
    /// A claim's volume on one node: `v1.lv.<LocalStorage uid>.<name of the LocalVolume>`.
    Volume {
        /// The LocalStorage's uid.
        storage: String,
        /// The LocalVolume's name, which has the form of a uid.
        volume: String,
    },
}

impl LocalVolumeId {
    /// Reads an id strictly: whatever it accepts prints as the same bytes again.
    ///
    /// # Errors
    /// [`VolumeIdError`] for everything else.
    pub fn parse(text: &str) -> Result<Self, VolumeIdError> {
        let (kind, rest) =
            text.strip_prefix("v1.").and_then(|rest| rest.split_once('.')).ok_or(VolumeIdError)?;
        let (storage, other) = rest.split_once('.').ok_or(VolumeIdError)?;
        if !is_uid(storage) || !is_uid(other) {
            return Err(VolumeIdError);
        }
        let (storage, other) = (storage.to_string(), other.to_string());
        match kind {
            "ls" => Ok(Self::Share { storage, namespace: other }),
            "lv" => Ok(Self::Volume { storage, volume: other }),
            _ => Err(VolumeIdError),
        }
    }

    /// The LocalStorage's uid.
    pub fn storage(&self) -> &str {
        match self {
            Self::Share { storage, .. } | Self::Volume { storage, .. } => storage,
        }
    }
}

impl fmt::Display for LocalVolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share { storage, namespace } => write!(f, "v1.ls.{storage}.{namespace}"),
            Self::Volume { storage, volume } => write!(f, "v1.lv.{storage}.{volume}"),
        }
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
    /// Name of the Node that has it: of a claim's volume, never of a share.
    pub node: Option<String>,
}

impl LocalVolumeAttributes {
    /// The string map that goes into a PersistentVolume.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let always = [(STORAGE, &self.storage), (NAMESPACE, &self.namespace), (NODE_GROUP, &self.node_group)];
        let all = always.into_iter().chain(self.node.iter().map(|node| (NODE, node)));
        all.map(|(key, value)| (key.to_string(), value.clone())).collect()
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
            if ![STORAGE, NAMESPACE, NODE_GROUP, NODE].contains(&name.as_str()) {
                return Err(AttributesError::Unknown(name.clone()));
            }
            fields.insert(name, value.clone());
        }
        let node = fields.remove(NODE);
        if node.as_deref().is_some_and(|node| !is_name(node, NODE_NAME_MAX)) {
            return Err(AttributesError::Invalid(NODE));
        }
        let mut take = |name: &'static str| {
            let value = fields.remove(name).ok_or(AttributesError::Missing(name))?;
            if is_name(&value, LABEL_MAX) { Ok(value) } else { Err(AttributesError::Invalid(name)) }
        };
        Ok(Self { storage: take(STORAGE)?, namespace: take(NAMESPACE)?, node_group: take(NODE_GROUP)?, node })
    }
}

/// Names of objects and values of labels.
fn is_name(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

const STORAGE: &str = "localStorage";
const NAMESPACE: &str = "namespace";
const NODE_GROUP: &str = "nodeGroup";
const NODE: &str = "node";
/// Of names of namespaces and values of labels.
const LABEL_MAX: usize = 63;
/// Of a Node's name.
const NODE_NAME_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STORAGE_UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    const NAMESPACE_UID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

    #[test]
    fn an_id_survives_the_way_there_and_back_and_fits_into_csis_strings() {
        let (storage, other) = (STORAGE_UID.to_string(), NAMESPACE_UID.to_string());
        for id in [
            LocalVolumeId::Share { storage: storage.clone(), namespace: other.clone() },
            LocalVolumeId::Volume { storage, volume: other },
        ] {
            let text = id.to_string();
            assert_eq!(LocalVolumeId::parse(&text), Ok(id));
            assert!(text.len() <= 128);
        }
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
            node: Some("worker-1.example".into()),
        };
        assert_eq!(LocalVolumeAttributes::from_map(&attributes.to_map()), Ok(attributes.clone()));
        let attributes = LocalVolumeAttributes { node: None, ..attributes };
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
        fn whatever_is_accepted_as_an_id_prints_as_the_same_bytes(text in "v1[.]l[sv][.][-0-9a-f.]{70,75}|\\PC*") {
            if let Ok(id) = LocalVolumeId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
