//! A tree as its user sees it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    inode: u64,
    mode: u32,
    links: u64,
    owner: (u32, u32),
    device: u64,
    modified: (i64, i64),
    size: u64,
    blocks: u64,
    content: Vec<u8>,
}

impl Seen {
    /// Whether it could be a copy: equal but for its number, times, and how it lies on the disk.
    pub fn is_like(&self, other: &Self) -> bool {
        let told = |seen: &Self| (seen.mode, seen.links, seen.owner, seen.device, seen.size);
        told(self) == told(other) && self.content == other.content
    }
}

/// Everything beneath a folder, and itself.
pub fn seen(folder: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = match metadata.file_type() {
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_vec(),
            kind if kind.is_file() => fs::read(&path).unwrap(),
            kind if kind.is_dir() => {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                Vec::new()
            }
            _ => Vec::new(),
        };
        let seen = Seen {
            inode: metadata.ino(),
            mode: metadata.mode(),
            links: metadata.nlink(),
            owner: (metadata.uid(), metadata.gid()),
            device: metadata.rdev(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
            blocks: metadata.blocks(),
            content,
        };
        all.insert(path.strip_prefix(folder).unwrap().to_owned(), seen);
    }
    all
}

/// Fails unless both are equal, with what differs.
pub fn assert_same(above: &BTreeMap<PathBuf, Seen>, below: &BTreeMap<PathBuf, Seen>) {
    let different: Vec<_> =
        below.keys().chain(above.keys()).filter(|path| above.get(*path) != below.get(*path)).collect();
    let told =
        |seen: Option<&Seen>| seen.map(|seen| format!("{:?}", Seen { content: vec![], ..seen.clone() }));
    let lines = different
        .iter()
        .map(|path| format!("{path:?}\n{:?}\n{:?}\n", told(above.get(*path)), told(below.get(*path))));
    assert!(different.is_empty(), "above, below:\n{}", lines.collect::<String>());
}

/// A name that is no text.
pub fn odd_name() -> OsString {
    OsString::from_vec(b"\xff\n odd \\".to_vec())
}
