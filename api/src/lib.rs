//! The Kubernetes API of workspacefs: the kinds, the rules that `kubectl apply` enforces, and the typed forms of what
//! travels in volume ids and volume attributes. No client, no I/O: operator, driver and tools all agree through this crate.

pub mod backend;
pub mod cache_attributes;
pub mod duration;
pub mod files;
pub mod filesystem;
pub mod fs_cache;
pub mod level;
pub mod local_attributes;
pub mod local_storage;
pub mod local_volume;
pub mod manifest;
pub mod mount_options;
pub mod mover;
pub mod path;
pub mod quantity;
pub mod volume;

pub use backend::{Backend, ClaimBackend, ManagedBackend, NfsBackend, NfsVersion};
pub use filesystem::{
    ClaimUsage, FileSystem, FileSystemSpec, FileSystemStatus, Owner, ReclaimPolicy, SharePlace, Usage,
    UsageScope,
};
pub use fs_cache::{
    Amount, CacheCopy, CacheLimits, CachePhase, CacheSource, CacheTarget, CacheUse, CachedPath, Exposure,
    FailedUpkeep, FsCache, FsCacheSpec, FsCacheStatus, PathState, Refresh, S3Source, SecretRef, Verify,
};
pub use local_storage::{
    ApprovedDevice, DeviceState, DevicesSource, DirectorySource, FoundDevice, FsCacheSpace, FsType, Health,
    LocalSource, LocalStorage, LocalStorageSpec, LocalStorageStatus, Media, MediaFilter, NodeCache,
    NodeStorage, UsedDevice,
};
pub use local_volume::{
    LocalVolume, LocalVolumePhase, LocalVolumeReason, LocalVolumeSpec, LocalVolumeStatus,
};

/// The shared driver's name, as kubelet and PersistentVolumes know it.
pub const DRIVER: &str = "csi.workspacefs.io";
/// The audience of tokens that are for the gateway and nothing else: `wfs` asks for such, and the gateway takes them.
pub const TOKEN_AUDIENCE: &str = "workspacefs.io";
/// The driver of local disks.
pub const LOCAL_DRIVER: &str = "local.csi.workspacefs.io";
/// Default key of the label that puts a node into a node group (reserved capacity).
pub const NODE_GROUP_LABEL: &str = "workspacefs.io/node-group";
/// Label on PersistentVolumes and claims: the uid of the FileSystem they serve. It is how we know our own objects.
pub const FILE_SYSTEM_UID_LABEL: &str = "workspacefs.io/filesystem-uid";
/// Kept on a FileSystem while pods use it or its PersistentVolume exists.
pub const FINALIZER: &str = "workspacefs.io/filesystem";
/// Kept on an `nfs` FileSystem with reclaimPolicy Delete or Archive, beside [`FINALIZER`] and longer than it: until the CSI
/// controller has moved its files away.
pub const FILES_FINALIZER: &str = "workspacefs.io/files";
/// The folder at an export's root that is ours and that no volume may enter.
pub const RESERVED_FOLDER: &str = ".workspacefs";
