//! Trees to measure with: the same names, contents and times for the same numbers, on every computer.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// How much is written at once.
const BLOCK: usize = 256 << 10;
/// How many files a thread takes at a time: they share a directory, mostly.
const BATCH: u64 = 64;
/// What all times count from: a second in September 2020.
const EPOCH: Duration = Duration::from_secs(1_600_000_000);

/// A tree in figures.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Directories that hold the files, one beside the other; at least one.
    pub directories: u64,
    /// Files, as many in each directory as in any other, or one more.
    pub files: u64,
    /// The size of each, anywhere between.
    pub bytes: RangeInclusive<u64>,
    /// Another seed, other sizes and contents.
    pub seed: u64,
}

/// What was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Made {
    /// Files.
    pub files: u64,
    /// Their sizes, summed up.
    pub bytes: u64,
}

impl Tree {
    /// Large files of one size.
    pub fn large(files: u64, bytes: u64) -> Self {
        Self { directories: 1, files, bytes: bytes..=bytes, seed: 1 }
    }

    /// Makes the tree as a new folder, with several threads.
    ///
    /// # Errors
    /// The folder is there already, or something could not be written.
    pub fn make(&self, folder: &Path) -> io::Result<Made> {
        fs::create_dir(folder)?;
        let directories: Vec<PathBuf> =
            (0..self.directories.max(1)).map(|number| folder.join(format!("part-{number:05}"))).collect();
        directories.iter().try_for_each(fs::create_dir)?;

        let (next, written) = (AtomicU64::new(0), AtomicU64::new(0));
        let work = || -> io::Result<()> {
            let mut block = vec![0; BLOCK];
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                if from >= self.files {
                    return Ok(());
                }
                for number in from..self.files.min(from + BATCH) {
                    let bytes = self.write(number, &directories, &mut block)?;
                    written.fetch_add(bytes, Ordering::Relaxed);
                }
            }
        };
        let threads = std::thread::available_parallelism()?.get();
        std::thread::scope(|scope| -> io::Result<()> {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut ends = threads.into_iter().map(|thread| thread.join());
            ends.try_for_each(|end| end.map_err(|_| io::Error::other("a thread panicked"))?)
        })?;

        // Now that nothing in them changes any more.
        for path in directories.iter().map(PathBuf::as_path).chain([folder]) {
            fs::set_permissions(path, Permissions::from_mode(0o755))?;
            File::open(path)?.set_modified(SystemTime::UNIX_EPOCH + EPOCH)?;
        }
        Ok(Made { files: self.files, bytes: written.into_inner() })
    }

    /// One file, and its size.
    fn write(&self, number: u64, directories: &[PathBuf], block: &mut [u8]) -> io::Result<u64> {
        let mut random = Random(self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ number);
        let bytes = random.within(&self.bytes);
        let modified =
            EPOCH + Duration::new(random.next() % 31_536_000, (random.next() % 1_000_000_000) as u32);

        // Neighbours by number share a directory.
        let directory = u128::from(number) * directories.len() as u128 / u128::from(self.files);
        let path = directories[directory as usize].join(format!("img_{number:07}.jpg"));
        let mut file = File::create_new(&path)?;
        let mut left = bytes;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            random.fill(&mut block[..part]);
            file.write_all(&block[..part])?;
            left -= part as u64;
        }
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.set_modified(SystemTime::UNIX_EPOCH + modified)?;
        Ok(bytes)
    }
}

/// Numbers without a pattern that a file system could use (the finaliser of SplitMix64); no secrets.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of these, each as likely.
    fn within(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let choices = u128::from(range.end().saturating_sub(*range.start())) + 1;
        range.start() + ((u128::from(self.next()) * choices) >> 64) as u64
    }

    fn fill(&mut self, block: &mut [u8]) {
        let mut words = block.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
        let rest = words.into_remainder();
        let last = self.next().to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Seen {
        mode: u32,
        modified: (i64, i64),
        content: Option<Vec<u8>>,
    }

    fn seen(folder: &Path) -> BTreeMap<PathBuf, Seen> {
        let mut all = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(path) = folders.pop() {
            for entry in fs::read_dir(&path).unwrap() {
                folders.extend(Some(entry.unwrap().path()).filter(|path| path.is_dir()));
            }
            let files = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            for path in files.filter(|path| path.is_file()).chain([path.clone()]) {
                let metadata = fs::metadata(&path).unwrap();
                let seen = Seen {
                    mode: metadata.mode(),
                    modified: (metadata.mtime(), metadata.mtime_nsec()),
                    content: path.is_file().then(|| fs::read(&path).unwrap()),
                };
                all.insert(path.strip_prefix(folder).unwrap().to_owned(), seen);
            }
        }
        all
    }

    fn made(tree: &Tree) -> (Made, BTreeMap<PathBuf, Seen>) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tree");
        let made = tree.make(&folder).unwrap();
        (made, seen(&folder))
    }

    fn tree(seed: u64) -> Tree {
        Tree { directories: 7, files: 300, bytes: 0..=3000, seed }
    }

    #[test]
    fn the_same_numbers_make_the_same_tree_and_another_seed_another() {
        let (first, other) = (made(&tree(5)), made(&tree(6)));
        assert!(first == made(&tree(5)));
        let contents = |of: &BTreeMap<PathBuf, Seen>| -> Vec<Option<Vec<u8>>> {
            of.values().map(|seen| seen.content.clone()).collect()
        };
        assert!(first.1.keys().eq(other.1.keys()), "names do not depend on the seed");
        let pairs = contents(&first.1).into_iter().zip(contents(&other.1));
        let same = pairs.filter(|(one, other)| one.is_some() && one == other).count();
        assert!(same <= 2, "{same} contents of 300 are the same: short ones may be");
    }

    #[test]
    fn a_tree_has_the_files_directories_and_sizes_that_were_asked_for() {
        let (made, all) = made(&tree(1));
        let sizes: Vec<u64> =
            all.values().filter_map(|seen| Some(seen.content.as_ref()?.len() as u64)).collect();
        assert_eq!((all.len(), sizes.len()), (1 + 7 + 300, 300));
        assert_eq!(made, Made { files: 300, bytes: sizes.iter().sum() });
        assert!(sizes.iter().all(|size| *size <= 3000));
        // 300 sizes in a range, wherever they come from, reach its ends nearly.
        assert!(*sizes.iter().min().unwrap() < 100 && *sizes.iter().max().unwrap() > 2900);
        let in_directory = |number: u64| {
            let directory = PathBuf::from(format!("part-{number:05}"));
            all.keys().filter(|path| path.parent() == Some(&directory)).count()
        };
        assert_eq!((0..7).map(in_directory).collect::<Vec<_>>(), [43, 43, 43, 43, 43, 43, 42]);
    }

    #[test]
    fn large_files_have_exactly_that_size_and_differ() {
        let size = 2 * BLOCK + 13;
        let (made, all) = made(&Tree::large(3, size as u64));
        assert_eq!(made, Made { files: 3, bytes: 3 * size as u64 });
        let contents: Vec<_> = all.values().filter_map(|seen| seen.content.as_ref()).collect();
        assert!(contents.iter().all(|content| content.len() == size));
        assert!(contents[0] != contents[1] && contents[0][..BLOCK] != contents[0][BLOCK..2 * BLOCK]);
    }

    #[test]
    fn a_tree_is_never_made_into_another() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(tree(1).make(dir.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
