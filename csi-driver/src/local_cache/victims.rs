//! What is thrown away when the kernel wants room: the files that were not read for the longest time. However many there are, only
//! so many are remembered.

use std::collections::BinaryHeap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A time in seconds and nanoseconds.
pub type Time = (i64, i64);

/// An entry of the cache that may be thrown away. The one that was read last is the greatest.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Victim {
    /// When it was read last.
    pub read_at: Time,
    /// The folder that it is in.
    pub folder: Arc<PathBuf>,
    /// Its name there.
    pub name: String,
}

/// The oldest of all that it is shown.
#[derive(Debug)]
pub struct Oldest {
    most: usize,
    /// The youngest of them is on top.
    kept: BinaryHeap<Victim>,
}

impl Oldest {
    /// Remembers so many.
    pub fn new(most: usize) -> Self {
        Self { most, kept: BinaryHeap::new() }
    }

    /// Whether one that was read then would be among them.
    pub fn would_take(&self, read_at: Time) -> bool {
        self.kept.len() < self.most || self.kept.peek().is_some_and(|youngest| read_at < youngest.read_at)
    }

    /// Takes it, and forgets the youngest where that makes one too many.
    pub fn take(&mut self, victim: Victim) {
        if self.would_take(victim.read_at) {
            self.kept.push(victim);
            if self.kept.len() > self.most {
                self.kept.pop();
            }
        }
    }

    /// The oldest first.
    pub fn in_order(self) -> Vec<Victim> {
        self.kept.into_sorted_vec()
    }
}

/// Looks through the whole of a cache's folder (`cache` in what is bound). `is_in_use` is asked about those only that would be
/// among the oldest. What cannot be read is passed over: it goes on changing.
pub fn look(cache: &Path, most: usize, mut is_in_use: impl FnMut(&Victim) -> bool) -> Vec<Victim> {
    let mut oldest = Oldest::new(most);
    let root = Arc::new(cache.to_owned());
    for (name, metadata) in entries(cache) {
        let victim = victim(&root, name, &metadata);
        let mut has_files = !metadata.is_dir();
        let mut consider = |victim: Victim| {
            if oldest.would_take(victim.read_at) && !is_in_use(&victim) {
                oldest.take(victim);
            }
        };
        let mut folders = if metadata.is_dir() { vec![cache.join(&victim.name)] } else { Vec::new() };
        while let Some(folder) = folders.pop() {
            let shared = Arc::new(folder);
            for (name, metadata) in entries(&shared) {
                if metadata.is_dir() {
                    folders.push(shared.join(name));
                } else {
                    has_files = true;
                    consider(self::victim(&shared, name, &metadata));
                }
            }
        }
        // A share's own folder with its 256 below takes a mebibyte, and nobody else removes it.
        if !has_files {
            consider(victim);
        }
    }
    oldest.in_order()
}

fn victim(folder: &Arc<PathBuf>, name: String, metadata: &Metadata) -> Victim {
    let read_at = (metadata.atime(), metadata.atime_nsec());
    Victim { read_at, folder: folder.clone(), name }
}

/// Those with names that a command can have.
fn entries(folder: &Path) -> impl Iterator<Item = (String, Metadata)> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    found.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let is_plain = !name.contains(['\n', '\0']) && !name.starts_with(char::is_whitespace);
        Some((name, entry.metadata().ok()?)).filter(|_| is_plain)
    })
}

/// Removes what the kernel has put into the graveyard: folders, which it does not empty itself.
///
/// # Errors
/// The first that cannot be removed, after the others.
pub fn empty(graveyard: &Path) -> io::Result<()> {
    let mut result = Ok(());
    for entry in fs::read_dir(graveyard)? {
        let entry = entry?;
        let path = entry.path();
        let removed =
            if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
            _ => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Victim {
        Victim { read_at: (seconds, 0), folder: Arc::default(), name: seconds.to_string() }
    }

    proptest! {
        #[test]
        fn the_oldest_are_those_of_a_sorted_list(mut times in prop::collection::vec(0i64..50, 0..60), most in 0usize..20) {
            let mut oldest = Oldest::new(most);
            times.iter().for_each(|time| oldest.take(at(*time)));
            let kept: Vec<i64> = oldest.in_order().iter().map(|victim| victim.read_at.0).collect();
            times.sort_unstable();
            times.truncate(most);
            prop_assert_eq!(kept, times);
        }
    }

    fn file(path: &Path, seconds: u64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(path).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_times(fs::FileTimes::new().set_accessed(time)).unwrap();
    }

    fn names(victims: &[Victim]) -> Vec<&str> {
        victims.iter().map(|victim| victim.name.as_str()).collect()
    }

    #[test]
    fn files_of_all_shares_are_looked_at_and_those_in_use_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path();
        file(&cache.join("Infs,a/@01/old"), 10);
        file(&cache.join("Infs,a/@02/new"), 40);
        file(&cache.join("Infs,b/@01/middle"), 20);
        file(&cache.join("Infs,b/@01/used"), 5);
        let mut asked = Vec::new();
        let found = look(cache, 2, |victim| {
            asked.push(victim.name.clone());
            victim.name == "used"
        });
        assert_eq!(names(&found), ["old", "middle"]);
        assert_eq!(*found[0].folder, cache.join("Infs,a/@01"));
        assert!(asked.contains(&"used".into()));
        assert!(look(&cache.join("nothing"), 2, |_| false).is_empty());
    }

    #[test]
    fn the_folder_of_a_share_without_a_file_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path();
        fs::create_dir_all(cache.join("Infs,gone/@00")).unwrap();
        file(&cache.join("Infs,here/@01/file"), 10);
        let found = look(cache, 9, |_| false);
        assert_eq!(names(&found), ["file", "Infs,gone"]);
        assert_eq!(*found[1].folder, cache);
    }

    #[test]
    fn the_graveyard_is_emptied_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        file(&folder.path().join("1/@00/file"), 1);
        file(&folder.path().join("2"), 1);
        empty(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(empty(&folder.path().join("nothing")).is_err());
    }
}
