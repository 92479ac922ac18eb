//! How full volumes are, found out in the background: every 30 s, by each share's helper, one volume after the other.
//! NodeGetVolumeStats reads what was found and never waits for a server. The look goes through the volume's own mount, so
//! it also finds out when the server has forgotten what is mounted there.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use workspacefs_runtime::CancellationToken;

use super::targets::{Record, Targets};
use crate::share::{ShareError, ShareKey, ShareSpec, Shares, Usage};

/// Time between two looks at a volume.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// A share that has not answered for so long is silent. A sick share's calls queue up behind this, so it is short.
const PATIENCE: Duration = Duration::from_secs(5);

/// A volume's figures.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The latest, and when they were found.
    pub usage: Option<(Usage, Instant)>,
    /// Why the latest look failed, if it did.
    pub failure: Option<ShareError>,
}

/// The figures of every published volume, by target. Clones see the same.
#[derive(Clone, Debug)]
pub struct Usages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shares: Shares,
    samples: Mutex<HashMap<PathBuf, Sample>>,
}

impl Usages {
    /// Nothing known yet.
    pub fn new(shares: Shares) -> Self {
        Self(Arc::new(Inner { shares, samples: Mutex::default() }))
    }

    /// What is known of the volume at a target.
    pub fn get(&self, target: &Path) -> Option<Sample> {
        self.0.lock().get(target).cloned()
    }

    /// Whether the latest look found that the server has forgotten what is mounted there.
    pub fn is_stale(&self, target: &Path) -> bool {
        let samples = self.0.lock();
        let failure = samples.get(target).and_then(|sample| sample.failure.as_ref());
        matches!(failure, Some(ShareError::Stale { .. }))
    }

    /// Something else is or will be mounted there.
    pub fn forget(&self, target: &Path) {
        self.0.lock().remove(target);
    }

    /// The first figures of a volume that was just published: looks at it in the background and waits for that, at most
    /// until `deadline`.
    pub async fn first(&self, record: &Record, deadline: Instant) -> Option<Sample> {
        let (usages, spec, target) = (self.clone(), record.place.share.clone()?, record.target.clone());
        let look = tokio::spawn(async move { usages.look_at(&spec, target).await });
        // Whoever gives up waiting does not cut the look short: the next question finds what it found.
        let _ = tokio::time::timeout_at(deadline, look).await;
        self.get(&record.target)
    }

    /// Looks at every volume in `targets` every 30 s until the process ends.
    pub async fn run(&self, targets: &Targets, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rounds = HashMap::new();
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.look(targets.all(), &mut rounds);
        }
    }

    /// Begins a round: all shares at once, the volumes of a share in turn. A share whose last round still goes on waits for
    /// the next: a slow server holds nobody else up, and is not asked twice at a time.
    fn look(&self, records: Vec<Record>, rounds: &mut HashMap<ShareKey, JoinHandle<()>>) {
        let published: HashSet<PathBuf> = records.iter().map(|record| record.target.clone()).collect();
        self.0.lock().retain(|target, _| published.contains(target));
        let mut by_share: HashMap<ShareKey, (ShareSpec, Vec<PathBuf>)> = HashMap::new();
        for record in records {
            let Some(share) = record.place.share else { continue };
            let entry = by_share.entry(share.key()).or_insert_with(|| (share, Vec::new()));
            entry.1.push(record.target);
        }
        rounds.retain(|_, round| !round.is_finished());
        for (key, (spec, targets)) in by_share {
            let usages = self.clone();
            rounds
                .entry(key)
                .or_insert_with(|| tokio::spawn(async move { usages.look_at_share(spec, targets).await }));
        }
    }

    async fn look_at_share(&self, spec: ShareSpec, targets: Vec<PathBuf>) {
        let mut silence: Option<ShareError> = None;
        for target in targets {
            match &silence {
                // A silent server is asked once a round, not once a volume.
                Some(error) => self.keep(target, Err(error.clone())),
                None => silence = self.look_at(&spec, target).await,
            }
        }
    }

    /// Looks once; gives back the error if the server is silent.
    async fn look_at(&self, spec: &ShareSpec, target: PathBuf) -> Option<ShareError> {
        let deadline = Instant::now() + PATIENCE;
        let result = self.0.shares.usage(spec, &target, deadline).await;
        let silence = result.as_ref().err().filter(|e| e.is_servers_silence()).cloned();
        self.keep(target, result);
        silence
    }

    fn keep(&self, target: PathBuf, result: Result<Usage, ShareError>) {
        // Unpublished while it was looked at.
        if let Err(ShareError::NotFound { .. }) = &result {
            return self.forget(&target);
        }
        let mut samples = self.0.lock();
        let sample = samples.entry(target).or_default();
        match result {
            Ok(usage) => *sample = Sample { usage: Some((usage, Instant::now())), failure: None },
            Err(error) => sample.failure = Some(error),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
