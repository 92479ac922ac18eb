//! The embedded NFS server: one container whose first process this is. It takes the disk it is given (`storage`), owns the
//! folders on it (`folders`, on top of `disk`), runs NFS-Ganesha as its child (`ganesha`), and does what operator and CSI
//! controller ask (`agent`).

pub mod agent;
pub mod cli;
pub mod command;
pub mod disk;
pub mod emptier;
pub mod folders;
pub mod ganesha;
pub mod init;
pub mod manifest;
pub mod metrics;
pub mod names;
pub mod record;
pub mod serve;
pub mod sizes;
pub mod storage;
