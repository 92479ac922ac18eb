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
    // Folders have no second names.
    if Facts::at(from.folder, from.name)?.kind == EntryType::Dir {
        return add_by_look(from, to);
    }
    match linkat(from.folder, from.name, to.folder, to.name, AtFlags::empty()) {
        Ok(()) => unlinkat(from.folder, from.name, AtFlags::empty()),
        // Nor has what the kernel protects from them (fs.protected_hardlinks), or what has as many as there can be.
        Err(Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP) => add_by_look(from, to),
        Err(errno) => Err(errno),
    }
}

/// What is made between the look and the rename is replaced if it is a file in a file's place, or an empty folder in a folder's.
fn add_by_look(from: At<'_>, to: At<'_>) -> Result<(), Errno> {
    match Facts::at(to.folder, to.name) {
        Err(Errno::NOENT) => {
            renameat(from.folder, from.name, to.folder, to.name).map_err(|errno| match errno {
                Errno::NOTEMPTY | Errno::NOTDIR => Errno::EXIST,
                errno => errno,
            })
        }
        Ok(_) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn nothing_is_replaced_by_either_way_of_adding() {
        for add in [add, add_by_link, add_by_look] {
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

    /// As in a pod: root without capabilities, and a file that it may neither write nor owns (fs.protected_hardlinks).
    #[test]
    fn a_file_that_may_have_no_second_name_is_renamed_all_the_same() {
        use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
        let protected = std::fs::read_to_string("/proc/sys/fs/protected_hardlinks").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let at = |name: &'static str| At { folder: fd.as_fd(), name: name.as_bytes() };
        for name in ["theirs", "other"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.path().join("theirs"), mode).unwrap();
        std::os::unix::fs::chown(dir.path().join("theirs"), Some(1234), Some(1234)).unwrap();
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                set_capabilities(None, sets).unwrap();
                let (from, to) = (at("theirs"), at("new"));
                let linked = linkat(from.folder, from.name, to.folder, to.name, AtFlags::empty());
                assert!(linked == Err(Errno::PERM) || protected.trim() == "0", "{linked:?}");
                assert_eq!(add_by_link(from, at("other")), Err(Errno::EXIST));
                add_by_link(from, at("newer")).unwrap();
            });
        });
        assert_eq!(std::fs::read_to_string(dir.path().join("newer")).unwrap(), "theirs");
        assert_eq!(std::fs::read_to_string(dir.path().join("other")).unwrap(), "other");
    }
}
