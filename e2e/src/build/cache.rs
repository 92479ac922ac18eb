//! The cache's entries: `<folder>/<name>-<key>`, where the key is a hash of all inputs. An entry that exists is whole.

use crate::host::lock::{Lock, LockError};
use crate::progress::Progress;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many characters of the hash stand in a name.
const KEY_LENGTH: usize = 16;

/// An entry that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Another builder's lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file operation.
    #[error("cannot use the cache entry {}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Collects inputs into a key. Each part is length-prefixed, so that no two lists of parts give the same bytes.
#[derive(Default)]
pub struct Key {
    hasher: blake3::Hasher,
}

impl Key {
    /// Adds an input.
    pub fn add(&mut self, part: &[u8]) -> &mut Key {
        self.hasher.update(&(part.len() as u64).to_be_bytes());
        self.hasher.update(part);
        self
    }

    /// The key: 16 hexadecimal digits.
    pub fn finish(&self) -> String {
        self.hasher.finalize().to_hex()[..KEY_LENGTH].to_owned()
    }
}

/// Gives the entry, made by `build` if it is not there. `build` gets a path that does not exist yet and makes a file
/// or folder there. One builder at a time; what an interrupted one left is removed first.
pub fn entry<E: From<CacheError>>(
    path: &Path,
    progress: &Progress,
    build: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    if path.exists() {
        return Ok(path.to_owned());
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let waiting = || progress.say(&format!("waiting for another builder of {name}"));
    let _lock = Lock::wait(&path.with_extension("lock"), waiting).map_err(CacheError::from)?;
    if path.exists() {
        return Ok(path.to_owned());
    }
    let unfinished = path.with_extension("unfinished");
    remove(&unfinished)?;
    build(&unfinished)?;
    fs::rename(&unfinished, path).map_err(|source| CacheError::File { path: path.to_owned(), source })?;
    Ok(path.to_owned())
}

/// Removes a file or folder, if it is there.
pub fn remove(path: &Path) -> Result<(), CacheError> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(entry) if entry.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(|source| CacheError::File { path: path.to_owned(), source })
}

/// Removes the older entries of the same name, except those that `in_use` says are needed.
pub fn prune(current: &Path, in_use: impl Fn(&str) -> bool) -> Result<(), CacheError> {
    let (Some(folder), Some(name)) = (current.parent(), current.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    let Some((prefix, _)) = split(name) else {
        return Ok(());
    };
    let failed = |source| CacheError::File { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let other = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if other != name && !in_use(&other) && split(&other).is_some_and(|(theirs, _)| theirs == prefix) {
            remove(&folder.join(other))?;
        }
    }
    Ok(())
}

/// An entry's name and key; `None` for anything else, such as locks and unfinished entries.
fn split(file: &str) -> Option<(&str, &str)> {
    let stem = file.strip_suffix(".img").unwrap_or(file);
    let (name, key) = stem.rsplit_once('-')?;
    (key.len() == KEY_LENGTH && key.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some((name, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[&[u8]]) -> String {
        let mut key = Key::default();
        for part in parts {
            key.add(part);
        }
        key.finish()
    }

    #[test]
    fn a_key_changes_with_each_part_and_with_where_parts_end() {
        assert_eq!(key(&[b"a", b"b"]), key(&[b"a", b"b"]));
        assert_ne!(key(&[b"a", b"b"]), key(&[b"ab"]));
        assert_ne!(key(&[b"a", b"b"]), key(&[b"a", b"c"]));
    }

    #[test]
    fn an_interrupted_build_is_made_again_and_a_finished_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing-0123456789abcdef");
        let failed = entry::<CacheError>(&path, &Progress::default(), |unfinished| {
            fs::create_dir(unfinished).unwrap();
            Err(CacheError::File { path: unfinished.to_owned(), source: io::Error::other("power cut") })
        });
        assert!(failed.is_err() && !path.exists());
        let build = |unfinished: &Path| -> Result<(), CacheError> {
            fs::create_dir(unfinished).unwrap();
            Ok(())
        };
        assert_eq!(entry(&path, &Progress::default(), build).unwrap(), path);
        let again = |_: &Path| -> Result<(), CacheError> { panic!("built twice") };
        assert_eq!(entry(&path, &Progress::default(), again).unwrap(), path);
    }

    #[test]
    fn pruning_keeps_what_is_in_use_and_what_has_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::write(folder.path().join(name), b"").unwrap();
        let names = [
            "node-0000000000000000.img",
            "node-1111111111111111.img",
            "node-2222222222222222.img",
            "debian-3333333333333333",
            "node-short.img",
        ];
        names.into_iter().for_each(make);
        let current = folder.path().join(names[0]);
        prune(&current, |name| name == names[1]).unwrap();
        let left: Vec<bool> = names.iter().map(|name| folder.path().join(name).exists()).collect();
        assert_eq!(left, [true, true, false, true, true]);
    }
}
