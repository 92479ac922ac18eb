//! The driver `local.csi.workspacefs.io`: the disks of this node that LocalStorages mean, and the volumes on them. A volume is
//! the workspace's whole share of its node's disk, or a claim's own part of it: each a folder with a limit of its own.
//!
//! - [`storages`] follows the LocalStorages ([`watched`]), [`keep`] looks at the disks of those that mean this node, [`report`]
//!   writes what it found into this node's entry of their status.
//! - [`volumes`] carries the LocalVolumes of this node out, the claims' volumes; `outcome` decides what their status says.
//! - [`disks`] is the table of one helper process per LocalStorage ([`helper`], [`protocol`], [`kept`]), the only one that touches
//!   the disk: it looks, formats, mounts and makes folders, and may hang there while the plugin goes on.
//! - [`service`] is the CSI Node service; `status` decides its codes.

pub mod disks;
pub mod helper;
pub mod keep;
pub mod kept;
mod outcome;
pub mod protocol;
mod publish;
pub mod report;
pub mod service;
mod stats;
pub(crate) mod status;
pub mod storages;
pub mod volumes;
pub mod watched;
