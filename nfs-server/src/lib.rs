//! The embedded NFS server: one container whose first process this is. It takes the disk it is given (`storage`) for the
//! folders of [`workspacefs_storage`], runs NFS-Ganesha as its child (`ganesha`), and does what operator and CSI controller
//! ask (`agent`).

pub mod agent;
pub mod cli;
pub mod command;
pub mod ganesha;
pub mod init;
pub mod manifest;
pub mod metrics;
pub mod serve;
pub mod storage;
