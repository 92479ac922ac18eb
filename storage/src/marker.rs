//! The file that says that a file system, or a directory, is ours. It is written before anything else.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use workspacefs_runtime::chain;
use workspacefs_sys::beneath::{self, Links};

use crate::disk::write_durably;

/// Its name, at the root.
const NAME: &str = "workspacefs.json";
/// The layout that this program knows.
const LAYOUT: u32 = 1;
/// What a cut writing of the marker leaves.
const UNFINISHED: &str = ".workspacefs.json.new";

/// What it says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    layout: u32,
    /// Of this storage, for good: by it NFS clients know that a server that comes back is the same.
    pub id: String,
    /// None in what was made before this was written down: whoever takes it first has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept_by: Option<KeptBy>,
}

/// Who makes sense of the folders on it. The other would give them limits of his own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum KeptBy {
    /// The embedded NFS server.
    NfsServer,
    /// A node, for a LocalStorage.
    LocalStorage,
}

impl fmt::Display for KeptBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NfsServer => "the embedded NFS server's",
            Self::LocalStorage => "a LocalStorage's",
        })
    }
}

/// It is not ours, or cannot be made ours.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// Somebody's files.
    #[error("it holds files that are not ours, {0:?} for one: nothing was written to it. Give an empty one")]
    Foreign(String),
    /// Ours, and for something else.
    #[error("it is {0}: nothing was written to it")]
    Anothers(KeptBy),
    /// Of a later version of us.
    #[error("its layout is {0}, and this version knows only {LAYOUT}: use the newer version again")]
    Layout(u32),
    /// Ours, and damaged.
    #[error("its {NAME} cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// The disk.
    #[error("cannot {0} its {NAME}")]
    Io(&'static str, #[source] std::io::Error),
}

/// Reads the marker of the folder `root`, or makes it ours, kept by `by`, if nothing is in it.
///
/// # Errors
/// [`MarkerError`]; then nothing was written.
pub fn claim(root: BorrowedFd<'_>, by: KeptBy) -> Result<Marker, MarkerError> {
    let failed = |what| move |errno: Errno| MarkerError::Io(what, errno.into());
    match beneath::open(root, NAME, OFlags::RDONLY, Mode::empty(), Links::Refused) {
        Ok(fd) => {
            let marker: Marker =
                serde_json::from_reader(std::fs::File::from(fd)).map_err(MarkerError::Malformed)?;
            return if marker.layout == LAYOUT {
                keep(root, marker, by)
            } else {
                Err(MarkerError::Layout(marker.layout))
            };
        }
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed("open")(errno)),
    }
    if let Some(name) = somebodys(root).map_err(failed("look for"))? {
        return Err(MarkerError::Foreign(name));
    }
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map_err(|error| MarkerError::Io("make", error))?;
    let marker = Marker { layout: LAYOUT, id: id.trim().to_string(), kept_by: Some(by) };
    write(root, &marker)?;
    Ok(marker)
}

fn keep(root: BorrowedFd<'_>, marker: Marker, by: KeptBy) -> Result<Marker, MarkerError> {
    match marker.kept_by {
        Some(keeper) if keeper == by => Ok(marker),
        Some(other) => Err(MarkerError::Anothers(other)),
        None => {
            let kept = Marker { kept_by: Some(by), ..marker.clone() };
            // It was good without that, and a full disk must not fail for it.
            match write(root, &kept) {
                Ok(()) => Ok(kept),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "whose the disk is was not written down");
                    Ok(marker)
                }
            }
        }
    }
}

fn write(root: BorrowedFd<'_>, marker: &Marker) -> Result<(), MarkerError> {
    let text = serde_json::to_vec(marker).map_err(MarkerError::Malformed)?;
    write_durably(root, NAME, &text).map_err(|errno| MarkerError::Io("write", errno.into()))
}

/// The name of something in there that we did not make.
fn somebodys(root: BorrowedFd<'_>) -> Result<Option<String>, Errno> {
    let root = beneath::open(root, "", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty(), Links::Refused)?;
    for entry in Dir::read_from(root.as_fd())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !matches!(name.as_str(), "." | ".." | UNFINISHED) && !is_empty_lost_and_found(root.as_fd(), &name)
        {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// mkfs.ext4 makes that folder. What lies in it was somebody's.
fn is_empty_lost_and_found(root: BorrowedFd<'_>, name: &str) -> bool {
    const LOST_AND_FOUND: &str = "lost+found";
    let list = || -> Result<bool, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = beneath::open(root, LOST_AND_FOUND, flags, Mode::empty(), Links::Refused)?;
        for entry in Dir::read_from(folder.as_fd())? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    };
    name == LOST_AND_FOUND && list() == Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn claimed(path: &std::path::Path) -> Result<Marker, MarkerError> {
        let root = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        claim(root.as_fd(), KeptBy::LocalStorage)
    }

    #[test]
    fn an_empty_folder_becomes_ours_and_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(UNFINISHED), "{\"lay").unwrap();
        let marker = claimed(dir.path()).unwrap();
        fs::write(dir.path().join("other"), "").unwrap();
        assert_eq!(claimed(dir.path()).unwrap(), marker);
        let another = tempfile::tempdir().unwrap();
        assert_ne!(claimed(another.path()).unwrap().id, marker.id);
    }

    #[test]
    fn what_ext4_is_made_with_is_nobodys_unless_something_lies_in_it() {
        for (file, ours) in [("", true), ("#12", false)] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("lost+found")).unwrap();
            if !ours {
                fs::write(dir.path().join("lost+found").join(file), "").unwrap();
            }
            assert_eq!(claimed(dir.path()).is_ok(), ours, "{file:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lost+found"), "a file").unwrap();
        assert!(claimed(dir.path()).is_err());
    }

    #[test]
    fn somebodys_files_are_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        let error = claimed(dir.path()).unwrap_err().to_string();
        assert!(error.contains("thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_one_keeps_the_other_leaves_alone_and_what_was_nobodys_is_whoever_takes_it_first() {
        let dir = tempfile::tempdir().unwrap();
        let root = rustix::fs::open(dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let text = || fs::read_to_string(dir.path().join(NAME)).unwrap();
        // As every version before this one wrote it.
        fs::write(dir.path().join(NAME), r#"{"layout":1,"id":"x"}"#).unwrap();
        fs::write(dir.path().join("files"), "").unwrap();
        let marker = claim(root.as_fd(), KeptBy::NfsServer).unwrap();
        assert_eq!(marker.id, "x");
        let written = text();
        let error = claim(root.as_fd(), KeptBy::LocalStorage).unwrap_err();
        assert!(error.to_string().contains("embedded NFS server"), "{error}");
        assert_eq!(claim(root.as_fd(), KeptBy::NfsServer).unwrap(), marker);
        assert_eq!(text(), written);
        let local = tempfile::tempdir().unwrap();
        claimed(local.path()).unwrap();
        let root = rustix::fs::open(local.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let refused = claim(root.as_fd(), KeptBy::NfsServer);
        assert!(matches!(refused, Err(MarkerError::Anothers(KeptBy::LocalStorage))));
    }

    #[test]
    fn a_later_layout_or_a_damaged_marker_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), r#"{"layout":2,"id":"x"}"#).unwrap();
        assert!(matches!(claimed(dir.path()), Err(MarkerError::Layout(2))));
        fs::write(dir.path().join(NAME), "{").unwrap();
        assert!(matches!(claimed(dir.path()), Err(MarkerError::Malformed(_))));
    }
}
