//! The entries of an archive that comes as the body of a request.

use axum::body::Body;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use workspacefs_files_proto::tar::{BadArchive, Decoder, Member, Step};

use crate::error::Error;
use crate::http::Pieces;

/// What follows the end of an archive is read up to here.
const FILLING_BYTES_MAX: usize = 1 << 20;

/// See the module.
pub(crate) struct Members {
    pieces: Pieces,
    decoder: Decoder,
    /// What came and was not looked at yet.
    rest: Bytes,
    /// Content that was looked at, and not told.
    held: Bytes,
    /// One that was looked at, and not told.
    first: Option<Option<Member>>,
    /// Ends it as if the body had ended early.
    gone: CancellationToken,
}

enum Told {
    Member(Member),
    Content(Bytes),
    End,
}

impl From<BadArchive> for Error {
    fn from(bad: BadArchive) -> Self {
        match bad {
            BadArchive::Cut => Self::Cut,
            bad => Self::bad(bad.to_string()),
        }
    }
}

impl Members {
    /// Of a body, of which so much has come then that it is known to be an archive.
    ///
    /// # Errors
    /// It is none.
    pub async fn begun(body: Body, gone: CancellationToken) -> Result<Self, Error> {
        let (pieces, decoder) = (Pieces::new(body), Decoder::default());
        let mut members = Self { pieces, decoder, rest: Bytes::new(), held: Bytes::new(), first: None, gone };
        members.first = Some(members.next().await?);
        Ok(members)
    }

    /// The next entry; what is left of the content of the one before is passed over. None at the end.
    ///
    /// # Errors
    /// The archive is damaged, or broke off.
    pub async fn next(&mut self) -> Result<Option<Member>, Error> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        loop {
            match self.step().await? {
                Told::Member(member) => return Ok(Some(member)),
                Told::Content(_) => {}
                Told::End => return Ok(None),
            }
        }
    }

    /// So many bytes of the current entry's content, of which there are as many.
    ///
    /// # Errors
    /// As [`Members::next`].
    pub async fn whole(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        // Nothing asks for more than a few MiB at once.
        let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(|_| Error::Cut)?);
        while (bytes.len() as u64) < length {
            match self.step().await? {
                Told::Content(mut content) => {
                    let missing = length - bytes.len() as u64;
                    if content.len() as u64 > missing {
                        // Below the length of what is in memory.
                        self.held = content.split_off(missing as usize);
                    }
                    bytes.extend_from_slice(&content);
                }
                Told::Member(_) | Told::End => return Err(Error::Cut),
            }
        }
        Ok(bytes)
    }

    async fn step(&mut self) -> Result<Told, Error> {
        if !self.held.is_empty() {
            return Ok(Told::Content(std::mem::take(&mut self.held)));
        }
        loop {
            let rest = self.rest.clone();
            let mut input = &rest[..];
            let step = self.decoder.next(&mut input)?;
            self.rest = rest.slice(rest.len() - input.len()..);
            match step {
                Step::Member(member) => return Ok(Told::Member(member)),
                Step::Content(content) => return Ok(Told::Content(rest.slice_ref(content))),
                Step::End => {
                    self.read_out().await;
                    return Ok(Told::End);
                }
                Step::More => match self.piece().await? {
                    Some(piece) => self.rest = piece,
                    None => {
                        self.decoder.finish()?;
                        return Ok(Told::End);
                    }
                },
            }
        }
    }

    /// What fills up the last record of a tape: the connection can be used again where it was read.
    async fn read_out(&mut self) {
        let mut read = 0;
        while read < FILLING_BYTES_MAX
            && let Ok(Some(piece)) = self.piece().await
        {
            read += piece.len();
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        tokio::select! {
            piece = self.pieces.next() => piece,
            () = self.gone.cancelled() => Err(Error::Cut),
        }
    }
}
