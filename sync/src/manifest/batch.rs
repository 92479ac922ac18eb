//! Entries on their way into a file: encoded, and cut into payloads.

use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::frame::{ENTRIES, PAYLOAD_LEN};
use super::{Entry, record};

/// A batch of so many bytes is written: some thousand entries.
const DUE_BYTES: usize = 512 << 10;
/// So many are written even if a commit is at work already: more memory than this is not taken.
const FULL_BYTES: usize = 4 << 20;
/// A batch that has waited so long is written.
const DUE_AFTER: Duration = Duration::from_secs(5);

/// Payloads in the making.
#[derive(Debug, Default)]
pub(super) struct Batch {
    payloads: Vec<Vec<u8>>,
    bytes: usize,
}

impl Batch {
    /// Adds an encoded entry.
    pub fn push(&mut self, record: &[u8]) {
        match self.payloads.last_mut() {
            Some(last) if last.len() < PAYLOAD_LEN => last.extend_from_slice(record),
            _ => self.payloads.push([&[ENTRIES], record].concat()),
        }
        self.bytes += record.len();
    }

    /// Of these.
    ///
    /// # Errors
    /// One cannot stand in a manifest.
    pub fn of(entries: &[Entry]) -> Result<Self, Errno> {
        let mut batch = Self::default();
        for entry in entries {
            batch.push(&record::encode(entry)?);
        }
        Ok(batch)
    }

    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    pub fn payloads(&self) -> &[Vec<u8>] {
        &self.payloads
    }

    /// The entries in it.
    ///
    /// # Errors
    /// `INVAL`: not as they were pushed.
    pub fn entries(&self) -> Result<Vec<Entry>, Errno> {
        let mut entries = Vec::new();
        for payload in &self.payloads {
            let mut records = payload.get(1..).unwrap_or_default();
            while !records.is_empty() {
                let (entry, length) = record::decode(records).map_err(|_| Errno::INVAL)?;
                records = records.get(length..).unwrap_or_default();
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// Everything but the payload that is still open.
    pub fn take_full(&mut self) -> Vec<Vec<u8>> {
        match self.payloads.last().map(Vec::len) {
            Some(PAYLOAD_LEN..) => std::mem::take(&mut self.payloads),
            Some(_) => self.payloads.drain(..self.payloads.len() - 1).collect(),
            None => Vec::new(),
        }
    }
}

/// What waits for the next commit.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    batch: Batch,
    /// When the first entry came.
    since: Option<Instant>,
    /// An entry that cannot be written. Nothing is from then on: what is missing would not be noticed.
    refused: Option<Errno>,
    committing: bool,
    /// Bytes of the files that the entries are of.
    content: u64,
}

impl Buffer {
    /// Adds an entry that was encoded, or could not be, of a file of so many bytes.
    pub fn push(&mut self, record: Result<Vec<u8>, Errno>, content: u64) {
        match record {
            Ok(record) => {
                self.batch.push(&record);
                self.content = self.content.saturating_add(content);
                self.since.get_or_insert_with(Instant::now);
            }
            Err(errno) => self.refused = Some(errno),
        }
    }

    /// Gives out what is to be written now, until [`Buffer::committed`].
    pub fn take(&mut self) -> Result<Batch, Errno> {
        self.refused.map_or(Ok(()), Err)?;
        (self.since, self.content) = (None, 0);
        self.committing = !self.batch.is_empty();
        Ok(std::mem::take(&mut self.batch))
    }

    pub fn committed(&mut self) {
        self.committing = false;
    }

    /// `content_due`: so many bytes of files are not to wait for longer.
    pub fn is_due(&self, now: Instant, content_due: u64) -> bool {
        let waited = self.since.is_some_and(|since| now.saturating_duration_since(since) >= DUE_AFTER);
        let full = self.batch.bytes >= DUE_BYTES || self.content >= content_due;
        let due = waited || full || self.refused.is_some();
        due && !self.committing || self.batch.bytes >= FULL_BYTES
    }

    /// Whether nothing waits. An error if something was refused.
    pub fn is_empty(&self) -> Result<bool, Errno> {
        self.refused.map_or(Ok(self.batch.is_empty()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_due_by_its_size_or_age_but_not_while_one_is_committed_unless_it_fills_the_memory() {
        let start = Instant::now();
        let late = start + DUE_AFTER + Duration::from_secs(1);
        let buffer = |bytes: usize| {
            let mut buffer = Buffer::default();
            (0..bytes / 1024).for_each(|_| buffer.push(Ok(vec![0; 1024]), 1));
            buffer
        };
        for (bytes, now, committing, due) in [
            (0, late, false, false),
            (1024, start, false, false),
            (1024, late, false, true),
            (1024, late, true, false),
            (DUE_BYTES - 1024, start, false, false),
            (DUE_BYTES, start, false, true),
            (DUE_BYTES, start, true, false),
            (FULL_BYTES, start, true, true),
        ] {
            let mut buffer = buffer(bytes);
            buffer.committing = committing;
            assert_eq!(buffer.is_due(now, u64::MAX), due, "{bytes} bytes, committing: {committing}");
        }
        assert!(buffer(2048).is_due(start, 2) && !buffer(2048).is_due(start, 3), "so much content");
    }

    #[test]
    fn after_an_entry_that_cannot_be_written_nothing_is() {
        let mut buffer = Buffer::default();
        buffer.push(Ok(vec![1]), 0);
        buffer.push(Err(Errno::NAMETOOLONG), 0);
        buffer.push(Ok(vec![2]), 0);
        assert!(buffer.is_due(Instant::now(), u64::MAX));
        assert_eq!(buffer.take().err(), Some(Errno::NAMETOOLONG));
        assert_eq!(buffer.is_empty(), Err(Errno::NAMETOOLONG));
    }

    #[test]
    fn full_payloads_are_taken_and_the_open_one_goes_on() {
        let mut batch = Batch::default();
        assert!(batch.take_full().is_empty());
        batch.push(&vec![7; PAYLOAD_LEN - 1]);
        batch.push(&[8; 10]);
        assert_eq!(batch.take_full().iter().map(Vec::len).collect::<Vec<_>>(), [PAYLOAD_LEN]);
        batch.push(&vec![7; PAYLOAD_LEN - 2]);
        batch.push(&[9; 3]);
        batch.push(&[9; 3]);
        assert_eq!(batch.take_full().iter().map(Vec::len).collect::<Vec<_>>(), [PAYLOAD_LEN + 9]);
        assert_eq!(batch.payloads(), [[ENTRIES, 9, 9, 9, 9, 9, 9]]);
    }
}
