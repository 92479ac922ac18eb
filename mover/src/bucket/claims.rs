//! Which paths the objects of a listing have, and which of them cannot have theirs. Pure.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use workspacefs_buckets::{NotAPath, path_of};

/// Why an object is no file of the copy.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum Unfit {
    #[error("{0}")]
    NotAPath(#[from] NotAPath),
    #[error("another object is the folder that it would have to be in, as a file")]
    UnderAFile,
    #[error("other objects lie in it as in a folder")]
    IsAFolder,
    #[error("it was listed already")]
    Twice,
}

/// The paths that are taken. Of each it keeps 16 bytes: two random hashes, so that nobody can make two paths that look the same.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    hashers: [RandomState; 2],
    files: HashSet<u128>,
    folders: HashSet<u128>,
}

impl Claims {
    /// The path of a key, which nobody else has from now on. Of a file and a folder of one name the first has it.
    pub fn take(&mut self, key: &str) -> Result<PathBuf, Unfit> {
        let path = path_of(key)?;
        let file = self.hash(&path);
        if self.folders.contains(&file) {
            return Err(Unfit::IsAFolder);
        }
        let folders: Vec<u128> = above(&path).map(|folder| self.hash(folder)).collect();
        if folders.iter().any(|folder| self.files.contains(folder)) {
            return Err(Unfit::UnderAFile);
        }
        if !self.files.insert(file) {
            return Err(Unfit::Twice);
        }
        self.folders.extend(folders);
        Ok(path)
    }

    /// Whether a file has this path.
    pub fn has_file(&self, path: &Path) -> bool {
        self.files.contains(&self.hash(path))
    }

    /// Whether files lie in a folder of this path.
    pub fn has_folder(&self, path: &Path) -> bool {
        self.folders.contains(&self.hash(path))
    }

    fn hash(&self, path: &Path) -> u128 {
        let bytes = path.as_os_str().as_bytes();
        let [first, second] =
            [0, 1].map(|at: usize| self.hashers.get(at).map_or(0, |state| state.hash_one(bytes)));
        (u128::from(first) << 64) | u128::from(second)
    }
}

/// The folders that a path lies in, without the root.
fn above(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().skip(1).filter(|folder| folder.as_os_str() != OsStr::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_and_a_folder_of_one_name_the_first_has_it() {
        let mut claims = Claims::default();
        let mut take = |key: &str| claims.take(key).err();
        assert_eq!([take("a"), take("a.b"), take("d/e/f")], [None; 3]);
        assert_eq!(take("a/b"), Some(Unfit::UnderAFile));
        assert_eq!(take("a/b/c"), Some(Unfit::UnderAFile));
        assert_eq!([take("d"), take("d/e")], [Some(Unfit::IsAFolder); 2]);
        assert_eq!([take("d/e/f"), take("d/g")], [Some(Unfit::Twice), None]);
        assert_eq!(take("d//g"), Some(Unfit::NotAPath(NotAPath::EmptyPart)));
        assert!(claims.has_file("a".as_ref()) && !claims.has_file("d".as_ref()));
        assert!(
            claims.has_folder("d/e".as_ref())
                && !claims.has_folder("a".as_ref())
                && !claims.has_folder("".as_ref())
        );
    }
}
