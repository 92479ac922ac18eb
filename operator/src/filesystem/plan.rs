//! What a FileSystem asks for, in the form that the rest works with. Everything that the schema already refuses is checked
//! again: an object can be older than its rules.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;
use workspacefs_agent_proto::v1;
use workspacefs_api::volume::VolumeAttributes;
use workspacefs_api::{
    FileSystem, FileSystemSpec, ManagedBackend, NfsVersion, Owner, ReclaimPolicy, SharePlace, mount_options,
};

use super::objects::Identity;
use crate::probe::Target;
use workspacefs_api::quantity;

/// A PersistentVolume must say a size. This one, which nobody can take for a promise and no quota minds, stands where the
/// FileSystem has no `capacity`.
pub const CAPACITY_PLACEHOLDER: &str = "1Gi";

/// What is to be made of a FileSystem.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// A volume and a claim.
    Volume(Box<Wanted>),
    /// The same, once the embedded server has made a folder.
    Managed(Box<Managed>),
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
    /// Whether the capacity is a limit, which can be raised.
    pub enforced: bool,
    /// What becomes of the files of further claims.
    pub reclaim_policy: ReclaimPolicy,
}

/// A folder on the embedded server, with a size.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed {
    /// The size.
    pub capacity_bytes: u64,
    /// The retained folder to take over; empty for a fresh one.
    pub adopt: String,
    owner: v1::Owner,
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
        match (&backend.nfs, &backend.managed, &backend.persistent_volume_claim) {
            (Some(_), None, None) => {
                wanted(fs).map_or_else(Self::Invalid, |wanted| Self::Volume(Box::new(wanted)))
            }
            (None, Some(backend), None) => Managed::of(fs, backend)
                .map_or_else(Self::Invalid, |managed| Self::Managed(Box::new(managed))),
            (None, None, Some(claim)) => Self::Claim(claim.claim_name.clone()),
            _ => Self::Invalid("backend takes exactly one of: managed, nfs, persistentVolumeClaim".into()),
        }
    }
}

impl Managed {
    fn of(fs: &FileSystem, backend: &ManagedBackend) -> Result<Self, String> {
        let size = &backend.capacity.0;
        let capacity_bytes = quantity::bytes(size).filter(|bytes| *bytes > 0);
        let capacity_bytes =
            capacity_bytes.ok_or_else(|| format!("capacity {size:?} is not a quantity above zero"))?;
        options(&fs.spec)?;
        let owner = fs.spec.owner.clone().unwrap_or_default();
        let Owner { uid, gid, mode } = &owner;
        let mode = owner.mode_bits().ok_or_else(|| format!("owner.mode {mode:?} is not octal"))?;
        let owner = v1::Owner { uid: *uid, gid: *gid, mode };
        Ok(Self { capacity_bytes, adopt: backend.adopt.clone().unwrap_or_default(), owner })
    }

    /// What to ask of the server's agent.
    pub fn request(&self, fs: &Identity, namespace_uid: String) -> v1::EnsureFileSystemRequest {
        v1::EnsureFileSystemRequest {
            uid: fs.uid.clone(),
            namespace_uid,
            namespace: fs.namespace.clone(),
            name: fs.name.clone(),
            capacity_bytes: self.capacity_bytes,
            owner: Some(self.owner),
            adopt: self.adopt.clone(),
        }
    }
}

/// The volume of a FileSystem whose folder the embedded server has made at `share`, with that size.
///
/// # Errors
/// What is wrong with the FileSystem.
pub fn made(fs: &FileSystem, share: &SharePlace, capacity_bytes: u64) -> Result<Wanted, String> {
    let mut fs = fs.clone();
    fs.status.get_or_insert_default().share = Some(share.clone());
    let size = quantity::exact(capacity_bytes);
    wanted(&fs).map(|wanted| Wanted { capacity: Some(size), enforced: true, ..wanted })
}

/// The mount options that it asks for.
fn options(spec: &FileSystemSpec) -> Result<Vec<String>, String> {
    let mut options = spec.mount_options.clone().unwrap_or_default();
    if spec.local_cache && !options.iter().any(|option| option == "fsc") {
        options.push("fsc".into());
    }
    mount_options::parse(&options).map_err(|error| crate::error::chain(&error))?;
    Ok(options)
}

fn wanted(fs: &FileSystem) -> Result<Wanted, String> {
    let attributes = VolumeAttributes::of_file_system(fs).map_err(|error| crate::error::chain(&error))?;
    let options = options(&fs.spec)?;
    let capacity = fs.spec.capacity.clone();
    if let Some(size) = &capacity
        && quantity::milli(&size.0).is_none_or(|size| size <= 0)
    {
        return Err(format!("capacity {:?} is not a quantity above zero", size.0));
    }
    let reclaim_policy = fs.spec.reclaim_policy;
    Ok(Wanted { attributes, mount_options: options, capacity, enforced: false, reclaim_policy })
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
            (
                json!({"backend": {"managed": {"capacity": "1Gi"}, "persistentVolumeClaim": {"claimName": "c"}}}),
                "exactly one",
            ),
            (json!({"backend": {"managed": {"capacity": "0"}}}), "capacity"),
            (json!({"backend": {"managed": {"capacity": "1Gi"}}, "owner": {"mode": "9"}}), "mode"),
            (json!({"backend": {"managed": {"capacity": "1Gi"}}, "mountOptions": ["exec"]}), "exec"),
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
