//! What a run has to make of a source and a destination, said as plainly as it can be: nothing of how it is done.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::tree::{Entry, Tree};

/// What was asked for.
pub struct Asked<'a> {
    /// `*.skip` is left out, `keep.skip` is not.
    pub filter: bool,
    /// All if empty.
    pub chosen: &'a [PathBuf],
    pub delete: bool,
}

/// What comes of it.
#[derive(Debug, Default)]
pub struct Expected {
    pub tree: Tree,
    /// A directory is in the way, and nothing may be deleted.
    pub in_the_way: BTreeSet<PathBuf>,
    /// What is deleted, with what is in deleted directories.
    pub deleted: BTreeSet<PathBuf>,
    /// What is met in the source, and of these what is left out: files with their bytes, directories.
    pub found: Figures,
    pub left_out: Figures,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Figures {
    pub files: u64,
    pub bytes: u64,
    pub directories: u64,
}

impl Figures {
    /// What is left out is not looked at, so it has no bytes.
    fn add(&mut self, entry: &Entry, left_out: bool) {
        if entry.is_dir() {
            self.directories += 1;
        } else {
            self.files += 1;
            self.bytes += if left_out { 0 } else { entry.bytes() };
        }
    }
}

impl Asked<'_> {
    /// By its own name; what is below something that is left out is not looked at.
    fn excludes(&self, path: &Path) -> bool {
        let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        self.filter && name.ends_with(b".skip") && name != b"keep.skip"
    }

    pub fn leaves_out(&self, path: &Path) -> bool {
        path.ancestors().any(|above| self.excludes(above))
    }

    /// Chosen, or in something that is.
    fn is_chosen(&self, path: &Path) -> bool {
        self.chosen.is_empty() || self.chosen.iter().any(|chosen| path.starts_with(chosen))
    }

    /// On the way to something chosen.
    fn is_on_the_way(&self, path: &Path) -> bool {
        self.chosen.iter().any(|chosen| chosen.starts_with(path))
    }
}

pub fn expect(source: &Tree, before: &Tree, asked: &Asked<'_>) -> Expected {
    let mut expected = Expected::default();
    for (path, entry) in source {
        if !(asked.is_chosen(path) || asked.is_on_the_way(path)) {
            continue;
        }
        let above_left_out = path.parent().is_some_and(|parent| asked.leaves_out(parent));
        let is_root = path.as_os_str().is_empty();
        if !above_left_out && !is_root {
            expected.found.add(entry, asked.leaves_out(path));
        }
        if asked.leaves_out(path) {
            if !above_left_out {
                expected.left_out.add(entry, true);
            }
            continue;
        }
        let there = before.get(path);
        if !entry.is_dir() && there.is_some_and(Entry::is_dir) && !asked.delete {
            expected.in_the_way.insert(path.clone());
        } else {
            expected.tree.insert(path.clone(), entry.clone());
        }
    }
    // What is in the destination only: the inner ones first, because a directory stays with what stays in it.
    let mut stays_with: BTreeSet<PathBuf> = BTreeSet::new();
    for (path, entry) in before.iter().rev() {
        if expected.tree.get(path).is_some_and(|new| new.is_dir() == entry.is_dir()) {
            continue;
        }
        let replaced = expected.tree.contains_key(path);
        if replaced && !entry.is_dir() {
            continue;
        }
        let gone = replaced || stands_in_a_place(path, &expected.tree);
        let may_go = gone || (asked.delete && asked.is_chosen(path) && !asked.leaves_out(path));
        if may_go && !stays_with.contains(path) && !stays_with_source(path, source, asked) {
            expected.deleted.insert(path.clone());
        } else {
            // Not of the source: what it is linked with is nobody's business.
            expected.tree.insert(path.clone(), Entry { inode: 0, ..entry.clone() });
            stays_with.extend(path.ancestors().skip(1).map(Path::to_path_buf));
        }
    }
    expected
}

/// It lies in a directory in whose place a file comes.
fn stands_in_a_place(path: &Path, tree: &Tree) -> bool {
    path.ancestors().skip(1).any(|above| tree.get(above).is_some_and(|above| !above.is_dir()))
}

/// The source has something there that was not asked for.
fn stays_with_source(path: &Path, source: &Tree, asked: &Asked<'_>) -> bool {
    source.contains_key(path) && (asked.leaves_out(path) || !asked.is_chosen(path))
}

/// Where owners are not kept, whoever has the copy is not whom a program of the source runs as: it must not begin to run as
/// somebody else.
pub fn without_foreign_set_id(mut expected: Tree, got: &Tree, source: &Tree) -> Tree {
    for (path, entry) in &mut expected {
        let Some(got) = got.get(path).filter(|_| source.contains_key(path)) else { continue };
        if got.owner.0 != entry.owner.0 {
            entry.mode &= !0o4000;
        }
        if got.owner.1 != entry.owner.1 {
            entry.mode &= !0o2000;
        }
    }
    expected
}

/// What a run that may delete only so much leaves: nothing that should not be, nothing missing but what deletions would have
/// made room for.
pub fn within_limit(got: &Tree, before: &Tree, expected: &Expected) -> Result<u64, String> {
    let is_dir = |path: &Path| got.get(path).is_some_and(Entry::is_dir);
    let is_gone = |path: &Path, was: &Entry| !got.contains_key(path) || (was.is_dir() && !is_dir(path));
    let gone: Vec<_> = before.iter().filter(|(path, was)| is_gone(path, was)).map(|(path, _)| path).collect();
    if let Some(path) = gone.iter().find(|path| !expected.deleted.contains(**path)) {
        return Err(format!("{path:?} was deleted"));
    }
    let unwanted = |path: &&PathBuf| !expected.tree.contains_key(*path) && !expected.deleted.contains(*path);
    if let Some(path) = got.keys().find(unwanted) {
        return Err(format!("{path:?} appeared"));
    }
    let blocked =
        |path: &Path| path.ancestors().any(|above| expected.deleted.contains(above) && is_dir(above));
    let missing = |path: &&PathBuf| !got.contains_key(*path) && !blocked(path);
    match expected.tree.keys().find(missing) {
        Some(path) => Err(format!("{path:?} is missing")),
        None => Ok(gone.len() as u64),
    }
}
