//! What a FileSystem asks for, in the form that the rest works with. Everything that the schema already refuses is checked
//! again: an object can be older than its rules.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;
use workspacefs_api::volume::VolumeAttributes;
use workspacefs_api::{FileSystem, FileSystemSpec, NfsVersion, mount_options};

use crate::probe::Target;
use crate::quantity;

/// A PersistentVolume must say a size. This one, which nobody can take for a promise and no quota minds, stands where the
/// FileSystem has no `capacity`.
pub const CAPACITY_PLACEHOLDER: &str = "1Gi";

/// What is to be made of a FileSystem.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// A volume and a claim.
    Volume(Box<Wanted>),
    /// Nothing: the claim of that name is used as it is.
    Claim(String),
    /// Nothing can be made; why.
    Invalid(String),
}

/// A volume of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What the node needs.
    pub attributes: VolumeAttributes,
    /// For the PersistentVolume.
    pub mount_options: Vec<String>,
    /// As the FileSystem says it, if it does.
    pub capacity: Option<Quantity>,
}

impl Wanted {
    /// The size to write where one must be written.
    pub fn capacity_or_placeholder(&self) -> Quantity {
        self.capacity.clone().unwrap_or_else(|| Quantity(CAPACITY_PLACEHOLDER.into()))
    }

    /// Whom to ask whether the server is there.
    pub fn target(&self) -> Target {
        let version = if self.attributes.version == Some(NfsVersion::V3) { 3 } else { 4 };
        Target { server: self.attributes.server.clone(), port: self.attributes.port.unwrap_or(2049), version }
    }
}

impl Plan {
    /// Reads a FileSystem.
    pub fn of(fs: &FileSystem) -> Self {
        let backend = &fs.spec.backend;
        match (&backend.nfs, &backend.persistent_volume_claim) {
            (Some(_), None) => wanted(fs).map_or_else(Self::Invalid, |wanted| Self::Volume(Box::new(wanted))),
            (None, Some(claim)) => Self::Claim(claim.claim_name.clone()),
            _ => Self::Invalid("backend takes exactly one of: nfs, persistentVolumeClaim".into()),
        }
    }
}

fn wanted(fs: &FileSystem) -> Result<Wanted, String> {
    let attributes = VolumeAttributes::of_file_system(fs).map_err(|error| crate::error::chain(&error))?;
    let mut options = fs.spec.mount_options.clone().unwrap_or_default();
    if fs.spec.local_cache && !options.iter().any(|option| option == "fsc") {
        options.push("fsc".into());
    }
    mount_options::parse(&options).map_err(|error| crate::error::chain(&error))?;
    let capacity = fs.spec.capacity.clone();
    if let Some(size) = &capacity
        && quantity::milli(&size.0).is_none_or(|size| size <= 0)
    {
        return Err(format!("capacity {:?} is not a quantity above zero", size.0));
    }
    Ok(Wanted { attributes, mount_options: options, capacity })
}

/// The plan of a FileSystem that is not stored yet, checked as strictly as the API server does.
pub fn check_spec(spec: &FileSystemSpec) -> Plan {
    let mut fs = FileSystem::new("default", spec.clone());
    fs.metadata = ObjectMeta {
        namespace: Some("workspace".into()),
        uid: Some("00000000-0000-4000-8000-000000000000".into()),
        ..fs.metadata
    };
    let folder = spec.backend.nfs.as_ref().and_then(|nfs| nfs.folder.as_deref());
    match Plan::of(&fs) {
        // The schema wants the folder in its plainest form; the driver would also take others.
        Plan::Volume(wanted) if folder.is_some_and(|folder| !is_plain(folder, &wanted)) => {
            Plan::Invalid(format!("folder {:?} is not a plain relative path", folder.unwrap_or_default()))
        }
        plan => plan,
    }
}

fn is_plain(folder: &str, wanted: &Wanted) -> bool {
    use workspacefs_api::volume::Folder;
    matches!(&wanted.attributes.folder, Folder::Own(path) if !path.is_root() && path.as_str() == folder)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(spec: serde_json::Value) -> Plan {
        check_spec(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn local_cache_is_the_mount_option_fsc_once() {
        for options in [json!([]), json!(["fsc"])] {
            let spec = json!({"backend": {"nfs": {"server": "s", "export": "/e"}}, "localCache": true, "mountOptions": options});
            let Plan::Volume(wanted) = plan(spec) else { panic!("not a volume") };
            assert_eq!(wanted.mount_options, ["fsc"]);
        }
    }

    #[test]
    fn objects_older_than_their_rules_are_invalid_and_say_why() {
        for (spec, word) in [
            (json!({"backend": {}}), "exactly one"),
            (json!({"backend": {"nfs": {"server": "a,b", "export": "/e"}}}), "server"),
            (json!({"backend": {"nfs": {"server": "a", "export": "e"}}}), "export"),
            (json!({"backend": {"nfs": {"server": "a", "export": "/e", "folder": "../x"}}}), ".."),
            (json!({"backend": {"nfs": {"server": "a", "export": "/e"}}, "mountOptions": ["exec"]}), "exec"),
            (json!({"backend": {"nfs": {"server": "a", "export": "/e"}}, "capacity": "many"}), "capacity"),
        ] {
            match plan(spec.clone()) {
                Plan::Invalid(message) => assert!(message.contains(word), "{spec}: {message}"),
                other => panic!("{spec}: {other:?}"),
            }
        }
    }

    #[test]
    fn version_3_is_asked_for_as_version_3() {
        let target = |version: &str| match plan(
            json!({"backend": {"nfs": {"server": "s", "export": "/e", "version": version, "port": 20490}}}),
        ) {
            Plan::Volume(wanted) => wanted.target(),
            other => panic!("{other:?}"),
        };
        assert_eq!((target("3").version, target("3").port), (3, 20490));
        assert_eq!(target("4.1").version, 4);
    }
}
