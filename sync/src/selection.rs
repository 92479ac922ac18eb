//! Which parts of a tree were chosen: a tree of names, so that each directory on the way knows what of it is wanted.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What of a directory is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) enum Selection {
    /// All of it.
    #[default]
    All,
    /// These names, and of each of them so much.
    Some(Arc<BTreeMap<CString, Selection>>),
}

impl Selection {
    /// Of the paths that were chosen; none is all. Gives back a path that is not one inside a tree.
    pub fn of(paths: &[PathBuf]) -> Result<Self, PathBuf> {
        let mut wanted = Vec::new();
        for path in paths {
            wanted.push(names(path).ok_or_else(|| path.clone())?);
        }
        wanted.sort();
        if wanted.iter().any(Vec::is_empty) {
            return Ok(Self::All);
        }
        Ok(if wanted.is_empty() { Self::All } else { Self::tree(wanted.iter().map(Vec::as_slice)) })
    }

    /// Of sorted paths, none of them empty.
    fn tree<'a>(paths: impl Iterator<Item = &'a [CString]>) -> Self {
        let mut below: BTreeMap<CString, Vec<&[CString]>> = BTreeMap::new();
        for path in paths {
            if let Some((name, rest)) = path.split_first() {
                below.entry(name.clone()).or_default().push(rest);
            }
        }
        let part = |rests: Vec<&'a [CString]>| match rests.iter().any(|rest| rest.is_empty()) {
            true => Self::All,
            false => Self::tree(rests.into_iter()),
        };
        Self::Some(Arc::new(below.into_iter().map(|(name, rests)| (name, part(rests))).collect()))
    }

    /// What of the directory `name` in this one is wanted.
    pub fn below(&self, name: &std::ffi::CStr) -> Self {
        match self {
            Self::All => Self::All,
            Self::Some(names) => names.get(name).cloned().unwrap_or_default(),
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
        let Selection::Some(root) = of(&["a/b/c", "a/b", "./d"]).unwrap() else { panic!("all of it") };
        assert_eq!(root.len(), 2);
        let Selection::Some(a) = &root[c"a"] else { panic!("all of a") };
        assert!(matches!(a[c"b"], Selection::All));
        assert!(matches!(root[c"d"], Selection::All));
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
