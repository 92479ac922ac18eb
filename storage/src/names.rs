//! What callers give as names, checked before anything is done with it, and the places on the disk that are made of
//! them. A [`Place`] can only be built from checked names, so no path ever holds anything else.

use std::fmt;

use serde::{Deserialize, Serialize};
use workspacefs_api::volume::{is_folder_name, is_uid};

/// The longest name of a file, in bytes.
const FILE_NAME_BYTES_MAX: usize = 255;
/// The longest label of a DNS name, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// A name is not one. It is not echoed: it may be hostile and long.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub &'static str);

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $rule:expr, $complaint:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The text, unchanged.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                let holds: fn(&str) -> bool = $rule;
                if holds(&text) { Ok(Self(text)) } else { Err(NameError($complaint)) }
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The uid of a Kubernetes object.
    Uid, is_uid, "not a uid of a Kubernetes object"
}
name! {
    /// The name of a namespace or FileSystem.
    Label, is_label, "not a name of a namespace or FileSystem: at most 63 of a-z, 0-9 and -"
}
name! {
    /// The name of a claim's folder.
    FolderName, is_folder_name, "not a name of a claim's folder: letters, digits, -, _ and ., not first"
}
name! {
    /// The name of a folder in trash or archive.
    KeptName, is_kept_name, "not a name in trash or archive"
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_kept_name(text: &str) -> bool {
    (1..=FILE_NAME_BYTES_MAX).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Where a FileSystem's own folder lies beneath `workspaces`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Of the namespace for which it was made.
    pub namespace_uid: Uid,
    /// Of the FileSystem for which it was made.
    pub name: Label,
}

impl Key {
    /// Reads `<namespace uid>/<name>`.
    ///
    /// # Errors
    /// [`NameError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (uid, name) = text.split_once('/').ok_or(NameError("not <namespace uid>/<name>"))?;
        Ok(Self { namespace_uid: uid.to_string().try_into()?, name: name.to_string().try_into()? })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace_uid, self.name)
    }
}

/// Where a claim's folder lies beneath `claims`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimKey {
    /// The FileSystem's uid.
    pub file_system: Uid,
    /// The claim's own name.
    pub name: FolderName,
}

impl ClaimKey {
    /// Checks both.
    ///
    /// # Errors
    /// [`NameError`] names the one that is none.
    pub fn new(file_system: String, name: String) -> Result<Self, NameError> {
        Ok(Self { file_system: file_system.try_into()?, name: name.try_into()? })
    }
}

/// The folder that clients mount, beneath the disk's root.
pub const EXPORT_FOLDER: &str = "export";
/// In the export: FileSystems' own folders, `workspaces/<namespace uid>/<name>.<project>`.
pub const WORKSPACES: &str = "workspaces";
/// In the export: claims' folders, `claims/<FileSystem uid>/<name>`.
pub const CLAIMS: &str = "claims";
/// Folders that are being made: nobody can reach them.
pub const NEW_FOLDER: &str = "new";
/// Removed folders that go after a time.
pub const TRASH_FOLDER: &str = "trash";
/// Removed folders that stay.
pub const ARCHIVE_FOLDER: &str = "archive";

/// Where a folder of ours is.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Being made: named by its project.
    New(u32),
    /// A FileSystem's own, with its project: a client may know a name's folder for a minute after that was moved away, so
    /// one made again never gets the path of the one before.
    Workspace(Key, u32),
    /// A claim's.
    Claim(ClaimKey),
    /// Removed, for a time.
    Trash(KeptName),
    /// Removed, and kept.
    Archive(KeptName),
}

impl Place {
    /// The folder that it lies in, beneath the disk's root.
    pub fn parent(&self) -> String {
        match self {
            Self::New(_) => NEW_FOLDER.into(),
            Self::Workspace(key, _) => format!("{EXPORT_FOLDER}/{WORKSPACES}/{}", key.namespace_uid),
            Self::Claim(key) => format!("{EXPORT_FOLDER}/{CLAIMS}/{}", key.file_system),
            Self::Trash(_) => TRASH_FOLDER.into(),
            Self::Archive(_) => ARCHIVE_FOLDER.into(),
        }
    }

    /// Its name in there.
    pub fn name(&self) -> String {
        match self {
            Self::New(project) => project.to_string(),
            Self::Workspace(key, project) => format!("{}.{project}", key.name),
            Self::Claim(key) => key.name.to_string(),
            Self::Trash(name) | Self::Archive(name) => name.to_string(),
        }
    }

    /// Beneath the disk's root.
    pub fn path(&self) -> String {
        format!("{}/{}", self.parent(), self.name())
    }

    /// Beneath the export, as clients see it; None where they do not.
    pub fn exported(&self) -> Option<String> {
        self.path().strip_prefix(EXPORT_FOLDER)?.strip_prefix('/').map(Into::into)
    }

    /// Whether clients can reach it. Such a place has a parent that is made for it.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Workspace(..) | Self::Claim(_))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn key() -> Key {
        Key::parse(&format!("{UID}/default")).unwrap()
    }

    #[test]
    fn places_are_where_the_protocol_says() {
        let claim = ClaimKey::new(UID.into(), "pvc-1".into()).unwrap();
        assert_eq!(Place::Workspace(key(), 7).exported(), Some(format!("workspaces/{UID}/default.7")));
        assert_eq!(Place::Claim(claim).exported(), Some(format!("claims/{UID}/pvc-1")));
        let kept: KeptName = "team-a.default.pvc-1.20261122T101112Z".to_string().try_into().unwrap();
        assert_eq!(Place::Trash(kept.clone()).path(), format!("trash/{kept}"));
        assert_eq!((Place::Trash(kept).exported(), Place::New(7).exported()), (None, None));
    }

    #[test]
    fn hostile_names_are_no_names() {
        let long = "a".repeat(10_000);
        for bad in
            ["", ".", "..", "../x", "/", "a/b", "a\\b", "a\0b", "\n", " ", "\u{e9}", ".hidden", long.as_str()]
        {
            assert!(Uid::try_from(bad.to_string()).is_err(), "{bad:?}");
            assert!(Label::try_from(bad.to_string()).is_err(), "{bad:?}");
            assert!(FolderName::try_from(bad.to_string()).is_err(), "{bad:?}");
            assert!(KeptName::try_from(bad.to_string()).is_err(), "{bad:?}");
            assert!(Key::parse(bad).is_err() && Key::parse(&format!("{UID}/{bad}")).is_err(), "{bad:?}");
        }
        for bad in ["Upper", "a.b", "-a", "a-", "a_b"] {
            assert!(Label::try_from(bad.to_string()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_record_with_a_hostile_name_is_not_read() {
        let good = serde_json::to_string(&Place::Workspace(key(), 7)).unwrap();
        assert_eq!(serde_json::from_str::<Place>(&good).unwrap(), Place::Workspace(key(), 7));
        assert!(serde_json::from_str::<Place>(&good.replace("default", "../../etc")).is_err());
        assert!(serde_json::from_str::<Place>(r#"{"trash":"../export"}"#).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_one_step_beneath_its_parent(
            uid in prop_oneof![Just(UID.to_string()), any::<String>()],
            name in prop_oneof![any::<String>(), "[a-z0-9./_\\\\-]{0,300}", "\\.{0,3}/?[a-z]{0,3}"],
        ) {
            let mut places = Vec::new();
            if let Ok(key) = Key::parse(&format!("{uid}/{name}")) {
                let place = Place::Workspace(key, 7);
                prop_assert_eq!(place.name(), format!("{name}.7"));
                places.push(place);
            }
            if let Ok(key) = ClaimKey::new(uid, name.clone()) {
                places.push(Place::Claim(key));
            }
            if let Ok(kept) = KeptName::try_from(name.clone()) {
                places.push(Place::Trash(kept.clone()));
                places.push(Place::Archive(kept));
            }
            for place in places {
                prop_assert!(place.name().len() <= FILE_NAME_BYTES_MAX);
                let path = place.path();
                let parts: Vec<Component<'_>> = Path::new(&path).components().collect();
                prop_assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(parts.len(), if place.is_live() { 4 } else { 2 });
                if !matches!(place, Place::Workspace(..)) {
                    prop_assert_eq!(path, format!("{}/{}", place.parent(), name));
                }
            }
        }
    }
}
