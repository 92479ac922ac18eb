//! LocalVolumes that are deleted, and that no RPC waits for any more: given up by CreateVolume at a node that did not answer, left
//! by a process that was killed, or deleted by a person. Once its node says Removed, or the Node is gone, the finalizer
//! is taken off. DeleteVolume does the same by itself, sooner; whoever comes second finds it done.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Error};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, ResourceExt};
use workspacefs_api::LocalVolume;
use workspacefs_api::local_volume::LOCAL_VOLUME_FINALIZER;
use workspacefs_runtime::{CancellationToken, chain};

use super::progress::{Removal, removal};
use super::seams::{ApiError, LocalVolumes, NodeState, Nodes};

/// Between two looks whether a node that says nothing is still a Node.
const NODE_PAUSE: Duration = Duration::from_secs(60);
/// After a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);

/// A LocalVolume as the API server delivers it: one that cannot be read must not end the watch of the others.
type Guarded = DeserializeGuard<LocalVolume>;

struct Context {
    volumes: Arc<dyn LocalVolumes>,
    nodes: Arc<dyn Nodes>,
}

/// Lets them go until `shutdown`. A pass may be cut anywhere: its next one does the rest.
pub async fn run(client: Client, volumes: impl LocalVolumes, nodes: impl Nodes, shutdown: CancellationToken) {
    let context = Context { volumes: Arc::new(volumes), nodes: Arc::new(nodes) };
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
    let node = &volume.spec.node;
    match removal(volume, Some(volume)) {
        Removal::Gone => {}
        Removal::Done => context.volumes.release(volume).await?,
        Removal::Working | Removal::Refused(_) => {
            if context.nodes.state(node).await? != NodeState::Absent {
                return Ok(Action::requeue(NODE_PAUSE));
            }
            tracing::warn!(
                node,
                volume = volume.name_any(),
                "the Node is gone, so nobody can move the volume's files away: they stay on its disk"
            );
            context.volumes.release(volume).await?;
        }
    }
    Ok(Action::await_change())
}

/// Whether it is being deleted and only waits for us.
fn is_held(volume: &LocalVolume) -> bool {
    volume.metadata.deletion_timestamp.is_some()
        && volume.finalizers().iter().any(|finalizer| finalizer == LOCAL_VOLUME_FINALIZER)
}
