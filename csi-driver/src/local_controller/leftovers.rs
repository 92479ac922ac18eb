//! LocalVolumes that are deleted, and that no RPC waits for any more: given up by CreateVolume at a node that did not answer, left
//! by a process that was killed. Once its node says Removed, or nobody can any more, the finalizer is taken off. DeleteVolume does
//! the same by itself, sooner; whoever comes second finds it done.
//!
//! One without the mark was deleted by a person, or with its kind: its claim is still there, and so are its files. It is left alone,
//! so that the end of the claim can still be carried out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Error};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, ResourceExt};
use workspacefs_api::LocalVolume;
use workspacefs_api::local_volume::LOCAL_VOLUME_FINALIZER;
use workspacefs_runtime::{CancellationToken, chain};

use super::let_go::let_go_of_abandoned;
use super::progress::{Removal, is_marked, removal};
use super::seams::{ApiError, LocalStorages, LocalVolumes, Nodes};

/// Between two looks whether a node that says nothing is still a Node, of a LocalStorage.
const NODE_PAUSE: Duration = Duration::from_secs(60);
/// After a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);

/// A LocalVolume as the API server delivers it: one that cannot be read must not end the watch of the others.
type Guarded = DeserializeGuard<LocalVolume>;

struct Context {
    storages: Arc<dyn LocalStorages>,
    volumes: Arc<dyn LocalVolumes>,
    nodes: Arc<dyn Nodes>,
    /// Uids of those without the mark, of which the log tells once.
    told: Mutex<BTreeSet<String>>,
}

/// Lets them go until `shutdown`. A pass may be cut anywhere: its next one does the rest.
pub async fn run(
    client: Client,
    storages: impl LocalStorages,
    volumes: impl LocalVolumes,
    nodes: impl Nodes,
    shutdown: CancellationToken,
) {
    let context = Context {
        storages: Arc::new(storages),
        volumes: Arc::new(volumes),
        nodes: Arc::new(nodes),
        told: Mutex::default(),
    };
    let passes = Controller::new(Api::<Guarded>::all(client), watcher::Config::default())
        .run(pass, |_, _: &ApiError, _| Action::requeue(FAILURE_PAUSE), Arc::new(context))
        .for_each(|result| {
            match result {
                Ok(_) | Err(Error::ObjectNotFound(_)) => {}
                Err(Error::ReconcilerFailed(error, volume)) => {
                    tracing::warn!(
                        volume = volume.name,
                        cause = chain(&error),
                        "the LocalVolume is not let go yet"
                    );
                }
                Err(error) => tracing::warn!(cause = chain(&error), "watching LocalVolumes was interrupted"),
            }
            std::future::ready(())
        });
    shutdown.run_until_cancelled(passes).await;
}

async fn pass(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, ApiError> {
    let Some(volume) = object.0.as_ref().ok().filter(|volume| is_held(volume)) else {
        return Ok(Action::await_change());
    };
    if !is_marked(&volume.metadata) {
        context.tell_of_unmarked(volume);
        return Ok(Action::await_change());
    }
    match removal(volume, Some(volume)) {
        Removal::Gone => {}
        Removal::Done => context.volumes.release(volume).await?,
        Removal::Working | Removal::Refused(_) => {
            let Context { storages, volumes, nodes, .. } = context.as_ref();
            if !let_go_of_abandoned(&**storages, &**volumes, &**nodes, volume).await? {
                return Ok(Action::requeue(NODE_PAUSE));
            }
        }
    }
    Ok(Action::await_change())
}

impl Context {
    fn tell_of_unmarked(&self, volume: &LocalVolume) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(volume.uid().unwrap_or_default()) {
            tracing::warn!(
                volume = volume.name_any(),
                namespace = volume.spec.namespace,
                claim = volume.spec.claim,
                "somebody has deleted the LocalVolume, and not its claim: it stays, and its files, until the claim is deleted"
            );
        }
    }
}

/// Whether it is being deleted and only waits for us.
fn is_held(volume: &LocalVolume) -> bool {
    volume.metadata.deletion_timestamp.is_some()
        && volume.finalizers().iter().any(|finalizer| finalizer == LOCAL_VOLUME_FINALIZER)
}
