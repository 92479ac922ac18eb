//! Looking after the shares of `nfs` FileSystems, every few minutes: how full each is goes into the status of the FileSystems
//! on it, and what has lain in its trash for long enough is removed. On the embedded server its agent and the operator do
//! both.
//!
//! Which shares there are is known from the watch that `removal` keeps anyway. Shares are looked at beside each other, each
//! under a deadline, those last that did not answer the last time. `decision` says what to do, `report` writes statuses,
//! `trash` sets the pace of emptying. Every look may be cut anywhere: the next one does what is left.

pub mod decision;
mod report;
mod trash;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use kube::Client;
use kube::runtime::reflector::Store;
use tokio::time::{Instant, sleep_until};
use workspacefs_runtime::{CancellationToken, chain};

use super::removal::Guarded;
use super::seams::WholeShares;
use crate::share::{ShareError, ShareSpec, Usage};
use decision::Place;
use report::Statuses;

/// So many shares are looked at at once: each is a helper process.
const AT_ONCE: usize = 16;

/// How shares are looked after.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between two looks at a share.
    pub interval: Duration,
    /// How long a folder stays in the trash.
    pub trash_keep: Duration,
    /// Files and folders of one trash that are removed per second at most.
    pub trash_entries_per_second: u64,
}

/// The upkeep, before it runs.
pub struct Upkeep {
    file_systems: Store<Guarded>,
    shares: Arc<dyn WholeShares>,
    statuses: Statuses,
    settings: Settings,
}

impl Upkeep {
    /// Of the shares that `file_systems` name, which a watch keeps.
    pub fn new(
        client: Client,
        file_systems: Store<Guarded>,
        shares: impl WholeShares,
        settings: Settings,
    ) -> Self {
        Self { file_systems, shares: Arc::new(shares), statuses: Statuses::new(client), settings }
    }

    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let all = async {
            // The watch ends with the process, and so does this.
            if self.file_systems.wait_until_ready().await.is_err() {
                return;
            }
            let mut silent = HashSet::new();
            loop {
                let next = Instant::now() + self.settings.interval;
                self.look(&mut silent, next).await;
                sleep_until(next).await;
            }
        };
        shutdown.run_until_cancelled(all).await;
    }

    /// One look at each share. `silent` are those that did not answer the last time.
    async fn look(&self, silent: &mut HashSet<Place>, until: Instant) {
        let mut shares = decision::shares(self.file_systems.state());
        shares.sort_by_key(|share| silent.contains(&share.place));
        let answers: Vec<_> = stream::iter(shares)
            .map(|share| async move {
                let usage = self.usage(&share.specs).await;
                if let Ok((_, usage)) = &usage {
                    self.statuses.tell(&share.file_systems, usage).await;
                }
                (share.place, usage)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut answering = Vec::new();
        let mut silent_now = HashSet::new();
        for (place, answer) in answers {
            match answer {
                Ok((spec, _)) => answering.push(spec),
                Err(error) => {
                    // People hear of it by condition Reachable, and from whoever mounts it.
                    let share = place.to_string();
                    if silent.contains(&place) {
                        tracing::debug!(share, cause = chain(&error), "cannot ask how full the share is");
                    } else {
                        tracing::warn!(share, cause = chain(&error), "cannot ask how full the share is");
                    }
                    silent_now.insert(place);
                }
            }
        }
        *silent = silent_now;
        // After all of them: how full the others are does not wait for a large trash.
        stream::iter(answering)
            .for_each_concurrent(AT_ONCE, |spec| async move {
                trash::empty(self.shares.as_ref(), &spec, &self.settings, until).await;
            })
            .await;
    }

    /// How full a share is, and the way in which it could be mounted.
    async fn usage(&self, specs: &[ShareSpec]) -> Result<(ShareSpec, Usage), ShareError> {
        let mut failure = None;
        for spec in specs {
            match self.shares.usage(spec).await {
                Ok(usage) => return Ok((spec.clone(), usage)),
                // In other words, or with other options, it would not answer either.
                Err(error) if error.is_servers_silence() => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| ShareError::Local {
            action: "ask how full the share is".into(),
            reason: "it is not known how to mount it".into(),
        }))
    }
}
