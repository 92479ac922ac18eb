//! Claims' volumes when something breaks: the node plugin is killed while it makes and removes them, the disk is away when a
//! claim is deleted, the node is gone for good.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_api::local_volume::{LOCAL_TOPOLOGY_KEY, LOCAL_VOLUME_FINALIZER, LocalVolumePhase};
use workspacefs_api::{LOCAL_DRIVER, LocalStorage, LocalVolume};

use super::killed::renewed;
use super::pulled::TOLD_TIME_MAX;
use super::storage::{GROUP, NAME, TAKEN_TIME_MAX, identity, on_disks};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![
        volumes_made_and_deleted_while_the_node_plugin_is_killed_end_made_or_gone,
        a_claim_deleted_while_its_disk_is_pulled_is_gone_once_the_disk_is_back,
        a_volume_of_a_node_that_is_gone_goes_with_its_claim,
    ];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

/// Time for all volumes of a round, with a node plugin that is started anew meanwhile.
const ROUND_TIME_MAX: Duration = seconds(180);

/// SIGKILL to the node plugin as soon as there are so many of these, or not at all.
fn kill_at(root: &str, what: &str, count: usize) -> String {
    format!(
        "cd {root} && plugin=$(pgrep -o -f '[c]si-driver node '); tries=0; \
         while [ $tries -lt 300 ]; do tries=$((tries + 1)); n=0; \
           for folder in {what}; do [ ! -e $folder ] || n=$((n + 1)); done; \
           if [ $n -ge {count} ]; then kill -KILL $plugin; echo hit; exit 0; fi; \
           sleep 0.05; \
         done; echo missed"
    )
}

/// Volumes' folders, from the disk's root.
const MADE: &str = "new/* export/workspaces/*/*";

/// Those of removed ones.
const REMOVED: &str = "trash/*";

async fn volumes_made_and_deleted_while_the_node_plugin_is_killed_end_made_or_gone(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let spec = on_disks(&[identity("n1", Drive::Ssd)], &[context.namespace()]);
    let storage = context.local_storage(NAME, spec).await?;
    context.ready_on(NAME, "n1").await?;
    context.local_class().await?;
    let root = context.disk_root().await?;
    let made: Vec<String> = (0..6).map(|number| format!("first-{number}")).collect();
    let more: Vec<String> = (0..3).map(|number| format!("then-{number}")).collect();
    let (deleted, kept) = made.split_at(4);

    let make = try_join_all(made.iter().map(|name| context.local_claim(name, "64Mi", Some("n1"))));
    under_fire(&context, kill_at(&root, MADE, 2), async { make.await.map(drop) }).await?;
    try_join_all(made.iter().map(|name| context.bound(name))).await?;
    context.volumes_are(made.len(), ROUND_TIME_MAX).await?;

    let both = async {
        let delete = async |name: &String| -> Result<()> {
            context.claims().delete(name, &DeleteParams::default()).await?;
            Ok(())
        };
        try_join_all(deleted.iter().map(delete)).await?;
        try_join_all(more.iter().map(|name| context.local_claim(name, "64Mi", Some("n1")))).await?;
        Ok(())
    };
    under_fire(&context, kill_at(&root, REMOVED, 1), both).await?;
    try_join_all(kept.iter().chain(&more).map(|name| context.bound(name))).await?;
    context.volumes_are(kept.len() + more.len(), ROUND_TIME_MAX).await?;
    let count = async |what: &str| -> Result<usize> {
        let line = format!("for folder in {what}; do [ ! -e $folder ] || echo $folder; done");
        Ok(context.on_local_disk("n1", &line).await?.lines().count())
    };
    let (there, gone) = (count(MADE).await?, count(REMOVED).await?);
    ensure!(there == kept.len() + more.len(), "{there} folders are on the disk");
    ensure!(gone == deleted.len(), "{gone} folders are in the trash, {} volumes were deleted", deleted.len());
    storage.end().await
}

/// Does something while a shot is aimed at n1's node plugin, which must hit; afterwards the plugin is started anew.
async fn under_fire(context: &Context, shot: String, work: impl Future<Output = Result<()>>) -> Result<()> {
    let shot = context.on("n1", &shot);
    let work = async {
        // The shot is aimed before there is anything to hit.
        tokio::time::sleep(seconds(2)).await;
        work.await
    };
    let (shot, work) = tokio::join!(shot, work);
    work?;
    ensure!(shot?.trim() == "hit", "the node plugin was not hit: nothing was tested");
    renewed(context).await
}

async fn a_claim_deleted_while_its_disk_is_pulled_is_gone_once_the_disk_is_back(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let approved = [identity("n1", Drive::Ssd)];
    let storage = context.local_storage(NAME, on_disks(&approved, &[context.namespace()])).await?;
    context.ready_on(NAME, "n1").await?;
    context.local_class().await?;
    context.local_claim("scratch", "128Mi", Some("n1")).await?;
    context.start([PodSpec::new("writer").claim("scratch", "/data")]).await?;
    context.exec("writer", "echo precious > /data/precious && sync && sync -d /data/precious").await?;
    let (volume, object) = context.local_volume_of("scratch").await?;
    let object = object.metadata.name.context("no name")?;
    let pulled = context.pull_drive("n1", Drive::Ssd)?;
    context.entry(NAME, "n1", "not ready", TOLD_TIME_MAX, |entry| !entry.ready).await?;
    context.stop("writer").await.context("the pod of the pulled disk")?;
    context.claims().delete("scratch", &DeleteParams::default()).await?;
    // Nobody has looked whether it is gone, so nobody says it is.
    tokio::time::sleep(seconds(12)).await;
    let waiting = context.local_volumes().get(&object).await?;
    ensure!(waiting.metadata.deletion_timestamp.is_some(), "nobody asked for its deletion");
    ensure!(waiting.phase() != LocalVolumePhase::Removed, "it is said to be removed: {:?}", waiting.status);
    context.note(format!("meanwhile: {}", waiting.status.map(|status| status.message).unwrap_or_default()));
    pulled.end().await?;
    // Its file system stopped when the disk went; nobody uses it, so it is mounted anew.
    context.entry(NAME, "n1", "ready again", TAKEN_TIME_MAX, |entry| entry.ready).await?;
    let name = volume.metadata.name.context("no name")?;
    let look = || async {
        let left = context.volumes().get_opt(&name).await?;
        ensure!(left.is_none(), "its PersistentVolume is there: {:?}", left.and_then(|volume| volume.status));
        ensure!(context.volumes_there().await?.is_empty(), "its LocalVolume is there");
        Ok(())
    };
    until("the deleted claim's volume is gone", ROUND_TIME_MAX, look).await?;
    let read = context.on_local_disk("n1", "cat trash/*/precious").await?;
    ensure!(read.trim() == "precious", "in the trash it says {read:?}");
    storage.end().await
}

/// A LocalStorage and a volume on it, of which only the objects are left.
const LOST: [&str; 2] = ["0f8fad5b-d9cb-469f-a165-70867728950e", "7c9e6679-7425-40de-944b-e07fc1f90ae7"];

/// No machine of the cluster has that name.
const LOST_NODE: &str = "n9";

/// Its claim, which was deleted.
const LOST_CLAIM_UID: &str = "3b241101-e2bb-4255-8caf-4136c566a962";

async fn a_volume_of_a_node_that_is_gone_goes_with_its_claim(context: Context) -> Result<()> {
    let [storage, name] = LOST;
    let object: LocalVolume = serde_json::from_value(json!({
        "metadata": { "name": name, "finalizers": [LOCAL_VOLUME_FINALIZER] },
        "spec": {
            "storage": "lost", "storageUid": storage, "node": LOST_NODE, "volume": "pvc-lost",
            "namespace": context.namespace(), "claim": "lost", "sizeBytes": 64 << 20,
        },
    }))?;
    let volumes = context.volumes();
    let persistent = format!("lost-{}", context.namespace());
    context.local_volumes().create(&PostParams::default(), &object).await?;
    let released = serde_json::from_value(released(&persistent, context.namespace()))?;
    let made = volumes.create(&PostParams::default(), &released).await;
    let look = || async {
        ensure!(volumes.get_opt(&persistent).await?.is_none(), "the PersistentVolume is still there");
        ensure!(context.local_volumes().get_opt(name).await?.is_none(), "the LocalVolume is still there");
        Ok(())
    };
    let gone = until("the lost node's volume is gone", seconds(90), look).await;
    if made.is_err() || gone.is_err() {
        let free = json!({ "metadata": { "finalizers": null } }).to_string();
        context.kubectl(&["patch", "localvolume", name, "--type=merge", "--patch", &free], "").await?;
        context.kubectl(&["delete", "localvolume", name, "--ignore-not-found"], "").await?;
        context.kubectl(&["delete", "pv", &persistent, "--ignore-not-found", "--wait=false"], "").await?;
    }
    made?;
    gone
}

/// Its PersistentVolume, as external-provisioner made it, whose claim is not there any more.
fn released(name: &str, namespace: &str) -> Value {
    let [storage, volume] = LOST.map(str::to_owned);
    let attributes = LocalVolumeAttributes {
        storage: "lost".into(),
        namespace: namespace.into(),
        node_group: GROUP.into(),
        node: Some(LOST_NODE.into()),
    };
    let on_node = json!({ "key": LOCAL_TOPOLOGY_KEY, "operator": "In", "values": [LOST_NODE] });
    json!({
        "metadata": { "name": name, "annotations": { "pv.kubernetes.io/provisioned-by": LOCAL_DRIVER } },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": { "storage": "64Mi" },
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "name": "lost", "namespace": namespace, "uid": LOST_CLAIM_UID,
            },
            "csi": {
                "driver": LOCAL_DRIVER,
                "volumeHandle": LocalVolumeId::Volume { storage, volume }.to_string(),
                "volumeAttributes": attributes.to_map(),
            },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [on_node] }] } },
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": LocalStorage::class_name("lost"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lost_nodes_volume_is_one_that_the_driver_knows_as_its_own() {
        let object = released("lost", "team-a");
        let csi = &object["spec"]["csi"];
        let id = LocalVolumeId::parse(csi["volumeHandle"].as_str().unwrap()).unwrap();
        let [storage, volume] = LOST.map(str::to_owned);
        assert_eq!(id, LocalVolumeId::Volume { storage, volume });
        let attributes = serde_json::from_value(csi["volumeAttributes"].clone()).unwrap();
        let attributes: std::collections::BTreeMap<String, String> = attributes;
        let read = LocalVolumeAttributes::from_map(&attributes).unwrap();
        assert_eq!(read.node.as_deref(), Some(LOST_NODE));
    }
}
