//! Stopping, and removing what any earlier run left, whole or interrupted at any point.

use super::Cluster;
use crate::build::cache::{CacheError, remove};
use crate::config::ClusterConfig;
use crate::host::lock::{Lock, LockError};
use crate::host::namespace::{Namespace, NamespaceError};
use crate::host::process::{Process, ProcessError, kill_all};
use crate::progress::Progress;

/// What could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum DownError {
    /// Another `up` or `down`.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The network.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Files.
    #[error(transparent)]
    Files(#[from] CacheError),
}

impl Cluster {
    /// Stops a cluster and removes its files; fine if there is none, or half of one.
    pub fn down(config: &ClusterConfig, progress: &Progress) -> Result<(), DownError> {
        let _lock = lock(config, progress)?;
        stop(config)?;
        remove(config.layout().root())?;
        Ok(())
    }
}

/// The lock of `up` and `down`.
pub(super) fn lock(config: &ClusterConfig, progress: &Progress) -> Result<Lock, LockError> {
    let waiting = || progress.say(&format!("waiting for another start or stop of {}", config.name()));
    Lock::wait(&config.layout().lock(), waiting)
}

/// Ends all processes and the network; the files stay, logs among them.
pub(super) fn stop(config: &ClusterConfig) -> Result<(), DownError> {
    let layout = config.layout();
    let namespace = Namespace::of_cluster(config.name());
    // From now on it is no cluster to attach to.
    remove(&layout.state())?;
    // By their records first: the namespace may have lost its name already.
    for process in Process::read_all(&layout.processes())? {
        process.kill()?;
    }
    kill_all(&namespace)?;
    namespace.delete()?;
    remove(&layout.processes())?;
    Ok(())
}
