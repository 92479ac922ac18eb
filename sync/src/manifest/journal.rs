//! The manifest of a run at work: asked what is there already, told what has come, and written down in between.
//!
//! What a kill leaves, wherever it strikes:
//! - while a batch is appended: a torn frame at the journal's end, which the next run cuts off;
//! - while the manifest is written anew: a file under a name that nobody reads, and the journal;
//! - between its rename and the removal of the journal: a journal with the manifest's own header, which the next run drops.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{fdatasync, fsync, ftruncate};
use rustix::io::Errno;

use super::batch::{Batch, Buffer};
use super::earlier::Earlier;
use super::error::errno;
use super::files::{Last, header_of, visit_each};
use super::frame::{FrameWriter, Header, LAST};
use super::known::{Bits, Key, Latest, Ordinal, Table};
use super::{Entry, ManifestError, Place, record};
use crate::digest::CHUNK_LEN;
use crate::locked::lock;
use crate::stat::Stat;
use crate::time::Time;

/// Given new entries, gives back those that may be written down.
type ReadBack<'a> = dyn Fn(Vec<Entry>) -> Result<Vec<Entry>, Errno> + 'a;

/// Bytes of files that are copied while so many are read back.
const CONTENT_DUE: u64 = 64 << 20;

/// See the module. Shared by all threads of a run.
#[derive(Debug)]
pub(crate) struct Journal {
    place: Place,
    key: Key,
    /// Of an earlier copy.
    earlier: Option<Earlier>,
    /// What earlier runs say.
    table: Table,
    last: Option<Last>,
    /// The entries that this run adds are numbered from here.
    ours_from: Ordinal,
    buffer: Mutex<Buffer>,
    /// So many bytes of files wait for a commit at most.
    content_due: u64,
    /// Held for the length of a commit; the buffer is not.
    output: Mutex<Output>,
}

#[derive(Debug)]
struct Output {
    writer: FrameWriter<File>,
    /// A commit failed. What the file has since then nobody knows, so it is left alone.
    broken: Option<Errno>,
}

impl Journal {
    /// Takes what earlier runs wrote about this manifest, and goes on with their journal. Where `checksum` is set, only
    /// files with a digest are known. `earlier`: the manifest of an earlier copy.
    ///
    /// # Errors
    /// `WouldBlock` while another run has it; `NotFound` if there is no earlier manifest of that name; `InvalidData`
    /// for a file that is no manifest, or a later version's: nothing is overwritten that we did not write.
    pub fn open(path: &Path, checksum: bool, earlier: Option<&Path>) -> io::Result<Self> {
        let key = Key::fresh();
        let earlier = earlier.map(|path| Earlier::open(path, key, checksum)).transpose()?;
        let first = earlier.as_ref().map_or(0, Earlier::next);
        let place = Place::of(path)?;
        let journal = place.journal()?;
        let mut table = Table::new(key, checksum);
        let mut push = |ordinal, entry: Entry| {
            table.push(ordinal, &entry);
            Ok(())
        };
        let last = match place.manifest()? {
            Some(file) => Last::read(file, first, &mut push)?,
            None => None,
        };
        let (spent, first) = last.as_ref().map_or((None, first), |last| (Some(last.header), last.next));
        let (writer, ours_from) = match header_of(&journal)? {
            Some(header) if spent != Some(header) => {
                let (end, next) = visit_each(&journal, u64::MAX, first, &mut push)?;
                (go_on(journal, header, end)?, next)
            }
            _ => (begin(journal, &place)?, first),
        };
        place.remove_new()?;
        table.seal();
        let output = Mutex::new(Output { writer, broken: None });
        let (buffer, content_due) = (Mutex::default(), u64::MAX);
        Ok(Self { place, key, earlier, table, last, ours_from, buffer, content_due, output })
    }

    /// Commits are due sooner, for what is confirmed to be small enough that others are copied meanwhile.
    pub fn commit_often(mut self) -> Self {
        self.content_due = CONTENT_DUE;
        self
    }

    /// Whether there is the manifest of an earlier copy.
    pub fn has_earlier(&self) -> bool {
        self.earlier.is_some()
    }

    /// What the earlier copy's manifest says, if it is just this about the source's file. For [`Journal::take_over`].
    pub fn find_earlier(&self, path: &Path, stat: &Stat) -> Option<Ordinal> {
        self.find_earlier_as(path, stat.size, stat.mtime, stat.ctime)
    }

    /// The same of a source that is no directory.
    pub fn find_earlier_as(&self, path: &Path, size: u64, mtime: Time, ctime: Time) -> Option<Ordinal> {
        self.earlier.as_ref()?.find(path, size, mtime, ctime)
    }

    /// A file of the earlier copy has its final name in the destination: what is said of it will stand in the manifest.
    pub fn take_over(&self, ordinal: Ordinal) {
        self.earlier.iter().for_each(|earlier| earlier.take_over(ordinal));
    }

    /// Whether an earlier run wrote down just this about the source's file. If so, it is taken to be still true and will
    /// stand in the manifest: ask when the destination's file has been found good.
    pub fn knows(&self, path: &Path, size: u64, mtime: Time, ctime: Time) -> bool {
        self.table.knows(path, size, mtime, ctime)
    }

    /// Takes a file that has its final name in the destination. It is written down with the next commit. What is told
    /// later about the same path counts.
    pub fn add(&self, entry: Entry) {
        let record = record::encode(&entry);
        lock(&self.buffer).push(record, entry.size);
    }

    /// Whether it is time for a commit.
    pub fn is_due(&self) -> bool {
        lock(&self.buffer).is_due(Instant::now(), self.content_due)
    }

    /// Writes down what was added until now. `sync` is called before, and has to make the destination safe from a power
    /// cut (syncfs): nothing is written down that one could take. It is not called if there is nothing to write. `confirm`
    /// is given the new entries, and gives back those that may be written down: large files before `sync`, which waits for whatever is
    /// being written, and small ones after it, which writes them all at once.
    ///
    /// # Errors
    /// What `sync`, `confirm` or the kernel says. Nothing can be written from then on: the run has to end. `INVAL` and `NAMETOOLONG`
    /// if something was added that cannot stand in a manifest.
    pub fn commit(
        &self,
        sync: impl FnOnce() -> Result<(), Errno>,
        confirm: Option<&ReadBack<'_>>,
    ) -> Result<(), Errno> {
        let mut output = lock(&self.output);
        output.broken.map_or(Ok(()), Err)?;
        // Taken before the sync: what comes while that is at work may not be in it.
        let batch = lock(&self.buffer).take()?;
        if !self.earlier.as_ref().is_some_and(Earlier::take_new) && batch.is_empty() {
            return Ok(());
        }
        let secured = match confirm {
            Some(confirm) => batch.entries().and_then(|entries| secured(entries, sync, confirm)),
            None => sync().map(|()| batch),
        };
        let written = secured.and_then(|batch| output.append(&batch));
        output.broken = written.err();
        lock(&self.buffer).committed();
        written
    }

    /// Writes the manifest anew, with one entry for each file that was known and asked for, or added and committed in this
    /// run, and removes the journal.
    ///
    /// # Errors
    /// What the kernel says; what the last commit said; `INVAL` if something was not committed. The old manifest and the
    /// journal then stay.
    pub fn complete(self) -> Result<(), Errno> {
        let output = self.output.into_inner().unwrap_or_else(PoisonError::into_inner);
        output.broken.map_or(Ok(()), Err)?;
        let buffer = self.buffer.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !buffer.is_empty()? {
            return Err(Errno::INVAL);
        }
        let seen = self.table.into_seen();
        let earlier = self.earlier.as_ref();
        let files = Files { earlier, last: self.last.as_ref(), journal: &output.writer };
        let mut latest = Latest::new(self.key);
        let is_taken = |ordinal| earlier.is_some_and(|earlier| earlier.is_taken(ordinal));
        let is_true = |ordinal| ordinal >= self.ours_from || seen.get(ordinal) || is_taken(ordinal);
        let found = files.visit(|ordinal, entry| {
            if is_true(ordinal) {
                latest.push(ordinal, &entry.path);
            }
            Ok(())
        });
        found.map_err(errno)?;
        let written = files.write(self.place.new_manifest()?, &latest.into_bits()).map_err(errno);
        if let Err(errno) = written.and_then(|()| self.place.replace()) {
            // It may have been renamed already; if not, the next run removes what cannot be removed now.
            let _ = self.place.remove_new();
            return Err(errno);
        }
        self.place.remove_journal()
    }
}

/// Those entries that may be written down.
fn secured(
    entries: Vec<Entry>,
    sync: impl FnOnce() -> Result<(), Errno>,
    confirm: &ReadBack<'_>,
) -> Result<Batch, Errno> {
    let confirmed = |entries: Vec<Entry>| if entries.is_empty() { Ok(entries) } else { confirm(entries) };
    let (large, small) = entries.into_iter().partition(|entry| entry.size > CHUNK_LEN);
    let mut good: Vec<Entry> = confirmed(large)?;
    sync()?;
    good.extend(confirmed(small)?);
    Batch::of(&good)
}

impl Output {
    fn append(&mut self, batch: &Batch) -> Result<(), Errno> {
        for payload in batch.payloads() {
            self.writer.append(payload).map_err(errno)?;
        }
        fdatasync(self.writer.output())
    }
}

/// Everything that was written down, at the end of a run.
struct Files<'a> {
    earlier: Option<&'a Earlier>,
    last: Option<&'a Last>,
    journal: &'a FrameWriter<File>,
}

impl Files<'_> {
    /// # Errors
    /// `Malformed` where a file is no longer what it was when the run began.
    fn visit(&self, mut visit: impl FnMut(Ordinal, Entry) -> io::Result<()>) -> Result<(), ManifestError> {
        let mut first = 0;
        for last in self.earlier.map(Earlier::last).into_iter().chain(self.last) {
            last.visit(&mut visit)?;
            first = last.next;
        }
        let (end, _) = visit_each(self.journal.output(), self.journal.len(), first, visit)?;
        if end == self.journal.len() { Ok(()) } else { Err(ManifestError::Malformed { at: end }) }
    }

    /// Writes these entries as a manifest with the journal's header.
    fn write(&self, file: File, entries: &Bits) -> Result<(), ManifestError> {
        let mut writer = FrameWriter::begin(file, self.journal.header())?;
        let mut batch = Batch::default();
        let mut count = 0_u64;
        self.visit(|ordinal, entry| {
            if entries.get(ordinal) {
                batch.push(&record::encode(&entry)?);
                count += 1;
            }
            batch.take_full().iter().try_for_each(|payload| writer.append(payload))
        })?;
        for payload in batch.payloads() {
            writer.append(payload)?;
        }
        let count = postcard::to_stdvec(&count).map_err(|_| Errno::INVAL)?;
        writer.append(&[&[LAST], &count[..]].concat())?;
        Ok(fsync(writer.output())?)
    }
}

/// Begins a journal.
fn begin(mut file: File, place: &Place) -> io::Result<FrameWriter<File>> {
    ftruncate(&file, 0)?;
    file.seek(SeekFrom::Start(0))?;
    let writer = FrameWriter::begin(file, Header::fresh())?;
    fsync(writer.output())?;
    place.sync()?;
    Ok(writer)
}

/// Goes on with a journal behind its last good frame.
fn go_on(mut file: File, header: Header, end: u64) -> io::Result<FrameWriter<File>> {
    if file.metadata()?.len() != end {
        ftruncate(&file, end)?;
        // Before anything is written there: no power cut may bring back what followed.
        fsync(&file)?;
    }
    file.seek(SeekFrom::Start(end))?;
    Ok(FrameWriter::go_on(file, header, end))
}
