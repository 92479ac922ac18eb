//! Puts a random tree on a disk: the source, and a destination as earlier runs and other people may have left it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, lsetxattr, utimensat};

use super::spec::{Before, Content, Meta, Node, Spec, What};

/// The source's directories and files in the order of the nodes, each relative to the root; none where its name was taken.
pub struct Built {
    pub paths: Vec<Option<PathBuf>>,
    /// Of the hard links, the file that each is a name of.
    first_names: HashMap<PathBuf, PathBuf>,
}

impl Built {
    pub fn has_hard_links(&self) -> bool {
        !self.first_names.is_empty()
    }
}

impl Spec {
    pub fn build_source(&self, root: &Path) -> Built {
        let mut directories = vec![(PathBuf::new(), &self.root)];
        let mut files: Vec<PathBuf> = Vec::new();
        let mut built = Built { paths: Vec::new(), first_names: HashMap::new() };
        for node in &self.nodes {
            let path = directories[node.parent % directories.len()].0.join(OsStr::from_bytes(&node.name));
            let full = root.join(&path);
            if fs::symlink_metadata(&full).is_ok() {
                built.paths.push(None);
                continue;
            }
            match &node.what {
                What::HardLink(which) if !files.is_empty() => {
                    let file = &files[which % files.len()];
                    fs::hard_link(root.join(file), &full).unwrap();
                    built.first_names.insert(path.clone(), file.clone());
                }
                What::HardLink(_) | What::Directory => {
                    fs::create_dir(&full).unwrap();
                    directories.push((path.clone(), &node.meta));
                }
                what => make(&full, what, &node.meta),
            }
            if matches!(node.what, What::File(_)) {
                files.push(path.clone());
            }
            built.paths.push(Some(path));
        }
        finish(root, &directories);
        built
    }

    pub fn build_destination(&self, root: &Path, source: &Path, built: &Built) {
        let mut directories = vec![(PathBuf::new(), &self.root)];
        for (node, path) in self.nodes.iter().zip(&built.paths) {
            let Some(path) = path else { continue };
            if !is_dir(root.join(path).parent().unwrap()) {
                continue;
            }
            // Where only a part is asked for, a name outside of it is no name of a file inside.
            let whole = !self.wish.filter && self.wish.chosen.is_empty();
            let first_name = built.first_names.get(path).filter(|_| whole).map(|first| root.join(first));
            if let Some(meta) = put(node, &root.join(path), is_dir(&source.join(path)), first_name) {
                directories.push((path.clone(), meta));
            }
        }
        for extra in &self.extras {
            let path = directories[extra.parent % directories.len()].0.join(OsStr::from_bytes(&extra.name));
            let full = root.join(&path);
            if [root, source].iter().any(|root| fs::symlink_metadata(root.join(&path)).is_ok()) {
                continue;
            }
            match extra.what {
                What::HardLink(_) => fs::write(&full, "extra").unwrap(),
                _ => make(&full, &extra.what, &extra.meta),
            }
            if matches!(extra.what, What::Directory) {
                directories.push((path, &extra.meta));
            }
        }
        finish(root, &directories);
    }
}

fn is_dir(full: &Path) -> bool {
    fs::symlink_metadata(full).is_ok_and(|metadata| metadata.is_dir())
}

/// Puts what the destination has in a node's place; gives back how a directory is finished. What is one file in the source
/// may be one here too, and nothing else is.
fn put<'a>(node: &'a Node, full: &Path, is_dir: bool, first_name: Option<PathBuf>) -> Option<&'a Meta> {
    let first_name =
        first_name.filter(|first| fs::symlink_metadata(first).is_ok_and(|first| first.is_file()));
    match (&node.before, &node.what) {
        (Before::Missing, _) => {}
        (Before::File, _) => fs::write(full, "was a file").unwrap(),
        (Before::Link, _) => symlink("was a link", full).unwrap(),
        (Before::Directory(children), _) => {
            fs::create_dir(full).unwrap();
            (0..*children).for_each(|child| fs::write(full.join(format!("child {child}")), "").unwrap());
            return is_dir.then_some(&node.meta);
        }
        (before, _) if is_dir => {
            fs::create_dir(full).unwrap();
            return Some(if let Before::OtherAttributes(meta) = before { meta } else { &node.meta });
        }
        (_, What::HardLink(_)) => match first_name {
            Some(first) => fs::hard_link(first, full).unwrap(),
            None => fs::write(full, "another file").unwrap(),
        },
        (Before::Same, what) => make(full, what, &node.meta),
        (Before::Older, What::Link(_)) => symlink("an older target", full).unwrap(),
        (Before::Older, _) => {
            fs::write(full, "older").unwrap();
            set_mtime(full, (node.meta.mtime.0 - 10, node.meta.mtime.1));
        }
        (Before::OtherAttributes(meta), what) => {
            make(full, what, &Meta { mtime: node.meta.mtime, ..meta.clone() });
        }
    }
    None
}

fn make(full: &Path, what: &What, meta: &Meta) {
    match what {
        What::Directory => return fs::create_dir(full).unwrap(),
        What::File(content) => write(full, content),
        What::Link(target) => symlink(OsStr::from_bytes(target), full).unwrap(),
        What::HardLink(_) => unreachable!(),
    }
    apply(full, meta);
}

/// Directories last and from below: what is made in them changes their times and gets what they hand down.
fn finish(root: &Path, directories: &[(PathBuf, &Meta)]) {
    for (path, meta) in directories.iter().rev() {
        apply(&root.join(path), meta);
    }
}

pub fn apply(full: &Path, meta: &Meta) {
    let metadata = fs::symlink_metadata(full).unwrap();
    lchown(full, Some(meta.owner.0), Some(meta.owner.1)).unwrap();
    if !metadata.is_symlink() {
        fs::set_permissions(full, fs::Permissions::from_mode(meta.mode)).unwrap();
        for (name, value) in &meta.xattrs {
            lsetxattr(full, *name, value, XattrFlags::empty()).unwrap();
        }
        if let Some((user, mask)) = meta.acl {
            let list = acl(meta.mode, user, mask);
            lsetxattr(full, "system.posix_acl_access", &list, XattrFlags::empty()).unwrap();
            if metadata.is_dir() {
                lsetxattr(full, "system.posix_acl_default", &list, XattrFlags::empty()).unwrap();
            }
        }
    }
    set_mtime(full, meta.mtime);
}

pub fn set_mtime(full: &Path, (tv_sec, tv_nsec): (i64, i64)) {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, full, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// The kernel's form of an access control list: a version, then tag, permissions and id of each entry.
pub fn acl(mode: u32, user: u16, mask: u16) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let class = |shift: u32| ((mode >> shift) & 7) as u16;
    let entries = [
        (0x01, class(6), NOBODY),
        (0x02, user, 1234),
        (0x04, class(3), NOBODY),
        (0x10, mask, NOBODY),
        (0x20, class(0), NOBODY),
    ];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(u16::to_le_bytes(tag));
        list.extend(permissions.to_le_bytes());
        list.extend(u32::to_le_bytes(id));
    }
    list
}

fn write(full: &Path, content: &Content) {
    let file = File::create(full).unwrap();
    file.set_len(content.size).unwrap();
    let whole = [(0, content.size)];
    for (at, length) in content.extents.as_deref().unwrap_or(&whole) {
        let end = (at + length).min(content.size);
        if *at < end {
            file.write_all_at(&noise(content.seed ^ at, (end - at) as usize), *at).unwrap();
        }
    }
}

/// Bytes without a pattern (xorshift), the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}
