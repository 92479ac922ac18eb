//! Taking a content: the next piece comes over the network while the one before is written and hashed.
//!
//! Pieces are large where bytes come fast, and small where they do not: memory is for whoever fills it soon. Nobody has any while he
//! sends nothing.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::error::Error;
use crate::http::Pieces;
use crate::memory::{Lease, Memory};
use crate::uploads::Digester;
use crate::write::NewFile;

/// The largest piece, and the first one: each that is full is followed by one of twice its size.
const PIECE_BYTES_MAX: usize = 1 << 20;
const PIECE_BYTES_MIN: usize = 64 << 10;
/// How long a piece is gathered. What came by then is written, and its memory is somebody else's.
const GATHER_MAX: Duration = Duration::from_secs(1);

/// Where a content goes.
#[derive(Debug)]
pub struct Sink {
    /// Into this file.
    pub file: Arc<NewFile>,
    /// From here on.
    pub offset: u64,
    /// The most that is taken.
    pub limit: u64,
    /// Hashed by the way.
    pub digester: Option<Digester>,
}

/// What came.
#[derive(Debug)]
pub struct Received {
    /// Bytes that were written.
    pub bytes: u64,
    /// Of those.
    pub digester: Option<Digester>,
    /// Why it ended before the body did. What was written before is there.
    pub error: Option<Error>,
}

struct Piece {
    bytes: Batch,
    /// After this one: nothing, or an error.
    end: Option<Result<(), Error>>,
}

/// What is written at once.
enum Batch {
    /// As it came, where there is no memory to gather more in.
    Came(Bytes),
    /// Two of them take turns: new memory for each piece would cost as much as writing it.
    Gathered { bytes: Vec<u8>, memory: Lease },
}

impl Deref for Batch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Came(bytes) => bytes,
            Self::Gathered { bytes, .. } => bytes,
        }
    }
}

/// Takes a body until it ends, or until `wanted`: somebody else wants the file.
pub async fn receive(app: &App, body: Body, sink: Sink, wanted: &CancellationToken) -> Received {
    let Sink { file, offset, limit, digester } = sink;
    let (memory, size) = (&app.memory, PIECE_BYTES_MIN);
    let mut inlet = Inlet { pieces: Pieces::new(body), wanted, memory, size, split: None };
    let mut received = Received { bytes: 0, digester, error: None };
    let mut spare = None;
    let mut piece = inlet.collect(None, limit).await;
    loop {
        let length = piece.bytes.len() as u64;
        let (at, left) = (offset + received.bytes, limit - received.bytes - length);
        let (target, bytes, mut digester) = (Arc::clone(&file), piece.bytes, received.digester.take());
        let write = app.pool.run_piece(move || {
            target.write_at(&bytes, at)?;
            if let Some(digester) = &mut digester {
                digester.update(&bytes);
            }
            Ok((digester, bytes))
        });
        let (written, next) = match piece.end {
            Some(end) => (write.await, Err(end)),
            None => {
                let (written, next) = tokio::join!(write, inlet.collect(spare.take(), left));
                (written, Ok(next))
            }
        };
        match written {
            Ok((digester, bytes)) => (received.digester, spare) = (digester, inlet.again(bytes)),
            Err(error) => return Received { error: Some(error), ..received },
        }
        received.bytes += length;
        app.metrics.received.inc_by(length);
        match next {
            Ok(next) => piece = next,
            Err(end) => return Received { error: end.err(), ..received },
        }
    }
}

/// Where bytes come from.
struct Inlet<'a> {
    pieces: Pieces,
    wanted: &'a CancellationToken,
    memory: &'a Memory,
    /// Of the next piece.
    size: usize,
    /// The end of what came last, for which a piece had no room.
    split: Option<Bytes>,
}

impl Inlet<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(split) = self.split.take() {
            return Ok(Some(split));
        }
        tokio::select! {
            next = self.pieces.next() => next,
            () = self.wanted.cancelled() => Err(Error::Cut),
        }
    }

    /// The next bytes, never more than `limit`, in the memory of `spare`. As long as nothing comes there is no more than that.
    async fn collect(&mut self, spare: Option<Batch>, limit: u64) -> Piece {
        let nothing = || Batch::Came(Bytes::new());
        let first = match self.next().await {
            Ok(Some(first)) => first,
            Ok(None) => return Piece { bytes: nothing(), end: Some(Ok(())) },
            Err(error) => return Piece { bytes: nothing(), end: Some(Err(error)) },
        };
        if first.len() as u64 > limit {
            return Piece { bytes: nothing(), end: Some(Err(too_large())) };
        }
        let (mut bytes, memory) = match spare {
            Some(Batch::Gathered { bytes, memory }) => (bytes, memory),
            _ => match self.memory.lease(self.size, PIECE_BYTES_MIN) {
                Some(memory) => (Vec::with_capacity(memory.bytes), memory),
                None => return Piece { bytes: Batch::Came(first), end: None },
            },
        };
        bytes.clear();
        self.put(&mut bytes, first, memory.bytes);
        let end = self.fill(&mut bytes, memory.bytes, limit).await;
        Piece { bytes: Batch::Gathered { bytes, memory }, end }
    }

    /// Until it is full, or for as long as one waits for that.
    async fn fill(&mut self, bytes: &mut Vec<u8>, full: usize, limit: u64) -> Option<Result<(), Error>> {
        let until = Instant::now() + GATHER_MAX;
        while bytes.len() < full {
            let Ok(next) = timeout_at(until, self.next()).await else {
                self.size = PIECE_BYTES_MIN;
                return None;
            };
            match next {
                Ok(Some(more)) if (bytes.len() + more.len()) as u64 > limit => return Some(Err(too_large())),
                Ok(Some(more)) => self.put(bytes, more, full),
                Ok(None) => return Some(Ok(())),
                Err(error) => return Some(Err(error)),
            }
        }
        self.size = (2 * full).min(PIECE_BYTES_MAX);
        None
    }

    fn put(&mut self, bytes: &mut Vec<u8>, mut more: Bytes, full: usize) {
        let now = more.split_to(more.len().min(full - bytes.len()));
        bytes.extend_from_slice(&now);
        self.split = Some(more).filter(|rest| !rest.is_empty());
    }

    /// What was written, for another piece of the same size.
    fn again(&self, batch: Batch) -> Option<Batch> {
        match &batch {
            Batch::Gathered { bytes, memory } if bytes.len() == memory.bytes && memory.bytes == self.size => {
                Some(batch)
            }
            _ => None,
        }
    }
}

fn too_large() -> Error {
    Error::TooLarge("more came than was announced")
}
