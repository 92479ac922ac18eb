//! Disks of ours and the folders on them. A block device is looked at, formatted if it is blank, and mounted (`device`); what
//! says that a file system is ours lies in it (`marker`). On it are folders with a size each (`folders`, on top of `disk`),
//! and a trash that is emptied slowly (`emptier`). `discovery` finds the disks of a node, and `local` does
//! everything that a node does for one LocalStorage. The embedded NFS server and the nodes' local disks stand on it; nothing
//! here knows NFS, CSI or a Kubernetes client.

pub mod device;
pub mod discovery;
pub mod disk;
pub mod emptier;
pub mod folders;
pub mod local;
pub mod marker;
pub mod names;
pub mod record;
pub mod root;
pub mod sizes;
