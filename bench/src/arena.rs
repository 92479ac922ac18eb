//! Where trees are measured: disks that lie in files, cold caches, and a mount namespace with which all of it vanishes.

mod caches;
mod disk;
mod loop_device;
mod namespace;
mod place;

pub use caches::drop_caches;
pub use disk::{Disk, DiskError, Format};
pub use namespace::{NamespaceError, ensure_private};
pub use place::Place;
