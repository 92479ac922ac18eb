//! The CSI driver `csi.workspacefs.io`: one binary, started as the node plugin, as the controller, or (by those two) as
//! the helper process that does for one share whatever may wait on a server.
//!
//! `socket`, `server` and `rpc` are the gRPC plumbing; `identity` and `registration` say who we are; `node` mounts,
//! `controller` makes and removes volumes, both on top of `share`; `cache` knows of FsCaches; `local` and
//! `local_controller` are the same for the driver of local disks, on one of which `local_cache` keeps the kernel's FS-Cache.

pub mod authority;
pub mod cache;
pub mod capability;
pub mod cli;
pub mod controller;
pub mod endpoint;
pub mod helper_process;
pub mod identity;
pub mod local;
pub mod local_cache;
pub mod local_controller;
pub mod node;
pub mod op_guard;
pub mod process;
pub mod registration;
pub mod rpc;
pub mod server;
pub mod share;
pub mod socket;
pub mod status;
