//! Reading a directory: to its end before anything in it is looked at, with buffers so large that a network file system
//! is asked seldom.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, RawDir, SeekFrom, seek};
use rustix::io::Errno;

use crate::names::Names;

/// One getdents64(2). Over NFS and FUSE smaller ones double the requests.
const BUFFER_BYTES: usize = 256 * 1024;

/// A worker's buffer for listings, used again and again.
pub(crate) struct Buffer(Box<[MaybeUninit<u8>]>);

impl Default for Buffer {
    fn default() -> Self {
        Self(Box::new_uninit_slice(BUFFER_BYTES))
    }
}

/// What lies in a source directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Directories.
    pub directories: Names,
    /// Everything else, and what the file system does not name the kind of.
    pub others: Names,
    /// What the filter leaves out of the first and of the second.
    pub left_out_directories: usize,
    pub left_out_others: usize,
    /// Inode and place of each of `others`.
    inodes: Vec<(u64, u32)>,
}

/// An entry as getdents64(2) tells it.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    pub name: &'a CStr,
    pub kind: FileType,
    pub inode: u64,
}

/// Calls with each entry from the directory's beginning; "." and ".." are left out. Ends early where `each` says so.
pub(crate) fn read(
    directory: BorrowedFd<'_>,
    buffer: &mut Buffer,
    each: &mut dyn FnMut(Found<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    seek(directory, SeekFrom::Start(0))?;
    let mut entries = RawDir::new(directory, &mut buffer.0);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            each(Found { name, kind: entry.file_type(), inode: entry.ino() })?;
        }
    }
    Ok(())
}

impl Listing {
    /// Adds one entry; one that is too long for any file system is an error of the one that told it.
    pub fn push(&mut self, found: Found<'_>) -> Result<(), Errno> {
        let names = if found.kind.is_dir() { &mut self.directories } else { &mut self.others };
        let at = names.push(found.name, found.kind).ok_or(Errno::NAMETOOLONG)?;
        if !found.kind.is_dir() {
            self.inodes.push((found.inode, at));
        }
        Ok(())
    }

    /// One entry is not wanted.
    pub fn leave_out(&mut self, is_directory: bool) {
        match is_directory {
            true => self.left_out_directories += 1,
            false => self.left_out_others += 1,
        }
    }

    /// Directories, and the rest in the order of its inodes: on a disk that is about the order in which it lies there, while
    /// names come in that of a hash.
    pub fn into_parts(mut self) -> (Names, Names) {
        self.inodes.sort_unstable();
        let others = self.others.reordered(self.inodes.into_iter().map(|(_, at)| at));
        (self.directories, others)
    }

    /// Marks what the other side has too; gives back what only that has.
    pub fn compare(
        &mut self,
        other: BorrowedFd<'_>,
        buffer: &mut Buffer,
    ) -> Result<Vec<(CString, FileType)>, Errno> {
        let mut only_other = Vec::new();
        let mut both = Vec::new();
        {
            // Built when the first entry comes: most directories that are copied to are empty.
            let mut places: Option<HashMap<&[u8], (bool, u32)>> = None;
            read(other, buffer, &mut |Found { name, kind, .. }| {
                let places = places.get_or_insert_with(|| self.places());
                match places.get(name.to_bytes()) {
                    Some(place) => both.push(*place),
                    None => only_other.push((name.to_owned(), kind)),
                }
                Ok(())
            })?;
        }
        for (directory, at) in both {
            if directory { self.directories.mark(at) } else { self.others.mark(at) }
        }
        Ok(only_other)
    }

    fn places(&self) -> HashMap<&[u8], (bool, u32)> {
        let mut places = HashMap::with_capacity(self.directories.len() + self.others.len());
        for (directory, names) in [(true, &self.directories), (false, &self.others)] {
            let mut names = names.from(0);
            loop {
                let at = names.at;
                let Some(name) = names.next() else { break };
                places.insert(name.text.to_bytes(), (directory, u32::try_from(at).unwrap_or(u32::MAX)));
            }
        }
        places
    }
}
