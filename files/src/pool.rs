//! Where file system calls wait: in a bounded number of threads, so that a server that does not answer takes those and no
//! more, and whoever asks meanwhile is told so in time.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::imports;
use crate::shares::{Place, Shares};

/// Calls at once.
const THREADS: usize = 32;
/// Of those, calls that go through whole files or trees: however many of them wait for a server, short ones find a thread.
const LONG: usize = THREADS / 2;
/// Streams that have a thread for as long as they last: archives, searches, copies.
const STREAMS: usize = 8;
/// Streams of many small files in one request, which have none: archives that are unpacked, and bundles.
const BATCHES: usize = 16;
/// Syncs of the whole file system, each for all who wait for one.
const SYNCS: usize = 2;
/// How long one waits for a thread.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a call may take that touches names, or a piece of content.
const CALL_MAX: Duration = Duration::from_secs(60);
/// How long a call may take that goes through a whole file or tree.
const LONG_MAX: Duration = Duration::from_secs(30 * 60);

/// See the module. Clones share the threads.
#[derive(Clone, Debug)]
pub struct Pool {
    calls: Arc<Semaphore>,
    long: Arc<Semaphore>,
    streams: Shares,
    batches: Shares,
    syncs: Arc<Semaphore>,
}

impl Default for Pool {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let (streams, batches) = (Shares::new(STREAMS), Shares::new(BATCHES));
        Self { calls: places(THREADS - LONG), long: places(LONG), streams, batches, syncs: places(SYNCS) }
    }
}

/// Files that were given up and wait for the server to be closed and removed, and records of imports: they have no places of their
/// own, and no request is to wait behind them.
const BESIDES: usize = 64;

/// Threads that the runtime must have.
pub const BLOCKING_THREADS: usize = THREADS + STREAMS + SYNCS + imports::THREADS + BESIDES;

impl Pool {
    /// Makes a call that is short unless the server is ill.
    ///
    /// # Errors
    /// The call's; `Busy` where no thread was free in time, `TimedOut` where it took too long: it may still happen then.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.run_in(&self.calls, WAIT_MAX, CALL_MAX, work).await
    }

    /// As [`Pool::run`], for a piece of a transfer: one that began is not broken off because others begin.
    ///
    /// # Errors
    /// As [`Pool::run`].
    pub async fn run_piece<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.run_in(&self.calls, CALL_MAX, CALL_MAX, work).await
    }

    /// As [`Pool::run`], for a call that goes through a whole file or tree.
    ///
    /// # Errors
    /// As [`Pool::run`].
    pub async fn run_long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.run_in(&self.long, WAIT_MAX, LONG_MAX, work).await
    }

    /// As [`Pool::run_piece`], for a sync of the whole file system, which takes as long as others wrote.
    ///
    /// # Errors
    /// As [`Pool::run`].
    pub async fn run_sync<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.run_in(&self.syncs, LONG_MAX, LONG_MAX, work).await
    }

    async fn run_in<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        wait: Duration,
        limit: Duration,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let waiting = tokio::time::timeout(wait, Arc::clone(places).acquire_owned());
        let Ok(Ok(permit)) = waiting.await else {
            return Err(Error::Busy("the storage server is slow, and too many requests wait for it"));
        };
        // The thread keeps its place for as long as it hangs, also when nobody waits for it any more.
        let call = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::of("finish the call", Errno::FAULT)),
            Err(_) => Err(Error::TimedOut("the storage server does not answer")),
        }
    }

    /// A place for a stream of this user, who gets half of them at most; it goes with the stream.
    ///
    /// # Errors
    /// `Busy`.
    pub fn stream(&self, user: &str) -> Result<Place, Error> {
        let busy = Error::Busy("too many archives, searches and copies run already, of yours or of all");
        self.streams.take(user).ok_or(busy)
    }

    /// A place for many files in one request; it goes with the request.
    ///
    /// # Errors
    /// `Busy`.
    pub fn batch(&self, user: &str) -> Result<Place, Error> {
        let busy = Error::Busy("too many archives are unpacked already, of yours or of all");
        self.batches.take(user).ok_or(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_calls_leave_short_ones_a_thread() {
        let pool = Pool::default();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let hang = |_| {
            let (pool, wait) = (pool.clone(), Arc::clone(&wait));
            // The sender goes: then all of them end.
            tokio::spawn(async move { pool.run_long(move || Ok(wait.lock().unwrap().recv().is_err())).await })
        };
        let hanging: Vec<_> = (0..THREADS).map(hang).collect();
        while pool.long.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let short = tokio::time::timeout(Duration::from_secs(5), pool.run(|| Ok(7)));
        assert_eq!(short.await.unwrap(), Ok(7));
        drop(release);
        for call in hanging {
            assert_eq!(call.await.unwrap(), Ok(true));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_of_a_running_transfer_waits_longer_than_a_new_request() {
        let pool = Pool::default();
        let all = u32::try_from(THREADS - LONG).unwrap();
        let busy = Arc::clone(&pool.calls).acquire_many_owned(all).await.unwrap();
        let (waits, piece) = (pool.clone(), pool.clone());
        let piece = tokio::spawn(async move { piece.run_piece(|| Ok(7)).await });
        assert!(matches!(waits.run(|| Ok(7)).await, Err(Error::Busy(_))));
        tokio::time::sleep(2 * WAIT_MAX).await;
        drop(busy);
        assert_eq!(piece.await.unwrap(), Ok(7));
    }
}
