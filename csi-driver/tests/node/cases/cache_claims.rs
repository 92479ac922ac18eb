//! The claims of FsCaches: their copies alone. The world is that of [`super::caches`].

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use tonic::Code;
use workspacefs_api::{CacheTarget, Exposure, FsCache};
use workspacefs_csi_proto::csi::v1::NodePublishVolumeRequest;

use super::caches::{CACHE, PATHS, below, cache, fill, filled, in_use, labels, near, read};
use super::local::{self, DISK, NAMESPACE_UID};
use crate::disk::FILES;
use crate::world::{NAMESPACE, UID, World, inline, names, refused, request};

/// The publish of the FsCache's claim, for a pod of that namespace.
fn of_claim(target: &Path, pods_namespace: &str) -> NodePublishVolumeRequest {
    let context = [
        ("fsCache", format!("{NAMESPACE}/warm")),
        ("csi.storage.k8s.io/pod.namespace", pods_namespace.to_string()),
    ];
    request(&format!("v1.cache.{CACHE}"), target, context.map(|(key, value)| (key.into(), value)).into())
}

/// As a claim of its own, of these paths.
fn as_claim(mut cache: FsCache, paths: &[&str]) -> FsCache {
    cache.spec.exposure = Exposure::Claim;
    cache.spec.source.paths = paths.iter().map(|path| format!("/{path}")).collect();
    cache
}

pub async fn a_caches_claim_is_its_current_copy_read_only_for_the_pods_life(world: World) {
    let mut world = filled(world);
    world.fs_caches = vec![as_claim(near(1), &PATHS)];
    let node = world.node();
    let (v, w) = (world.target("v"), world.target("w"));
    let request = of_claim(&v, NAMESPACE);
    node.publish(request.clone()).await.unwrap();
    for path in PATHS {
        assert_eq!(read(&v, path), "copy 1");
        let error = fs::write(v.join(path).join("new"), "x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    }
    assert_eq!((names(&v), below(&world, &v)), (vec!["data".to_string(), "more".into()], 1));
    node.publish(request.clone()).await.unwrap();
    assert_eq!(below(&world, &v), 1, "nothing is doubled");
    assert_eq!(node.stats(&request.volume_id, &v).await.unwrap().len(), 2);
    // A later pod gets the later copy; this one keeps its own, and both are told.
    fill(&world.export("c/near"), 2);
    node.caches.put(&as_claim(near(2), &PATHS));
    let second = of_claim(&w, NAMESPACE);
    node.publish(second.clone()).await.unwrap();
    assert_eq!((read(&v, "data"), read(&w, "data")), ("copy 1".into(), "copy 2".into()));
    assert_eq!(in_use(&node), [1, 2]);
    drop(node);
    // A plugin that starts anew knows it from its records, and in the FileSystem nothing is shown of it.
    let node = world.node();
    node.caches.put(&as_claim(near(2), &PATHS));
    assert_eq!(in_use(&node), [1, 2]);
    node.undo(&request).await;
    node.undo(&second).await;
    assert!(in_use(&node).is_empty());
    node.publish(inline(&v, "")).await.unwrap();
    assert_eq!(read(&v, "data"), "source");
    node.undo(&inline(&v, "")).await;
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

pub async fn a_caches_claim_without_a_ready_copy_is_refused_and_leaves_nothing(world: World) {
    let mut world = filled(world);
    world.fs_caches.clear();
    let node = world.node();
    let v = world.target("v");
    let mut none = as_claim(near(1), &PATHS);
    none.status = None;
    let mut other = as_claim(near(1), &PATHS);
    other.metadata.name = Some("other".into());
    let more = as_claim(near(1), &["data", "more/deep", "missing"]);
    // Last, as it is newer than the others.
    let lost = as_claim(near(7), &PATHS);
    for (cache, words) in [
        (near(1), "exposure is Transparent"),
        (none, "no verified copy"),
        (other, "not known"),
        (more, "not whole"),
        (lost, "cannot be mounted"),
    ] {
        node.caches.put(&cache);
        refused(node.publish(of_claim(&v, NAMESPACE)).await, Code::FailedPrecondition, &[words]);
        assert!(in_use(&node).is_empty() && !v.exists(), "{words}");
    }
    node.caches.put(&as_claim(near(8), &PATHS));
    fill(&world.export("c/near"), 8);
    refused(node.publish(of_claim(&v, "team-b")).await, Code::PermissionDenied, &[NAMESPACE]);
    let mut alien = of_claim(&v, NAMESPACE);
    alien.volume_context.insert("server".into(), "x".into());
    refused(node.publish(alien).await, Code::InvalidArgument, &[]);
    node.publish(of_claim(&v, NAMESPACE)).await.unwrap();
    assert_eq!(read(&v, "data"), "copy 8");
    node.undo(&of_claim(&v, NAMESPACE)).await;
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
    // Elsewhere there is no use in waiting.
    world.labels = labels("cpu");
    let node = world.node();
    node.caches.put(&as_claim(near(8), &PATHS));
    refused(node.publish(of_claim(&v, NAMESPACE)).await, Code::FailedPrecondition, &["FileSystem near"]);
}

pub async fn a_caches_claim_on_this_nodes_disk_waits_for_the_disk_and_holds_it(world: World) {
    let mut world = filled(world);
    let target = CacheTarget { file_system: None, local_storage: Some("fast".into()) };
    world.fs_caches = vec![as_claim(cache(1, target), &PATHS)];
    let disk = local::plugin(&world, |_| {});
    world.disk = Some((disk.storages.clone(), disk.disks.clone()));
    fill(&world.path(DISK).join(FILES).join(NAMESPACE_UID), 1);
    let node = world.node();
    let v = world.target("v");
    let request = of_claim(&v, NAMESPACE);
    refused(node.publish(request.clone()).await, Code::FailedPrecondition, &["disk is not ready"]);
    disk.look().await;
    node.publish(request.clone()).await.unwrap();
    assert_eq!(read(&v, "more/deep"), "copy 1");
    assert!(fs::write(v.join("data/x"), "x").is_err());
    assert!(node.node.uses_disk(UID), "the disk stays");
    assert_eq!(in_use(&node), [1]);
    let untold = node.stats(&request.volume_id, &v).await.unwrap_err();
    assert_eq!(untold.code(), Code::FailedPrecondition, "of a copy on a disk nothing is told: {untold}");
    node.undo(&request).await;
    assert!(!node.node.uses_disk(UID));
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}
