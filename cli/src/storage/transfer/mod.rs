//! Files to the server and from it, many at once: readers find what there is, workers move it, and a bounded queue lies
//! between them, so that a hundred thousand files need no more memory than a few.

pub mod batch;
pub mod download;
pub mod folders;
pub mod local;
pub mod meter;
pub mod outcome;
pub mod receive;
pub mod send;
pub mod upload;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use thiserror::Error;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};

use self::batch::Taken;
use self::local::LocalError;
use self::meter::{Meter, Problem};
use crate::client::error::ClientError;
use crate::exit::Exit;
use crate::progress::{Display, LOOK_EVERY, Phase, Show};
use crate::text::chain;

/// Files that have been found and wait for a worker.
const QUEUE: usize = 512;
/// Folders that are read at once.
pub const READERS: usize = 8;
/// Memory for pieces of files, of all workers together.
const PIECES_BYTES: usize = 128 << 20;
const PIECE_BYTES_MIN: usize = 1 << 20;
const PIECE_BYTES_MAX: usize = 16 << 20;

/// Why a file did not arrive.
#[derive(Debug, Error)]
pub enum TransferError {
    /// This machine.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The gateway, or what lies behind it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It changed while it was read, each time.
    #[error("it changes while it is read")]
    Changing,
    /// Not what it was said to be.
    #[error("what arrived has another SHA-256 than what was sent")]
    Checksum,
    /// Another process.
    #[error("another wfs is writing it")]
    Busy,
    /// What there is of it stands in the way.
    #[error("{0}")]
    InTheWay(String),
}

impl TransferError {
    /// A word for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::Local(_) => "Local",
            Self::Client(error) if !error.code().is_empty() => error.code(),
            Self::Client(_) => "Gateway",
            Self::Changing => "Changing",
            Self::Checksum => "ChecksumMismatch",
            Self::Busy => "Busy",
            Self::InTheWay(_) => "InTheWay",
        }
    }

    /// Whether to go on with other files makes no sense.
    pub fn is_for_all(&self) -> bool {
        match self {
            Self::Local(error) => matches!(error.errno, rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT),
            Self::Client(error) => error.is_for_all(),
            Self::Changing | Self::Checksum | Self::Busy | Self::InTheWay(_) => false,
        }
    }

    /// As a problem of a path.
    pub fn problem(&self, path: String) -> Problem {
        Problem { path, code: self.code().to_owned(), message: chain(self) }
    }
}

/// What is done with a symbolic link.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Links {
    /// Told as a problem: the other side can hold none
    #[default]
    Refuse,
    /// Left out in silence
    Skip,
}

/// Ends a transfer before its end.
#[derive(Default)]
pub struct Stop {
    why: Mutex<Option<TransferError>>,
    said: Notify,
}

impl Stop {
    /// The first reason counts.
    pub fn because(&self, error: TransferError) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.said.notify_waiters();
    }

    /// Whether it was said.
    pub fn is_said(&self) -> bool {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Option<TransferError> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How large a piece of a file may be when so many are in memory.
pub fn piece_bytes(workers: usize) -> usize {
    (PIECES_BYTES / workers.max(1)).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
}

/// Moves what comes out of the queue, until it is empty and closed, or somebody says stop. `weigh` says of what goes with others how
/// many bytes it has.
pub async fn work<T, F, W>(
    workers: usize,
    items: mpsc::Receiver<T>,
    stop: &Arc<Stop>,
    weigh: impl Fn(&T) -> Option<u64> + Clone + Send + Sync + 'static,
    some: W,
) where
    T: Send + Sync + 'static,
    F: Future<Output = ()> + Send,
    W: Fn(Taken<T>) -> F + Clone + Send + Sync + 'static,
{
    let items = Arc::new(AsyncMutex::new(items));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..workers {
        let (items, stop) = (Arc::clone(&items), Arc::clone(stop));
        let (weigh, some) = (weigh.clone(), some.clone());
        tasks.spawn(async move {
            while !stop.is_said() {
                let taken = batch::next(&mut *items.lock().await, &weigh).await;
                match taken {
                    Some(taken) => some(taken).await,
                    None => break,
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// A queue.
pub fn queue<T>() -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
    mpsc::channel(QUEUE)
}

/// Shows a transfer while it runs, without a terminal if that is `asked` for, and tells at its end what came of it.
///
/// # Errors
/// It cannot be printed.
pub async fn shown(
    meter: Arc<Meter>,
    stop: Arc<Stop>,
    phase: Phase,
    output: crate::storage::output::Output,
    asked: bool,
    transfer: impl Future<Output = ()>,
) -> Result<Exit> {
    use crate::storage::output::Format;
    let show = match Show::choose(output.format == Format::Json, output.quiet) {
        // In a script nobody looks on, unless somebody says so.
        Show::Lines if !asked => Show::Nothing,
        show => show,
    };
    let mut display = Display::new(show, phase);
    let mut clock = tokio::time::interval(LOOK_EVERY);
    tokio::pin!(transfer);
    loop {
        tokio::select! {
            () = &mut transfer => break,
            _ = clock.tick() => display.show(&meter.snapshot(false)),
        }
    }
    display.show(&meter.snapshot(true));
    drop(display);
    outcome::tell(&meter, stop.take().as_ref(), phase, output.format, output.quiet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_all_workers_fit_into_the_memory_for_them() {
        assert_eq!(piece_bytes(1), PIECE_BYTES_MAX);
        assert_eq!(piece_bytes(32), 4 << 20);
        for workers in 1..=128 {
            assert!(piece_bytes(workers) * workers <= PIECES_BYTES, "{workers}");
        }
    }
}
