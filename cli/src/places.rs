//! The two directories of a run, from their paths on the command line.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tempfile::TempDir;
use workspacefs_sync::{Earlier, SyncError};

/// Opened source and destination.
pub struct Places {
    pub source: OwnedFd,
    pub destination: OwnedFd,
    made: Made,
}

/// A directory that was made for this run.
enum Made {
    No,
    /// The destination: removed again unless the run begins, from when on it is none.
    Destination(Option<PathBuf>),
    /// What stands for it in a dry run; removed in any case.
    Empty(#[expect(dead_code, reason = "held to be dropped")] TempDir),
}

impl Places {
    /// Opens both. A destination that does not exist is made if its parent exists, and removed again when this is dropped
    /// before [`Places::keep`]; in a dry run an empty directory elsewhere stands for it.
    pub fn open(source: &Path, destination: &Path, dry_run: bool) -> Result<Self> {
        let opened = open(source).with_context(|| format!("cannot open the source {source:?}"))?;
        let failed = || format!("cannot open the destination {destination:?}");
        match open(destination) {
            Ok(found) => Ok(Self { source: opened, destination: found, made: Made::No }),
            Err(Errno::NOENT) if dry_run => {
                let empty = would_be_made(source, destination)?;
                let found = open(empty.path()).with_context(|| format!("cannot open {:?}", empty.path()))?;
                Ok(Self { source: opened, destination: found, made: Made::Empty(empty) })
            }
            Err(Errno::NOENT) => {
                fs::create_dir(destination)
                    .with_context(|| format!("cannot make the destination {destination:?}"))?;
                let made = Made::Destination(Some(destination.to_path_buf()));
                Ok(Self { source: opened, destination: open(destination).with_context(failed)?, made })
            }
            Err(errno) => Err(errno).with_context(failed),
        }
    }

    /// The run began: what it put into the destination stays.
    pub fn keep(&mut self) {
        if let Made::Destination(path) = &mut self.made {
            *path = None;
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Self::Destination(Some(path)) = self {
            // If somebody put something into it in the meantime, it stays.
            let _ = fs::remove_dir(path);
        }
    }
}

/// Opens a copy to link from.
pub fn open_earlier(path: &Path) -> Result<Earlier> {
    let directory = open(path).with_context(|| format!("cannot open the earlier copy {path:?}"))?;
    Ok(Earlier { directory: Arc::new(directory), manifest: None })
}

/// Refuses a manifest inside one of the two trees: it would be copied, or deleted, with them.
pub fn check_manifest(manifest: &Path, source: &Path, destination: &Path) -> Result<()> {
    let folder = parent(manifest);
    let folder =
        folder.canonicalize().with_context(|| format!("cannot find the manifest's folder {folder:?}"))?;
    for tree in [source, destination] {
        let tree = tree.canonicalize().with_context(|| format!("cannot find {tree:?}"))?;
        if folder.starts_with(&tree) {
            bail!("the manifest {manifest:?} lies in {tree:?}: it must be outside of source and destination");
        }
    }
    Ok(())
}

/// What stands for a destination that a real run would make: an empty directory. The same is refused as by that.
fn would_be_made(source: &Path, destination: &Path) -> Result<TempDir> {
    let parent = parent(destination);
    let parent =
        parent.canonicalize().with_context(|| format!("cannot make the destination {destination:?}"))?;
    if parent.starts_with(source.canonicalize()?) {
        return Err(SyncError::Nested.into());
    }
    tempfile::tempdir().context("cannot make an empty directory to compare with")
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_made_for_a_run_that_did_not_begin_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let destination = dir.path().join("new");
        drop(Places::open(dir.path(), &destination, false).unwrap());
        assert!(!destination.exists());
        let mut places = Places::open(dir.path(), &destination, false).unwrap();
        places.keep();
        drop(places);
        assert!(destination.exists());
        drop(Places::open(dir.path(), &destination, false).unwrap());
        assert!(destination.exists(), "one that was there before");
    }

    #[test]
    fn a_manifest_must_lie_outside_of_both_trees() {
        let dir = tempfile::tempdir().unwrap();
        let (source, destination) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(source.join("d")).unwrap();
        fs::create_dir(&destination).unwrap();
        std::os::unix::fs::symlink(source.join("d"), dir.path().join("link")).unwrap();
        for (manifest, good) in [
            (dir.path().join("m"), true),
            (dir.path().join("ab"), true),
            (source.join("m"), false),
            (source.join("d/m"), false),
            (destination.join("m"), false),
            (dir.path().join("link/m"), false),
            (source.join("d/../../m"), true),
            (dir.path().join("nowhere/m"), false),
        ] {
            assert_eq!(check_manifest(&manifest, &source, &destination).is_ok(), good, "{manifest:?}");
        }
    }
}
