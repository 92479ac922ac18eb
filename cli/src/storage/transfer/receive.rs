//! One file from the server: into a file beside it, which takes its name when all of it is there. What is cut goes on where it
//! was, in this run or in the next, as long as the server's file is the same.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use http::header::{CONTENT_RANGE, IF_MATCH, RANGE};
use http::{HeaderMap, StatusCode};
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps, flock, futimens, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tokio::task::block_in_place;

use super::TransferError;
use super::local::{self, LocalError};
use super::meter::{Fate, Meter};
use crate::client::answer::piece;
use crate::client::error::ClientError;
use crate::client::files::{Files, REPR_DIGEST};
use crate::client::path::RemotePath;
use crate::client::types::Entry;

/// How often a file that changes meanwhile is begun anew.
const TRIES: usize = 3;
/// What has arrived of a larger file is kept for the next run.
const KEEP_BYTES: u64 = 8 << 20;
/// Written at once.
const WRITE_BYTES: usize = 512 << 10;

/// Fetches files.
pub struct Receiver {
    /// Where from.
    pub files: Files,
    /// The local folder.
    pub root: Arc<OwnedFd>,
    /// Only what differs in size or time.
    pub update: bool,
    /// What is counted.
    pub meter: Arc<Meter>,
}

/// A file that is not whole yet; removed when this is dropped, unless it is to be kept.
struct Part<'a> {
    folder: &'a OwnedFd,
    name: String,
    file: File,
    keep: bool,
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if !self.keep {
            let _ = unlinkat(self.folder, self.name.as_str(), AtFlags::empty());
        }
    }
}

impl Receiver {
    /// Fetches `entry`, which lies at `from`, to `names` below the root; its size and what became of it.
    ///
    /// # Errors
    /// [`TransferError`]. Under its name there is what was there before.
    pub async fn receive(
        &self,
        from: &RemotePath,
        entry: &Entry,
        names: &[Vec<u8>],
    ) -> Result<(u64, Fate), TransferError> {
        let (folder, name) = block_in_place(|| self.place(names))?;
        if self.look(&folder, name, entry)? {
            return Ok((entry.size, Fate::Unchanged));
        }
        let mut entry = entry.clone();
        for _ in 0..TRIES {
            match self.fetch(from, &entry, &folder, name).await {
                Ok(()) => return Ok((entry.size, Fate::Done)),
                Err(TransferError::Changing) => entry = self.files.stat(from).await?,
                Err(error) => return Err(error),
            }
        }
        Err(TransferError::Changing)
    }

    /// Whether `entry` is there already, at `names` below the root.
    ///
    /// # Errors
    /// [`TransferError`]: it cannot be there.
    pub fn is_there(&self, names: &[Vec<u8>], entry: &Entry) -> Result<bool, TransferError> {
        let (folder, name) = self.place(names)?;
        self.look(&folder, name, entry)
    }

    /// Makes a file of a content that is in memory, whole.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub fn put(
        &self,
        from: &RemotePath,
        entry: &Entry,
        names: &[Vec<u8>],
        bytes: &[u8],
    ) -> Result<(), TransferError> {
        let (folder, name) = self.place(names)?;
        let part = Part::open(&folder, from, entry)?;
        part.length(entry)?;
        local::write(&part.file, 0, bytes)?;
        part.finish(entry, name, None)
    }

    /// The folder that it lies in, and its name there.
    fn place<'n>(&self, names: &'n [Vec<u8>]) -> Result<(OwnedFd, &'n [u8]), TransferError> {
        let (name, above) =
            names.split_last().ok_or_else(|| TransferError::InTheWay("it has no name".into()))?;
        let folder = local::folder(self.root.as_fd(), above);
        Ok((folder.map_err(LocalError::at("open the folder above"))?, name))
    }

    /// Whether the file is there already.
    fn look(&self, folder: &OwnedFd, name: &[u8], entry: &Entry) -> Result<bool, TransferError> {
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if local::kind(&stat) == rustix::fs::FileType::Directory => {
                Err(TransferError::InTheWay("a folder of that name is in its place".into()))
            }
            Ok(stat) => Ok(self.update
                && local::kind(&stat) == rustix::fs::FileType::RegularFile
                && local::size(&stat) == entry.size
                && local::modified(&stat) == entry.modified),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(LocalError { step: "look at what is there", errno }.into()),
        }
    }

    async fn fetch(
        &self,
        from: &RemotePath,
        entry: &Entry,
        folder: &OwnedFd,
        name: &[u8],
    ) -> Result<(), TransferError> {
        let mut part = block_in_place(|| Part::open(folder, from, entry))?;
        let mut offset = part.length(entry)?;
        self.meter.moved(offset);
        let mut trouble = self.files.gateway().trouble();
        let mut digest = None;
        while offset < entry.size || (entry.size == 0 && digest.is_none()) {
            let before = offset;
            let fetched = self.some(from, entry, &part.file, &mut offset, &mut digest).await;
            part.keep = offset > KEEP_BYTES;
            if offset > before {
                trouble.over();
            }
            match fetched {
                Ok(()) if entry.size == 0 => break,
                Ok(()) => {}
                Err(TransferError::Client(error)) if error.passes() => {
                    let call = crate::client::call::Call::get(String::new());
                    self.files.gateway().wait(&call, error, &mut trouble).await?;
                }
                Err(TransferError::Changing) => {
                    part.keep = false;
                    return Err(TransferError::Changing);
                }
                Err(error) => return Err(error),
            }
        }
        block_in_place(|| part.finish(entry, name, digest.flatten()))
    }

    /// What comes in one answer, written from `offset` on.
    async fn some(
        &self,
        from: &RemotePath,
        entry: &Entry,
        file: &File,
        offset: &mut u64,
        digest: &mut Option<Option<String>>,
    ) -> Result<(), TransferError> {
        let mut headers = vec![(IF_MATCH, quoted(&entry.etag))];
        if *offset > 0 {
            headers.push((RANGE, format!("bytes={offset}-")));
        }
        let answer = match self.files.read(from, &headers).await {
            Ok(answer) => answer,
            Err(error) if error.is_status(412) || error.is_status(416) => {
                return Err(TransferError::Changing);
            }
            Err(error) => return Err(error.into()),
        };
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            if begin(answer.headers()) != Some(*offset) {
                return Err(senseless("it begins elsewhere than it was asked to"));
            }
        } else {
            *offset = 0;
            file.set_len(0).map_err(LocalError::of("write the file"))?;
        }
        *digest = Some(told_digest(answer.headers()));
        let (mut body, mut held) = (answer.into_body(), BytesMut::new());
        let read = loop {
            match piece(&mut body).await {
                Ok(Some(bytes)) => {
                    held.extend_from_slice(&bytes);
                    self.meter.moved(bytes.len() as u64);
                    if *offset + held.len() as u64 > entry.size {
                        return Err(senseless("it is longer than the file"));
                    }
                    if held.len() >= WRITE_BYTES {
                        put(file, offset, &mut held)?;
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        put(file, offset, &mut held)?;
        read?;
        // A body that ends early without an error has no length: the connection is all that can be blamed.
        if *offset < entry.size {
            return Err(ClientError::Broken("the answer ended early".into()).into());
        }
        Ok(())
    }
}

fn put(file: &File, offset: &mut u64, held: &mut BytesMut) -> Result<(), LocalError> {
    block_in_place(|| {
        local::write(file, *offset, held)?;
        *offset += held.len() as u64;
        // What ends in zeros has its length all the same, for the run that goes on.
        file.set_len(*offset).map_err(LocalError::of("write the file"))
    })?;
    held.clear();
    Ok(())
}

impl<'a> Part<'a> {
    /// The file that an earlier run left of the same content, or a new one.
    fn open(folder: &'a OwnedFd, from: &RemotePath, entry: &Entry) -> Result<Self, TransferError> {
        let mark = Sha256::digest(format!("{}\n{}", from.encoded(), entry.etag));
        let mark: String = mark.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let name = format!(".wfs-{mark}.part");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = local::open(folder.as_fd(), &[name.clone().into_bytes()], flags, mode);
        let file = File::from(fd.map_err(LocalError::at("make a file"))?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Some file systems have no locks.
            Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS | Errno::NOLCK) => {}
            Err(Errno::AGAIN) => return Err(TransferError::Busy),
            Err(errno) => return Err(LocalError { step: "lock the file", errno }.into()),
        }
        Ok(Self { folder, name, file, keep: false })
    }

    /// How much of it is there.
    fn length(&self, entry: &Entry) -> Result<u64, LocalError> {
        let length = self.file.metadata().map_err(LocalError::of("look at the file"))?.len();
        if length > KEEP_BYTES && length <= entry.size {
            return Ok(length);
        }
        self.file.set_len(0).map_err(LocalError::of("write the file"))?;
        Ok(0)
    }

    /// Gives it its attributes and its name.
    fn finish(mut self, entry: &Entry, name: &[u8], digest: Option<String>) -> Result<(), TransferError> {
        self.file.set_len(entry.size).map_err(LocalError::of("write the file"))?;
        if let Some(digest) = digest.filter(|told| hashed(&self.file).map_or(true, |hash| hash != *told)) {
            let _ = digest;
            self.keep = false;
            return Err(TransferError::Checksum);
        }
        set_attributes(&self.file, entry)?;
        renameat(self.folder, self.name.as_str(), self.folder, name)
            .map_err(LocalError::at("give the file its name"))?;
        // There is nothing of that name any more to be removed.
        self.keep = true;
        Ok(())
    }
}

/// The file's SHA-256, read again: so it is of what was written.
fn hashed(file: &File) -> Result<String, LocalError> {
    let (mut hash, mut offset) = (Sha256::new(), 0);
    loop {
        let bytes = local::piece(file, offset, 1 << 20)?;
        if bytes.is_empty() {
            return Ok(BASE64.encode(hash.finalize()));
        }
        hash.update(&bytes);
        offset += bytes.len() as u64;
    }
}

/// Permissions and time, of a file or a folder.
///
/// # Errors
/// They cannot be set.
pub fn set_attributes(file: impl AsFd, entry: &Entry) -> Result<(), LocalError> {
    // Who runs what a server calls set-user-id is asked nobody.
    let mode = Mode::from_raw_mode(entry.permissions() & 0o777);
    rustix::fs::fchmod(&file, mode).map_err(LocalError::at("set the mode"))?;
    let modified = Timespec {
        tv_sec: entry.modified.as_second() - i64::from(entry.modified.subsec_nanosecond() < 0),
        tv_nsec: i64::from(entry.modified.subsec_nanosecond()).rem_euclid(1_000_000_000),
    };
    let times = Timestamps { last_access: modified, last_modification: modified };
    futimens(&file, &times).map_err(LocalError::at("set the time"))
}

fn senseless(what: &str) -> TransferError {
    ClientError::Protocol { request: "GET content".into(), what: what.into() }.into()
}

/// The contract writes ETags in JSON as they are, with their quotes or without.
fn quoted(etag: &str) -> String {
    if etag.starts_with('"') || etag.starts_with("W/") { etag.to_owned() } else { format!("\"{etag}\"") }
}

fn begin(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}

/// The SHA-256 of the whole file, if the server says it.
fn told_digest(headers: &HeaderMap) -> Option<String> {
    let told = headers.get(REPR_DIGEST)?.to_str().ok()?;
    let mut values =
        told.split(',').filter_map(|value| value.trim().strip_prefix("sha-256=:")?.strip_suffix(':'));
    values.next().map(str::to_owned)
}
