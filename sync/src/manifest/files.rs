//! The manifest and the journal read together, as often as it takes. Entries are numbered through both, in the order in
//! which they were written.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use super::frame::{FrameReader, HEADER_LEN, Header, PAYLOAD_LEN};
use super::known::Ordinal;
use super::{Entry, ManifestError, ManifestReader};

/// The manifest of the last run that was through, as far as it is good.
#[derive(Debug)]
pub(super) struct Last {
    pub file: File,
    pub header: Header,
    /// Where the last good frame ends.
    pub end: u64,
    /// The number of its first entry.
    first: Ordinal,
    /// The number of the first entry that comes after it.
    pub next: Ordinal,
}

impl Last {
    /// Reads it for the first time. None if not even its header is good.
    ///
    /// # Errors
    /// What no cut or damage explains: the file is not ours.
    pub fn read(
        file: File,
        first: Ordinal,
        visit: impl FnMut(Ordinal, Entry) -> io::Result<()>,
    ) -> Result<Option<Self>, ManifestError> {
        let Some(header) = header_of(&file)? else { return Ok(None) };
        let (end, next) = visit_each(&file, u64::MAX, first, visit)?;
        Ok(Some(Self { file, header, end, first, next }))
    }

    /// Hands over its entries once more.
    ///
    /// # Errors
    /// `Malformed` where the file is no longer what it was.
    pub fn visit(&self, visit: impl FnMut(Ordinal, Entry) -> io::Result<()>) -> Result<(), ManifestError> {
        let (end, next) = visit_each(&self.file, self.end, self.first, visit)?;
        match (end, next) == (self.end, self.next) {
            true => Ok(()),
            false => Err(ManifestError::Malformed { at: end }),
        }
    }
}

/// The header of a file; none if it was cut before that was written.
pub(super) fn header_of(file: &File) -> Result<Option<Header>, ManifestError> {
    match FrameReader::open(Part { file, at: 0, end: HEADER_LEN as u64 }) {
        Ok(frames) => Ok(Some(frames.header())),
        Err(ManifestError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hands over the entries of a file's first `end` bytes. Gives back where the last good frame ends, and the next number.
pub(super) fn visit_each(
    file: &File,
    end: u64,
    first: Ordinal,
    mut visit: impl FnMut(Ordinal, Entry) -> io::Result<()>,
) -> Result<(u64, Ordinal), ManifestError> {
    let input = BufReader::with_capacity(PAYLOAD_LEN, Part { file, at: 0, end });
    let mut reader = ManifestReader::new(input)?;
    let mut next = first;
    for entry in reader.by_ref() {
        match entry {
            Ok(entry) => visit(next, entry)?,
            Err(ManifestError::Damaged { .. } | ManifestError::Incomplete { .. }) => break,
            Err(error) => return Err(error),
        }
        next = next.checked_add(1).ok_or(Errno::OVERFLOW)?;
    }
    Ok((reader.end(), next))
}

/// The beginning of a file, read without moving the file's own position.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..length], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
