//! Small files to the server, many in one archive. What of it is refused is told of each; what may come to another end by itself is
//! sent by itself.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::task::block_in_place;
use workspacefs_files_proto::tar::{BLOCK_BYTES, END, Member, MemberKind, padding};

use super::super::TransferError;
use super::super::local;
use super::super::meter::Fate;
use super::super::send::{Sender, has_changed};
use super::super::upload::Upload;
use super::{ALONE_AT_ONCE, FILE_BYTES_MAX};
use crate::client::batch::{is_too_much, is_unknown};
use crate::client::error::{ClientError, ErrorBody};
use crate::client::files::Attributes;

/// What stands before a content in an archive, and fills its last block, beside a long name.
const DESCRIPTION_BYTES: usize = 4 * BLOCK_BYTES;

/// A file below the local folder.
pub struct File {
    /// Its path.
    pub names: Vec<Vec<u8>>,
    /// As it was found, bytes.
    pub size: u64,
}

/// One that is in the archive as it was read.
struct Packed {
    file: File,
    size: u64,
    modified: jiff::Timestamp,
}

/// An archive with what is in it.
#[derive(Default)]
struct Pack {
    archive: Vec<u8>,
    files: Vec<Packed>,
    /// Files that did not go into it.
    alone: Vec<File>,
}

/// Whether a file that was refused so is sent by itself: that knows how to wait, and how to send again.
fn may_pass(code: &str) -> bool {
    matches!(code, "Busy" | "TimedOut" | "ChecksumMismatch" | "Conflict")
}

impl Upload {
    /// Sends files together.
    pub async fn many(&self, files: Vec<File>) {
        let Some(turn) = self.batches.turn().await else { return };
        if self.stop.is_said() {
            return;
        }
        let mut pack = block_in_place(|| self.pack(files));
        let archive = Bytes::from(std::mem::take(&mut pack.archive));
        let meter = &self.sender.meter;
        let overwrite = self.sender.overwrite;
        let unpacked =
            self.sender.files.unpack(&self.to, archive, overwrite, |bytes| meter.moved(bytes)).await;
        let alone = match unpacked {
            Ok(unpacked) => self.judge(pack, unpacked.refused, unpacked.failed.is_some()),
            Err(error) if is_unknown(&error) => {
                self.batches.off();
                pack.all()
            }
            Err(error) if is_too_much(&error) => pack.all(),
            // It was not sent again, as it may replace nothing: of each file is looked whether it arrived.
            Err(error) if error.passes() && !overwrite => {
                let packed = futures::stream::iter(pack.files);
                packed.for_each_concurrent(ALONE_AT_ONCE, |packed| self.again(packed)).await;
                pack.alone
            }
            Err(error) => {
                self.none(pack, error.into());
                Vec::new()
            }
        };
        drop(turn);
        futures::stream::iter(alone).for_each_concurrent(ALONE_AT_ONCE, |file| self.file(file)).await;
    }

    /// Reads what goes together. What cannot be read, or changes, is left to be sent by itself, which says why.
    fn pack(&self, files: Vec<File>) -> Pack {
        // Memory that grows is copied, and taken twice.
        let expected =
            files.iter().map(|file| file.size as usize + DESCRIPTION_BYTES + file.names.join(&b'/').len());
        let archive = Vec::with_capacity(expected.sum::<usize>() + END.len());
        let mut pack = Pack { archive, ..Pack::default() };
        for file in files {
            self.sender.meter.current(local::shown(&file.names));
            let begin = pack.archive.len();
            match self.sender.pack(&file.names, &mut pack.archive) {
                Ok((size, modified)) => pack.files.push(Packed { file, size, modified }),
                Err(_) => {
                    pack.archive.truncate(begin);
                    pack.alone.push(file);
                }
            }
        }
        pack.archive.extend_from_slice(&END);
        pack
    }

    /// What the server says of each file; which of them are sent by themselves.
    fn judge(&self, pack: Pack, refused: Vec<(String, ErrorBody)>, is_cut: bool) -> Vec<File> {
        let mut refused: HashMap<String, ErrorBody> = refused.into_iter().collect();
        let mut alone = pack.alone;
        for packed in pack.files {
            match refused.remove(&self.to.join_all(&packed.file.names).encoded()) {
                Some(error) if may_pass(&error.code) => alone.push(packed.file),
                Some(error) => {
                    let error = TransferError::from(ClientError::of_line(error));
                    self.fail(Some(packed.file.size), &packed.file.names, error);
                }
                None if is_cut => alone.push(packed.file),
                None => self.sender.meter.settled(Fate::Done, packed.size),
            }
        }
        alone
    }

    /// Sends what may have arrived: the server may be at it still, and what is there then is no other's.
    async fn again(&self, packed: Packed) {
        let Packed { file, size, modified } = packed;
        let (to, attributes) =
            (self.to.join_all(&file.names), Attributes { modified, mode: 0, overwrite: false });
        let is_there = async || self.sender.arrived(&to, size, &attributes).await;
        if is_there().await {
            return self.sender.meter.settled(Fate::Done, size);
        }
        match self.sender.send(&file.names, &to).await {
            Ok(sent) => self.sender.meter.settled(Fate::Done, sent),
            Err(error) if matches!(error.code(), "Exists" | "PreconditionFailed") && is_there().await => {
                self.sender.meter.settled(Fate::Done, size);
            }
            Err(error) => self.fail(Some(file.size), &file.names, error),
        }
    }

    /// None of them is there.
    fn none(&self, pack: Pack, error: TransferError) {
        for file in pack.all() {
            self.tell(Some(file.size), &file.names, &error);
        }
        if error.is_for_all() {
            self.stop.because(error);
        }
    }
}

impl Pack {
    fn all(self) -> Vec<File> {
        let mut all = self.alone;
        all.extend(self.files.into_iter().map(|packed| packed.file));
        all
    }
}

impl Sender {
    /// Appends a small file to an archive; its size and time.
    ///
    /// # Errors
    /// It cannot be read, is none of those, or changes.
    fn pack(&self, names: &[Vec<u8>], into: &mut Vec<u8>) -> Result<(u64, jiff::Timestamp), TransferError> {
        let (file, stat) = self.open(names)?;
        let (size, modified) = (local::size(&stat), local::modified(&stat));
        if size > FILE_BYTES_MAX {
            return Err(TransferError::Changing);
        }
        let bytes = local::piece(&file, 0, usize::try_from(size).unwrap_or(0))?;
        if bytes.len() as u64 != size || has_changed(&file, &stat)? {
            return Err(TransferError::Changing);
        }
        let member = Member {
            name: names.join(&b'/'),
            kind: MemberKind::File,
            size,
            mode: stat.st_mode & 0o777,
            modified: modified.as_nanosecond(),
            sha256: Some(BASE64.encode(Sha256::digest(&bytes))),
        };
        member.write(into);
        into.extend_from_slice(&bytes);
        into.resize(into.len() + padding(size), 0);
        Ok((size, modified))
    }
}
