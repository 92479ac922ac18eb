//! Moving bytes from one open file to another: holes stay holes, and the kernel copies by itself where it can.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek};
use rustix::io::{Errno, pread, pwrite};

use crate::engine::Engine;
use crate::trouble::{Side, Trouble};

/// What is moved, and where to.
pub(crate) struct Flow<'a> {
    pub source: BorrowedFd<'a>,
    /// None where the bytes are only read.
    pub destination: Option<BorrowedFd<'a>>,
    /// There are holes in the source.
    pub sparse: bool,
    /// Sees every byte, those of holes too.
    pub hash: Option<Hash<'a>>,
}

/// Takes bytes in.
pub(crate) type Hash<'a> = &'a mut dyn FnMut(&[u8]);

/// What lies at an offset, and where it ends.
enum Region {
    Data(u64),
    Hole(u64),
}

/// One copy_file_range(2): the run can be cancelled between two.
const IN_KERNEL_BYTES_MAX: usize = 8 << 20;

const ZEROS: [u8; 4096] = [0; 4096];

impl Engine<'_> {
    /// Moves what lies between two offsets; gives back how far it came, which is less where the source ends before. Where a
    /// hole is the last thing, the destination has to be made that long by the caller.
    pub fn pump(&self, flow: &mut Flow<'_>, buffer: &mut [u8], start: u64, end: u64) -> Result<u64, Trouble> {
        let mut at = start;
        while at < end {
            let region = if flow.sparse { region(flow.source, at, end) } else { Region::Data(end) };
            let reached = match region {
                Region::Hole(until) => {
                    hash_zeros(flow, until - at);
                    until
                }
                Region::Data(until) => self.data(flow, buffer, at, until)?,
            };
            if reached == at {
                break;
            }
            at = reached;
        }
        Ok(at)
    }

    fn data(&self, flow: &mut Flow<'_>, buffer: &mut [u8], start: u64, end: u64) -> Result<u64, Trouble> {
        let mut at = start;
        while at < end {
            let left = usize::try_from(end - at).unwrap_or(usize::MAX);
            let moved = match (flow.destination, &flow.hash) {
                (Some(destination), None) if self.abilities.copy_range.get() => {
                    // Over a network each call is a request; a bandwidth is kept in small pieces.
                    let most = if self.bandwidth.is_some() { buffer.len() } else { IN_KERNEL_BYTES_MAX };
                    let length = left.min(most);
                    self.may_read(length as u64)?;
                    match self.in_kernel(flow.source, destination, at, length)? {
                        Some(moved) => moved,
                        None => continue,
                    }
                }
                _ => {
                    let length = left.min(buffer.len());
                    let piece = buffer.get_mut(..length).unwrap_or_default();
                    self.may_read(length as u64)?;
                    read_and_write(flow, piece, at)?
                }
            };
            if moved == 0 {
                break;
            }
            self.control.read(moved as u64);
            at += moved as u64;
        }
        Ok(at)
    }

    /// None if it cannot be done so, and will not be tried again.
    fn in_kernel(
        &self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
        at: u64,
        length: usize,
    ) -> Result<Option<usize>, Trouble> {
        let (mut from, mut to) = (at, at);
        match copy_file_range(source, Some(&mut from), destination, Some(&mut to), length) {
            // Some file systems say so of files that do have bytes.
            Ok(0) => {
                self.abilities.copy_range.clear();
                Ok(None)
            }
            Ok(moved) => Ok(Some(moved)),
            Err(Errno::NOSPC | Errno::DQUOT) => Err(Side::Destination.at("write")(Errno::NOSPC)),
            Err(_) => {
                // Read and write tell what is really the matter, and on which side.
                self.abilities.copy_range.clear();
                Ok(None)
            }
        }
    }

    /// Makes the destination share the source's blocks. False where that cannot be.
    pub fn clone_whole(&self, source: BorrowedFd<'_>, destination: BorrowedFd<'_>) -> bool {
        if !self.abilities.clone.get() {
            return false;
        }
        match ioctl_ficlone(destination, source) {
            Ok(()) => true,
            Err(Errno::XDEV | Errno::NOTSUP | Errno::NOTTY | Errno::NOSYS | Errno::INVAL) => {
                self.abilities.clone.clear();
                false
            }
            Err(_) => false,
        }
    }
}

fn read_and_write(flow: &mut Flow<'_>, piece: &mut [u8], at: u64) -> Result<usize, Trouble> {
    let read = read_at(flow.source, piece, at).map_err(Side::Source.at("read the source file"))?;
    let bytes = piece.get(..read).unwrap_or_default();
    if let Some(hash) = &mut flow.hash {
        hash(bytes);
    }
    if let Some(destination) = flow.destination {
        write_all_at(destination, bytes, at).map_err(Side::Destination.at("write"))?;
    }
    Ok(read)
}

fn read_at(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    rustix::io::retry_on_intr(|| pread(file, &mut *buffer, at))
}

/// As much as there is. The buffer is a byte longer than the file ought to be: a read that leaves just that has seen its end.
pub(crate) fn read_whole(file: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let read = read_at(file, rest, filled as u64)?;
        filled += read;
        if read == 0 || filled + 1 == buffer.len() {
            break;
        }
    }
    Ok(filled)
}

/// All of it, or an error.
pub(crate) fn write_all_at(file: BorrowedFd<'_>, bytes: &[u8], at: u64) -> Result<(), Errno> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match rustix::io::retry_on_intr(|| pwrite(file, rest, at + written as u64))? {
            0 => return Err(Errno::IO),
            more => written += more,
        }
    }
    Ok(())
}

/// A file system that cannot say is all data.
fn region(file: BorrowedFd<'_>, at: u64, end: u64) -> Region {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) if data > at => Region::Hole(data.min(end)),
        Ok(_) => match seek(file, SeekFrom::Hole(at)) {
            Ok(hole) if hole > at => Region::Data(hole.min(end)),
            _ => Region::Data(end),
        },
        // Nothing but a hole from here on.
        Err(Errno::NXIO) => Region::Hole(end),
        Err(_) => Region::Data(end),
    }
}

fn hash_zeros(flow: &mut Flow<'_>, length: u64) {
    let Some(hash) = &mut flow.hash else { return };
    let mut left = length;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
        hash(ZEROS.get(..piece).unwrap_or_default());
        left -= piece as u64;
    }
}

/// The whole of a file, for its hash alone.
pub(crate) fn reading<'a>(source: &'a impl AsFd, sparse: bool, hash: Hash<'a>) -> Flow<'a> {
    Flow { source: source.as_fd(), destination: None, sparse, hash: Some(hash) }
}
