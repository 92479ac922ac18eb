//! Giving something its final name, with or without replacing what has it: one rename, so that a reader sees the old one or
//! the new one.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;
use workspacefs_files_proto::types::EntryType;

use crate::facts::Facts;

/// A name in a folder.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The folder.
    pub folder: BorrowedFd<'a>,
    /// The name.
    pub name: &'a [u8],
}

/// Renames, in the place of a file that has the new name. A folder is never replaced by a file, nor one that holds something.
///
/// # Errors
/// What the kernel answers.
pub fn replace(from: At<'_>, to: At<'_>) -> Result<(), Errno> {
    renameat(from.folder, from.name, to.folder, to.name)
}

/// Renames, unless something has the new name (EXIST).
///
/// # Errors
/// What the kernel answers.
pub fn add(from: At<'_>, to: At<'_>) -> Result<(), Errno> {
    match renameat_with(from.folder, from.name, to.folder, to.name, RenameFlags::NOREPLACE) {
        // NFS has no such rename.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => add_by_link(from, to),
        other => other,
    }
}

fn add_by_link(from: At<'_>, to: At<'_>) -> Result<(), Errno> {
    if Facts::at(from.folder, from.name)?.kind == EntryType::Dir {
        // Folders have no second names. What is made between the look and the rename is replaced only if it is an empty folder.
        return match Facts::at(to.folder, to.name) {
            Err(Errno::NOENT) => {
                renameat(from.folder, from.name, to.folder, to.name).map_err(|errno| match errno {
                    Errno::NOTEMPTY | Errno::NOTDIR => Errno::EXIST,
                    errno => errno,
                })
            }
            Ok(_) => Err(Errno::EXIST),
            Err(errno) => Err(errno),
        };
    }
    linkat(from.folder, from.name, to.folder, to.name, AtFlags::empty())?;
    unlinkat(from.folder, from.name, AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn nothing_is_replaced_by_either_way_of_adding() {
        for add in [add, add_by_link] {
            let dir = tempfile::tempdir().unwrap();
            let fd = std::fs::File::open(dir.path()).unwrap();
            let at = |name: &'static str| At { folder: fd.as_fd(), name: name.as_bytes() };
            let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).ok();
            std::fs::write(dir.path().join("new"), "new").unwrap();
            std::fs::write(dir.path().join("old"), "old").unwrap();
            std::fs::create_dir(dir.path().join("folder")).unwrap();
            assert_eq!(add(at("new"), at("old")), Err(Errno::EXIST));
            assert_eq!(add(at("folder"), at("old")), Err(Errno::EXIST));
            assert_eq!(add(at("new"), at("folder")), Err(Errno::EXIST));
            assert_eq!((read("new").as_deref(), read("old").as_deref()), (Some("new"), Some("old")));
            add(at("new"), at("other")).unwrap();
            add(at("folder"), at("folder2")).unwrap();
            assert_eq!((read("new"), read("other").as_deref()), (None, Some("new")));
            assert!(dir.path().join("folder2").is_dir() && !dir.path().join("folder").exists());
            assert_eq!(add(at("nothing"), at("x")), Err(Errno::NOENT));
        }
    }
}
