//! The blake3 of a file whose chunks are hashed by several threads in any order. The digest is the one that `b3sum` prints.
//!
//! blake3 is a tree of halves: pieces of an equal length that is a power of two, and the shorter one at the end, are whole
//! subtrees of it, which are joined two by two. Joined as they come, so that a file of any size takes no more memory than
//! its chunks in work.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// blake3 of a whole file.
pub(crate) type Digest = [u8; blake3::OUT_LEN];

/// How much of a file is hashed, and copied, in one piece.
pub(crate) const CHUNK_LEN: u64 = 8 << 20;

/// A file's digest in the making.
#[derive(Debug)]
pub(crate) struct Chunks {
    size: u64,
    chunk_len: u64,
    joined: Mutex<Joined>,
}

/// The subtrees that still wait for the other half.
#[derive(Debug, Default)]
struct Joined {
    /// By level, chunks being level 0, and place in the level.
    waiting: HashMap<(u32, u64), Digest>,
    /// Of the one or two subtrees that the file's digest is made of.
    top: [Option<Digest>; 2],
}

/// Hashes one chunk.
#[derive(Debug)]
pub(crate) struct ChunkHasher {
    hasher: Hasher,
    /// The chunk is the file.
    is_whole: bool,
    /// How many bytes are missing; none if it was given more than it has, or is no chunk of this file.
    left: Option<u64>,
}

/// What one chunk adds to the file's digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ChainingValue(Option<Digest>);

impl Chunks {
    /// For a file of this size, in chunks of [`CHUNK_LEN`].
    pub fn new(size: u64) -> Self {
        Self::with_chunks_of(CHUNK_LEN, size)
    }

    /// `chunk_len` is a power of two, and at least blake3's own 1024.
    fn with_chunks_of(chunk_len: u64, size: u64) -> Self {
        Self { size, chunk_len, joined: Mutex::default() }
    }

    /// How many there are; an empty file has one.
    pub fn count(&self) -> u64 {
        self.size.div_ceil(self.chunk_len).max(1)
    }

    /// Begins the chunk of this number, counted from 0.
    pub fn hasher(&self, index: u64) -> ChunkHasher {
        let mut hasher = Hasher::new();
        let mut left = None;
        if index < self.count() {
            let start = index * self.chunk_len;
            hasher.set_input_offset(start);
            left = Some((self.size - start).min(self.chunk_len));
        }
        ChunkHasher { hasher, is_whole: self.count() == 1, left }
    }

    /// Takes what came of the chunk of this number; once for each.
    pub fn put(&self, index: u64, value: ChainingValue) {
        let Some(mut value) = value.0 else { return };
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut level, mut place, mut places) = (0, index, self.count());
        while places > 2 {
            let other = place ^ 1;
            // The last one of an odd number moves up alone.
            if other < places {
                let Some(sibling) = joined.waiting.remove(&(level, other)) else {
                    joined.waiting.insert((level, place), value);
                    return;
                };
                let (left, right) = if place < other { (&value, &sibling) } else { (&sibling, &value) };
                value = merge_subtrees_non_root(left, right, Mode::Hash);
            }
            (level, place, places) = (level + 1, place / 2, places.div_ceil(2));
        }
        if let Some(top) = usize::try_from(place).ok().and_then(|place| joined.top.get_mut(place)) {
            *top = Some(value);
        }
    }

    /// The file's digest; none if a chunk is missing, or had more or fewer bytes than the size said.
    pub fn finish(self) -> Option<Digest> {
        let count = self.count();
        let joined = self.joined.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (count, joined.top) {
            (1, [whole, _]) => whole,
            (_, [Some(left), Some(right)]) => Some(merge_subtrees_root(&left, &right, Mode::Hash).into()),
            _ => None,
        }
    }
}

impl ChunkHasher {
    /// Takes the chunk's next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.left = self.left.and_then(|left| left.checked_sub(bytes.len() as u64));
        if self.left.is_some() {
            self.hasher.update(bytes);
        }
    }

    /// What [`Chunks::put`] wants.
    pub fn finish(self) -> ChainingValue {
        let is_complete = self.left == Some(0);
        ChainingValue(is_complete.then(|| match self.is_whole {
            true => self.hasher.finalize().into(),
            false => self.hasher.finalize_non_root(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(size: u64) -> Vec<u8> {
        (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    /// Hashes the chunks in this order, each in pieces of `piece` bytes.
    fn digest(content: &[u8], chunk_len: u64, order: &[u64], piece: usize) -> Option<Digest> {
        let chunks = Chunks::with_chunks_of(chunk_len, content.len() as u64);
        for &index in order {
            let mut hasher = chunks.hasher(index);
            let start = ((index * chunk_len) as usize).min(content.len());
            let end = (start + chunk_len as usize).min(content.len());
            content[start..end].chunks(piece).for_each(|bytes| hasher.update(bytes));
            chunks.put(index, hasher.finish());
        }
        chunks.finish()
    }

    #[test]
    fn at_every_edge_the_digest_is_that_of_the_whole() {
        for chunk_len in [1024_u64, 4096] {
            for edge in (0..=17).map(|n| n * chunk_len) {
                for size in [edge.saturating_sub(1), edge, edge + 1] {
                    let content = content(size);
                    let count = Chunks::with_chunks_of(chunk_len, size).count();
                    let backwards: Vec<u64> = (0..count).rev().collect();
                    let expected = Some(*blake3::hash(&content).as_bytes());
                    assert_eq!(
                        digest(&content, chunk_len, &backwards, 1000),
                        expected,
                        "{size} by {chunk_len}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn in_whatever_order_the_chunks_come_the_digest_is_that_of_the_whole(
            (size, chunk_len, order) in (0_u64..70_000, 0_u32..4).prop_flat_map(|(size, power)| {
                let chunk_len = 1024 << power;
                let count = Chunks::with_chunks_of(chunk_len, size).count();
                let order = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
                (Just(size), Just(chunk_len), order)
            }),
            piece in 1_usize..3000,
        ) {
            let content = content(size);
            let expected = Some(*blake3::hash(&content).as_bytes());
            prop_assert_eq!(digest(&content, chunk_len, &order, piece), expected);
        }
    }

    #[test]
    fn chunks_hashed_by_several_threads_give_the_digest_of_the_whole() {
        let content = content(5 * CHUNK_LEN + 12_345);
        let chunks = Chunks::new(content.len() as u64);
        std::thread::scope(|scope| {
            for first in 0..3 {
                let (chunks, content) = (&chunks, &content);
                scope.spawn(move || {
                    for index in (first..chunks.count()).step_by(3) {
                        let bytes = content.chunks(CHUNK_LEN as usize).nth(index as usize).unwrap();
                        let mut hasher = chunks.hasher(index);
                        hasher.update(bytes);
                        chunks.put(index, hasher.finish());
                    }
                });
            }
        });
        assert_eq!(chunks.finish(), Some(*blake3::hash(&content).as_bytes()));
    }

    #[test]
    fn a_missing_short_long_or_foreign_chunk_leaves_no_digest() {
        let all = content(4 * 1024);
        assert!(digest(&all, 1024, &[0, 1, 2, 3], 99).is_some());
        assert_eq!(digest(&all, 1024, &[0, 1, 3], 99), None);
        for (index, length) in [(1, 1023), (1, 1025), (1, 0), (4, 0), (4, 1024)] {
            let chunks = Chunks::with_chunks_of(1024, 4 * 1024);
            for other in (0..4).filter(|other| *other != index.min(3)) {
                let mut hasher = chunks.hasher(other);
                hasher.update(&all[..1024]);
                chunks.put(other, hasher.finish());
            }
            let mut hasher = chunks.hasher(index);
            hasher.update(&all[..length]);
            chunks.put(index, hasher.finish());
            assert_eq!(chunks.finish(), None, "{length} bytes for chunk {index}");
        }
    }

    #[test]
    fn a_file_of_any_size_takes_memory_for_its_chunks_in_work_only() {
        let chunks = Chunks::with_chunks_of(1024, u64::MAX);
        for index in 0..1000 {
            chunks.put(index, ChainingValue(Some([0; 32])));
        }
        assert!(chunks.joined.lock().unwrap().waiting.len() <= 10);
    }
}
