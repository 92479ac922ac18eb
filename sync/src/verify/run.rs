//! A verification at work: threads that take tasks until there are none.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::io::Errno;

use super::check::LastFolder;
use super::content::{Buffer, Content};
use super::queue::{Queue, Task};
use super::{Difference, Verify, VerifyError, VerifyReport, Wrong, check};
use crate::digest::{CHUNK_LEN, Chunks, Digest};
use crate::manifest::{Entry, ManifestError};
use crate::progress::{Control, Place, What};
use crate::report::{Counts, Stop};
use crate::stat::Stat;

/// What is verified.
pub(super) trait Entries: Iterator<Item = Result<Entry, ManifestError>> + Send {}

impl<I: Iterator<Item = Result<Entry, ManifestError>> + Send> Entries for I {}

/// What the workers share.
struct Run<'a, I> {
    root: BorrowedFd<'a>,
    mode: Verify,
    control: &'a Control,
    queue: Queue<I, Large>,
    outcome: Mutex<Outcome>,
}

#[derive(Default)]
struct Outcome {
    wrong: Vec<Wrong>,
    stop: Option<Stop>,
}

/// A file whose chunks several workers read.
struct Large {
    entry: Entry,
    digest: Digest,
    content: Content,
    chunks: Chunks,
    failed: Mutex<Option<Errno>>,
}

pub(super) fn run(
    root: BorrowedFd<'_>,
    entries: impl Entries,
    mode: Verify,
    workers: NonZeroUsize,
    control: &Control,
) -> Result<VerifyReport, VerifyError> {
    let large_above = if mode == Verify::Checksum { CHUNK_LEN } else { u64::MAX };
    let queue = Queue::new(entries, large_above);
    let run = Run { root, mode, control, queue, outcome: Mutex::default() };
    control.begin(workers.get());
    let started = on_threads(workers.get(), |worker| run.work(worker));
    run.count_the_rest();
    control.end();
    started.map_err(VerifyError::Threads)?;
    run.into_report()
}

/// Runs it on so many threads, or on as many as there can be.
///
/// # Errors
/// There cannot be any.
fn on_threads(count: usize, work: impl Fn(usize) + Sync) -> std::io::Result<()> {
    thread::scope(|scope| {
        let work = &work;
        for number in 0..count {
            let name = format!("verify-{number}");
            let started = thread::Builder::new().name(name).spawn_scoped(scope, move || work(number));
            if let (Err(error), 0) = (started, number) {
                return Err(error);
            }
        }
        Ok(())
    })
}

impl<I: Entries> Run<'_, I> {
    fn work(&self, worker: usize) {
        let (mut buffer, mut last) = (Buffer::new(), LastFolder::default());
        while let Some(task) = self.next() {
            match task {
                Task::File(entry) => {
                    self.begin(worker, &entry);
                    let checked = self.check(&entry, &mut buffer, &mut last);
                    self.conclude(entry, checked);
                }
                Task::Large(entry) => {
                    self.begin(worker, &entry);
                    self.open(entry, &mut last);
                }
                Task::Chunk(large, index) => {
                    self.control.at(worker, Some(large.entry.path.clone()));
                    self.read(&large, index, &mut buffer);
                    if let Some(large) = Arc::into_inner(large) {
                        let (entry, checked) = large.finish();
                        self.conclude(entry, checked);
                    }
                }
            }
        }
        self.control.at(worker, None);
    }

    fn next(&self) -> Option<Task<Large>> {
        if self.control.is_cancelled() {
            self.stop(Stop::Cancelled);
        }
        if self.outcome().stop.is_some() {
            return None;
        }
        let task = self.queue.next();
        if task.is_none() && self.queue.is_listed() {
            self.control.listed();
        }
        task
    }

    fn begin(&self, worker: usize, entry: &Entry) {
        self.control.count(What::File, Place::Found, entry.size);
        self.control.at(worker, Some(entry.path.clone()));
    }

    fn check(&self, entry: &Entry, buffer: &mut Buffer, last: &mut LastFolder) -> Result<(), Difference> {
        let digest = match (self.mode, entry.digest) {
            (Verify::Checksum, Some(digest)) => digest,
            (Verify::Checksum, None) => {
                return check::look(self.root, entry, last).and(Err(Difference::NoDigest));
            }
            (Verify::Size, _) => return check::look(self.root, entry, last),
        };
        let content = check::open_content(self.root, entry)?;
        let mut hasher = blake3::Hasher::new();
        let read = content.read(0..entry.size, buffer, |bytes| {
            hasher.update(bytes);
            self.control.read(bytes.len() as u64);
        });
        read.map_err(reading)?;
        // A file that has become shorter has another digest too.
        if *hasher.finalize().as_bytes() == digest { Ok(()) } else { Err(Difference::Content) }
    }

    /// Gives a large file to all workers, if it can be opened and compared.
    fn open(&self, entry: Entry, last: &mut LastFolder) {
        let opened = match entry.digest {
            Some(digest) => check::open_content(self.root, &entry)
                .and_then(|content| content.settle().map(|()| (content, digest)).map_err(reading)),
            None => check::look(self.root, &entry, last).and(Err(Difference::NoDigest)),
        };
        match opened {
            Ok((content, digest)) => {
                let chunks = Chunks::new(entry.size);
                let count = chunks.count();
                let large = Large { entry, digest, content, chunks, failed: Mutex::default() };
                self.queue.opened(Some((large, count)));
            }
            Err(difference) => {
                self.queue.opened(None);
                self.conclude(entry, Err(difference));
            }
        }
    }

    fn read(&self, large: &Large, index: u64, buffer: &mut Buffer) {
        if large.failed().is_some() {
            return;
        }
        let start = index * CHUNK_LEN;
        let end = start.saturating_add(CHUNK_LEN).min(large.entry.size);
        let mut hasher = large.chunks.hasher(index);
        let read = large.content.read(start..end, buffer, |bytes| {
            hasher.update(bytes);
            self.control.read(bytes.len() as u64);
        });
        match read {
            Ok(()) => large.chunks.put(index, hasher.finish()),
            Err(errno) => *large.failed() = Some(errno),
        }
    }

    fn conclude(&self, entry: Entry, checked: Result<(), Difference>) {
        let place = if checked.is_ok() { Place::Done } else { Place::Failed };
        self.control.count(What::File, place, entry.size);
        let Err(what) = checked else { return };
        if let Difference::Failed { errno, .. } = what
            && Stat::of_open_now(self.root).is_err()
        {
            self.stop(Stop::Destination { path: entry.path.clone(), errno });
        }
        self.outcome().wrong.push(Wrong { path: entry.path, what });
    }

    /// The first reason counts.
    fn stop(&self, why: Stop) {
        self.outcome().stop.get_or_insert(why);
    }

    /// Large files that a stop left half read.
    fn count_the_rest(&self) {
        let tally = self.control.tally(What::File);
        let rest = |of: fn(Counts) -> u64| of(tally.found) - of(tally.done) - of(tally.failed);
        let rest = Counts { files: rest(|counts| counts.files), bytes: rest(|counts| counts.bytes) };
        self.control.count_many(What::File, Place::Skipped, rest);
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_report(self) -> Result<VerifyReport, VerifyError> {
        if let Some(error) = self.queue.into_error() {
            return Err(error.into());
        }
        let tally = self.control.tally(What::File);
        let checked = Counts {
            files: tally.done.files + tally.failed.files,
            bytes: tally.done.bytes + tally.failed.bytes,
        };
        let Outcome { wrong, stop } = self.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(VerifyReport { checked, wrong, stopped: stop, elapsed: self.control.elapsed() })
    }
}

impl Large {
    fn failed(&self) -> MutexGuard<'_, Option<Errno>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(self) -> (Entry, Result<(), Difference>) {
        let failed = *self.failed();
        let is_same = self.chunks.finish() == Some(self.digest);
        let checked = match failed {
            Some(errno) => Err(reading(errno)),
            None if is_same => Ok(()),
            None => Err(Difference::Content),
        };
        (self.entry, checked)
    }
}

fn reading(errno: Errno) -> Difference {
    Difference::Failed { step: "read the file", errno }
}
