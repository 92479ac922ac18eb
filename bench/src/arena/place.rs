//! The folders of a run, which nobody else uses meanwhile.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::namespace::{NamespaceError, ensure_private};

/// A tmpfs.
const MEMORY: &str = "/dev/shm";

/// Two empty folders, on a disk and in memory.
#[derive(Debug)]
pub struct Place {
    /// On the disk.
    pub folder: PathBuf,
    /// In memory.
    pub memory: PathBuf,
    /// Locked, so that no other run measures here as long as it is kept.
    pub alone: File,
}

impl Place {
    /// `name` in a folder, which is made if it is missing, and `in_memory`.
    ///
    /// # Errors
    /// Mounts would be seen by others, or another run is going on there.
    pub fn alone(folder: &Path, name: &str, in_memory: &str) -> Result<Self> {
        match ensure_private() {
            // Not everybody may look at process 1. Who started us by `unshare` knows.
            Err(error @ NamespaceError::Unknown { of: "1", .. }) => eprintln!("not checked: {error}"),
            result => result?,
        }
        fs::create_dir_all(folder)?;
        let alone = File::create(folder.join("lock"))?;
        alone.try_lock().context("another run is measuring, and would be in the way of this one")?;
        let (folder, memory) = (folder.join(name), Path::new(MEMORY).join(in_memory));
        for folder in [&folder, &memory] {
            // What a run that was killed left.
            if folder.exists() {
                fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
            fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self { folder, memory, alone })
    }
}
