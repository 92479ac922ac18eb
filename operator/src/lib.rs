//! The operator: keeps volumes, claims and conditions of FileSystems and LocalStorages as they should be, with the label of
//! the nodes where local storage is ready, and gives every workspace its default FileSystem; sends movers for FsCaches; runs
//! `files` for those who use a browser; keeps the embedded NFS server's certificates and asks its agent for folders. One replica works at a time ([`lease`]); every change is level-triggered: a pass looks at what there
//! is, not at what happened, and can be cut off and repeated anywhere.

pub mod backoff;
pub mod child;
pub mod class;
pub mod cli;
pub mod conditions;
pub mod config;
pub mod error;
pub mod events;
pub mod files;
pub mod filesystem;
pub mod fs_cache;
pub mod guarded;
pub mod isolation_probe;
pub mod kept;
pub mod lease;
pub mod local_storage;
pub mod metrics;
pub mod pair;
pub mod probe;
pub mod reconciler;
pub mod retire;
pub mod selector;
pub mod server;
pub mod triggers;
pub mod workspace;

use std::time::Duration;

use kube::Client;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use workspacefs_runtime::{CancellationToken, Gate};

use crate::config::Config;
use crate::events::Events;
use crate::filesystem::controller::{Keys, Place};
use crate::lease::{Election, LeaseTimes, LostLease};
use crate::metrics::Metrics;
use crate::server::secrets;

/// The name under which we own fields.
pub const FIELD_MANAGER: &str = "workspacefs-operator";
/// How long running passes may take to end after the signal. Below the 30 s that Kubernetes gives a pod.
const DRAIN: Duration = Duration::from_secs(20);

/// Who and where this replica is.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Differs between replicas; the pod's name.
    pub identity: String,
    /// Where the Lease lies.
    pub namespace: String,
    /// How the lease is kept.
    pub times: LeaseTimes,
}

/// Why the operator ended by itself.
#[derive(Debug, Error)]
pub enum RunError {
    /// Another replica may work now, so this one must not.
    #[error("not leading any more")]
    Lease(#[source] LostLease),
    /// A controller ended though nobody asked it to.
    #[error("a controller ended")]
    Ended,
}

/// Leads when it may, and works while it leads, until `shutdown`. `ready` opens when the API server has answered.
///
/// # Errors
/// [`RunError`]: the process should end, and be started again.
pub async fn run(
    client: Client,
    config: Config,
    replica: Replica,
    metrics: Metrics,
    ready: Gate,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let Replica { identity, namespace, times } = replica;
    let mut election = Election::new(client.clone(), &namespace, identity.clone(), times);
    tokio::select! {
        () = election.acquire(|| ready.open()) => {}
        () = shutdown.cancelled() => {
            // The request that was cut off may have got it.
            election.release().await;
            return Ok(());
        }
    }
    metrics.leader.set(1);
    let controllers = work(client, &config, &identity, &namespace, &metrics, &shutdown);
    let drained = async {
        tokio::pin!(controllers);
        tokio::select! {
            () = &mut controllers => {}
            () = shutdown.cancelled() => {
                if timeout(DRAIN, controllers).await.is_err() {
                    tracing::warn!("passes still run after {DRAIN:?}: ending without them");
                }
            }
        }
    };
    let result = tokio::select! {
        lost = election.keep() => match lost {
            Ok(never) => match never {},
            Err(lost) => Err(RunError::Lease(lost)),
        },
        () = drained => if shutdown.is_cancelled() { Ok(()) } else { Err(RunError::Ended) },
    };
    metrics.leader.set(0);
    if result.is_ok() {
        election.release().await;
    }
    result
}

/// Every controller; ends when all have ended.
async fn work(
    client: Client,
    config: &Config,
    identity: &str,
    namespace: &str,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) {
    let events = Events::new(client.clone(), identity);
    let local_storages = async {
        if config.local_storage {
            let (client, events, metrics) = (client.clone(), events.clone(), metrics.clone());
            local_storage::controller::run(client, events, config, metrics, shutdown.clone()).await;
        }
    };
    let fs_caches = async {
        if config.fs_caches {
            let (client, events, metrics) = (client.clone(), events.clone(), metrics.clone());
            fs_cache::controller::run(client, events, config, metrics, shutdown.clone()).await;
        }
    };
    let place = Place { client: client.clone(), namespace, events: events.clone(), metrics: metrics.clone() };
    let (known, certificates) = watch::channel(Err("its certificates are being made".into()));
    let (told, files) = watch::channel(None);
    let keys = Keys { certificates, files };
    let file_systems = filesystem::controller::run(place, config, keys, shutdown.clone());
    let files = async {
        match &config.files {
            Some(_) => files::keys::keep(client.clone(), namespace, metrics, told, shutdown.clone()).await,
            // A right to other people's Deployments is asked for only where it is said that something may be left.
            None if !config.files_clean_up => {}
            None => files::sweep::run(client.clone(), namespace, shutdown.clone()).await,
        }
    };
    let secrets = async {
        if config.nfs_server.is_some() {
            secrets::keep(client.clone(), namespace, metrics, known, shutdown.clone()).await;
        }
    };
    let workspaces = async {
        match &config.default_file_system {
            Some(template) => {
                let selector = &config.workspace_selector;
                let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
                let client = client.clone();
                workspace::controller::run(client, selector, template.clone(), metrics, shutdown).await;
            }
            None => tracing::info!("no default FileSystem configured"),
        }
    };
    tokio::join!(file_systems, local_storages, fs_caches, files, secrets, workspaces);
}
