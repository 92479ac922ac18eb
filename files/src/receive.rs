//! Taking a content: the next piece comes over the network while the one before is written and hashed.

use std::sync::Arc;

use axum::body::Body;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::error::Error;
use crate::http::Pieces;
use crate::uploads::Digester;
use crate::write::NewFile;

const PIECE_BYTES: usize = 1 << 20;
/// The most that comes at once, which may lie across the end of a piece.
const MORE_BYTES: usize = 128 * 1024;

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
    /// Two take turns: new memory for each piece would cost as much as writing it.
    bytes: Vec<u8>,
    /// After this one: nothing, or an error.
    end: Option<Result<(), Error>>,
}

/// Takes a body until it ends, or until `wanted`: somebody else wants the file.
pub async fn receive(app: &App, body: Body, sink: Sink, wanted: &CancellationToken) -> Received {
    let Sink { file, offset, limit, digester } = sink;
    let mut pieces = Pieces::new(body);
    let mut received = Received { bytes: 0, digester, error: None };
    let mut spare = Vec::new();
    let mut piece = collect(&mut pieces, Vec::new(), limit, wanted).await;
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
                let (written, next) =
                    tokio::join!(write, collect(&mut pieces, std::mem::take(&mut spare), left, wanted));
                (written, Ok(next))
            }
        };
        match written {
            Ok((digester, bytes)) => (received.digester, spare) = (digester, bytes),
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

/// The next bytes, at most about [`PIECE_BYTES`] and never more than `limit`, in the memory of `bytes`.
async fn collect(pieces: &mut Pieces, mut bytes: Vec<u8>, limit: u64, wanted: &CancellationToken) -> Piece {
    bytes.clear();
    while bytes.len() < PIECE_BYTES {
        let next = tokio::select! {
            next = pieces.next() => next,
            () = wanted.cancelled() => Err(Error::Cut),
        };
        match next {
            Ok(Some(more)) if (bytes.len() + more.len()) as u64 > limit => {
                let end = Some(Err(Error::TooLarge("more came than was announced")));
                return Piece { bytes, end };
            }
            Ok(Some(more)) => {
                if bytes.capacity() == 0 {
                    bytes.reserve(
                        (PIECE_BYTES + MORE_BYTES).min(usize::try_from(limit).unwrap_or(PIECE_BYTES)),
                    );
                }
                bytes.extend_from_slice(&more);
            }
            Ok(None) => return Piece { bytes, end: Some(Ok(())) },
            Err(error) => return Piece { bytes, end: Some(Err(error)) },
        }
    }
    Piece { bytes, end: None }
}
