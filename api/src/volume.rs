//! What travels through Kubernetes from the operator or the controller to the node: volume ids and volume attributes, in
//! typed form. Both are read as hostile input: whoever may write a PersistentVolume may put anything there.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use crate::backend::{NfsVersion, is_valid_export, is_valid_server};
use crate::filesystem::{FileSystem, Owner};
use crate::path::{PathError, RelativePath};

/// The longest folder name in a volume id, in bytes: CSI strings end at 128.
pub const MAX_FOLDER_BYTES: usize = 128 - "v1.vol..".len() - UID_BYTES;
const UID_BYTES: usize = 36;

/// The id of a volume that we made. Inline volumes have ids of kubelet's making, which say nothing.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum VolumeId {
    /// `v1.fs.<uid>`: a FileSystem's own folder.
    FileSystem {
        /// The FileSystem's uid.
        uid: String,
    },
    /// `v1.vol.<uid>.<folder>`: a folder that CreateVolume made for that FileSystem.
    Volume {
        /// The FileSystem's uid.
        uid: String,
        /// The folder's name: letters, digits, `-`, `_`, `.`; it does not begin with a dot.
        folder: String,
    },
}

/// The text is not a volume id of ours.
#[derive(Debug, Error, Eq, PartialEq)]
#[error("not a volume id of this driver")]
pub struct VolumeIdError;

impl VolumeId {
    /// Reads an id strictly: whatever it accepts prints as the same bytes again.
    ///
    /// # Errors
    /// [`VolumeIdError`] for everything else. The text is not echoed: it may be hostile and long.
    pub fn parse(text: &str) -> Result<Self, VolumeIdError> {
        if let Some(uid) = text.strip_prefix("v1.fs.") {
            return is_uid(uid).then(|| Self::FileSystem { uid: uid.into() }).ok_or(VolumeIdError);
        }
        let rest = text.strip_prefix("v1.vol.").ok_or(VolumeIdError)?;
        let (uid, folder) = rest.split_once('.').ok_or(VolumeIdError)?;
        (is_uid(uid) && is_folder_name(folder))
            .then(|| Self::Volume { uid: uid.into(), folder: folder.into() })
            .ok_or(VolumeIdError)
    }

    /// The uid of the FileSystem that the volume belongs to.
    pub fn file_system_uid(&self) -> &str {
        match self {
            Self::FileSystem { uid } | Self::Volume { uid, .. } => uid,
        }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileSystem { uid } => write!(f, "v1.fs.{uid}"),
            Self::Volume { uid, folder } => write!(f, "v1.vol.{uid}.{folder}"),
        }
    }
}

/// Whether `text` is a uid as Kubernetes makes them: a lower-case UUID.
pub fn is_uid(text: &str) -> bool {
    text.len() == UID_BYTES
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// Whether `text` can be the name of a volume's folder.
pub fn is_folder_name(text: &str) -> bool {
    !text.starts_with('.')
        && (1..=MAX_FOLDER_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Everything the node needs to publish a volume without asking the API server. Mount options are not here: they travel
/// as the PersistentVolume's `mountOptions`, which unlike attributes may change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VolumeAttributes {
    /// `<namespace>/<name>` of the FileSystem, for messages.
    pub file_system: String,
    /// Its uid.
    pub file_system_uid: String,
    /// Host name or address of the NFS server.
    pub server: String,
    /// Absolute path that the server exports.
    pub export: String,
    /// The volume's root beneath the export.
    pub folder: Folder,
    /// The version asked for; None tries 4.2, 4.1, 4.0.
    pub version: Option<NfsVersion>,
    /// TCP port, if not 2049.
    pub port: Option<u16>,
    /// Owner and mode of the folder when it is created.
    pub owner: Owner,
    /// Only nodes of this group may mount it.
    pub node_group: Option<String>,
}

/// Where beneath the export a volume's root lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Folder {
    /// A path of the FileSystem's choice; the export's root when empty. Created when it is missing.
    Own(RelativePath),
    /// A path where the embedded server made a folder with its quota, for a FileSystem or a claim. Never created at
    /// publish: it would have no quota.
    Existing(RelativePath),
    /// A folder made by CreateVolume, `.workspacefs/volumes/<uid>/<name>`. Never created at publish: a volume that is
    /// gone stays gone.
    Volume(String),
}

/// Why attributes were refused.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum AttributesError {
    /// A required key is absent.
    #[error("volume attribute {0:?} is missing")]
    Missing(&'static str),
    /// A value is not of its key's form.
    #[error("volume attribute {0:?} is not valid")]
    Invalid(&'static str),
    /// A key that we do not know.
    #[error("unknown volume attribute {0:?}")]
    Unknown(String),
    /// A path that cannot be accepted.
    #[error("volume attribute \"folder\"")]
    Path(#[source] PathError),
    /// The FileSystem's backend is not one that this driver mounts.
    #[error("the FileSystem's backend is not nfs: use its claim")]
    NotNfs,
    /// The embedded server has not made its folder yet.
    #[error("its folder on the embedded server is not made yet")]
    NotMade,
    /// The FileSystem was never stored: it has no uid or namespace.
    #[error("the FileSystem has no uid or namespace")]
    NotStored,
}

impl VolumeAttributes {
    /// The attributes of a FileSystem's own folder.
    ///
    /// # Errors
    /// [`AttributesError`] if the backend is not `nfs` or a value is not valid (an object can be older than its rules).
    pub fn of_file_system(fs: &FileSystem) -> Result<Self, AttributesError> {
        let (Some(namespace), Some(name), Some(uid)) =
            (&fs.metadata.namespace, &fs.metadata.name, &fs.metadata.uid)
        else {
            return Err(AttributesError::NotStored);
        };
        let path = |folder: &str| RelativePath::parse(folder).map_err(AttributesError::Path);
        let backend = &fs.spec.backend;
        let (server, export, folder, version, port) = match (&backend.nfs, &backend.managed) {
            (Some(nfs), None) => {
                let folder = Folder::Own(path(nfs.folder.as_deref().unwrap_or(""))?);
                (&nfs.server, &nfs.export, folder, nfs.version, nfs.port)
            }
            (None, Some(_)) => {
                let share = fs.status.as_ref().and_then(|status| status.share.as_ref());
                let share = share.ok_or(AttributesError::NotMade)?;
                (&share.server, &share.export, Folder::Existing(path(&share.folder)?), None, None)
            }
            _ => return Err(AttributesError::NotNfs),
        };
        Self {
            file_system: format!("{namespace}/{name}"),
            file_system_uid: uid.clone(),
            server: server.clone(),
            export: export.clone(),
            folder,
            version,
            port,
            owner: fs.spec.owner.clone().unwrap_or_default(),
            node_group: fs.spec.node_group.clone(),
        }
        .checked()
    }

    /// The string map that goes into a PersistentVolume or out of CreateVolume.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        let mut put = |key: &str, value: String| map.insert(key.to_string(), value);
        put(key::FILE_SYSTEM, self.file_system.clone());
        put(key::FILE_SYSTEM_UID, self.file_system_uid.clone());
        put(key::SERVER, self.server.clone());
        put(key::EXPORT, self.export.clone());
        match &self.folder {
            Folder::Own(path) => put(key::FOLDER, path.as_str().into()),
            Folder::Existing(path) => put(key::EXISTING, path.as_str().into()),
            Folder::Volume(name) => put(key::VOLUME, name.clone()),
        };
        if let Some(version) = self.version {
            put(key::VERSION, version.as_str().into());
        }
        if let Some(port) = self.port {
            put(key::PORT, port.to_string());
        }
        put(key::UID, self.owner.uid.to_string());
        put(key::GID, self.owner.gid.to_string());
        put(key::MODE, self.owner.mode.clone());
        if let Some(group) = &self.node_group {
            put(key::NODE_GROUP, group.clone());
        }
        map
    }

    /// The inverse of [`VolumeAttributes::to_map`]. Keys that Kubernetes adds (`csi.storage.k8s.io/…`,
    /// `storage.kubernetes.io/…`) are passed over.
    ///
    /// # Errors
    /// [`AttributesError`] for a missing, unknown or malformed attribute.
    pub fn from_map<'a, I>(map: I) -> Result<Self, AttributesError>
    where
        I: IntoIterator<Item = (&'a String, &'a String)>,
    {
        let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in map {
            if is_kubernetes_key(name) {
                continue;
            }
            if !key::ALL.contains(&name.as_str()) {
                return Err(AttributesError::Unknown(name.clone()));
            }
            fields.insert(name, value);
        }
        let text = |name: &'static str| {
            fields.get(name).map(|v| (*v).to_string()).ok_or(AttributesError::Missing(name))
        };
        let path = |text: &str| RelativePath::parse(text).map_err(AttributesError::Path);
        let folder = match [key::FOLDER, key::EXISTING, key::VOLUME].map(|name| fields.get(name)) {
            [Some(text), None, None] => Folder::Own(path(text)?),
            [None, Some(text), None] => Folder::Existing(path(text)?),
            [None, None, Some(name)] => Folder::Volume((*name).to_string()),
            [None, None, None] => return Err(AttributesError::Missing(key::FOLDER)),
            _ => return Err(AttributesError::Invalid(key::VOLUME)),
        };
        Self {
            file_system: text(key::FILE_SYSTEM)?,
            file_system_uid: text(key::FILE_SYSTEM_UID)?,
            server: text(key::SERVER)?,
            export: text(key::EXPORT)?,
            folder,
            version: optional(&fields, key::VERSION, NfsVersion::parse)?,
            port: optional(&fields, key::PORT, |v| v.parse().ok())?,
            owner: Owner {
                uid: number(&fields, key::UID)?,
                gid: number(&fields, key::GID)?,
                mode: text(key::MODE)?,
            },
            node_group: fields.get(key::NODE_GROUP).map(|v| (*v).to_string()),
        }
        .checked()
    }

    fn checked(self) -> Result<Self, AttributesError> {
        let (folder_fits, folder_key) = match &self.folder {
            Folder::Own(_) => (true, key::FOLDER),
            // The server's root is nobody's volume.
            Folder::Existing(path) => (!path.is_root(), key::EXISTING),
            Folder::Volume(name) => (is_folder_name(name), key::VOLUME),
        };
        let rules = [
            (is_uid(&self.file_system_uid), key::FILE_SYSTEM_UID),
            (is_valid_server(&self.server), key::SERVER),
            (is_valid_export(&self.export), key::EXPORT),
            (folder_fits, folder_key),
            (self.port != Some(0), key::PORT),
            (self.owner.mode_bits().is_some(), key::MODE),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, name)) => Err(AttributesError::Invalid(name)),
            None => Ok(self),
        }
    }
}

/// Whether the volume is an inline one, as kubelet says it in the attributes (CSIDriver.podInfoOnMount); no author can overwrite it.
pub const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";
/// The namespace of the pod, in the same way.
pub const POD_NAMESPACE: &str = "csi.storage.k8s.io/pod.namespace";

/// Whether Kubernetes itself, not an author, put this key into a volume's attributes or a StorageClass's parameters.
pub fn is_kubernetes_key(key: &str) -> bool {
    key.starts_with("csi.storage.k8s.io/") || key.starts_with("storage.kubernetes.io/")
}

fn optional<T>(
    fields: &BTreeMap<&str, &str>,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, AttributesError> {
    fields.get(name).map(|v| read(v).ok_or(AttributesError::Invalid(name))).transpose()
}

fn number(fields: &BTreeMap<&str, &str>, name: &'static str) -> Result<u32, AttributesError> {
    optional(fields, name, |v| v.parse().ok())?.ok_or(AttributesError::Missing(name))
}

/// The names of the attributes.
mod key {
    pub const FILE_SYSTEM: &str = "fileSystem";
    pub const FILE_SYSTEM_UID: &str = "fileSystemUid";
    pub const SERVER: &str = "server";
    pub const EXPORT: &str = "export";
    pub const FOLDER: &str = "folder";
    pub const EXISTING: &str = "existing";
    pub const VOLUME: &str = "volume";
    pub const VERSION: &str = "version";
    pub const PORT: &str = "port";
    pub const UID: &str = "ownerUid";
    pub const GID: &str = "ownerGid";
    pub const MODE: &str = "ownerMode";
    pub const NODE_GROUP: &str = "nodeGroup";
    pub const ALL: [&str; 13] = [
        FILE_SYSTEM,
        FILE_SYSTEM_UID,
        SERVER,
        EXPORT,
        FOLDER,
        EXISTING,
        VOLUME,
        VERSION,
        PORT,
        UID,
        GID,
        MODE,
        NODE_GROUP,
    ];
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn attributes() -> VolumeAttributes {
        VolumeAttributes {
            file_system: "team-a/default".into(),
            file_system_uid: UID.into(),
            server: "10.99.0.21".into(),
            export: "/export/shared".into(),
            folder: Folder::Own(RelativePath::parse("team-a").unwrap()),
            version: Some(NfsVersion::V4_1),
            port: Some(2050),
            owner: Owner { uid: 1000, gid: 1000, mode: "0770".into() },
            node_group: Some("gpu".into()),
        }
    }

    #[test]
    fn attributes_survive_the_way_through_a_persistent_volume() {
        let mut plain = VolumeAttributes { version: None, port: None, node_group: None, ..attributes() };
        assert_eq!(VolumeAttributes::from_map(&plain.to_map()), Ok(plain.clone()));
        plain.folder = Folder::Volume("pvc-1".into());
        assert_eq!(VolumeAttributes::from_map(&plain.to_map()), Ok(plain.clone()));
        plain.folder = Folder::Existing(RelativePath::parse("claims/uid/pvc-1").unwrap());
        assert_eq!(VolumeAttributes::from_map(&plain.to_map()), Ok(plain));
        assert_eq!(VolumeAttributes::from_map(&attributes().to_map()), Ok(attributes()));
    }

    #[test]
    fn kubernetes_own_keys_are_passed_over_and_unknown_ones_refused() {
        let mut map = attributes().to_map();
        map.insert("csi.storage.k8s.io/pod.name".into(), "p".into());
        map.insert("storage.kubernetes.io/csiProvisionerIdentity".into(), "x".into());
        assert!(VolumeAttributes::from_map(&map).is_ok());
        map.insert("mountOptions".into(), "exec".into());
        assert_eq!(VolumeAttributes::from_map(&map), Err(AttributesError::Unknown("mountOptions".into())));
    }

    #[test]
    fn hostile_values_are_refused_by_name() {
        for (name, value) in [
            ("server", "a,addr=1.2.3.4"),
            ("export", "relative"),
            ("export", "/a/../b"),
            ("version", "5"),
            ("port", "0"),
            ("port", "70000"),
            ("ownerMode", "9"),
            ("ownerMode", "77777"),
            ("fileSystemUid", "../.."),
        ] {
            let mut map = attributes().to_map();
            map.insert(name.into(), value.into());
            assert_eq!(
                VolumeAttributes::from_map(&map),
                Err(AttributesError::Invalid(name)),
                "{name}={value}"
            );
        }
        let mut map = attributes().to_map();
        map.insert("folder".into(), "a/../../b".into());
        assert!(matches!(VolumeAttributes::from_map(&map), Err(AttributesError::Path(PathError::Parent(_)))));
        map.remove("folder");
        map.insert("volume".into(), "../x".into());
        assert_eq!(VolumeAttributes::from_map(&map), Err(AttributesError::Invalid("volume")));
    }

    #[test]
    fn a_folder_is_named_in_one_way_and_the_embedded_servers_root_is_nobodys() {
        let mut map = attributes().to_map();
        map.insert("existing".into(), "workspaces/a/b".into());
        assert_eq!(VolumeAttributes::from_map(&map), Err(AttributesError::Invalid("volume")), "two of them");
        map.remove("folder");
        assert!(VolumeAttributes::from_map(&map).is_ok());
        for root in ["", "/", "."] {
            map.insert("existing".into(), root.into());
            assert_eq!(
                VolumeAttributes::from_map(&map),
                Err(AttributesError::Invalid("existing")),
                "{root:?}"
            );
        }
        for bad in ["claims/../..", ".workspacefs/volumes", "a\0b"] {
            map.insert("existing".into(), bad.into());
            assert!(matches!(VolumeAttributes::from_map(&map), Err(AttributesError::Path(_))), "{bad:?}");
        }
        map.remove("existing");
        assert_eq!(VolumeAttributes::from_map(&map), Err(AttributesError::Missing("folder")), "none of them");
    }

    fn managed(share: Option<crate::SharePlace>) -> FileSystem {
        let backend = crate::Backend { managed: Some(Default::default()), ..Default::default() };
        let mut fs = FileSystem::new("default", crate::FileSystemSpec { backend, ..Default::default() });
        fs.metadata.namespace = Some("team-a".into());
        fs.metadata.uid = Some(UID.into());
        fs.status = Some(crate::FileSystemStatus { share, ..Default::default() });
        fs
    }

    #[test]
    fn a_managed_file_system_is_where_its_status_says_once_it_is_made() {
        assert_eq!(VolumeAttributes::of_file_system(&managed(None)), Err(AttributesError::NotMade));
        let share = crate::SharePlace {
            server: "10.96.0.7".into(),
            export: "/workspacefs".into(),
            folder: format!("workspaces/{UID}/default"),
        };
        let attributes = VolumeAttributes::of_file_system(&managed(Some(share.clone()))).unwrap();
        assert_eq!(attributes.folder, Folder::Existing(RelativePath::parse(&share.folder).unwrap()));
        assert_eq!((attributes.server.as_str(), attributes.export.as_str()), ("10.96.0.7", "/workspacefs"));
        assert_eq!((attributes.version, attributes.port), (None, None));
        let whole = crate::SharePlace { folder: String::new(), ..share };
        let refused = VolumeAttributes::of_file_system(&managed(Some(whole)));
        assert_eq!(refused, Err(AttributesError::Invalid("existing")), "never the whole server");
    }

    #[test]
    fn ids_have_a_version_and_nothing_that_is_a_path() {
        let volume = format!("v1.vol.{UID}.pvc-7");
        assert_eq!(VolumeId::parse(&volume).map(|id| id.to_string()), Ok(volume));
        for bad in [
            "",
            "v1.fs.",
            "v2.fs.0f8fad5b-d9cb-469f-a165-70867728950e",
            "v1.fs.0F8FAD5B-D9CB-469F-A165-70867728950E",
            "v1.vol.0f8fad5b-d9cb-469f-a165-70867728950e.",
            "v1.vol.0f8fad5b-d9cb-469f-a165-70867728950e...",
            "v1.vol.0f8fad5b-d9cb-469f-a165-70867728950e.a/b",
            "v1.vol.0f8fad5b-d9cb-469f-a165-70867728950e.a\\b",
            "v1.vol.0f8fad5b-d9cb-469f-a165-70867728950e.a\0",
            "v1.vol.0f8fad5b-d9cb-469f-a165-70867728950e.\u{e9}",
        ] {
            assert_eq!(VolumeId::parse(bad), Err(VolumeIdError), "{bad:?}");
        }
        let longest = format!("v1.vol.{UID}.{}", "a".repeat(MAX_FOLDER_BYTES));
        assert_eq!(longest.len(), 128);
        assert!(VolumeId::parse(&longest).is_ok());
        assert!(VolumeId::parse(&format!("{longest}a")).is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_id_prints_as_the_same_bytes(text in "(v1|v2)\\.(fs|vol)\\.[0-9a-f-]{36}(\\.[a-z./\\\\0-9]{0,90})?") {
            if let Ok(id) = VolumeId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
