//! Further claims on a FileSystem of a node group. external-provisioner makes their volumes without node affinity: the driver
//! has no topology, because a node's group may change while its topology could not. So the operator sets it as soon as such a
//! volume is there, which is usually before its claim is bound and a pod can be placed. A pod that is faster is refused on the
//! node.

use std::future::ready;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Patch, PatchParams};
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use workspacefs_runtime::{CancellationToken, chain};

use super::{Guarded, further, objects};
use crate::backoff;
use crate::error::PassError;

/// How many volumes are worked on at a time.
const AT_ONCE: usize = 16;
/// How often the store of FileSystems is asked whether it has them.
const LISTED_LOOK: Duration = Duration::from_millis(100);
/// A volume that refuses as often is left to the next start.
const TRIES: u32 = 20;

/// The uid of the FileSystem that a further claim's volume without node affinity lies on.
fn lacking(volume: &PersistentVolume) -> Option<String> {
    let is_going = volume.metadata.deletion_timestamp.is_some();
    let has_one = volume.spec.as_ref().is_some_and(|spec| spec.node_affinity.is_some());
    further::made_on(volume).filter(|_| !is_going && !has_one)
}

/// The node group of the FileSystem of that uid, if it is known and has one.
fn group(known: &Store<Guarded>, uid: &str) -> Option<String> {
    let object = known.state().into_iter().find(|object| object.uid().as_deref() == Some(uid))?;
    object.0.as_ref().ok()?.spec.node_group.clone()
}

/// Sets the node affinity of such volumes until `shutdown`, those that are there at the start too.
pub(super) async fn run(client: Client, known: Store<Guarded>, label: String, shutdown: CancellationToken) {
    let volumes = watcher(Api::<PersistentVolume>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let lacking = volumes.filter_map(|volume| {
        ready(match volume {
            Ok(volume) => lacking(&volume).map(|uid| (volume, uid)),
            // The watch begins anew by itself.
            Err(error) => {
                tracing::warn!(cause = chain(&error), "cannot watch the volumes of further claims");
                None
            }
        })
    });
    let work = lacking.for_each_concurrent(AT_ONCE, move |(volume, uid)| {
        let (client, known, label) = (client.clone(), known.clone(), label.clone());
        async move {
            // A claim's FileSystem is older than its volume, but this store may still be at its first list. It wakes only
            // one of those who wait for it, so it is asked.
            while known.wait_until_ready().now_or_never().is_none() {
                tokio::time::sleep(LISTED_LOOK).await;
            }
            if let Some(group) = group(&known, &uid) {
                set(client, &volume, &label, &group).await;
            }
        }
    });
    shutdown.run_until_cancelled(work).await;
}

async fn set(client: Client, seen: &PersistentVolume, label: &str, group: &str) {
    let volume = &seen.name_any();
    let api: Api<PersistentVolume> = Api::all(client);
    // Of the very object that was seen without one: nothing that somebody else has set meanwhile is overwritten.
    let patch = json!({
        "metadata": {"uid": seen.metadata.uid, "resourceVersion": seen.metadata.resource_version},
        "spec": {"nodeAffinity": objects::node_affinity(label, group)},
    });
    for failures in 1..=TRIES {
        let result = api.patch(volume, &PatchParams::default(), &Patch::Merge(&patch)).await;
        let error = match result {
            Ok(_) => {
                return tracing::info!(volume, group, "the further claim's volume is for its node group");
            }
            // It is gone, or has changed: then the watch brings it again as it is now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
            Err(error) => PassError::api("set the node affinity of a further claim's volume")(error),
        };
        tracing::warn!(volume, group, %error, "the further claim's volume has no node affinity yet");
        tokio::time::sleep(backoff::delay(error.kind(), failures, backoff::chance())).await;
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_api::DRIVER;
    use workspacefs_testkit::builders::volume;

    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    #[test]
    fn only_a_further_claims_volume_of_ours_that_has_none_is_given_a_node_affinity() {
        let made = |driver: &str, handle: &str| {
            volume("pvc-1", json!({"csi": {"driver": driver, "volumeHandle": handle}}))
        };
        let handle = format!("v1.vol.{UID}.pvc-1");
        assert_eq!(lacking(&made(DRIVER, &handle)).as_deref(), Some(UID));
        assert_eq!(lacking(&made("other.example.com", &handle)), None);
        assert_eq!(
            lacking(&made(DRIVER, &format!("v1.fs.{UID}"))),
            None,
            "the FileSystem's own has it already"
        );
        assert_eq!(lacking(&made(DRIVER, "nonsense")), None);
        let mut has = made(DRIVER, &handle);
        has.spec.get_or_insert_default().node_affinity = Some(Default::default());
        assert_eq!(lacking(&has), None);
    }
}
