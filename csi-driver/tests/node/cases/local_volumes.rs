//! Claims' volumes on local disks, on real mounts and on an API server in this process: a folder stands in for the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use csi_driver::local::protocol::{Volume, Wish};
use csi_driver::local::volumes::Volumes;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tonic::{Code, Request};
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_api::local_volume::{DISCARD_FILES_ANNOTATION, LOCAL_TOPOLOGY_KEY, LOCAL_VOLUME_FINALIZER};
use workspacefs_api::{LocalVolume, LocalVolumePhase, LocalVolumeReason, LocalVolumeStatus};
use workspacefs_csi_proto::csi::v1;
use workspacefs_csi_proto::csi::v1::node_server::Node as _;
use workspacefs_runtime::CancellationToken;
use workspacefs_testkit::{FakeApi, Verb, builders};

use super::local::{DISK, LocalDisk, assert_nothing_left, plugin};
use crate::disk::{NOT_READY, SIZE_MAX, SIZES, VOLUMES};
use crate::world::{GROUP, NAMESPACE, UID, WithMode, World, names, refused, request};

const VOLUME: &str = "aaaaaaaa-7425-40de-944b-e07fc1f90ae7";
const MIB: u64 = 1 << 20;

fn id() -> String {
    LocalVolumeId::Volume { storage: UID.into(), volume: VOLUME.into() }.to_string()
}

/// The publish of the claim's volume, as the PersistentVolume of node `n1` says.
pub fn claim(target: &Path) -> v1::NodePublishVolumeRequest {
    on_node("n1", target)
}

fn on_node(node: &str, target: &Path) -> v1::NodePublishVolumeRequest {
    let attributes = LocalVolumeAttributes {
        storage: "fast".into(),
        namespace: NAMESPACE.into(),
        node_group: "gpu".into(),
        node: Some(node.into()),
    };
    let mut context = attributes.to_map();
    context.insert("csi.storage.k8s.io/pod.namespace".into(), NAMESPACE.into());
    request(&id(), target, context)
}

/// Makes the volume, as its LocalVolume asks.
pub async fn make(plugin: &LocalDisk) {
    let volume = Volume { storage_uid: UID.into(), name: VOLUME.into() };
    let wish = Wish { volume, namespace: NAMESPACE.into(), size: MIB, may_make: true };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    assert_eq!(plugin.disks.ensure_volume(wish, deadline).await.unwrap(), MIB);
}

fn on_disk(world: &World) -> PathBuf {
    world.path(DISK).join(VOLUMES).join(UID).join(VOLUME)
}

pub async fn a_claims_volume_is_a_folder_of_its_own_on_its_nodes_disk(world: World) {
    let plugin = plugin(&world, |_| {});
    plugin.look().await;
    make(&plugin).await;
    let (target, other) = (world.target("v"), world.target("w"));
    plugin.publish(claim(&target)).await.unwrap();
    plugin.publish(claim(&target)).await.unwrap();
    plugin.publish(claim(&other).read_only()).await.unwrap();
    assert_eq!(world.mounts_at(&target), 1, "nothing is doubled");
    fs::write(world.on_host("v").join("file"), "12345").unwrap();
    assert_eq!(fs::read_to_string(other.join("file")).unwrap(), "12345");
    assert!(fs::write(other.join("file"), "x").is_err(), "read-only");
    assert_eq!(names(&on_disk(&world)), ["file"]);
    let usage = plugin.stats_of(&id(), &target).await.unwrap();
    assert_eq!((usage[0].total, usage[0].used, usage[0].available), (1000, 5, 995));
    let of_another = LocalVolumeId::Volume { storage: UID.into(), volume: UID.into() }.to_string();
    refused(plugin.stats_of(&of_another, &target).await.map(drop), Code::NotFound, &[]);
    let health = v1::NodeGetVolumeHealthRequest { volume_id: id(), ..Default::default() };
    let health = plugin.node.node_get_volume_health(Request::new(health)).await.unwrap().into_inner();
    assert!(health.volume_health.unwrap().health_statuses.is_empty());
    // The next plugin knows of them.
    drop(plugin);
    let plugin = self::plugin(&world, |_| {});
    assert!(plugin.node.uses(UID), "its disk would be unmounted");
    for target in [&target, &other, &target] {
        plugin.undo(&claim(target)).await;
    }
    assert!(!plugin.node.uses(UID));
    assert_eq!(names(&on_disk(&world)), ["file"], "files are never touched");
    assert_nothing_left(&world);
}

pub async fn a_claims_volume_is_mounted_where_it_is_and_made_by_no_mount(world: World) {
    let target = world.target("v");
    let node = plugin(&world, |_| {});
    refused(
        node.publish(claim(&target)).await,
        Code::FailedPrecondition,
        &["gpu", "n1", "not been looked at"],
    );
    refused(node.publish(on_node("n2", &target)).await, Code::FailedPrecondition, &["gpu", "n1", "n2"]);
    node.look().await;
    refused(node.publish(on_node("n2", &target)).await, Code::FailedPrecondition, &["gpu", "n1", "n2"]);
    refused(node.publish(claim(&target)).await, Code::FailedPrecondition, &["not on the disk"]);
    assert!(!on_disk(&world).exists(), "a mount made it");

    make(&node).await;
    let mut anothers = claim(&target);
    anothers.volume_context.insert("csi.storage.k8s.io/pod.namespace".into(), "team-b".into());
    refused(node.publish(anothers).await, Code::PermissionDenied, &["team-a"]);
    let mut nowhere = claim(&target);
    nowhere.volume_context.remove("node");
    refused(node.publish(nowhere).await, Code::InvalidArgument, &["node"]);
    let mut gone = claim(&target);
    gone.volume_id = LocalVolumeId::Volume { storage: VOLUME.into(), volume: VOLUME.into() }.to_string();
    refused(node.publish(gone).await, Code::NotFound, &["fast"]);
    let mut part = claim(&target);
    part.volume_context.insert("mountFrom".into(), "a".into());
    refused(node.publish(part).await, Code::InvalidArgument, &["mountFrom"]);

    let others = plugin(&world, |spec| spec.workspaces = vec!["team-b".into()]);
    others.look().await;
    refused(others.publish(claim(&target)).await, Code::PermissionDenied, &["spec.workspaces"]);
    let elsewhere = plugin(&world, |spec| spec.node_group = "cpu".into());
    elsewhere.look().await;
    refused(elsewhere.publish(claim(&target)).await, Code::FailedPrecondition, &["\"cpu\"", "\"n1\""]);
    fs::write(world.path(DISK).join(NOT_READY), "approve serial:A").unwrap();
    node.look().await;
    refused(node.publish(claim(&target)).await, Code::FailedPrecondition, &["gpu", "n1", "approve serial:A"]);
    assert_nothing_left(&world);
}

pub async fn a_node_says_where_it_is(world: World) {
    let node = plugin(&world, |_| {}).node;
    let info = node.node_get_info(Request::new(v1::NodeGetInfoRequest {})).await.unwrap().into_inner();
    assert_eq!(info.node_id, "n1");
    let segments = info.accessible_topology.unwrap().segments;
    assert_eq!(
        segments.into_iter().collect::<Vec<_>>(),
        [(LOCAL_TOPOLOGY_KEY.to_string(), "n1".to_string())]
    );
}

/// What carries the node's LocalVolumes out.
struct Carrier {
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Carrier {
    fn start(plugin: &LocalDisk, api: &FakeApi) -> Self {
        let volumes = Volumes {
            node: "n1".into(),
            group_label: GROUP.into(),
            labels: plugin.labels.clone(),
            storages: plugin.storages.clone(),
            disks: plugin.disks.clone(),
            client: api.client_as("node"),
        };
        let shutdown = CancellationToken::new();
        Self { task: tokio::spawn(volumes.run(shutdown.clone())), shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("does not end").unwrap();
    }
}

/// As the controller writes it.
fn put(api: &FakeApi, name: &str, node: &str, size: u64) {
    let volume: LocalVolume = builders::object(json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalVolume",
        "metadata": {"name": name, "finalizers": [LOCAL_VOLUME_FINALIZER]},
        "spec": {
            "storage": "fast", "storageUid": UID, "node": node, "volume": "pvc-1", "namespace": NAMESPACE,
            "claim": "data", "sizeBytes": size,
        },
    }));
    api.put(&volume);
}

fn grow(api: &FakeApi, size: u64) {
    assert!(api.edit("LocalVolume", "", VOLUME, |volume| {
        volume["spec"]["sizeBytes"] = json!(size);
        volume["metadata"]["generation"] = json!(volume["metadata"]["generation"].as_i64().unwrap() + 1);
    }));
}

/// As the controller does when a claim ends.
fn discard(api: &FakeApi) {
    assert!(api.edit("LocalVolume", "", VOLUME, |volume| {
        volume["metadata"]["annotations"] = json!({DISCARD_FILES_ANNOTATION: "true"});
    }));
}

/// The status, if it speaks of what is asked for now.
fn observed(api: &FakeApi) -> Option<LocalVolumeStatus> {
    let volume: LocalVolume = api.find("LocalVolume", "", VOLUME)?;
    volume.is_observed().then_some(volume.status?)
}

async fn until(api: &FakeApi, phase: LocalVolumePhase, size: u64, reason: Option<LocalVolumeReason>) {
    api.until(&format!("{phase:?} {size} {reason:?}"), |api| {
        observed(api).is_some_and(|status| {
            let has = status.size_bytes.unwrap_or(0) as u64;
            (status.phase, has, status.reason) == (phase, size, reason)
        })
    })
    .await;
}

pub async fn what_a_local_volume_asks_is_carried_out_and_its_status_says_so(world: World) {
    let api = FakeApi::start().await;
    let plugin = plugin(&world, |_| {});
    plugin.look().await;
    let carrier = Carrier::start(&plugin, &api);
    put(&api, VOLUME, "n1", MIB);
    put(&api, UID, "n2", MIB);
    until(&api, LocalVolumePhase::Ready, MIB, None).await;
    assert!(on_disk(&world).is_dir());
    let status = observed(&api).unwrap();
    assert!(status.observed_at.is_some() && status.message.is_empty());

    fs::write(on_disk(&world).join("file"), "kept").unwrap();
    grow(&api, 2 * MIB);
    until(&api, LocalVolumePhase::Ready, 2 * MIB, None).await;
    grow(&api, SIZE_MAX + 4096);
    until(&api, LocalVolumePhase::Ready, 2 * MIB, Some(LocalVolumeReason::NoSpace)).await;
    assert!(observed(&api).unwrap().message.contains("1 GiB"));
    grow(&api, 3 * MIB);
    until(&api, LocalVolumePhase::Ready, 3 * MIB, None).await;
    let size = fs::read_to_string(world.path(DISK).join(SIZES).join(VOLUME)).unwrap();
    assert_eq!((size, names(&on_disk(&world))), ((3 * MIB).to_string(), vec!["file".to_string()]));

    // A plugin that starts anew has nothing to say.
    carrier.stop().await;
    let writes = api.count(Verb::Patch, "localvolumes");
    let carrier = Carrier::start(&plugin, &api);
    api.settled(Duration::from_millis(500)).await;
    assert_eq!(api.count(Verb::Patch, "localvolumes"), writes);

    discard(&api);
    assert!(api.delete("LocalVolume", "", VOLUME));
    until(&api, LocalVolumePhase::Removed, 3 * MIB, None).await;
    assert!(!on_disk(&world).exists());
    // Of another node's nothing was said, nor made.
    let other: Value = api.all("LocalVolume").into_iter().find(|v| v["metadata"]["name"] == UID).unwrap();
    assert!(other["status"].is_null(), "{other}");
    assert_eq!(names(&world.path(DISK).join(VOLUMES).join(UID)), Vec::<String>::new());
    let managers = api.requests().into_iter().filter(|request| request.subresource != "status");
    assert!(
        managers
            .filter(|request| request.client == "node")
            .all(|r| matches!(r.verb, Verb::List | Verb::Watch))
    );
    carrier.stop().await;
}

pub async fn what_cannot_be_done_now_is_said_and_done_when_it_can(world: World) {
    let api = FakeApi::start().await;
    let plugin = plugin(&world, |_| {});
    fs::write(world.path(DISK).join(NOT_READY), "approve serial:A").unwrap();
    put(&api, VOLUME, "n1", MIB);
    let carrier = Carrier::start(&plugin, &api);
    // Before the first look at the disk nothing is said.
    api.settled(Duration::from_millis(500)).await;
    assert_eq!(observed(&api), None);
    plugin.look().await;
    until(&api, LocalVolumePhase::Pending, 0, Some(LocalVolumeReason::NotReady)).await;
    let message = observed(&api).unwrap().message;
    for word in ["fast", "n1", "approve serial:A"] {
        assert!(message.contains(word), "{message}");
    }
    fs::remove_file(world.path(DISK).join(NOT_READY)).unwrap();
    plugin.look().await;
    until(&api, LocalVolumePhase::Ready, MIB, None).await;
    // It is not said to be removed before the disk was asked.
    fs::write(world.path(DISK).join(NOT_READY), "pulled").unwrap();
    plugin.look().await;
    discard(&api);
    assert!(api.delete("LocalVolume", "", VOLUME));
    until(&api, LocalVolumePhase::Ready, MIB, Some(LocalVolumeReason::NotReady)).await;
    fs::remove_file(world.path(DISK).join(NOT_READY)).unwrap();
    plugin.look().await;
    until(&api, LocalVolumePhase::Removed, MIB, None).await;
    carrier.stop().await;
}

pub async fn what_was_made_and_is_not_there_is_lost_and_found_again(world: World) {
    let api = FakeApi::start().await;
    let plugin = plugin(&world, |_| {});
    plugin.look().await;
    put(&api, VOLUME, "n1", MIB);
    let carrier = Carrier::start(&plugin, &api);
    until(&api, LocalVolumePhase::Ready, MIB, None).await;
    carrier.stop().await;
    // Another disk is in the node when the plugin starts again.
    let away = world.path(DISK).join("away");
    fs::rename(on_disk(&world), &away).unwrap();
    let carrier = Carrier::start(&plugin, &api);
    until(&api, LocalVolumePhase::Lost, MIB, None).await;
    assert!(!on_disk(&world).exists(), "it was replaced by something empty");
    assert!(observed(&api).unwrap().message.contains("not on the disk"));
    fs::rename(&away, on_disk(&world)).unwrap();
    until(&api, LocalVolumePhase::Ready, MIB, None).await;
    carrier.stop().await;
}

pub async fn an_object_that_somebody_deletes_takes_no_files_with_it_until_its_claim_ends(world: World) {
    let api = FakeApi::start().await;
    let plugin = plugin(&world, |_| {});
    plugin.look().await;
    put(&api, VOLUME, "n1", MIB);
    let carrier = Carrier::start(&plugin, &api);
    until(&api, LocalVolumePhase::Ready, MIB, None).await;
    assert!(api.delete("LocalVolume", "", VOLUME));
    let is_said = |api: &FakeApi| observed(api).is_some_and(|status| !status.message.is_empty());
    api.until("it says that it leaves the files", |api| is_said(api)).await;
    let status = observed(&api).unwrap();
    assert_eq!((status.phase, status.reason), (LocalVolumePhase::Ready, None));
    assert!(status.message.contains("left where they are"), "{}", status.message);
    assert!(on_disk(&world).is_dir());
    // Which changes no generation.
    discard(&api);
    until(&api, LocalVolumePhase::Removed, MIB, None).await;
    assert!(!on_disk(&world).exists());
    carrier.stop().await;
}
