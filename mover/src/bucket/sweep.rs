//! Taking away what no object is any more, such as what a run that was cut had fetched of an older listing.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;

use super::claims::Claims;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes from the tree whatever is neither a file of an object nor a folder above one. A key is no longer than 1024 bytes: as
/// deep as that the tree is at most.
pub(crate) fn sweep(data: BorrowedFd<'_>, claims: &Claims) -> Result<(), Errno> {
    walk(data, Path::new(""), claims)
}

/// Removes a file, or a folder with all that is in it; nothing if it is not there.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let folder = openat(parent, name, FOLDER, Mode::empty())?;
    for (name, _) in entries(&folder)? {
        remove(folder.as_fd(), &name)?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

fn walk(folder: BorrowedFd<'_>, at: &Path, claims: &Claims) -> Result<(), Errno> {
    for (name, kind) in entries(folder)? {
        let path = at.join(OsStr::from_bytes(name.to_bytes()));
        match kind {
            FileType::Directory if claims.has_folder(&path) => {
                let inner: OwnedFd = openat(folder, &*name, FOLDER, Mode::empty())?;
                walk(inner.as_fd(), &path, claims)?;
            }
            FileType::RegularFile if claims.has_file(&path) => {}
            _ => remove(folder, &name)?,
        }
    }
    Ok(())
}

fn entries(folder: impl AsFd) -> Result<Vec<(std::ffi::CString, FileType)>, Errno> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            // Not every file system tells it with the name.
            FileType::Unknown => {
                FileType::from_raw_mode(statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            kind => kind,
        };
        entries.push((name.to_owned(), kind));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_no_object_is_goes_and_links_are_not_followed() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("kept"), "").unwrap();
        for folder in ["a/b", "gone/x", "file"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["a/b/c", "a/old", "old", "gone/x/y", "file/was-a-folder"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        symlink(outside.path(), dir.path().join("a/link")).unwrap();
        let mut claims = Claims::default();
        for key in ["a/b/c", "file", "not-there"] {
            claims.take(key).unwrap();
        }
        sweep(std::fs::File::open(dir.path()).unwrap().as_fd(), &claims).unwrap();
        let names = |path: &str| {
            let entries = std::fs::read_dir(dir.path().join(path)).unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(
            (names(""), names("a"), names("a/b")),
            (vec!["a".into()], vec!["b".into()], vec!["c".to_string()])
        );
        assert!(outside.path().join("kept").exists());
    }
}
