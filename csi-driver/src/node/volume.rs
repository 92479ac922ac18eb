//! From a request's id and attributes to the folder that is meant: a claim's attributes say everything (and no API server
//! is asked); an inline volume names a FileSystem of its pod's own namespace, and nothing it says can name a server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use workspacefs_api::fs_cache::{CACHE_ATTRIBUTE, FILL_ATTRIBUTE};
use workspacefs_api::mount_options::{self, MountOption, MountOptionError};
use workspacefs_api::path::{PathError, RelativePath};
use workspacefs_api::volume::{
    AttributesError, EPHEMERAL, Folder, POD_NAMESPACE, VolumeAttributes, VolumeId, VolumeIdError,
    is_kubernetes_key, is_uid,
};
use workspacefs_api::{DRIVER, FileSystem};
use workspacefs_storage::names::{CLAIMS, WORKSPACES};

use crate::controller::seams::{FileSystems, LookupError};

/// How long the API server may take when an inline volume is published.
const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// What a pod's author may write.
const FILE_SYSTEM: &str = "fileSystem";
const MOUNT_FROM: &str = "mountFrom";
const KEYS: [&str; 4] = [FILE_SYSTEM, MOUNT_FROM, CACHE_ATTRIBUTE, FILL_ATTRIBUTE];
/// The one value of [`CACHE_ATTRIBUTE`].
const OFF: &str = "off";

/// A volume that can be mounted.
#[derive(Debug)]
pub struct Volume {
    pub attributes: VolumeAttributes,
    pub options: Vec<MountOption>,
    /// Beneath the volume's root.
    pub mount_from: RelativePath,
    pub is_inline: bool,
    /// From the PersistentVolume that the operator made for the FileSystem itself, with its node affinity.
    pub is_own: bool,
    /// Whether copies are shown in it, or are made through it.
    pub copies: Copies,
}

/// What a volume has to do with FsCaches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Copies {
    /// They appear at their places.
    Shown,
    /// It shows the source alone.
    Off,
    /// It shows where the copies of the FsCache with that uid lie.
    Fill(String),
}

impl Volume {
    /// Whether its root is the FileSystem's own folder, or lies in it.
    pub fn is_file_systems(&self) -> bool {
        self.is_own || self.is_inline
    }
}

/// The request does not name a volume that can be mounted.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// Neither a claim's id nor an inline volume.
    #[error("there is no such volume")]
    NotOurs(#[source] VolumeIdError),
    /// A claim's attributes.
    #[error("the PersistentVolume's attributes are not acceptable")]
    Attributes(#[source] AttributesError),
    /// Id and attributes speak of different volumes.
    #[error("the volume's id and its attributes do not belong together")]
    Mismatch,
    /// An inline attribute that we do not know: perhaps one that would name a server.
    #[error(
        "an inline volume takes only the attributes {FILE_SYSTEM}, {MOUNT_FROM} and {CACHE_ATTRIBUTE}, not {0:?}"
    )]
    UnknownAttribute(String),
    /// Another value than `off`.
    #[error(
        "attribute {CACHE_ATTRIBUTE} takes only {OFF:?}, which shows the FileSystem without its caches, not {0:?}"
    )]
    Cache(String),
    /// What is no uid, or beside what says another thing.
    #[error(
        "attribute {FILL_ATTRIBUTE} is the uid of an FsCache, and goes with neither {MOUNT_FROM} nor {CACHE_ATTRIBUTE}: it is for workspacefs' movers"
    )]
    Fill,
    /// No FileSystem is named.
    #[error(
        "an inline volume needs the attribute {FILE_SYSTEM}: the name of a FileSystem in the pod's namespace"
    )]
    NoFileSystem,
    /// A bad `mountFrom`.
    #[error("attribute {MOUNT_FROM} is not acceptable")]
    MountFrom(#[source] PathError),
    /// Options in the pod's own spec.
    #[error("an inline volume takes no mount options: they are the FileSystem's")]
    InlineOptions,
    /// kubelet did not say whose pod it is.
    #[error(
        "kubelet does not tell the pod's namespace: the CSIDriver object {DRIVER} must have podInfoOnMount"
    )]
    NoPodNamespace,
    /// There is none in the pod's own namespace, and no other is looked at.
    #[error(
        "there is no FileSystem {name:?} in the pod's namespace {namespace:?}; no other namespace is searched"
    )]
    Missing {
        /// The pod's namespace.
        namespace: String,
        /// The name it asked for.
        name: String,
    },
    /// It is being deleted.
    #[error("FileSystem {0} is being deleted")]
    Deleting(String),
    /// The FileSystem is of another driver's.
    #[error(
        "FileSystem {0} stands on another driver's claim: mount that FileSystem's claim instead of an inline volume"
    )]
    OtherDriver(String),
    /// The embedded NFS server has not made its folder yet.
    #[error(
        "FileSystem {0} has no folder on the embedded NFS server yet: the volume is mounted once it has, see the FileSystem's conditions"
    )]
    NotMade(String),
    /// The object is older than the rules it breaks.
    #[error("FileSystem {0} is not usable")]
    Unusable(String, #[source] AttributesError),
    /// The same, for its mount options.
    #[error("FileSystem {0} is not usable")]
    UnusableOptions(String, #[source] MountOptionError),
    /// No answer in time.
    #[error("cannot ask the API server for FileSystem {name:?} in namespace {namespace:?}")]
    Lookup {
        /// The pod's namespace.
        namespace: String,
        /// The name it asked for.
        name: String,
        /// Why not.
        #[source]
        source: LookupError,
    },
    /// Started with --no-kubernetes.
    #[error("this node plugin runs without an API server and mounts no inline volumes")]
    NoKubernetes,
}

/// Finds the volume. Only for an inline one is the API server asked.
pub async fn find(
    volume_id: &str,
    context: &BTreeMap<String, String>,
    options: &[MountOption],
    file_systems: Option<&Arc<dyn FileSystems>>,
) -> Result<Volume, VolumeError> {
    if context.get(EPHEMERAL).map(String::as_str) == Some("true") {
        let inline = Inline::parse(context, options)?;
        inline.find(file_systems).await
    } else {
        claim(volume_id, context, options)
    }
}

/// A PersistentVolume: its id must be one of ours (kubelet's ids of inline volumes are not, so attributes of a pod's
/// author never come here) and speak of the same folder as the attributes.
fn claim(
    volume_id: &str,
    context: &BTreeMap<String, String>,
    options: &[MountOption],
) -> Result<Volume, VolumeError> {
    let id = VolumeId::parse(volume_id).map_err(VolumeError::NotOurs)?;
    let attributes = VolumeAttributes::from_map(context).map_err(VolumeError::Attributes)?;
    if !belongs(&id, &attributes.folder) || id.file_system_uid() != attributes.file_system_uid {
        return Err(VolumeError::Mismatch);
    }
    Ok(Volume {
        attributes,
        options: options.to_vec(),
        mount_from: RelativePath::default(),
        is_inline: false,
        is_own: matches!(id, VolumeId::FileSystem { .. }),
        copies: Copies::Shown,
    })
}

/// Whether the folder is one that a volume of that id can have.
fn belongs(id: &VolumeId, folder: &Folder) -> bool {
    match (id, folder) {
        (VolumeId::FileSystem { .. }, Folder::Own(_)) => true,
        // Not more exactly: an adopted folder keeps the name of another namespace.
        (VolumeId::FileSystem { .. }, Folder::Existing(path)) => {
            path.as_str().strip_prefix(WORKSPACES).is_some_and(|rest| rest.starts_with('/'))
        }
        (VolumeId::Volume { folder, .. }, Folder::Volume(name)) => folder == name,
        (VolumeId::Volume { uid, folder }, Folder::Existing(path)) => {
            path.as_str() == format!("{CLAIMS}/{uid}/{folder}")
        }
        (VolumeId::FileSystem { .. }, Folder::Volume(_)) | (VolumeId::Volume { .. }, Folder::Own(_)) => false,
    }
}

/// The attributes of an inline volume.
#[derive(Debug, Eq, PartialEq)]
struct Inline {
    namespace: String,
    name: String,
    mount_from: RelativePath,
    copies: Copies,
}

impl Inline {
    fn parse(context: &BTreeMap<String, String>, options: &[MountOption]) -> Result<Self, VolumeError> {
        if let Some(unknown) =
            context.keys().find(|key| !is_kubernetes_key(key) && !KEYS.contains(&key.as_str()))
        {
            return Err(VolumeError::UnknownAttribute(unknown.clone()));
        }
        if !options.is_empty() {
            return Err(VolumeError::InlineOptions);
        }
        let text = |key: &str| context.get(key).filter(|value| !value.is_empty()).cloned();
        Ok(Self {
            name: text(FILE_SYSTEM).ok_or(VolumeError::NoFileSystem)?,
            mount_from: RelativePath::parse(&text(MOUNT_FROM).unwrap_or_default())
                .map_err(VolumeError::MountFrom)?,
            namespace: text(POD_NAMESPACE).ok_or(VolumeError::NoPodNamespace)?,
            copies: Self::copies(context)?,
        })
    }

    fn copies(context: &BTreeMap<String, String>) -> Result<Copies, VolumeError> {
        let get = |key: &str| context.get(key).map(String::as_str);
        match (get(CACHE_ATTRIBUTE), get(FILL_ATTRIBUTE)) {
            (None, None) => Ok(Copies::Shown),
            (Some(OFF), None) => Ok(Copies::Off),
            (Some(other), None) => Err(VolumeError::Cache(other.into())),
            (None, Some(uid)) if is_uid(uid) && get(MOUNT_FROM).is_none() => Ok(Copies::Fill(uid.into())),
            (_, Some(_)) => Err(VolumeError::Fill),
        }
    }

    async fn find(self, file_systems: Option<&Arc<dyn FileSystems>>) -> Result<Volume, VolumeError> {
        let file_systems = file_systems.ok_or(VolumeError::NoKubernetes)?;
        let lookup = file_systems.by_name(&self.namespace, &self.name);
        let answer = tokio::time::timeout(LOOKUP_MAX, lookup)
            .await
            .unwrap_or_else(|elapsed| Err(LookupError(elapsed.into())));
        match answer {
            Ok(Some(fs)) => self.mountable(&fs),
            Ok(None) => Err(VolumeError::Missing { namespace: self.namespace, name: self.name }),
            Err(source) => Err(VolumeError::Lookup { namespace: self.namespace, name: self.name, source }),
        }
    }

    /// What of the FileSystem is to be mounted. Its conditions do not count: they are the operator's view from elsewhere,
    /// and this node finds out by itself whether the server answers.
    fn mountable(self, fs: &FileSystem) -> Result<Volume, VolumeError> {
        let name = || format!("{}/{}", self.namespace, self.name);
        if fs.metadata.deletion_timestamp.is_some() {
            return Err(VolumeError::Deleting(name()));
        }
        let attributes = VolumeAttributes::of_file_system(fs).map_err(|error| match error {
            AttributesError::NotNfs => VolumeError::OtherDriver(name()),
            AttributesError::NotMade => VolumeError::NotMade(name()),
            error => VolumeError::Unusable(name(), error),
        })?;
        let options = options_of(fs).map_err(|error| VolumeError::UnusableOptions(name(), error))?;
        let (mount_from, copies) = (self.mount_from, self.copies);
        Ok(Volume { attributes, options, mount_from, is_inline: true, is_own: false, copies })
    }
}

/// The mount options of a FileSystem's share.
///
/// # Errors
/// One is not on the list of those that are allowed.
pub fn options_of(fs: &FileSystem) -> Result<Vec<MountOption>, MountOptionError> {
    let mut asked = fs.spec.mount_options.clone().unwrap_or_default();
    if fs.spec.local_cache {
        asked.push("fsc".into());
    }
    mount_options::parse(&asked)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use workspacefs_api::{
        Backend, ClaimBackend, FileSystemSpec, FileSystemStatus, ManagedBackend, NfsBackend, SharePlace,
    };

    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    /// One FileSystem `team-a/default`, or an API server that is away.
    struct Api(Option<FileSystem>, bool);

    #[async_trait]
    impl FileSystems for Api {
        async fn by_name(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError> {
            if self.1 {
                std::future::pending::<()>().await;
            }
            Ok(self.0.clone().filter(|_| (namespace, name) == ("team-a", "default")))
        }
        async fn by_uid(&self, _: &str) -> Result<Option<FileSystem>, LookupError> {
            panic!("the node never searches all namespaces")
        }
    }

    fn file_system() -> FileSystem {
        let nfs = NfsBackend {
            server: "nfs".into(),
            export: "/e".into(),
            folder: Some("team-a".into()),
            ..Default::default()
        };
        let spec = FileSystemSpec {
            backend: Backend { nfs: Some(nfs), ..Default::default() },
            mount_options: Some(vec!["nconnect=4".into()]),
            local_cache: true,
            ..Default::default()
        };
        let mut fs = FileSystem::new("default", spec);
        fs.metadata.namespace = Some("team-a".into());
        fs.metadata.uid = Some(UID.into());
        fs
    }

    fn inline(more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut context: BTreeMap<String, String> =
            [(EPHEMERAL, "true"), (POD_NAMESPACE, "team-a"), (FILE_SYSTEM, "default")]
                .map(|(k, v)| (k.into(), v.into()))
                .into();
        context.extend(more.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        context
    }

    async fn find_inline(
        context: &BTreeMap<String, String>,
        fs: Option<FileSystem>,
    ) -> Result<Volume, VolumeError> {
        let api: Arc<dyn FileSystems> = Arc::new(Api(fs, false));
        find("csi-0123", context, &[], Some(&api)).await
    }

    #[tokio::test]
    async fn an_inline_volume_is_a_folder_of_a_file_system_in_the_pods_own_namespace() {
        let volume = find_inline(&inline(&[(MOUNT_FROM, "/datasets/a")]), Some(file_system())).await.unwrap();
        assert!(volume.is_inline);
        assert_eq!(volume.mount_from.as_str(), "datasets/a");
        assert_eq!(volume.attributes.folder, Folder::Own(RelativePath::parse("team-a").unwrap()));
        assert_eq!(volume.options, mount_options::parse(&["nconnect=4", "fsc"]).unwrap());
    }

    #[tokio::test]
    async fn a_missing_file_system_is_not_looked_for_elsewhere_and_the_message_names_the_namespace() {
        let error =
            find_inline(&inline(&[(POD_NAMESPACE, "team-b")]), Some(file_system())).await.unwrap_err();
        assert!(matches!(error, VolumeError::Missing { .. }));
        assert!(error.to_string().contains("team-b"), "{error}");
    }

    #[tokio::test]
    async fn nothing_but_a_name_and_a_path_can_be_said_inline() {
        for key in ["server", "export", "folder", "caches", "mountOptions", "nodeGroup", ""] {
            let error = find_inline(&inline(&[(key, "x")]), Some(file_system())).await.unwrap_err();
            assert!(matches!(error, VolumeError::UnknownAttribute(k) if k == key));
        }
        let options = mount_options::parse(&["soft"]).unwrap();
        let api: Arc<dyn FileSystems> = Arc::new(Api(Some(file_system()), false));
        let error = find("csi-0123", &inline(&[]), &options, Some(&api)).await.unwrap_err();
        assert!(matches!(error, VolumeError::InlineOptions));
        for bad in ["../x", "a/../../b", ".workspacefs/trash", "a\nb"] {
            let error = find_inline(&inline(&[(MOUNT_FROM, bad)]), Some(file_system())).await.unwrap_err();
            assert!(matches!(error, VolumeError::MountFrom(_)), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn caches_are_switched_off_by_one_word_and_filled_by_one_uid_alone() {
        let find = async |more: &[(&str, &str)]| find_inline(&inline(more), Some(file_system())).await;
        assert_eq!(find(&[]).await.unwrap().copies, Copies::Shown);
        let off = find(&[("cache", "off"), (MOUNT_FROM, "a")]).await.unwrap();
        assert_eq!((off.copies, off.mount_from.as_str()), (Copies::Off, "a"));
        assert_eq!(find(&[("fillCache", UID)]).await.unwrap().copies, Copies::Fill(UID.into()));
        for other in ["on", "Off", "false", ""] {
            let error = find(&[("cache", other)]).await.unwrap_err();
            assert!(matches!(&error, VolumeError::Cache(value) if value == other), "{error}");
        }
        for bad in [
            &[("fillCache", "../x")][..],
            &[("fillCache", "")],
            &[("fillCache", UID), ("cache", "off")],
            &[("fillCache", UID), (MOUNT_FROM, "a")],
        ] {
            assert!(matches!(find(bad).await.unwrap_err(), VolumeError::Fill), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn inline_attributes_that_pose_as_a_claims_are_refused_for_their_id() {
        let attributes = VolumeAttributes::of_file_system(&file_system()).unwrap();
        let error = find("csi-0123", &attributes.to_map(), &[], None).await.unwrap_err();
        assert!(matches!(error, VolumeError::NotOurs(_)));
    }

    #[tokio::test]
    async fn what_cannot_be_used_says_why() {
        let context = inline(&[]);
        let mut deleting = file_system();
        deleting.metadata.deletion_timestamp = Some(Time(Default::default()));
        assert!(matches!(find_inline(&context, Some(deleting)).await, Err(VolumeError::Deleting(_))));
        let mut other = file_system();
        other.spec.backend = Backend {
            persistent_volume_claim: Some(ClaimBackend { claim_name: "c".into() }),
            ..Default::default()
        };
        assert!(matches!(find_inline(&context, Some(other)).await, Err(VolumeError::OtherDriver(_))));
        let mut broken = file_system();
        broken.spec.mount_options = Some(vec!["exec".into()]);
        assert!(matches!(find_inline(&context, Some(broken)).await, Err(VolumeError::UnusableOptions(..))));
        assert!(matches!(find("csi-0", &context, &[], None).await, Err(VolumeError::NoKubernetes)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_does_not_answer_is_given_up_in_time() {
        let api: Arc<dyn FileSystems> = Arc::new(Api(None, true));
        let started = tokio::time::Instant::now();
        let error = find("csi-0", &inline(&[]), &[], Some(&api)).await.unwrap_err();
        assert!(matches!(error, VolumeError::Lookup { .. }));
        assert_eq!(started.elapsed(), LOOKUP_MAX);
    }

    fn managed(share: Option<SharePlace>) -> FileSystem {
        let mut fs = file_system();
        fs.spec.backend = Backend { managed: Some(ManagedBackend::default()), ..Default::default() };
        fs.status = Some(FileSystemStatus { share, ..Default::default() });
        fs
    }

    #[tokio::test]
    async fn an_inline_volume_of_a_managed_file_system_is_where_its_status_says() {
        let share = SharePlace {
            server: "10.96.0.7".into(),
            export: "/workspacefs".into(),
            folder: format!("workspaces/{UID}/default"),
        };
        let context = inline(&[(MOUNT_FROM, "/datasets")]);
        let volume = find_inline(&context, Some(managed(Some(share.clone())))).await.unwrap();
        assert_eq!(volume.attributes.folder, Folder::Existing(RelativePath::parse(&share.folder).unwrap()));
        assert_eq!((volume.attributes.server, volume.mount_from.as_str()), (share.server, "datasets"));
        let error = find_inline(&context, Some(managed(None))).await.unwrap_err();
        assert!(matches!(error, VolumeError::NotMade(_)));
        assert!(error.to_string().contains("team-a/default"), "{error}");
    }

    #[tokio::test]
    async fn a_managed_volumes_id_and_folder_must_belong_together() {
        let mut attributes = VolumeAttributes::of_file_system(&file_system()).unwrap();
        let (own, claim) = (format!("v1.fs.{UID}"), format!("v1.vol.{UID}.pvc-1"));
        let other = "11111111-d9cb-469f-a165-70867728950e";
        for (folder, is_own, is_claim) in [
            (format!("workspaces/{UID}/default"), true, false),
            (format!("workspaces/{other}/data"), true, false),
            (format!("claims/{UID}/pvc-1"), false, true),
            (format!("claims/{UID}/pvc-2"), false, false),
            (format!("claims/{other}/pvc-1"), false, false),
            (format!("claims/{UID}"), false, false),
            (format!("claims/{UID}/pvc-1/deeper"), false, false),
            ("workspaces".into(), false, false),
            ("workspaces-of-others/a".into(), false, false),
            ("claims".into(), false, false),
        ] {
            attributes.folder = Folder::Existing(RelativePath::parse(&folder).unwrap());
            let map = attributes.to_map();
            assert_eq!(find(&own, &map, &[], None).await.is_ok(), is_own, "{folder}");
            assert_eq!(find(&claim, &map, &[], None).await.is_ok(), is_claim, "{folder}");
        }
    }

    #[tokio::test]
    async fn only_the_file_systems_own_volume_counts_as_placed_by_its_node_affinity() {
        let mut attributes = VolumeAttributes::of_file_system(&file_system()).unwrap();
        let own = find(&format!("v1.fs.{UID}"), &attributes.to_map(), &[], None).await.unwrap();
        attributes.folder = Folder::Volume("pvc-1".into());
        let further = find(&format!("v1.vol.{UID}.pvc-1"), &attributes.to_map(), &[], None).await.unwrap();
        let inline = find_inline(&inline(&[]), Some(file_system())).await.unwrap();
        assert_eq!([&own, &further, &inline].map(|volume| volume.is_own), [true, false, false]);
        assert_eq!([&own, &further, &inline].map(|volume| volume.is_inline), [false, false, true]);
    }

    #[tokio::test]
    async fn a_claims_id_and_attributes_must_speak_of_one_volume() {
        let mut attributes = VolumeAttributes::of_file_system(&file_system()).unwrap();
        let own = format!("v1.fs.{UID}");
        assert!(!find(&own, &attributes.to_map(), &[], None).await.unwrap().is_inline);
        attributes.folder = Folder::Volume("pvc-1".into());
        for (id, matches) in
            [(own, false), (format!("v1.vol.{UID}.pvc-1"), true), (format!("v1.vol.{UID}.pvc-2"), false)]
        {
            let result = find(&id, &attributes.to_map(), &[], None).await;
            assert_eq!(result.is_ok(), matches, "{id}");
        }
        let other = "v1.vol.11111111-d9cb-469f-a165-70867728950e.pvc-1";
        assert!(matches!(find(other, &attributes.to_map(), &[], None).await, Err(VolumeError::Mismatch)));
    }
}
