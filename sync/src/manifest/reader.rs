//! Reads a manifest from its beginning to its end, a batch in memory at a time.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::frame::{ENTRIES, FrameReader, LAST};
use super::record::{self, RecordError};
use super::{Entry, ManifestError, Place};

/// The entries of a manifest, in no order. After an error there is nothing more; what came before it is good. Only a
/// reading that ends without one has given all entries.
///
/// The journal of a cut run can be read too: it ends with [`ManifestError::Incomplete`], and may name a path more than
/// once, of which the last one counts.
#[derive(Debug)]
pub struct ManifestReader<R = BufReader<File>> {
    frames: FrameReader<R>,
    /// How much of the present payload was read.
    position: usize,
    entries: u64,
    over: bool,
}

impl ManifestReader {
    /// Begins to read the manifest of this name.
    ///
    /// # Errors
    /// [`ManifestError`]: it cannot be opened, or begins as no manifest does.
    pub fn open(path: &Path) -> Result<Self, ManifestError> {
        let manifest = Place::of(path)?.manifest()?;
        let manifest = manifest.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        Self::new(BufReader::new(manifest))
    }
}

impl<R: Read> ManifestReader<R> {
    /// Begins to read a manifest from elsewhere.
    ///
    /// # Errors
    /// [`ManifestError`]: it cannot be read, or begins as no manifest does.
    pub fn new(input: R) -> Result<Self, ManifestError> {
        Ok(Self { frames: FrameReader::open(input)?, position: 0, entries: 0, over: false })
    }

    /// Where the last good frame ends.
    pub(super) fn end(&self) -> u64 {
        self.frames.end()
    }

    fn read(&mut self) -> Result<Option<Entry>, ManifestError> {
        loop {
            if self.position < self.frames.payload().len() {
                return self.entry().map(Some);
            }
            if !self.frames.advance()? {
                return Err(ManifestError::Incomplete { at: self.frames.end() });
            }
            match self.frames.payload().split_first() {
                Some((&ENTRIES, _)) => self.position = 1,
                Some((&LAST, count)) if postcard::from_bytes(count) == Ok(self.entries) => break,
                _ => return Err(self.malformed()),
            }
        }
        match self.frames.advance()? {
            false => Ok(None),
            // Nothing follows the last frame.
            true => Err(self.malformed()),
        }
    }

    fn entry(&mut self) -> Result<Entry, ManifestError> {
        let bytes = self.frames.payload().get(self.position..).unwrap_or_default();
        match record::decode(bytes) {
            Ok((entry, length)) => {
                self.position += length;
                self.entries += 1;
                Ok(entry)
            }
            Err(RecordError::Malformed) => Err(self.malformed()),
            Err(RecordError::Path(path)) => Err(ManifestError::Path(path)),
        }
    }

    fn malformed(&self) -> ManifestError {
        ManifestError::Malformed { at: self.frames.start() }
    }
}

impl<R: Read> Iterator for ManifestReader<R> {
    type Item = Result<Entry, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let read = self.read();
        self.over = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}
