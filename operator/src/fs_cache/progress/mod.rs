//! How far movers are: each that runs is asked by a task of its own, so that no pass waits for one. What they say is
//! summed up by FsCache, and the sum changes seldom: every change is a write of the status.

mod ask;
pub mod tally;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use workspacefs_api::mover::{PROGRESS_PORT, Progress};

use self::tally::Tally;
use crate::error::chain;

/// Between two questions to one mover.
const INTERVAL: Duration = Duration::from_secs(4);
/// Between two sums of one FsCache, whose movers answer one after another.
const SUM_INTERVAL: Duration = Duration::from_secs(3);

/// Asks movers in the background. `W` names who is woken.
pub struct Movers<W> {
    known: Arc<Mutex<HashMap<String, Known>>>,
    sums: Mutex<HashMap<String, (Instant, Tally)>>,
    wake: UnboundedSender<W>,
}

/// A mover that is being asked, by its pod's uid.
struct Known {
    /// The FsCache's uid.
    cache: String,
    last: Option<Progress>,
    task: AbortHandle,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<W: Clone + Send + 'static> Movers<W> {
    /// The receiver names whom to wake.
    pub fn new() -> (Self, UnboundedReceiver<W>) {
        let (wake, woken) = unbounded_channel();
        (Self { known: Arc::default(), sums: Mutex::default(), wake }, woken)
    }

    /// What the movers of an FsCache say together; None where nothing is known. `running` are all of them, by their
    /// pods' uids and addresses: these are asked from now on, others no more, and `who` is woken when one says
    /// something new.
    pub fn follow(&self, cache: &str, running: &[(String, String)], who: &W) -> Option<Tally> {
        let mut known = lock(&self.known);
        known.retain(|pod, mover| mover.cache != cache || running.iter().any(|(uid, _)| uid == pod));
        for (pod, address) in running {
            known.entry(pod.clone()).or_insert_with(|| {
                let task = self.ask(pod.clone(), address.clone(), who.clone());
                Known { cache: cache.into(), last: None, task }
            });
        }
        let mut sums = lock(&self.sums);
        let said =
            || known.values().filter(|mover| mover.cache == cache).filter_map(|mover| mover.last.as_ref());
        if said().next().is_none() {
            sums.remove(cache);
            return None;
        }
        let sum = match sums.get(cache) {
            Some((since, sum)) if since.elapsed() < SUM_INTERVAL => sum.clone(),
            _ => {
                let sum = Tally::of(said());
                sums.insert(cache.into(), (Instant::now(), sum.clone()));
                sum
            }
        };
        Some(sum)
    }

    fn ask(&self, pod: String, address: String, who: W) -> AbortHandle {
        let (known, wake) = (self.known.clone(), self.wake.clone());
        let asking = async move {
            loop {
                match ask::progress(&address, PROGRESS_PORT).await {
                    Ok(progress) => {
                        if let Some(mover) = lock(&known).get_mut(&pod)
                            && mover.last.as_ref() != Some(&progress)
                        {
                            mover.last = Some(progress);
                            // Nobody listens any more when the operator is ending.
                            drop(wake.send(who.clone()));
                        }
                    }
                    // A network policy may keep us from it. What comes of it is told by its pod.
                    Err(error) => {
                        tracing::debug!(pod, address, error = chain(&error), "a mover does not answer")
                    }
                }
                sleep(INTERVAL).await;
            }
        };
        tokio::spawn(asking).abort_handle()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
