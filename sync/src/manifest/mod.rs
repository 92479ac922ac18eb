//! What lies in a destination, written down so that a power cut or a kill at any moment takes nothing that was said to be
//! there, and leaves nothing said that is not.
//!
//! Two files. `<manifest>.partial` is the journal of the run at work: what is safely in the destination is added to its
//! end, batch by batch ([`Journal`]). When a run is through, `<manifest>` is written anew with exactly one entry for each
//! file that the run saw, and takes the old one's place by a rename; the journal is then removed. A run that was cut
//! leaves both, and the next one goes on from what they say together.
//!
//! Only regular files are in them: links and directories are cheap to compare.
//!
//! # Format
//!
//! Both files are a header and frames, all numbers little-endian:
//!
//! ```text
//! header (32 bytes)   magic "wsfsmani", version u32 = 1, 12 random bytes, the first 8 bytes of blake3 of these 24
//! frame               length of the payload u32, check 16 bytes, payload
//! check               the first 16 bytes of blake3 of: header, position of the frame in the file u64, payload
//! payload             0, entries to its end  |  1, number of all entries in the file u64 as postcard: the last frame
//! entry (postcard)    path: bytes, size: u64, mtime: (i64, u32), ctime: (i64, u32), digest: option of 32 bytes
//! ```
//!
//! The check proves a frame's place in its file too: what an older journal left in the same blocks of the disk is never
//! taken for a frame of this one. A journal has no last frame. The manifest has the header of the journal that it was made
//! from: a journal that was not removed any more is known by it, and is not counted twice.

mod batch;
mod earlier;
mod error;
mod files;
mod finished;
mod frame;
mod journal;
mod known;
mod place;
mod reader;
mod record;

#[cfg(test)]
mod mutations;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::Time;
use crate::digest::Digest;

pub use error::ManifestError;
pub(crate) use finished::Finished;
pub(crate) use journal::Journal;
pub(crate) use known::Ordinal;
use place::Place;
pub use reader::ManifestReader;

/// A regular file in the destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Relative to the root: no name in it is empty, `.` or `..`.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// When the content of the source file was modified last.
    pub mtime: Time,
    /// When anything of the source file was changed last; of a source that is no directory its
    /// [`Version::mark`](crate::Version::mark), as seconds. It is only ever compared.
    pub ctime: Time,
    /// blake3 of the content, if the run was asked for it.
    pub digest: Option<Digest>,
}

/// Random bytes, as good as the seed of a hash map.
fn random<const N: usize>() -> [u8; N] {
    use std::hash::BuildHasher;
    let mut hasher = blake3::Hasher::new();
    for number in 0..4_u32 {
        hasher.update(&std::hash::RandomState::new().hash_one(number).to_le_bytes());
    }
    let mut bytes = [0; N];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}
