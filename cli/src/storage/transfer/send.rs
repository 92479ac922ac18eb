//! One file to the server: small ones whole in one request, large ones in pieces that survive a cut. Under its name there is
//! the old file or the new one, whole: the server sees to that, and we to it that what changes meanwhile is not sent as one.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use tokio::task::block_in_place;

use super::TransferError;
use super::local::{self, LocalError};
use super::meter::Meter;
use crate::client::error::ClientError;
use crate::client::files::{Attributes, Files};
use crate::client::path::RemotePath;
use crate::client::tus::{self, First, Upload};
use crate::client::types::{Entry, Kind};
use workspacefs_files_proto::types::Upload as Unfinished;

/// How often a file that changes while it is read is begun anew.
const TRIES: usize = 3;

/// Sends files.
pub struct Sender {
    /// Where to.
    pub files: Files,
    /// The local folder.
    pub root: Arc<OwnedFd>,
    /// Whether files that are there are replaced.
    pub overwrite: bool,
    /// Larger files go in pieces of this size; bytes.
    pub piece: usize,
    /// What is counted.
    pub meter: Arc<Meter>,
    /// Asked for once, when the first large file comes.
    pub unfinished: OnceCell<Vec<Unfinished>>,
}

impl Sender {
    /// Sends one file; its size.
    ///
    /// # Errors
    /// [`TransferError`]. Nothing is under its name that was not there before.
    pub async fn send(&self, names: &[Vec<u8>], to: &RemotePath) -> Result<u64, TransferError> {
        for _ in 0..TRIES {
            let (file, stat) = block_in_place(|| self.open(names))?;
            let sent = if local::size(&stat) <= self.piece as u64 {
                self.whole(&file, &stat, to).await
            } else {
                self.pieces(&file, &stat, to).await
            };
            match sent {
                Ok(()) => return Ok(local::size(&stat)),
                Err(TransferError::Changing) => {}
                Err(error) => return Err(error),
            }
        }
        Err(TransferError::Changing)
    }

    /// Whether `entry` is this file by its size and time.
    pub fn is_same(&self, names: &[Vec<u8>], entry: &Entry) -> bool {
        block_in_place(|| self.open(names)).is_ok_and(|(_, stat)| {
            entry.kind == Kind::File
                && entry.size == local::size(&stat)
                && entry.modified == local::modified(&stat)
        })
    }

    /// Its size, as long as it can be opened.
    pub fn size(&self, names: &[Vec<u8>]) -> Option<u64> {
        block_in_place(|| self.open(names)).ok().map(|(_, stat)| local::size(&stat))
    }

    pub(super) fn open(&self, names: &[Vec<u8>]) -> Result<(File, Stat), TransferError> {
        // NONBLOCK: a FIFO that has come to have the name waits for nobody.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = local::open(self.root.as_fd(), names, flags, Mode::empty());
        let fd = fd.map_err(LocalError::at("open the file"))?;
        let stat = fstat(&fd).map_err(LocalError::at("look at the file"))?;
        if local::kind(&stat) != FileType::RegularFile {
            return Err(TransferError::InTheWay("it is no regular file any more".into()));
        }
        Ok((File::from(fd), stat))
    }

    fn attributes(&self, stat: &Stat) -> Attributes {
        Attributes { modified: local::modified(stat), mode: stat.st_mode & 0o777, overwrite: self.overwrite }
    }

    async fn whole(&self, file: &File, stat: &Stat, to: &RemotePath) -> Result<(), TransferError> {
        let size = local::size(stat);
        let (bytes, digest) = block_in_place(|| {
            let bytes = local::piece(file, 0, usize::try_from(size).unwrap_or(self.piece))?;
            let digest = BASE64.encode(Sha256::digest(&bytes));
            Ok::<_, LocalError>((bytes, digest))
        })?;
        if bytes.len() as u64 != size || has_changed(file, stat)? {
            return Err(TransferError::Changing);
        }
        let attributes = self.attributes(stat);
        match self.files.write(to, bytes, &digest, &attributes).await {
            Ok(()) => {}
            // Only where it may replace nothing is it not sent again: perhaps it arrived all the same.
            Err(error) if error.passes() && self.arrived(to, size, &attributes).await => {}
            Err(error) => return Err(error.into()),
        }
        self.meter.moved(size);
        Ok(())
    }

    async fn pieces(&self, file: &File, stat: &Stat, to: &RemotePath) -> Result<(), TransferError> {
        let (size, attributes) = (local::size(stat), self.attributes(stat));
        let mut trouble = self.files.gateway().trouble();
        let mut upload = self.begin(file, stat, to, &attributes).await?;
        while upload.offset < size {
            let bytes = block_in_place(|| local::piece(file, upload.offset, self.piece))?;
            let end = upload.offset + bytes.len() as u64;
            // The last piece makes the file appear: by then it has to be one file.
            if bytes.is_empty() || (end >= size && has_changed(file, stat)?) || end > size {
                let _ = self.files.abandon(&upload.id).await;
                return Err(TransferError::Changing);
            }
            match self.files.append(&upload, bytes).await {
                Ok(offset) if offset > upload.offset && offset <= end => {
                    self.meter.moved(offset - upload.offset);
                    upload.offset = offset;
                    trouble.over();
                }
                Ok(_) => {
                    let what = "the offset after a piece is none that can be".into();
                    return Err(ClientError::Protocol { request: "PATCH".into(), what }.into());
                }
                Err(error) => {
                    match self.cut(&upload, error, end >= size, to, size, &attributes, &mut trouble).await? {
                        Some(offset) => upload.offset = offset,
                        None => return Ok(()),
                    }
                }
            }
        }
        Ok(())
    }

    /// A new upload with its first piece, or one that an earlier run left.
    async fn begin(
        &self,
        file: &File,
        stat: &Stat,
        to: &RemotePath,
        attributes: &Attributes,
    ) -> Result<Upload, TransferError> {
        let size = local::size(stat);
        if let Some(upload) = self.left(to, size, attributes).await {
            self.meter.moved(upload.offset);
            return Ok(upload);
        }
        let mut trouble = self.files.gateway().trouble();
        loop {
            let piece = block_in_place(|| local::piece(file, 0, self.piece))?;
            let length = piece.len() as u64;
            let first = First { path: to, size, attributes, piece };
            match self.files.create(&first).await {
                Ok(upload) if upload.offset <= length => {
                    self.meter.moved(upload.offset);
                    return Ok(upload);
                }
                Ok(_) => {
                    let what = "the offset after the first piece is none that can be".into();
                    return Err(ClientError::Protocol { request: "POST".into(), what }.into());
                }
                // One that was made all the same is forgotten by the server in time.
                Err(error) if error.passes() => {
                    let call = crate::client::call::Call::get(String::new());
                    self.files.gateway().wait(&call, error, &mut trouble).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What an earlier run left of this very file.
    async fn left(&self, to: &RemotePath, size: u64, attributes: &Attributes) -> Option<Upload> {
        // A server that does not tell costs a new beginning.
        let known = match self.unfinished.get() {
            Some(known) => known,
            None => {
                let asked = self.files.unfinished().await.unwrap_or_default();
                self.unfinished.get_or_init(|| std::future::ready(asked)).await
            }
        };
        let same = |upload: &&Unfinished| {
            let path = RemotePath::from_wire(&upload.path);
            upload.size == size && path.is_ok_and(|path| path.names() == to.names()) && tus::is_id(&upload.id)
        };
        for upload in known.iter().filter(same) {
            match self.files.progress(&upload.id).await {
                Ok((offset, told)) if offset < size && tus::is_of(&told, to, attributes) => {
                    return Some(Upload { id: upload.id.clone(), offset });
                }
                _ => {}
            }
        }
        None
    }

    /// After a piece of which nobody knows whether it arrived: where to go on; none if the file is there.
    #[allow(clippy::too_many_arguments)]
    async fn cut(
        &self,
        upload: &Upload,
        error: ClientError,
        was_last: bool,
        to: &RemotePath,
        size: u64,
        attributes: &Attributes,
        trouble: &mut crate::client::Trouble,
    ) -> Result<Option<u64>, TransferError> {
        // 409 is an offset that is not the server's any more, 460 a piece that arrived damaged: both are to be sent again.
        let resent = error.is_status(460) || (error.is_status(409) && error.code() == "Conflict");
        if !error.passes() && !resent {
            return Err(error.into());
        }
        let call = crate::client::call::Call::get(String::new());
        if resent {
            let text = crate::text::chain(&error);
            let again = ClientError::Broken(text.into());
            self.files.gateway().wait(&call, again, trouble).await?;
        } else {
            self.files.gateway().wait(&call, error, trouble).await?;
        }
        match self.files.progress(&upload.id).await {
            Ok((offset, _)) if offset <= size => Ok(Some(offset)),
            Ok(_) => Err(TransferError::Changing),
            Err(gone) if gone.is_status(404) || gone.is_status(410) => {
                if was_last && self.arrived(to, size, attributes).await {
                    Ok(None)
                } else {
                    Err(self.in_words(gone).await.into())
                }
            }
            Err(error) => Err(self.in_words(error).await.into()),
        }
    }

    /// What the server says to another question of the same right, if it refuses that too: its answer to HEAD has no words.
    async fn in_words(&self, error: ClientError) -> ClientError {
        match self.files.unfinished().await {
            Err(said @ ClientError::Api { .. }) => said,
            _ => error,
        }
    }

    /// Whether what is under the name is what was sent, as far as size and time can tell.
    pub(super) async fn arrived(&self, to: &RemotePath, size: u64, attributes: &Attributes) -> bool {
        let found = self.files.stat(to).await;
        found.is_ok_and(|entry| entry.size == size && entry.modified == attributes.modified)
    }
}

/// Whether it is not any more what it was when it was opened.
pub(super) fn has_changed(file: &File, then: &Stat) -> Result<bool, LocalError> {
    let now = fstat(file).map_err(LocalError::at("look at the file"))?;
    let same = now.st_size == then.st_size
        && now.st_mtime == then.st_mtime
        && now.st_mtime_nsec == then.st_mtime_nsec
        && now.st_ctime == then.st_ctime
        && now.st_ctime_nsec == then.st_ctime_nsec;
    Ok(!same)
}
