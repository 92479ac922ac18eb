//! Which parts of a tree were chosen: each directory on the way knows what of it is wanted. The paths are kept sorted, in
//! one list: a tree of their names could be too deep for a stack.

use std::ffi::{CStr, CString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What of a directory is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) enum Selection {
    /// All of it.
    #[default]
    All,
    /// Only some names, and of each of them so much.
    Some(Chosen),
}

/// A part of the sorted paths: those that begin with the directory's own path.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    paths: Arc<[Vec<CString>]>,
    part: Range<usize>,
    /// Names of the directory's own path.
    depth: usize,
}

impl Selection {
    /// Of the paths that were chosen; none is all. Gives back a path that is not one inside a tree.
    pub fn of(paths: &[PathBuf]) -> Result<Self, PathBuf> {
        let mut wanted = Vec::new();
        for path in paths {
            wanted.push(names(path).ok_or_else(|| path.clone())?);
        }
        wanted.sort();
        let part = 0..wanted.len();
        Ok(Chosen { paths: wanted.into(), part, depth: 0 }.selection())
    }

    /// Only some of it is wanted.
    pub fn is_some(&self) -> bool {
        matches!(self, Self::Some(_))
    }

    /// What of the directory `name` in this one is wanted.
    pub fn below(&self, name: &CStr) -> Self {
        match self {
            Self::All => Self::All,
            Self::Some(chosen) => chosen.below(name).selection(),
        }
    }
}

impl Chosen {
    /// The names that are wanted, each once.
    pub fn names(&self) -> impl Iterator<Item = &CStr> {
        let mut last = None;
        self.paths().iter().filter_map(move |path| {
            let name = path.get(self.depth)?.as_c_str();
            (last.replace(name) != Some(name)).then_some(name)
        })
    }

    fn paths(&self) -> &[Vec<CString>] {
        self.paths.get(self.part.clone()).unwrap_or_default()
    }

    fn below(&self, name: &CStr) -> Self {
        let (depth, all) = (self.depth, self.paths());
        // A path that ends here sorts before every name.
        let before = all.partition_point(|path| path.get(depth).is_none_or(|other| other.as_c_str() < name));
        let through =
            all.partition_point(|path| path.get(depth).is_none_or(|other| other.as_c_str() <= name));
        let part = self.part.start + before..self.part.start + through;
        Self { paths: Arc::clone(&self.paths), part, depth: depth + 1 }
    }

    /// A directory that was chosen itself, or in which nothing in particular was, is wanted whole.
    fn selection(self) -> Selection {
        match self.paths().first() {
            Some(path) if path.len() > self.depth => Selection::Some(self),
            _ => Selection::All,
        }
    }
}

/// As many names as fit into PATH_MAX; anybody can write a path with more, and nobody could open it.
const NAMES_MAX: usize = 2048;

/// The names of a path inside a tree; none if it leads out of it, or could not be a path. "." is the whole tree.
fn names(path: &Path) -> Option<Vec<CString>> {
    if path.as_os_str().is_empty() {
        return None;
    }
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(CString::new(name.as_bytes()).ok()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (names.len() <= NAMES_MAX).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Result<Selection, PathBuf> {
        Selection::of(&paths.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_chosen_directory_is_wanted_whole_and_those_above_it_only_for_it() {
        let root = of(&["a/b/c", "a/b", "./d", "a/e/f"]).unwrap();
        let names = |selection: &Selection| match selection {
            Selection::All => panic!("all of it"),
            Selection::Some(chosen) => chosen.names().map(CStr::to_owned).collect::<Vec<_>>(),
        };
        assert_eq!(names(&root), [c"a".to_owned(), c"d".to_owned()]);
        let a = root.below(c"a");
        assert_eq!(names(&a), [c"b".to_owned(), c"e".to_owned()]);
        assert_eq!(names(&a.below(c"e")), [c"f".to_owned()]);
        for whole in [a.below(c"b"), a.below(c"e").below(c"f"), root.below(c"d"), a.below(c"b").below(c"c")] {
            assert!(matches!(whole, Selection::All), "{whole:?}");
        }
    }

    #[test]
    fn nothing_chosen_or_the_root_chosen_is_all_of_it() {
        for all in [&[][..], &["."], &["a", "."]] {
            assert!(matches!(of(all), Ok(Selection::All)), "{all:?}");
        }
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for bad in ["", "/a", "..", "a/../b"] {
            assert_eq!(of(&[bad]).err(), Some(PathBuf::from(bad)));
        }
    }

    #[test]
    fn a_path_with_more_names_than_any_kernel_opens_is_refused() {
        assert!(of(&[&vec!["d"; NAMES_MAX].join("/")]).is_ok());
        assert!(of(&[&vec!["d"; NAMES_MAX + 1].join("/")]).is_err());
    }
}
