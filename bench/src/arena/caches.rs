//! Forgetting what was read, so that the next run starts cold.

use std::io;

/// Writes back everything and drops the kernel's caches of files, names and inodes, everybody's.
///
/// # Errors
/// Only root may.
pub fn drop_caches() -> io::Result<()> {
    // What is dirty stays in memory.
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3")
}
