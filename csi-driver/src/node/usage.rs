//! How full volumes are, found out in the background: every 30 s, by each share's helper, one folder after the other.
//! NodeGetVolumeStats reads what was found and never waits for a server.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use workspacefs_runtime::CancellationToken;

use super::targets::Targets;
use crate::share::{FolderRequest, ShareError, ShareKey, ShareSpec, Shares, Usage};

/// Time between two looks at a folder.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// A share that has not answered for so long is silent. A sick share's calls queue up behind this, so it is short.
const PATIENCE: Duration = Duration::from_secs(5);

/// A folder's figures.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The latest, and when they were found.
    pub usage: Option<(Usage, Instant)>,
    /// Why the latest look failed, if it did.
    pub failure: Option<ShareError>,
}

/// The figures of every published folder. Clones see the same.
#[derive(Clone, Debug)]
pub struct Usages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shares: Shares,
    samples: Mutex<HashMap<(ShareKey, FolderRequest), Sample>>,
}

impl Usages {
    /// Nothing known yet.
    pub fn new(shares: Shares) -> Self {
        Self(Arc::new(Inner { shares, samples: Mutex::default() }))
    }

    /// What is known of a folder.
    pub fn get(&self, share: &ShareSpec, folder: &FolderRequest) -> Option<Sample> {
        self.0.lock().get(&(share.key(), folder.clone())).cloned()
    }

    /// The first figures of a folder that was just published: looks at it in the background and waits for that, at most
    /// until `deadline`.
    pub async fn first(
        &self,
        share: &ShareSpec,
        folder: &FolderRequest,
        deadline: Instant,
    ) -> Option<Sample> {
        let (usages, spec, wanted) = (self.clone(), share.clone(), folder.clone());
        let look = tokio::spawn(async move { usages.look_at_folder(&spec, wanted).await });
        // Whoever gives up waiting does not cut the look short: the next question finds what it found.
        let _ = tokio::time::timeout_at(deadline, look).await;
        self.get(share, folder)
    }

    /// Looks at every folder in `targets` every 30 s until the process ends.
    pub async fn run(&self, targets: &Targets, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            shutdown.run_until_cancelled(self.look(targets)).await;
        }
    }

    /// One round: all shares at once, the folders of a share in turn. What is no longer published is forgotten.
    async fn look(&self, targets: &Targets) {
        let mut by_share: HashMap<ShareKey, (ShareSpec, HashSet<FolderRequest>)> = HashMap::new();
        for record in targets.all() {
            let entry = by_share.entry(record.share.key()).or_insert_with(|| (record.share, HashSet::new()));
            entry.1.insert(record.folder);
        }
        self.0.lock().retain(|(key, folder), _| {
            by_share.get(key).is_some_and(|(_, folders)| folders.contains(folder))
        });
        let rounds = by_share.into_values().map(|(spec, folders)| self.look_at_share(spec, folders));
        futures::future::join_all(rounds).await;
    }

    async fn look_at_share(&self, spec: ShareSpec, folders: HashSet<FolderRequest>) {
        let mut silence: Option<ShareError> = None;
        for folder in folders {
            match &silence {
                // A silent server is asked once a round, not once a folder.
                Some(error) => self.keep(&spec, folder, Err(error.clone())),
                None => silence = self.look_at_folder(&spec, folder).await,
            }
        }
    }

    /// Looks once; gives back the error if the server is silent.
    async fn look_at_folder(&self, spec: &ShareSpec, folder: FolderRequest) -> Option<ShareError> {
        let deadline = Instant::now() + PATIENCE;
        let result = self.0.shares.usage(spec, folder.clone(), deadline).await;
        let silence = result.as_ref().err().filter(|e| e.is_servers_silence()).cloned();
        self.keep(spec, folder, result);
        silence
    }

    fn keep(&self, spec: &ShareSpec, folder: FolderRequest, result: Result<Usage, ShareError>) {
        let mut samples = self.0.lock();
        let sample = samples.entry((spec.key(), folder)).or_default();
        match result {
            Ok(usage) => *sample = Sample { usage: Some((usage, Instant::now())), failure: None },
            Err(error) => sample.failure = Some(error),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<(ShareKey, FolderRequest), Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
