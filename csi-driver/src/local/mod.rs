//! The driver `local.csi.workspacefs.io`: the disks of this node that LocalStorages mean, and the volumes on them. A volume is
//! the workspace's whole share of its node's disk: a folder with a limit of its own.
//!
//! - [`storages`] follows the LocalStorages, [`keep`] looks at the disks of those that mean this node, [`report`] writes what
//!   it found into this node's entry of their status.
//! - [`disks`] is the table of one helper process per LocalStorage ([`helper`], [`protocol`], [`kept`]), the only one that touches
//!   the disk: it looks, formats, mounts and makes folders, and may hang there while the plugin goes on.
//! - [`service`] is the CSI Node service; `status` decides its codes.

pub mod disks;
pub mod helper;
pub mod keep;
pub mod kept;
pub mod protocol;
mod publish;
pub mod report;
pub mod service;
mod stats;
mod status;
pub mod storages;
