//! A tree as it lies on a disk, looked at without the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};

/// By path from the root, which is empty.
pub type Tree = BTreeMap<PathBuf, Entry>;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Content of a file, target of a link, kind of the rest.
    pub what: What,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    /// Access control lists too.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path with the same inode.
    pub twin: PathBuf,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    Folder,
    File(Vec<u8>),
    Link(PathBuf),
    Special,
}

pub fn look(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut inodes = BTreeMap::new();
    for path in paths(root) {
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full).unwrap();
        let what = match metadata.file_type() {
            kind if kind.is_dir() => What::Folder,
            kind if kind.is_file() => What::File(fs::read(&full).unwrap()),
            kind if kind.is_symlink() => What::Link(fs::read_link(&full).unwrap()),
            _ => What::Special,
        };
        let twin = inodes.entry(metadata.ino()).or_insert_with(|| path.clone()).clone();
        let entry = Entry {
            what,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            xattrs: xattrs(&full),
            twin,
        };
        tree.insert(path, entry);
    }
    tree
}

/// What changes whenever anything at all is done to an entry.
pub fn traces(root: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, u64)> {
    let trace = |path: PathBuf| {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        (path, (metadata.ino(), metadata.ctime(), metadata.ctime_nsec(), metadata.size()))
    };
    paths(root).into_iter().map(trace).collect()
}

pub fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

/// The names in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Parents come before what lies in them.
fn paths(root: &Path) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::from([PathBuf::new()]);
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path.clone());
            }
            paths.insert(path);
        }
    }
    paths
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut buffer = vec![0; 64 << 10];
    let length = llistxattr(path, &mut buffer).unwrap_or(0);
    let names: Vec<&CStr> = buffer[..length]
        .split_inclusive(|byte| *byte == 0)
        .map(|name| CStr::from_bytes_with_nul(name).unwrap())
        .collect();
    let value = |name: &CStr| {
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, name, &mut value).unwrap();
        value[..length].to_vec()
    };
    names.into_iter().map(|name| (name.to_bytes().to_vec(), value(name))).collect()
}
