//! A tree as it lies on a disk, looked at without the engine: what each name is, and traces by which a change shows that
//! was undone.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};

/// By path; the root's is empty. Parents come before what lies in them.
pub type Tree = BTreeMap<PathBuf, Entry>;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    pub kind: Kind,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    /// Access control lists too.
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
    /// What hard links have in common; 0 where that is not to be compared.
    pub inode: u64,
    /// Bytes on the disk.
    pub allocated: u64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    Directory,
    File { size: u64, hash: [u8; 32] },
    Link(OsString),
    Special(&'static str),
}

impl Entry {
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// As the report counts it.
    pub fn bytes(&self) -> u64 {
        match self.kind {
            Kind::File { size, .. } => size,
            _ => 0,
        }
    }
}

const ACL: &[u8] = b"system.posix_acl_";

/// What of a tree two sides have to have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub owner: bool,
    pub xattrs: bool,
    pub acls: bool,
}

impl Terms {
    pub const PLAIN: Self = Self { owner: true, xattrs: false, acls: false };

    fn reduced(self, entry: &Entry) -> impl PartialEq + std::fmt::Debug {
        let kept = |name: &OsString| if name.as_bytes().starts_with(ACL) { self.acls } else { self.xattrs };
        let xattrs: BTreeMap<_, _> = entry
            .xattrs
            .iter()
            .filter(|(name, _)| kept(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let owner = self.owner.then_some(entry.owner);
        (entry.kind.clone(), format!("{:o}", entry.mode), owner, entry.mtime, xattrs)
    }
}

/// Looks at everything, content included.
pub fn look(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, &mut |path, metadata| {
        let full = root.join(path);
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => Kind::Link(fs::read_link(&full).unwrap().into_os_string()),
            kind if kind.is_fifo() => Kind::Special("FIFO"),
            kind if kind.is_socket() => Kind::Special("socket"),
            kind if kind.is_char_device() || kind.is_block_device() => Kind::Special("device"),
            _ => {
                Kind::File { size: metadata.len(), hash: *blake3::hash(&fs::read(&full).unwrap()).as_bytes() }
            }
        };
        let entry = Entry {
            kind,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            xattrs: xattrs(&full),
            inode: metadata.ino(),
            allocated: metadata.blocks() * 512,
        };
        tree.insert(path.to_path_buf(), entry);
    });
    tree
}

/// What changes whenever anything at all is done to an entry.
pub type Traces = BTreeMap<PathBuf, (u64, i64, i64, i64, i64)>;

pub fn traces(root: &Path) -> Traces {
    let mut traces = Traces::new();
    walk(root, &mut |path, metadata| {
        let trace = (
            metadata.ino(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        );
        traces.insert(path.to_path_buf(), trace);
    });
    traces
}

/// Which entries are not what they were, and how.
pub fn changes(before: &Traces, after: &Traces) -> String {
    let paths: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
    changed.map(|path| format!("{path:?}: {:?} -> {:?}\n", before.get(path), after.get(path))).collect()
}

/// The engine's temporary files.
pub fn temporaries(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(root, &mut |path, _| {
        if path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".wsfs-sync-")) {
            found.push(path.to_path_buf());
        }
    });
    found
}

/// Every name below the root, in order.
pub fn names(root: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    walk(root, &mut |path, _| names.push(path.to_path_buf()));
    names.sort();
    names
}

/// Fails with what differs between two trees.
pub fn assert_same(got: &Tree, expected: &Tree, terms: Terms) {
    let difference = difference(got, expected, terms);
    assert!(difference.is_empty(), "{difference}");
}

pub fn difference(got: &Tree, expected: &Tree, terms: Terms) -> String {
    let mut text = String::new();
    for (path, entry) in expected {
        let entry = terms.reduced(entry);
        match got.get(path).map(|got| terms.reduced(got)) {
            None => writeln!(text, "{path:?} is missing: {entry:?}").unwrap(),
            Some(got) if got != entry => {
                writeln!(text, "{path:?} differs:\n     got {got:?}\n  wanted {entry:?}").unwrap();
            }
            Some(_) => {}
        }
    }
    for path in got.keys().filter(|path| !expected.contains_key(*path)) {
        writeln!(text, "{path:?} should not be there").unwrap();
    }
    text + &link_difference(got, expected)
}

/// What is one file in several places on one side is so on the other.
fn link_difference(got: &Tree, expected: &Tree) -> String {
    let mut text = String::new();
    let files = |entry: &Entry| matches!(entry.kind, Kind::File { .. }) && entry.inode != 0;
    let both: Vec<_> = expected
        .iter()
        .filter(|(_, e)| files(e))
        .filter_map(|(path, e)| Some((path, e.inode, got.get(path)?.inode)))
        .collect();
    for (at, (path, wanted, have)) in both.iter().enumerate() {
        for (other, other_wanted, other_have) in &both[at + 1..] {
            if (wanted == other_wanted) != (have == other_have) {
                let should = if wanted == other_wanted { "should be" } else { "should not be" };
                writeln!(text, "{path:?} and {other:?} {should} one file").unwrap();
            }
        }
    }
    text
}

/// Without recursion and without an order.
fn walk(root: &Path, each: &mut dyn FnMut(&Path, &fs::Metadata)) {
    let mut left = vec![PathBuf::new()];
    while let Some(path) = left.pop() {
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        each(&path, &metadata);
        if metadata.is_dir() {
            left.extend(fs::read_dir(&full).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut list = vec![0u8; 64 * 1024];
    // Where a file system has none of them at all, there are none.
    let length = llistxattr(path, &mut list[..]).unwrap_or(0);
    let mut xattrs = BTreeMap::new();
    for name in list[..length].split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).unwrap();
        let mut value = vec![0u8; 64 * 1024];
        let length = lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(length);
        // Given by the system's policy, not by anybody who copies.
        if name != c"security.selinux" {
            xattrs.insert(OsString::from_vec(name.to_bytes().to_vec()), value);
        }
    }
    xattrs
}
