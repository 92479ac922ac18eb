//! From a thread that writes to a caller who reads: pieces of some size, few of them waiting, and an end that is told from a
//! writer that stopped in the middle.

use std::io::{self, Write};

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::mpsc;

const PIECE_BYTES: usize = 128 * 1024;
const PIECES_WAITING: usize = 2;

enum Piece {
    Bytes(Bytes),
    End,
}

/// The writer's end. Unless it is [`Pipe::end`]ed, the reader's connection breaks.
pub struct Pipe {
    sender: mpsc::Sender<Piece>,
    buffer: Vec<u8>,
}

/// Both ends.
pub fn pipe() -> (Pipe, Body) {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    let stream = futures::stream::try_unfold(Some(receiver), async |receiver| {
        let Some(mut receiver) = receiver else { return Ok(None) };
        match receiver.recv().await {
            Some(Piece::Bytes(bytes)) => Ok(Some((bytes, Some(receiver)))),
            Some(Piece::End) => Ok(None),
            None => Err(io::Error::other("the stream broke off")),
        }
    });
    (Pipe { sender, buffer: Vec::with_capacity(PIECE_BYTES) }, Body::from_stream(stream))
}

impl Pipe {
    /// All is written.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.send(Piece::End)
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        self.sender.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE_BYTES));
        self.send(Piece::Bytes(full.into()))
    }
}
