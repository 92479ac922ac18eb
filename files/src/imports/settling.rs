//! One wait for the disk instead of one for each small file: whoever wrote one waits until a sync that began after that has
//! ended, and one does it for all who wait by then. Only then do their files get their names.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::error::Error;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    /// Files that were written.
    asked: AtomicU64,
    /// Of these, the first so many are on the disk; or nobody knows any more.
    settled: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: u64,
    lost: Option<Error>,
}

impl Settling {
    /// Returns once everything is on the disk that was written before this was called. `sync` puts there whatever was written to
    /// the file system before it begins. A sync that failed says once what is true of all: afterwards none is believed.
    ///
    /// # Errors
    /// That of `sync`, everybody's.
    pub async fn settle(&self, sync: impl AsyncFnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut settled = self.settled.lock().await;
        if let Some(lost) = &settled.lost {
            return Err(lost.clone());
        }
        if settled.files >= mine {
            return Ok(());
        }
        let all = self.asked.load(Ordering::SeqCst);
        match sync().await {
            Ok(()) => settled.files = all,
            Err(error) => settled.lost = Some(error.clone()),
        }
        settled.lost.clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn one_sync_is_for_all_who_wait_when_it_begins_and_no_others() {
        let settling = Arc::new(Settling::default());
        let (syncs, go) = (Arc::new(AtomicU64::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
        let one = || {
            let (settling, syncs, go) = (Arc::clone(&settling), Arc::clone(&syncs), Arc::clone(&go));
            tokio::spawn(async move {
                let sync = async || {
                    syncs.fetch_add(1, Ordering::SeqCst);
                    go.acquire().await.unwrap().forget();
                    Ok(())
                };
                settling.settle(sync).await
            })
        };
        let first = one();
        while syncs.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // What is written while the first sync runs may not be in it.
        let others: Vec<_> = (0..10).map(|_| one()).collect();
        while settling.asked.load(Ordering::SeqCst) < 11 {
            tokio::task::yield_now().await;
        }
        go.add_permits(1);
        first.await.unwrap().unwrap();
        assert!(others.iter().all(|other| !other.is_finished()));
        go.add_permits(1);
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert_eq!(syncs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_sync_that_failed_is_everybodys_though_the_kernel_tells_it_once() {
        let settling = Settling::default();
        settling.settle(async || Ok(())).await.unwrap();
        assert_eq!(settling.settle(async || Err(Error::Quota)).await, Err(Error::Quota));
        assert_eq!(settling.settle(async || Ok(())).await, Err(Error::Quota));
    }

    #[tokio::test]
    async fn a_waiter_that_goes_away_leaves_the_others_their_sync() {
        let settling = Arc::new(Settling::default());
        let hanging = tokio::spawn({
            let settling = Arc::clone(&settling);
            async move { settling.settle(async || std::future::pending().await).await }
        });
        while settling.settled.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        hanging.abort();
        let _ = hanging.await;
        settling.settle(async || Ok(())).await.unwrap();
    }
}
