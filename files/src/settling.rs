//! One wait for the disk instead of one for each small file: whoever wrote one waits until a sync that began after that has
//! ended, and one does it for all who wait by then. Only then do their files get their names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::error::Error;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    /// Files that were written.
    asked: AtomicU64,
    /// Syncs that failed.
    losses: AtomicU64,
    /// Bytes of files that are begun and not settled.
    owed: Arc<AtomicU64>,
    state: Mutex<State>,
    /// How long whoever syncs waits for others before it.
    gather: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// Of the files that were written, the first so many are on the disk, or are lost.
    files: u64,
    /// What the last sync that failed said.
    lost: Option<Error>,
}

/// A file that is begun, and what was lost by then.
#[derive(Debug)]
pub(crate) struct Begun {
    losses: u64,
    bytes: u64,
    owed: Arc<AtomicU64>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.owed.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl Settling {
    /// One in which a sync waits so long for more to settle: a sync costs its time whatever it is for.
    pub fn gathering(gather: Duration) -> Self {
        Self { gather, ..Self::default() }
    }

    /// Before the first of so many bytes is written.
    pub fn begin(&self, bytes: u64) -> Begun {
        self.owed.fetch_add(bytes, Ordering::SeqCst);
        let (losses, owed) = (self.losses.load(Ordering::SeqCst), Arc::clone(&self.owed));
        Begun { losses, bytes, owed }
    }

    /// Returns once everything of the file is on the disk. `sync` puts there whatever was written to the file system before it
    /// begins; it is told how many bytes that can be. A sync that failed says once what is true of all who had begun by then:
    /// none of their files is believed any more, whatever later ones say.
    ///
    /// # Errors
    /// That of a `sync` that failed since the file was begun.
    pub async fn settle(
        &self,
        begun: &Begun,
        sync: impl AsyncFnOnce(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut state = self.state.lock().await;
        if let Some(lost) = state.lost.as_ref().filter(|_| self.losses.load(Ordering::SeqCst) != begun.losses)
        {
            return Err(lost.clone());
        }
        if state.files >= mine {
            return Ok(());
        }
        if !self.gather.is_zero() {
            tokio::time::sleep(self.gather).await;
        }
        let all = self.asked.load(Ordering::SeqCst);
        let synced = sync(self.owed.load(Ordering::SeqCst)).await;
        if let Err(error) = &synced {
            state.lost = Some(error.clone());
            self.losses.fetch_add(1, Ordering::SeqCst);
        }
        state.files = all;
        synced
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
                let sync = async |_| {
                    syncs.fetch_add(1, Ordering::SeqCst);
                    go.acquire().await.unwrap().forget();
                    Ok(())
                };
                settling.settle(&settling.begin(1), sync).await
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

    #[tokio::test(start_paused = true)]
    async fn a_sync_that_gathers_is_for_those_who_come_meanwhile_too() {
        let gather = Duration::from_millis(10);
        let (settling, syncs) = (Arc::new(Settling::gathering(gather)), Arc::new(AtomicU64::new(0)));
        let waiting: Vec<_> = (0..5)
            .map(|n| {
                let (settling, syncs) = (Arc::clone(&settling), Arc::clone(&syncs));
                tokio::spawn(async move {
                    tokio::time::sleep(gather / 6 * n).await;
                    let sync = async |_| {
                        syncs.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    };
                    settling.settle(&settling.begin(1), sync).await
                })
            })
            .collect();
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        assert_eq!(syncs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_sync_that_failed_is_of_all_who_had_begun_though_the_kernel_tells_it_once() {
        let settling = Settling::default();
        let (first, second, slow) = (settling.begin(1), settling.begin(20), settling.begin(300));
        settling.settle(&first, async |_| Ok(())).await.unwrap();
        drop(first);
        let told =
            settling.settle(&second, async |bytes| if bytes == 320 { Err(Error::Quota) } else { Ok(()) });
        assert_eq!(told.await, Err(Error::Quota), "what is not settled is what has to have room");
        drop(second);
        // Begun before, and written since: something of it may have been lost.
        assert_eq!(settling.settle(&slow, async |_| Ok(())).await, Err(Error::Quota));
        drop(slow);
        let again = settling.begin(4);
        assert_eq!(
            settling.settle(&again, async |bytes| if bytes == 4 { Ok(()) } else { Err(Error::Quota) }).await,
            Ok(())
        );
    }

    #[tokio::test]
    async fn a_waiter_that_goes_away_leaves_the_others_their_sync() {
        let settling = Arc::new(Settling::default());
        let hanging = tokio::spawn({
            let settling = Arc::clone(&settling);
            async move { settling.settle(&settling.begin(1), async |_| std::future::pending().await).await }
        });
        while settling.state.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        hanging.abort();
        let _ = hanging.await;
        settling.settle(&settling.begin(1), async |_| Ok(())).await.unwrap();
    }
}
