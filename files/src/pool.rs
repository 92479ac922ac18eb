//! Where file system calls wait: in a bounded number of threads, so that a server that does not answer takes those and no
//! more, and whoever asks meanwhile is told so in time.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Calls at once.
const THREADS: usize = 32;
/// Streams that have a thread for as long as they last: archives, searches, copies.
const STREAMS: usize = 8;
/// How long one waits for a thread.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a call may take that touches names, or a piece of content.
pub const CALL_MAX: Duration = Duration::from_secs(60);
/// How long a call may take that goes through a whole file or tree.
pub const LONG_MAX: Duration = Duration::from_secs(30 * 60);

/// See the module. Clones share the threads.
#[derive(Clone, Debug)]
pub struct Pool {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { calls: Arc::new(Semaphore::new(THREADS)), streams: Arc::new(Semaphore::new(STREAMS)) }
    }
}

/// Threads that the runtime must have.
pub const BLOCKING_THREADS: usize = THREADS + STREAMS;

impl Pool {
    /// Makes a call that is short unless the server is ill.
    ///
    /// # Errors
    /// The call's; `Busy` where no thread was free in time, `TimedOut` where it took too long: it may still happen then.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.run_for(CALL_MAX, work).await
    }

    /// As [`Pool::run`] with another limit.
    ///
    /// # Errors
    /// As [`Pool::run`].
    pub async fn run_for<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let waiting = tokio::time::timeout(WAIT_MAX, Arc::clone(&self.calls).acquire_owned());
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

    /// A place for a stream; it goes with the stream.
    ///
    /// # Errors
    /// `Busy`.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Error> {
        let streams = Arc::clone(&self.streams);
        streams
            .try_acquire_owned()
            .map_err(|_| Error::Busy("too many archives, searches and copies run already"))
    }
}
