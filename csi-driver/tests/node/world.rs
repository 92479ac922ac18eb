//! A node of its own: a mount namespace, kubelet's folder (shared, with a second view of it that stands for the host, from
//! which containers get their volumes), the state folder on tmpfs, and exports.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use csi_driver::cache::{Caches, Ground};
use csi_driver::controller::seams::{FileSystems, LookupError};
use csi_driver::helper_process::HelperProgram;
use csi_driver::local::disks::Disks;
use csi_driver::local::storages::Storages;
use csi_driver::local_cache::LocalCache;
use csi_driver::node::{NestConfig, Node, NodeConfig, NodeLabels};
use csi_driver::share::{Keep, Shares, SharesConfig};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tonic::{Code, Request, Status};
use workspacefs_api::path::RelativePath;
use workspacefs_api::volume::{Folder, VolumeAttributes};
use workspacefs_api::{Backend, FileSystem, FileSystemSpec, FsCache, NfsBackend, Owner};
use workspacefs_csi_proto::csi::v1;
use workspacefs_csi_proto::csi::v1::node_server::Node as _;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use workspacefs_sys::mountinfo::{self, MountEntry};
use workspacefs_sys::tree::MountApi;

use crate::source;

pub type Case = fn(World) -> Pin<Box<dyn Future<Output = ()>>>;

/// The FileSystem's uid with which most cases work.
pub const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
/// The namespace of inline volumes' pods.
pub const NAMESPACE: &str = "team-a";
pub const GROUP: &str = "workspacefs.io/node-group";

/// Runs a case in a world of its own. The process has one thread until then: a namespace is a thread's.
pub fn run(api: MountApi, folder: &Path, case: Case) {
    let world = World::new(api, folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(case(world));
}

#[derive(Clone)]
pub struct World {
    pub api: MountApi,
    root: PathBuf,
    pub deadline: Duration,
    pub idle: Duration,
    pub labels: NodeLabels,
    pub file_systems: HashMap<String, FileSystem>,
    /// The API server does not answer.
    pub api_server_away: bool,
    pub fs_caches: Vec<FsCache>,
    /// The LocalStorages and the disks of them.
    pub disk: Option<(Storages, Disks)>,
    /// The node's FS-Cache.
    pub local_cache: LocalCache,
}

impl World {
    fn new(api: MountApi, folder: &Path) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let root = folder.join("world");
        std::fs::create_dir(&root).unwrap();
        mount(Some("world"), &root, Some("tmpfs"), MsFlags::empty(), Some("mode=0755")).unwrap();
        let world = Self {
            api,
            root,
            deadline: Duration::from_secs(10),
            idle: Duration::ZERO,
            labels: NodeLabels::fixed(None),
            file_systems: HashMap::new(),
            api_server_away: false,
            fs_caches: Vec::new(),
            disk: None,
            local_cache: LocalCache::off(),
        };
        for folder in ["kubelet", "host", "exports", "outside"] {
            std::fs::create_dir(world.path(folder)).unwrap();
        }
        mount(Some("exports"), &world.path("exports"), Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
            .unwrap();
        let kubelet = world.path("kubelet");
        mount(Some(&kubelet), &kubelet, none, MsFlags::MS_BIND, none).unwrap();
        mount(none, &kubelet, none, MsFlags::MS_SHARED, none).unwrap();
        mount(Some(&kubelet), &world.path("host"), none, MsFlags::MS_BIND, none).unwrap();
        std::fs::create_dir(kubelet.join("pods")).unwrap();
        world
    }

    /// The same world, as a process started in it sees it.
    pub fn inherited(api: MountApi, root: &Path) -> Self {
        Self {
            api,
            root: root.into(),
            deadline: Duration::from_secs(10),
            idle: Duration::ZERO,
            labels: NodeLabels::fixed(None),
            file_systems: HashMap::new(),
            api_server_away: false,
            fs_caches: Vec::new(),
            disk: None,
            local_cache: LocalCache::off(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A folder on the server, made if it is missing.
    pub fn export(&self, name: &str) -> PathBuf {
        let path = self.path("exports").join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// kubelet's path for a pod's volume, and the same as the host and its containers see it.
    pub fn target(&self, name: &str) -> PathBuf {
        self.path("kubelet/pods").join(name)
    }

    pub fn on_host(&self, name: &str) -> PathBuf {
        self.path("host/pods").join(name)
    }

    pub fn share_mounts(&self) -> PathBuf {
        self.path("kubelet/plugins/csi/shares")
    }

    pub fn shares(&self) -> Shares {
        let keep = Keep::Attached { mounts: self.share_mounts(), state: self.path("state") };
        self.shares_kept(keep)
    }

    pub fn shares_kept(&self, keep: Keep) -> Shares {
        Shares::new(SharesConfig {
            helper: HelperProgram { program: "/proc/self/exe".into(), arguments: vec![helper().into()] },
            keep,
            api: self.api,
            idle: self.idle,
        })
        .unwrap()
    }

    /// A plugin, as one just started: everything it knows comes from records and mounts.
    pub fn node(&self) -> TestNode {
        let shares = self.shares();
        let nests = self.nests();
        let caches = nests.caches.clone();
        let node = Node::new(NodeConfig {
            node_name: "n1".into(),
            rpc_deadline: self.deadline,
            node_group_label: GROUP.into(),
            labels: self.labels.clone(),
            file_systems: Some(Arc::new(Api {
                file_systems: self.file_systems.clone(),
                away: self.api_server_away,
            })),
            shares: shares.clone(),
            records: self.path("state/targets"),
            nests,
        })
        .unwrap();
        TestNode { node, shares, caches }
    }

    fn nests(&self) -> NestConfig {
        let nests = NestConfig::none("n1", GROUP);
        self.file_systems.values().for_each(|fs| nests.ground.dedicated.put(fs));
        self.fs_caches.iter().for_each(|cache| nests.caches.put(cache));
        let (storages, disks) = self.disk.clone().unzip();
        let storages = storages.unwrap_or_else(|| nests.ground.storages.clone());
        let (labels, local_cache) = (self.labels.clone(), self.local_cache.clone());
        let ground = Ground { labels, storages, local_cache, ..nests.ground };
        NestConfig { ground, disks, ..nests }
    }

    /// A FileSystem `default` of the pods' namespace.
    pub fn with_file_system(mut self, export: &Path, folder: &str) -> Self {
        let nfs = NfsBackend {
            server: source::GOOD.into(),
            export: export.to_str().unwrap().into(),
            folder: (!folder.is_empty()).then(|| folder.into()),
            ..Default::default()
        };
        let spec = FileSystemSpec {
            backend: Backend { nfs: Some(nfs), ..Default::default() },
            ..Default::default()
        };
        let mut fs = FileSystem::new("default", spec);
        fs.metadata.namespace = Some(NAMESPACE.into());
        fs.metadata.uid = Some(UID.into());
        self.file_systems.insert("default".into(), fs);
        self
    }

    /// Everything mounted below the world now, without what it was made of.
    pub fn mounts(&self) -> Vec<MountEntry> {
        let own = ["", "kubelet", "host", "exports", "state/staging", "state/local-staging"]
            .map(|name| self.path(name));
        let is_own =
            |m: &MountEntry| own.iter().any(|path| *path == m.mount_point || path.join("") == m.mount_point);
        mountinfo::read()
            .unwrap()
            .into_iter()
            .filter(|m| m.mount_point.starts_with(&self.root) && !is_own(m))
            .collect()
    }

    pub fn mounts_at(&self, path: &Path) -> usize {
        self.mounts().iter().filter(|m| m.mount_point == path).count()
    }

    /// No mounts, no records, no targets, nothing staged.
    pub fn assert_nothing_left(&self, targets: &[&str]) {
        let mounts: Vec<PathBuf> = self.mounts().into_iter().map(|m| m.mount_point).collect();
        assert_eq!(mounts, Vec::<PathBuf>::new(), "mounts are left");
        for folder in ["state/targets", "state/shares", "state/staging"] {
            assert_eq!(names(&self.path(folder)), Vec::<String>::new(), "{folder}");
        }
        assert_eq!(names(&self.share_mounts()), Vec::<String>::new(), "mount points of shares");
        for target in targets {
            assert!(!self.target(target).exists(), "target {target} is left");
        }
    }
}

/// Real NFS, or what stands in for it.
fn helper() -> &'static str {
    match std::env::var_os("WSFS_TEST_NFS") {
        Some(_) => "nfs-helper",
        None => "share-helper",
    }
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

struct Api {
    file_systems: HashMap<String, FileSystem>,
    away: bool,
}

#[async_trait]
impl FileSystems for Api {
    async fn by_name(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError> {
        if self.away {
            return Err(LookupError("the API server is away".into()));
        }
        Ok(self.file_systems.get(name).filter(|_| namespace == NAMESPACE).cloned())
    }
    async fn by_uid(&self, _: &str) -> Result<Option<FileSystem>, LookupError> {
        panic!("the node never searches all namespaces")
    }
}

/// A claim of a FileSystem's own folder.
#[derive(Clone)]
pub struct Claim {
    pub server: &'static str,
    pub export: PathBuf,
    pub folder: String,
    pub uid: String,
    pub owner: Owner,
    pub node_group: Option<String>,
    pub volume: Option<String>,
}

impl Claim {
    pub fn of(export: &Path, folder: &str) -> Self {
        Self {
            server: source::GOOD,
            export: export.into(),
            folder: folder.into(),
            uid: UID.into(),
            owner: Owner::default(),
            node_group: None,
            volume: None,
        }
    }

    pub fn attributes(&self) -> VolumeAttributes {
        VolumeAttributes {
            file_system: format!("{NAMESPACE}/default"),
            file_system_uid: self.uid.clone(),
            server: self.server.into(),
            export: self.export.to_str().unwrap().into(),
            folder: match &self.volume {
                Some(name) => Folder::Volume(name.clone()),
                None => Folder::Own(RelativePath::parse(&self.folder).unwrap()),
            },
            version: None,
            port: None,
            owner: self.owner.clone(),
            node_group: self.node_group.clone(),
        }
    }

    pub fn id(&self) -> String {
        match &self.volume {
            Some(name) => format!("v1.vol.{}.{name}", self.uid),
            None => format!("v1.fs.{}", self.uid),
        }
    }

    pub fn at(&self, target: &Path) -> v1::NodePublishVolumeRequest {
        request(&self.id(), target, self.attributes().to_map())
    }
}

/// An inline volume's publish.
pub fn inline(target: &Path, mount_from: &str) -> v1::NodePublishVolumeRequest {
    let context = [
        ("csi.storage.k8s.io/ephemeral", "true"),
        ("csi.storage.k8s.io/pod.namespace", NAMESPACE),
        ("fileSystem", "default"),
        ("mountFrom", mount_from),
    ];
    let context = context.map(|(k, v)| (k.to_string(), v.to_string())).into();
    request("csi-0123456789abcdef", target, context)
}

pub fn request(id: &str, target: &Path, context: BTreeMap<String, String>) -> v1::NodePublishVolumeRequest {
    v1::NodePublishVolumeRequest {
        volume_id: id.into(),
        target_path: target.to_str().unwrap().into(),
        volume_capability: Some(v1::VolumeCapability {
            access_type: Some(AccessType::Mount(MountVolume::default())),
            access_mode: None,
        }),
        volume_context: context.into_iter().collect(),
        ..Default::default()
    }
    .with_mode(Mode::MultiNodeMultiWriter)
}

pub trait WithMode {
    fn with_mode(self, mode: Mode) -> Self;
    fn with_flags(self, flags: &[&str]) -> Self;
    fn read_only(self) -> Self;
}

impl WithMode for v1::NodePublishVolumeRequest {
    fn with_mode(mut self, mode: Mode) -> Self {
        if let Some(capability) = &mut self.volume_capability {
            capability.access_mode = Some(AccessMode { mode: mode.into() });
        }
        self
    }

    fn with_flags(mut self, flags: &[&str]) -> Self {
        let mount_flags = flags.iter().map(|flag| flag.to_string()).collect();
        if let Some(capability) = &mut self.volume_capability {
            capability.access_type =
                Some(AccessType::Mount(MountVolume { mount_flags, ..Default::default() }));
        }
        self
    }

    fn read_only(mut self) -> Self {
        self.readonly = true;
        self
    }
}

pub struct TestNode {
    pub node: Node,
    pub shares: Shares,
    pub caches: Caches,
}

impl TestNode {
    pub async fn publish(&self, request: v1::NodePublishVolumeRequest) -> Result<(), Status> {
        self.node.node_publish_volume(Request::new(request)).await.map(drop)
    }

    pub async fn unpublish(&self, id: &str, target: &Path) -> Result<(), Status> {
        let request = v1::NodeUnpublishVolumeRequest {
            volume_id: id.into(),
            target_path: target.to_str().unwrap().into(),
        };
        self.node.node_unpublish_volume(Request::new(request)).await.map(drop)
    }

    /// Unpublishes what a publish was asked for.
    pub async fn undo(&self, request: &v1::NodePublishVolumeRequest) {
        self.unpublish(&request.volume_id, request.target_path.as_ref()).await.unwrap();
    }

    pub async fn stats(&self, id: &str, path: &Path) -> Result<Vec<v1::VolumeUsage>, Status> {
        let request = v1::NodeGetVolumeStatsRequest {
            volume_id: id.into(),
            volume_path: path.to_str().unwrap().into(),
            ..Default::default()
        };
        let answer = self.node.node_get_volume_stats(Request::new(request)).await?;
        Ok(answer.into_inner().usage)
    }

    pub async fn health(&self, id: &str) -> Result<Vec<v1::volume_health::VolumeHealthEntry>, Status> {
        let request = v1::NodeGetVolumeHealthRequest { volume_id: id.into(), ..Default::default() };
        let answer = self.node.node_get_volume_health(Request::new(request)).await?;
        Ok(answer.into_inner().volume_health.unwrap().health_statuses)
    }
}

/// Asserts a refusal: its code, and words that must be in its message.
#[track_caller]
pub fn refused(result: Result<(), Status>, code: Code, words: &[&str]) {
    let status = result.expect_err("it was not refused");
    assert_eq!(status.code(), code, "{status}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
    }
}
