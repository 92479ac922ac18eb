//! Archives of many small files in one request, as tar (POSIX.1-2001, "pax"): written and read from bytes in memory, piece by
//! piece, by both sides. Nothing is believed: names are bytes that whoever takes them checks, and what describes an entry
//! takes a bounded amount of memory, whatever the archive says.
//!
//! Neither GNU's sparse files nor values for all of an archive (`g`) are understood: the former are told as something that is no
//! file, the latter passed over.

mod header;
mod members;
mod pax;
mod read;
mod write;

use thiserror::Error;

pub use self::members::{Members, Source};
pub use self::read::{Decoder, Step};

/// Everything in an archive is a multiple of this long.
pub const BLOCK_BYTES: usize = 512;
/// What closes an archive: two empty blocks.
pub const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];
/// The record with which an entry says its content's SHA-256, in base64 with padding.
pub const SHA256_RECORD: &str = "WORKSPACEFS.sha256";
/// The most that may describe one entry beside its header, bytes.
pub const DESCRIPTION_BYTES_MAX: u64 = 64 << 10;

const NS_PER_S: i128 = 1_000_000_000;

/// What an entry of an archive is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link, a device, a FIFO, a sparse file, or what nobody has heard of.
    Other,
}

/// An entry of an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// As it stands in the archive: any bytes.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Bytes of content that follow.
    pub size: u64,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// When the content was changed last, nanoseconds since 1970.
    pub modified: i128,
    /// Of the content, in base64, if the archive says it.
    pub sha256: Option<String>,
}

/// Why it is no archive that can be read.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BadArchive {
    /// No header of any entry.
    #[error("this is no tar archive, or it is damaged: the checksum of a header is not its own")]
    Header,
    /// A field of a header is none that can be.
    #[error("a header of the archive says something that cannot be")]
    Field,
    /// A name or a record is too long.
    #[error("the archive describes an entry with more than {} KiB", DESCRIPTION_BYTES_MAX >> 10)]
    Description,
    /// Records are not what POSIX says.
    #[error("a description in the archive is no list of records")]
    Record,
    /// Two descriptions of the same kind, of one entry.
    #[error("the archive describes an entry twice")]
    Twice,
    /// Less came than was announced.
    #[error("the archive ends early")]
    Cut,
}

/// Bytes after a content of so many, up to the next block.
pub fn padding(size: u64) -> usize {
    let block = BLOCK_BYTES as u64;
    // Below a block.
    ((block - size % block) % block) as usize
}

#[cfg(test)]
mod tests;
