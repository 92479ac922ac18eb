//! What all imports of the process have together, so that many of them take no more than one: memory for contents, and threads
//! that wait for the file system.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::Semaphore;
use workspacefs_buckets::Slots;

use crate::error::Error;

/// Up to so many bytes an object is small: it is one answer, and takes as much of the small slots as it has.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// Of larger ones parts of so many bytes are asked for side by side.
const PART_BYTES: u64 = 4 << 20;
/// Parts of all imports that are in memory at once: small ones of 12 MiB together, and large ones of 24. Of few large parts more of
/// that waits for the one that is written next, of many small ones a service that is far away is asked more often.
const SMALL_SLOTS: usize = 12;
const LARGE_SLOTS: usize = 6;
/// Large parts that are asked for beyond these: at 30 ms until the first byte 24 MiB at once are no more than 800 MB per second.
const LARGE_AHEAD: usize = 10;

/// Threads that wait for the file system at once, of all imports: a server that does not answer takes no more of them, and those
/// of people's requests are others.
pub(crate) const THREADS: usize = 16;

/// How long somebody who asks for something waits for the file system.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    small: Slots,
    large: Slots,
    threads: Arc<Semaphore>,
}

impl Default for Means {
    fn default() -> Self {
        Self {
            small: Slots::new(SMALL_SLOTS, SMALL_BYTES_MAX, None),
            large: Slots::new(LARGE_SLOTS, PART_BYTES, None).asking_ahead(LARGE_AHEAD),
            threads: Arc::new(Semaphore::new(THREADS)),
        }
    }
}

impl Means {
    /// The memory that an object of this size is read through.
    pub fn slots(&self, size: u64) -> &Slots {
        if size <= SMALL_BYTES_MAX { &self.small } else { &self.large }
    }

    /// Does it where it does not keep others from going on. What was begun is done, also if nobody waits for it any more.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ended = || Error::of("finish a call", Errno::FAULT);
        let permit = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| ended())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(|_| ended())?
    }

    /// The same while somebody waits for an answer, who is told when the server does not.
    ///
    /// # Errors
    /// Those of `work`; `TimedOut`: it may still happen then.
    pub async fn asked<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::time::timeout(ASKED_MAX, self.blocking(work)).await;
        done.unwrap_or(Err(Error::TimedOut("the storage server does not answer")))
    }

    /// As if so many calls hung as may at once.
    #[cfg(test)]
    pub fn hanging(&self) -> tokio::sync::OwnedSemaphorePermit {
        Arc::clone(&self.threads).try_acquire_many_owned(THREADS as u32).unwrap()
    }
}
