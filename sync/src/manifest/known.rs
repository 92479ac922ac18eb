//! What earlier runs wrote down, in 24 bytes per file, and which of it is still true.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Entry;
use crate::time::Time;

/// Instead of a path: long enough that no two in any tree are taken for one.
type PathHash = [u8; 12];

/// Numbers entries across files, in the order in which they were written.
pub(crate) type Ordinal = u32;

/// Hashes with a key that nobody knows beforehand: nobody can make two paths with one hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key([u8; blake3::KEY_LEN]);

impl Key {
    pub fn fresh() -> Self {
        Self(super::random())
    }

    fn path(&self, path: &Path) -> PathHash {
        let mut hash = PathHash::default();
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(path.as_os_str().as_bytes()).finalize_xof().fill(&mut hash);
        hash
    }

    /// Of what must be the same for a file to be the same; `usable` is false for an entry that never is.
    fn state(&self, path: &PathHash, size: u64, mtime: Time, ctime: Time, usable: bool) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(path).update(&size.to_le_bytes());
        for time in [mtime, ctime] {
            hasher.update(&time.seconds.to_le_bytes()).update(&time.nanoseconds.to_le_bytes());
        }
        let mut hash = [0; 8];
        hasher.update(&[u8::from(usable)]).finalize_xof().fill(&mut hash);
        hash
    }
}

/// A file that was written down.
#[derive(Clone, Copy, Debug)]
struct Known {
    path: PathHash,
    state: [u8; 8],
    ordinal: Ordinal,
}

/// What was written down, to be asked by many threads.
#[derive(Debug)]
pub(super) struct Table {
    key: Key,
    /// Whether only entries with a digest are of use.
    checksum: bool,
    /// In the order of the paths' hashes once it is sealed.
    known: Vec<Known>,
    seen: Bits,
}

impl Table {
    pub fn new(key: Key, checksum: bool) -> Self {
        Self { key, checksum, known: Vec::new(), seen: Bits::default() }
    }

    pub fn push(&mut self, ordinal: Ordinal, entry: &Entry) {
        let path = self.key.path(&entry.path);
        let usable = !self.checksum || entry.digest.is_some();
        let state = self.key.state(&path, entry.size, entry.mtime, entry.ctime, usable);
        self.known.push(Known { path, state, ordinal });
    }

    /// Makes it ready to be asked. What was written later about the same path counts.
    pub fn seal(&mut self) {
        self.known.sort_unstable_by_key(|known| (known.path, known.ordinal));
        keep_last_of(&mut self.known, |known| known.path);
        self.known.shrink_to_fit();
        let ordinals = self.known.iter().map(|known| known.ordinal as usize + 1).max();
        self.seen = Bits::new(ordinals.unwrap_or(0));
    }

    /// Whether just this was written down last; if so, marks it as still true.
    pub fn knows(&self, path: &Path, size: u64, mtime: Time, ctime: Time) -> bool {
        let found = self.find(path, size, mtime, ctime);
        found.into_iter().for_each(|ordinal| self.mark(ordinal));
        found.is_some()
    }

    /// The entry that says just this, if it is the last one of the path.
    pub fn find(&self, path: &Path, size: u64, mtime: Time, ctime: Time) -> Option<Ordinal> {
        let path = self.key.path(path);
        let at = self.known.binary_search_by_key(&path, |known| known.path).ok()?;
        let state = self.key.state(&path, size, mtime, ctime, true);
        self.known.get(at).filter(|known| known.state == state).map(|known| known.ordinal)
    }

    /// It is still true.
    pub fn mark(&self, ordinal: Ordinal) {
        self.seen.set(ordinal as usize);
    }

    /// Whether it was marked.
    pub fn is_marked(&self, ordinal: Ordinal) -> bool {
        self.seen.get(ordinal)
    }

    /// Which entries are still true. The memory for the rest is free from here on.
    pub fn into_seen(self) -> Bits {
        self.seen
    }
}

/// Finds the last entry for each path.
#[derive(Debug)]
pub(super) struct Latest {
    key: Key,
    entries: Vec<(PathHash, Ordinal)>,
}

impl Latest {
    pub fn new(key: Key) -> Self {
        Self { key, entries: Vec::new() }
    }

    pub fn push(&mut self, ordinal: Ordinal, path: &Path) {
        self.entries.push((self.key.path(path), ordinal));
    }

    /// The entries that are the last ones for their path.
    pub fn into_bits(mut self) -> Bits {
        self.entries.sort_unstable();
        keep_last_of(&mut self.entries, |entry| entry.0);
        let bits = Bits::new(self.entries.iter().map(|entry| entry.1 as usize + 1).max().unwrap_or(0));
        self.entries.iter().for_each(|entry| bits.set(entry.1 as usize));
        bits
    }
}

/// Of neighbours with the same key the last one stays.
fn keep_last_of<T: Copy, K: PartialEq>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    items.dedup_by(|next, kept| {
        let same = key(next) == key(kept);
        if same {
            *kept = *next;
        }
        same
    });
}

/// Bits that many threads set.
#[derive(Debug, Default)]
pub(super) struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn set(&self, bit: usize) {
        if let Some(word) = self.0.get(bit / 64) {
            word.fetch_or(1 << (bit % 64), Ordering::Relaxed);
        }
    }

    pub fn get(&self, ordinal: Ordinal) -> bool {
        let bit = ordinal as usize;
        self.0.get(bit / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (bit % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Time {
        Time { seconds, nanoseconds: 5 }
    }

    fn entry(path: &str, size: u64, digest: bool) -> Entry {
        let digest = digest.then_some([1; 32]);
        Entry { path: path.into(), size, mtime: time(1), ctime: time(2), digest }
    }

    fn table(checksum: bool, entries: &[Entry]) -> Table {
        let mut table = Table::new(Key::fresh(), checksum);
        (0..).zip(entries).for_each(|(ordinal, entry)| table.push(ordinal, entry));
        table.seal();
        table
    }

    #[test]
    fn a_file_takes_24_bytes() {
        assert_eq!(size_of::<Known>(), 24);
        assert_eq!(size_of::<(PathHash, Ordinal)>(), 16);
    }

    #[test]
    fn a_file_is_known_if_path_size_and_both_times_are_the_same() {
        let table = table(false, &[entry("a", 3, false), entry("b", 4, true)]);
        for (path, size, mtime, ctime, known) in [
            ("a", 3, 1, 2, true),
            ("b", 4, 1, 2, true),
            ("c", 3, 1, 2, false),
            ("a", 4, 1, 2, false),
            ("a", 3, 2, 2, false),
            ("a", 3, 1, 1, false),
        ] {
            assert_eq!(table.knows(Path::new(path), size, time(mtime), time(ctime)), known, "{path} {size}");
        }
        let other = Time { seconds: 2, nanoseconds: 6 };
        assert!(!table.knows(Path::new("a"), 3, time(1), other));
    }

    #[test]
    fn what_was_written_later_about_a_path_counts() {
        let table = table(false, &[entry("a", 3, false), entry("a", 4, false), entry("b", 1, false)]);
        assert!(!table.knows(Path::new("a"), 3, time(1), time(2)));
        assert!(table.knows(Path::new("a"), 4, time(1), time(2)));
        let seen = table.into_seen();
        assert_eq!([0, 1, 2, 3, 1000].map(|ordinal| seen.get(ordinal)), [false, true, false, false, false]);
    }

    #[test]
    fn where_digests_are_asked_for_an_entry_without_one_is_not_known_and_hides_the_earlier_one() {
        let entries = [entry("a", 3, true), entry("b", 3, true), entry("b", 3, false)];
        let knows =
            |checksum, path: &str| table(checksum, &entries).knows(Path::new(path), 3, time(1), time(2));
        assert_eq!((knows(true, "a"), knows(true, "b")), (true, false));
        assert_eq!((knows(false, "a"), knows(false, "b")), (true, true));
    }

    #[test]
    fn of_many_entries_for_many_paths_the_last_ones_are_found() {
        let mut latest = Latest::new(Key::fresh());
        for ordinal in 0..1000 {
            latest.push(ordinal, Path::new(&format!("{}", ordinal % 300)));
        }
        let bits = latest.into_bits();
        let found: Vec<u32> = (0..1100).filter(|ordinal| bits.get(*ordinal)).collect();
        assert_eq!(found, (700..1000).collect::<Vec<_>>());
    }
}
