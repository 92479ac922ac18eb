//! Room on the disk, before something long begins: where it ends in the middle, what fails says anything but that.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::statvfs;

/// What all tests write beside warm caches, and some more.
const WANTED: u64 = 12 << 30;
/// With less there is no sense in beginning.
const LEAST: u64 = 6 << 30;

/// Sees to it that there is room where cargo builds. What cargo keeps for the next build only, and never takes away by itself, goes first.
///
/// # Errors
/// There is too little; what is free is named.
pub fn make() -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| crate::shell::root().join("target"), PathBuf::from);
    std::fs::create_dir_all(&target)?;
    if free(&target)? < WANTED {
        forget(&target)?;
    }
    enough(free(&target)?)
}

fn enough(left: u64) -> Result<()> {
    ensure!(
        left >= LEAST,
        "only {} MiB are free where cargo builds, and at least {} are needed: make room, or give another CARGO_TARGET_DIR",
        left >> 20,
        LEAST >> 20
    );
    Ok(())
}

fn free(folder: &Path) -> Result<u64> {
    let stat = statvfs(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Removes the incremental state of each profile.
fn forget(target: &Path) -> Result<()> {
    for profile in ["debug", "release"] {
        let incremental = target.join(profile).join("incremental");
        if incremental.is_dir() {
            println!("little room is left: cargo's incremental state of {profile} goes");
            std::fs::remove_dir_all(&incremental)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_serves_the_next_build_alone_is_removed() {
        let target = tempfile::tempdir().unwrap();
        for folder in ["debug/incremental/a", "debug/deps", "release/deps"] {
            std::fs::create_dir_all(target.path().join(folder)).unwrap();
        }
        forget(target.path()).unwrap();
        let left = |name: &str| target.path().join(name).exists();
        assert!(!left("debug/incremental") && left("debug/deps") && left("release/deps"));
        assert!(free(target.path()).unwrap() > 0);
    }

    #[test]
    fn with_too_little_room_nothing_begins_and_what_is_free_is_named() {
        assert!(enough(LEAST).is_ok());
        let error = enough(5 << 30).unwrap_err().to_string();
        assert!(error.contains("5120 MiB are free") && error.contains("6144"), "{error}");
    }
}
