//! Safe wrappers over the system calls that workspacefs stands on: mounts by descriptor, paths resolved beneath a root,
//! descriptors handed between processes. The only crate of the workspace with `unsafe`; it decides nothing and knows
//! neither NFS nor Kubernetes.

pub mod allocator;
pub mod attributes;
pub mod beneath;
pub mod channel;
pub mod error;
pub mod filesystem;
pub mod inspect;
pub mod lock;
pub mod loops;
pub mod mountinfo;
pub mod ownership;
pub mod process;
pub mod project;
pub mod quota;
pub mod tree;
pub mod unmount;
pub mod writeback;

pub use error::SysError;
pub use rustix::io::Errno;
