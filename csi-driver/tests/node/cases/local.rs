//! The driver of local disks, on real mounts: a folder stands in for the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use csi_driver::cache::Caches;
use csi_driver::helper_process::HelperProgram;
use csi_driver::local::disks::{DiskError, Disks, DisksConfig};
use csi_driver::local::protocol::{Look, Place};
use csi_driver::local::service::{LocalConfig, LocalNode};
use csi_driver::local::storages::Storages;
use csi_driver::node::NodeLabels;
use tonic::{Code, Request, Status};
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_api::{DevicesSource, LocalSource, LocalStorage, LocalStorageSpec};
use workspacefs_csi_proto::csi::v1;
use workspacefs_csi_proto::csi::v1::node_server::Node as _;
use workspacefs_storage::local::image::ImageWish;

use crate::disk::{FILES, HANGS, NOT_READY};
use crate::world::{GROUP, NAMESPACE, UID, WithMode, World, names, refused, request};

pub const NAMESPACE_UID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

/// Where the folder is that stands in for the disk.
pub const DISK: &str = "kubelet/plugins/local/disk";

pub struct LocalDisk {
    pub disks: Disks,
    pub node: LocalNode,
    pub storages: Storages,
    pub labels: NodeLabels,
}

/// A plugin as one just started, on the node `n1` of group `gpu`, with the LocalStorage `fast`.
pub fn plugin(world: &World, change: impl FnOnce(&mut LocalStorageSpec)) -> LocalDisk {
    fs::create_dir_all(world.path(DISK)).unwrap();
    let mut spec = LocalStorageSpec {
        node_group: "gpu".into(),
        source: LocalSource { devices: Some(DevicesSource::default()), directory: None },
        workspaces: vec![NAMESPACE.into()],
        ..Default::default()
    };
    change(&mut spec);
    let mut storage = LocalStorage::new("fast", spec);
    storage.metadata.uid = Some(UID.into());
    let storages = Storages::fixed(Some(BTreeMap::from([("fast".to_string(), Arc::new(storage))])));
    let caches = Caches::new("n1");
    world.fs_caches.iter().for_each(|cache| caches.put(cache));
    let disks = Disks::new(DisksConfig {
        helper: HelperProgram { program: "/proc/self/exe".into(), arguments: vec!["disk-helper".into()] },
        mounts: world.path("kubelet/plugins/local/disks"),
        staging: world.path("state/local-staging"),
        api: world.api,
    })
    .unwrap();
    let labels = NodeLabels::fixed(Some([(GROUP.to_string(), "gpu".to_string())].into()));
    let node = LocalNode::new(LocalConfig {
        node_name: "n1".into(),
        rpc_deadline: world.deadline,
        group_label: GROUP.into(),
        labels: labels.clone(),
        storages: storages.clone(),
        disks: disks.clone(),
        records: world.path("state/local-targets"),
        caches,
    })
    .unwrap();
    LocalDisk { disks, node, storages, labels }
}

fn id() -> String {
    LocalVolumeId::Share { storage: UID.into(), namespace: NAMESPACE_UID.into() }.to_string()
}

/// The publish of the workspace's claim.
pub fn claim(target: &Path) -> v1::NodePublishVolumeRequest {
    let attributes = LocalVolumeAttributes {
        storage: "fast".into(),
        namespace: NAMESPACE.into(),
        node_group: "gpu".into(),
        node: None,
    };
    let mut context = attributes.to_map();
    context.insert("csi.storage.k8s.io/pod.namespace".into(), NAMESPACE.into());
    request(&id(), target, context)
}

fn look() -> Look {
    Look { node: "n1".into(), spec: LocalStorageSpec::default(), known: None }
}

impl LocalDisk {
    pub async fn look(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        self.disks.look(UID, look(), deadline).await.unwrap();
    }

    pub async fn publish(&self, request: v1::NodePublishVolumeRequest) -> Result<(), Status> {
        self.node.node_publish_volume(Request::new(request)).await.map(drop)
    }

    async fn unpublish(&self, target: &Path) {
        self.undo(&claim(target)).await;
    }

    /// Unpublishes what a publish was asked for.
    pub async fn undo(&self, request: &v1::NodePublishVolumeRequest) {
        let request = v1::NodeUnpublishVolumeRequest {
            volume_id: request.volume_id.clone(),
            target_path: request.target_path.clone(),
        };
        self.node.node_unpublish_volume(Request::new(request)).await.unwrap();
    }

    async fn stats(&self, target: &Path) -> Result<Vec<v1::VolumeUsage>, Status> {
        self.stats_of(&id(), target).await
    }

    pub async fn stats_of(&self, id: &str, target: &Path) -> Result<Vec<v1::VolumeUsage>, Status> {
        let request = v1::NodeGetVolumeStatsRequest {
            volume_id: id.into(),
            volume_path: target.to_str().unwrap().into(),
            ..Default::default()
        };
        Ok(self.node.node_get_volume_stats(Request::new(request)).await?.into_inner().usage)
    }
}

pub fn assert_nothing_left(world: &World) {
    assert!(world.mounts().is_empty(), "{:?}", world.mounts());
    for folder in ["state/local-targets", "state/local-staging"] {
        assert_eq!(names(&world.path(folder)), Vec::<String>::new(), "{folder}");
    }
    assert!(!world.target("v").exists());
}

pub async fn a_local_volume_is_the_workspaces_folder_on_this_nodes_disk(world: World) {
    let plugin = plugin(&world, |_| {});
    plugin.look().await;
    let (target, other) = (world.target("v"), world.target("w"));
    plugin.publish(claim(&target)).await.unwrap();
    plugin.publish(claim(&target)).await.unwrap();
    plugin.publish(claim(&other).read_only()).await.unwrap();
    assert_eq!(world.mounts_at(&target), 1, "nothing is doubled");
    fs::write(world.on_host("v").join("file"), "12345").unwrap();
    assert_eq!(fs::read_to_string(other.join("file")).unwrap(), "12345");
    assert!(fs::write(other.join("file"), "x").is_err(), "read-only");
    let on_disk = world.path(DISK).join(FILES).join(NAMESPACE_UID);
    assert_eq!(names(&on_disk), ["file"]);
    let usage = plugin.stats(&target).await.unwrap();
    assert_eq!((usage[0].total, usage[0].used, usage[0].available), (1000, 5, 995));
    for target in [&target, &other, &target] {
        plugin.unpublish(target).await;
    }
    assert_eq!(names(&on_disk), ["file"], "files are never touched");
    assert_nothing_left(&world);
}

pub async fn a_local_volume_is_mounted_only_where_it_may_be(world: World) {
    let target = world.target("v");
    let not_looked_at = plugin(&world, |_| {});
    refused(not_looked_at.publish(claim(&target)).await, Code::FailedPrecondition, &["fast", "gpu", "n1"]);

    let elsewhere = plugin(&world, |spec| spec.node_group = "cpu".into());
    elsewhere.look().await;
    refused(elsewhere.publish(claim(&target)).await, Code::FailedPrecondition, &["\"cpu\"", "\"n1\""]);

    let others = plugin(&world, |spec| spec.workspaces = vec!["team-b".into()]);
    others.look().await;
    refused(others.publish(claim(&target)).await, Code::PermissionDenied, &["spec.workspaces"]);

    let node = plugin(&world, |_| {});
    fs::write(world.path(DISK).join(NOT_READY), "approve serial:A").unwrap();
    node.look().await;
    refused(node.publish(claim(&target)).await, Code::FailedPrecondition, &["gpu", "n1", "approve serial:A"]);

    let mut anothers = claim(&target);
    anothers.volume_context.insert("csi.storage.k8s.io/pod.namespace".into(), "team-b".into());
    refused(node.publish(anothers).await, Code::PermissionDenied, &["team-a"]);
    let mut gone = claim(&target);
    gone.volume_id =
        LocalVolumeId::Share { storage: NAMESPACE_UID.into(), namespace: NAMESPACE_UID.into() }.to_string();
    refused(node.publish(gone).await, Code::NotFound, &["fast"]);

    let small = plugin(&world, |spec| {
        spec.per_workspace_quota = Some(workspacefs_api::quantity::exact(1 << 50));
    });
    fs::remove_file(world.path(DISK).join(NOT_READY)).unwrap();
    small.look().await;
    refused(small.publish(claim(&target)).await, Code::ResourceExhausted, &["1 GiB"]);
    assert_nothing_left(&world);
}

pub async fn what_is_mounted_from_a_disk_stays_so_whatever_became_of_it(world: World) {
    let target = world.target("v");
    let node = plugin(&world, |_| {});
    node.look().await;
    node.publish(claim(&target)).await.unwrap();
    let later = plugin(&world, |spec| spec.workspaces.clear());
    later.publish(claim(&target)).await.unwrap();
    refused(later.publish(claim(&world.target("w"))).await, Code::PermissionDenied, &[]);
    later.unpublish(&target).await;
    assert_nothing_left(&world);
}

pub async fn nothing_in_a_pod_chooses_a_part_of_a_local_volume(world: World) {
    let node = plugin(&world, |_| {});
    node.look().await;
    let with = |key: &str, value: &str| {
        let mut request = claim(&world.target("v"));
        request.volume_context.insert(key.into(), value.into());
        request
    };
    refused(node.publish(with("mountFrom", "a")).await, Code::InvalidArgument, &["mountFrom"]);
    let inline = with("csi.storage.k8s.io/ephemeral", "true");
    refused(node.publish(inline).await, Code::InvalidArgument, &["claims only", "whole share"]);
    assert_nothing_left(&world);
}

pub async fn a_disk_that_hangs_holds_its_own_callers_only(mut world: World) {
    world.deadline = Duration::from_secs(1);
    let node = plugin(&world, |_| {});
    node.look().await;
    node.publish(claim(&world.target("v"))).await.unwrap();
    let helper = node.disks.helper_id(UID).await.unwrap();
    fs::write(world.path(DISK).join(HANGS), "").unwrap();
    let started = Instant::now();
    refused(node.publish(claim(&world.target("w"))).await, Code::Unavailable, &["did not answer"]);
    refused(node.stats(&world.target("v")).await.map(drop), Code::Unavailable, &[]);
    // What hangs keeps no pod from going.
    node.unpublish(&world.target("v")).await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    fs::remove_file(world.path(DISK).join(HANGS)).unwrap();
    let answers = async || {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        node.disks.look(UID, look(), deadline).await
    };
    // As soon as the kernel lets the old one go there is a new one.
    while let Err(error) = answers().await {
        assert!(matches!(error, DiskError::Hangs | DiskError::TimedOut { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(60), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_ne!(node.disks.helper_id(UID).await, Some(helper));
    assert!(!world.target("w").exists(), "the publish that failed left its target");
    assert_nothing_left(&world);
}

pub async fn a_helper_that_answers_is_not_killed_for_the_time_that_others_waited(world: World) {
    let node = plugin(&world, |_| {});
    node.look().await;
    let helper = node.disks.helper_id(UID).await.unwrap();
    fs::write(world.path(DISK).join(HANGS), "").unwrap();
    let after = |millis| tokio::time::Instant::now() + Duration::from_millis(millis);
    let slow = node.disks.look(UID, look(), after(30_000));
    let late = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        node.disks.usage(UID, Place::Share(NAMESPACE_UID.into()), after(1000)).await
    };
    let thaw = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        fs::remove_file(world.path(DISK).join(HANGS)).unwrap();
    };
    let (slow, late, ()) = tokio::join!(slow, late, thaw);
    assert!(slow.unwrap().ready);
    assert!(matches!(late, Err(DiskError::TimedOut { .. })), "{late:?}");
    assert_eq!(node.disks.helper_id(UID).await, Some(helper));
    assert!(node.disks.usage(UID, Place::Share(NAMESPACE_UID.into()), after(5000)).await.is_ok());
}

pub async fn a_look_that_waits_for_the_caches_image_says_nothing_of_the_disk(world: World) {
    let node = plugin(&world, |_| {});
    node.look().await;
    fs::write(world.path(DISK).join(HANGS), "").unwrap();
    let after = |millis| tokio::time::Instant::now() + Duration::from_millis(millis);
    let image = node.disks.image(UID, ImageWish::Gone, after(30_000));
    let looks = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // In vain, and too late to be asked.
        let in_vain = node.disks.look(UID, look(), after(300)).await;
        let (late, ()) = tokio::join!(node.disks.look(UID, look(), after(1000)), async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            fs::remove_file(world.path(DISK).join(HANGS)).unwrap();
        });
        [in_vain, late]
    };
    let (image, looks) = tokio::join!(image, looks);
    image.unwrap();
    for look in looks {
        assert!(matches!(look, Err(DiskError::AtImage)), "{look:?}");
    }
    assert!(node.disks.entry(UID).unwrap().ready);
    // Without an image, it is the disk that does not answer.
    fs::write(world.path(DISK).join(HANGS), "").unwrap();
    let silent = node.disks.look(UID, look(), after(300)).await;
    assert!(matches!(silent, Err(DiskError::TimedOut { .. })), "{silent:?}");
    fs::remove_file(world.path(DISK).join(HANGS)).unwrap();
}

pub async fn a_new_plugin_knows_which_local_volumes_are_mounted(world: World) {
    let target = world.target("v");
    let old = plugin(&world, |_| {});
    old.look().await;
    old.publish(claim(&target)).await.unwrap();
    assert!(old.node.uses(UID) && !old.node.uses(NAMESPACE_UID));
    drop(old);
    let new = plugin(&world, |_| {});
    assert!(new.node.uses(UID), "its disk would be unmounted");
    new.unpublish(&target).await;
    assert!(!new.node.uses(UID));
    assert_nothing_left(&world);
}
