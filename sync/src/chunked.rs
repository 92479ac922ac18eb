//! Large files: chunks of them side by side, by whichever worker is free. What that costs in memory is the workers'
//! buffers, however large the file.

use std::ffi::CString;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{Advice, OFlags, fadvise, ftruncate};

use crate::copy::{ATTEMPTS, Writing, is_untouched, look_again, open_source};
use crate::digest::{CHUNK_LEN, Chunks, Digest};
use crate::directory::Dir;
use crate::engine::Engine;
use crate::files::{Outcome, Subject};
use crate::linking::First;
use crate::locked::lock;
use crate::place::Handle;
use crate::progress::What;
use crate::pump::Flow;
use crate::report::Problem;
use crate::stat::Stat;
use crate::trouble::{Side, Trouble};
use crate::worker::Worker;

/// Smaller ones are copied by one worker.
pub(crate) const CHUNKED_BYTES_MIN: u64 = 2 * CHUNK_LEN;

/// A large file in work.
#[derive(Debug)]
pub(crate) struct Large {
    dir: Arc<Dir>,
    name: CString,
    /// As it was counted.
    found: Stat,
    existing: Option<Stat>,
    /// As it is copied.
    before: Stat,
    attempt: u32,
    source: OwnedFd,
    /// Taken when it is placed; dropped before that, the temporary file goes.
    writing: Mutex<Option<Writing>>,
    /// Its blocks are the source's: chunks are read for their hash alone.
    cloned: bool,
    hashes: Mutex<Option<Chunks>>,
    chunks_left: AtomicU64,
    /// A chunk failed or fell short: the others need not be copied.
    over: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
}

impl Engine<'_> {
    /// Makes the temporary file and hands out the chunks.
    pub fn begin_large(
        &self,
        subject: &Subject<'_>,
        before: Stat,
        source: OwnedFd,
        destination: &Arc<Handle>,
        attempt: u32,
    ) -> Result<Outcome, Trouble> {
        let writing = self.write(subject, destination, &before)?;
        // Read-ahead twice as long: half the requests. Only advice: a file system that takes none reads as well.
        let _ = fadvise(&source, 0, None, Advice::Sequential);
        let cloned = self.clone_whole(source.as_fd(), writing.file.as_fd());
        if !cloned {
            ftruncate(&writing.file, before.size).map_err(Side::Destination.at("write"))?;
        }
        // A clone that nobody wants a hash of is one chunk with nothing to do.
        let chunks =
            if cloned && !self.options.checksum { 1 } else { before.size.div_ceil(CHUNK_LEN).max(1) };
        let hashes = self.options.checksum.then(|| Chunks::new(before.size));
        let large = Large {
            dir: Arc::clone(subject.dir),
            name: subject.name.to_owned(),
            found: subject.stat,
            existing: subject.existing,
            before,
            attempt,
            source,
            writing: Mutex::new(Some(writing)),
            cloned,
            hashes: Mutex::new(hashes),
            chunks_left: AtomicU64::new(chunks),
            over: AtomicBool::new(false),
            trouble: Mutex::new(None),
        };
        self.queue.push_chunks(Arc::new(large), chunks);
        Ok(Outcome::Handed)
    }

    /// Copies a chunk. Whoever has the last one places the file.
    pub fn chunk(&self, worker: &mut Worker, large: &Arc<Large>, index: u64) {
        if !large.over.load(Ordering::Relaxed) {
            self.control.at(worker.number, Some(large.dir.source.path_of(&large.name)));
            if let Err(trouble) = self.copy_chunk(worker, large, index) {
                if trouble == Trouble::Stopped {
                    return;
                }
                large.over.store(true, Ordering::Relaxed);
                lock(&large.trouble).get_or_insert(trouble);
            }
        }
        if large.chunks_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.conclude(worker, large);
        }
    }

    fn copy_chunk(&self, worker: &mut Worker, large: &Large, index: u64) -> Result<(), Trouble> {
        if large.cloned && !self.options.checksum {
            return Ok(());
        }
        let start = index * CHUNK_LEN;
        let end = (start + CHUNK_LEN).min(large.before.size);
        // The kernel may fetch the chunk at once, instead of a little ahead of each read.
        let _ = fadvise(&large.source, start, NonZeroU64::new(end - start), Advice::WillNeed);
        let mut hasher = lock(&large.hashes).as_ref().map(|hashes| hashes.hasher(index));
        let mut update = |bytes: &[u8]| {
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
        };
        let destination = match large.cloned {
            true => None,
            // Its own descriptor: the lock is not held while bytes move.
            false => match lock(&large.writing).as_ref() {
                Some(writing) => Some(writing.file.try_clone().map_err(|_| Trouble::Stopped)?),
                None => return Err(Trouble::Stopped),
            },
        };
        let mut flow = Flow {
            source: large.source.as_fd(),
            destination: destination.as_ref().map(AsFd::as_fd),
            sparse: large.before.is_sparse(),
            hash: if self.options.checksum { Some(&mut update) } else { None },
        };
        if self.pump(&mut flow, worker.bytes(), start, end)? != end {
            large.over.store(true, Ordering::Relaxed);
        }
        if let Some(destination) = &destination {
            self.begin_write_back(destination.as_fd(), start, end - start);
        }
        if let (Some(hashes), Some(hasher)) = (lock(&large.hashes).as_ref(), hasher) {
            hashes.put(index, hasher.finish());
        }
        Ok(())
    }

    fn conclude(&self, worker: &mut Worker, large: &Large) {
        let outcome = self.handles(&large.dir).and_then(|handles| {
            self.place_large(&handles.subject(&large.dir, &large.name, large.found, large.existing), large)
        });
        match outcome {
            Ok(Outcome::Handed) | Err(Trouble::Stopped) => {}
            Ok(outcome) => {
                if large.found.links > 1 {
                    let first = First { stat: large.found, dir: &large.dir, name: &large.name };
                    self.first_name_is_done(worker, first, outcome);
                }
                self.count_outcome(&large.dir, large.found.size, outcome);
            }
            Err(trouble) => {
                if large.found.links > 1 {
                    self.first_name_failed(large.found, &trouble);
                }
                self.failed(What::File, large.found.size, large.dir.source.path_of(&large.name), trouble);
                self.file_is_settled(&large.dir);
            }
        }
    }

    fn place_large(&self, subject: &Subject<'_>, large: &Large) -> Result<Outcome, Trouble> {
        if let Some(trouble) = lock(&large.trouble).take() {
            return Err(trouble);
        }
        let fell_short = large.over.load(Ordering::Relaxed);
        if fell_short || !is_untouched(&large.before, large.source.as_fd())? {
            return self.begin_again(subject, large);
        }
        let writing = lock(&large.writing).take().ok_or(Trouble::Stopped)?;
        self.place(subject, (large.source.as_fd(), &large.before), writing)?;
        let digest: Option<Digest> = lock(&large.hashes).take().and_then(Chunks::finish);
        self.is_placed(subject, &large.before, digest);
        Ok(Outcome::Done)
    }

    fn begin_again(&self, subject: &Subject<'_>, large: &Large) -> Result<Outcome, Trouble> {
        let attempt = large.attempt + 1;
        let Some(destination) = subject.destination.filter(|_| attempt < ATTEMPTS) else {
            return Err(Trouble::Problem(Problem::Changing));
        };
        // The old one's space may be needed.
        drop(lock(&large.writing).take());
        let source = open_source(subject.source.as_fd(), subject.name, OFlags::empty())?;
        let before = look_again(source.as_fd())?;
        self.begin_large(subject, before, source, destination, attempt)
    }
}
