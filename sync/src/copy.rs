//! Copying one file: read, looked at again, written under a temporary name, placed. A source that changed meanwhile is
//! copied again; nothing of such a copy is ever seen.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, Mode, OFlags, fadvise, ftruncate};
use rustix::io::Errno;

use crate::Time;
use crate::abilities::set_mtime;
use crate::attributes::Bearer;
use crate::chunked::CHUNKED_BYTES_MIN;
use crate::digest::Digest;
use crate::engine::Engine;
use crate::files::{Outcome, Subject};
use crate::manifest::Entry;
use crate::place::{Crossing, Handle, open_beneath};
use crate::pump::{Flow, read_whole, write_all_at};
use crate::report::Problem;
use crate::stat::Stat;
use crate::temporary::{Nameless, Temporary};
use crate::trouble::{Side, Trouble};
use crate::worker::{BUFFER_BYTES, Worker};

/// A file that changes each time that it is read is given up.
pub(crate) const ATTEMPTS: u32 = 3;

/// Two changes within one tick of the kernel's coarse clock have the same time (10 ms at most; Linux 6.13 tells them apart).
/// A file that was changed so lately could be changed again unseen: it is left to age so long first.
const TICK: Duration = Duration::from_millis(20);

/// A file that is written: how it gets its name, and what it was when it was made.
#[derive(Debug)]
pub(crate) struct Writing {
    unplaced: Unplaced,
    pub file: OwnedFd,
    made: Stat,
}

#[derive(Debug)]
enum Unplaced {
    Named(Temporary),
    Nameless(Nameless),
}

/// One attempt at a file. What comes of it is nothing if the source changed, else the digest if one was asked for.
#[derive(Clone, Copy)]
struct Once<'a> {
    subject: &'a Subject<'a>,
    /// The source as it was before it is read.
    before: &'a Stat,
    source: BorrowedFd<'a>,
    /// It was opened to be read past the cache.
    direct: bool,
    destination: &'a Arc<Handle>,
}

/// Read whole into a worker's buffer.
fn is_small(stat: &Stat) -> bool {
    stat.size < BUFFER_BYTES as u64 && !stat.is_sparse()
}

impl Engine<'_> {
    /// Copies a regular file, or begins to where it is large.
    pub fn copy(&self, worker: &mut Worker, subject: &Subject<'_>) -> Result<Outcome, Trouble> {
        let Some(destination) = subject.destination.filter(|_| !self.options.dry_run) else {
            return Ok(Outcome::Done);
        };
        let mut before = subject.stat;
        for attempt in 0..ATTEMPTS {
            let began = Instant::now();
            let (source, direct) = self.open_to_copy(subject, &before)?;
            self.observe(1, began.elapsed());
            let unsettled = unsettled(before.ctime, Time::now());
            if let Some(wait) = unsettled {
                std::thread::sleep(wait);
            }
            if attempt > 0 || unsettled.is_some() {
                before = look_again(source.as_fd())?;
            }
            if before.size >= CHUNKED_BYTES_MIN {
                return self.begin_large(subject, before, source, destination, attempt);
            }
            let once = Once { subject, before: &before, source: source.as_fd(), direct, destination };
            let copied = match is_small(&before) {
                true => self.copy_small(worker, &once)?,
                false => self.copy_streamed(worker, &once)?,
            };
            if let Some(digest) = copied {
                self.is_placed(subject, &before, digest);
                return Ok(Outcome::Done);
            }
        }
        Err(Trouble::Problem(Problem::Changing))
    }

    /// Also says whether it is read past the cache.
    fn open_to_copy(&self, subject: &Subject<'_>, before: &Stat) -> Result<(OwnedFd, bool), Trouble> {
        let open = |flags| open_source(subject.source.as_fd(), subject.name, flags);
        if is_small(before) && self.abilities.direct.get() {
            match open(OFlags::DIRECT) {
                Err(Trouble::Call { errno: Errno::INVAL, .. }) => self.abilities.direct.clear(),
                other => return other.map(|file| (file, true)),
            }
        }
        open(OFlags::empty()).map(|file| (file, false))
    }

    fn copy_small(&self, worker: &mut Worker, once: &Once<'_>) -> Result<Option<Option<Digest>>, Trouble> {
        let Once { subject, before, source, direct, destination } = *once;
        self.may_read(before.size)?;
        let size = usize::try_from(before.size).unwrap_or(usize::MAX);
        let buffer = worker.bytes();
        let buffer = buffer.get_mut(..=size).unwrap_or_default();
        let read = match read_whole(source, buffer) {
            Ok(read) => read,
            // It takes aligned buffers only: once more, through the cache.
            Err(Errno::INVAL) if direct => {
                self.abilities.direct.clear();
                return Ok(None);
            }
            Err(errno) => return Err(Side::Source.at("read the source file")(errno)),
        };
        self.control.read(read as u64);
        if read != size || !is_untouched(before, source)? {
            return Ok(None);
        }
        let content = buffer.get(..size).unwrap_or_default();
        let digest = self.options.checksum.then(|| *blake3::hash(content).as_bytes());
        let writing = self.write(subject, destination, before)?;
        write_all_at(writing.file.as_fd(), content, 0).map_err(Side::Destination.at("write"))?;
        self.place(subject, (source, before), writing)?;
        Ok(Some(digest))
    }

    fn copy_streamed(&self, worker: &mut Worker, once: &Once<'_>) -> Result<Option<Option<Digest>>, Trouble> {
        let Once { subject, before, source, destination, .. } = *once;
        // Only advice: a file system that takes none reads as well.
        let _ = fadvise(source, 0, None, Advice::Sequential);
        let writing = self.write(subject, destination, before)?;
        let cloned = self.clone_whole(source, writing.file.as_fd());
        let mut hasher = self.options.checksum.then(blake3::Hasher::new);
        if !cloned || hasher.is_some() {
            let mut update = |bytes: &[u8]| {
                if let Some(hasher) = &mut hasher {
                    hasher.update(bytes);
                }
            };
            let mut flow = Flow {
                source,
                destination: (!cloned).then(|| writing.file.as_fd()),
                sparse: before.is_sparse(),
                hash: if self.options.checksum { Some(&mut update) } else { None },
            };
            if self.pump(&mut flow, worker.bytes(), 0, before.size)? != before.size {
                return Ok(None);
            }
        }
        if !is_untouched(before, source)? {
            return Ok(None);
        }
        if before.is_sparse() {
            ftruncate(&writing.file, before.size).map_err(Side::Destination.at("write"))?;
        }
        if !cloned {
            self.begin_write_back(writing.file.as_fd(), 0, before.size);
        }
        self.place(subject, (source, before), writing)?;
        Ok(Some(hasher.map(|hasher| *hasher.finalize().as_bytes())))
    }

    /// An empty file that has not its name yet.
    pub fn write(
        &self,
        subject: &Subject<'_>,
        destination: &Arc<Handle>,
        source: &Stat,
    ) -> Result<Writing, Trouble> {
        let at = |step| Side::Destination.at(step);
        let mode = self.first_mode(source);
        // What is there has to be replaced.
        let may_be_nameless = subject.existing.is_none();
        let nameless = may_be_nameless.then(|| self.abilities.nameless(destination, &self.temporaries, mode));
        let (unplaced, file) = match nameless.flatten() {
            Some((nameless, file)) => (Unplaced::Nameless(nameless), file),
            None => {
                let (temporary, file) = Temporary::file(destination, &self.temporaries, mode)
                    .map_err(at("make the destination file"))?;
                (Unplaced::Named(temporary), file)
            }
        };
        // Now, while the answer that made it is still in the client's cache: later it would be a question to the server.
        let made = Stat::of_open(file.as_fd()).map_err(at("look at the destination file"))?;
        Ok(Writing { unplaced, file, made })
    }

    /// Gives a file that is written the attributes of its source, and its name.
    pub fn place(
        &self,
        subject: &Subject<'_>,
        (source_file, source): (BorrowedFd<'_>, &Stat),
        writing: Writing,
    ) -> Result<(), Trouble> {
        let at = |step| Side::Destination.at(step);
        let Writing { unplaced, file, made } = writing;
        self.settle(file.as_fd(), &made, source)?;
        self.copy_attributes(Bearer::Open(source_file), Bearer::Open(file.as_fd()))?;
        set_mtime(file.as_fd(), source.mtime).map_err(at("set the time"))?;
        let placed = match unplaced {
            Unplaced::Named(temporary) => temporary.place(subject.name),
            Unplaced::Nameless(nameless) => nameless.place(file.as_fd(), &self.temporaries, subject.name),
        };
        placed.map_err(|errno| match errno {
            Errno::ISDIR => Trouble::Problem(Problem::InTheWay),
            errno => at("give the file its name")(errno),
        })?;
        subject.dir.touch();
        Ok(())
    }

    /// What will be read back has to be on the disk first: the disk begins now, while others copy, and forgets nothing that anybody
    /// needs. Who reads nothing back leaves it to the kernel, which knows better when.
    pub fn begin_write_back(&self, file: BorrowedFd<'_>, start: u64, length: u64) {
        if self.confirm.is_some() {
            // Only advice. It begins to write what is dirty, and does not wait.
            let _ = fadvise(file, start, NonZeroU64::new(length), Advice::DontNeed);
        }
    }

    /// Tells the manifest.
    pub fn is_placed(&self, subject: &Subject<'_>, stat: &Stat, digest: Option<Digest>) {
        if let Some(journal) = &self.journal {
            journal.add(Entry {
                path: subject.path(),
                size: stat.size,
                mtime: stat.mtime,
                ctime: stat.ctime,
                digest,
            });
        }
    }
}

/// Opens a file to read; not one that waits for somebody to write to it.
pub(crate) fn open_source(
    directory: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    flags: OFlags,
) -> Result<OwnedFd, Trouble> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    match open_beneath(directory, name, flags, Mode::empty(), Crossing::Allowed) {
        Ok(file) => Ok(file),
        // Gone, or a link or a socket is there now.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Err(Trouble::Vanished),
        Err(errno) => Err(Side::Source.at("open the source file")(errno)),
    }
}

/// How long a file that was changed at `ctime` has to age. Of one that is to be changed in the future, by a clock that is ahead of this
/// one, nothing is known.
fn unsettled(ctime: Time, now: Time) -> Option<Duration> {
    let age = ctime.age(now).unwrap_or_default();
    Some(TICK.saturating_sub(age)).filter(|wait| !wait.is_zero())
}

/// What an open file is now; somebody may have put something else in its place.
pub(crate) fn look_again(source: BorrowedFd<'_>) -> Result<Stat, Trouble> {
    let stat = Stat::of_open_now(source).map_err(Side::Source.at("look at the source file"))?;
    if stat.kind.is_file() { Ok(stat) } else { Err(Trouble::Vanished) }
}

/// Whether what was read is what was there before it was read.
pub(crate) fn is_untouched(before: &Stat, source: BorrowedFd<'_>) -> Result<bool, Trouble> {
    let after = Stat::of_open_now(source).map_err(Side::Source.at("look at the source file"))?;
    Ok(before.is_untouched(&after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_changed_lately_or_in_the_future_has_to_age_and_an_older_one_has_not() {
        let at = |nanoseconds| Time { seconds: 1_800_000_000, nanoseconds };
        let now = at(500_000_000);
        assert_eq!(unsettled(at(480_000_000), now), None);
        assert_eq!(unsettled(at(485_000_000), now), Some(Duration::from_millis(5)));
        assert_eq!(unsettled(now, now), Some(TICK));
        assert_eq!(unsettled(at(500_000_001), now), Some(TICK));
        assert_eq!(unsettled(Time { seconds: i64::MAX, nanoseconds: 0 }, now), Some(TICK));
    }
}
