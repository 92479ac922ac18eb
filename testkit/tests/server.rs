//! The fake API server seen through a real client: that it is strict where a real one is, since the tests of others rest on
//! it.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::{Api, ResourceExt};
use serde_json::json;
use workspacefs_api::FileSystem;
use workspacefs_testkit::{FakeApi, Fault, Moment, Verb, builders};

async fn server() -> (FakeApi, Api<FileSystem>) {
    let api = FakeApi::start().await;
    api.put(&builders::namespace("a", &[]));
    let file_systems = Api::namespaced(api.client_as("t"), "a");
    (api, file_systems)
}

fn data() -> FileSystem {
    builders::file_system("a", "data", builders::nfs("s", 2049))
}

fn code<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn creation_gives_a_uid_and_happens_once() {
    let (_api, file_systems) = server().await;
    let made = file_systems.create(&PostParams::default(), &data()).await.unwrap();
    assert!(workspacefs_api::volume::is_uid(&made.uid().unwrap()));
    assert_eq!(code(file_systems.create(&PostParams::default(), &data()).await), 409);
    assert_eq!(code(file_systems.get("other").await), 404);
}

#[tokio::test]
async fn a_write_over_an_old_version_is_a_conflict() {
    let (_api, file_systems) = server().await;
    let old = file_systems.create(&PostParams::default(), &data()).await.unwrap();
    let mut newer = old.clone();
    newer.spec.node_group = Some("x".into());
    let newer = file_systems.replace("data", &PostParams::default(), &newer).await.unwrap();
    assert_eq!((old.metadata.generation, newer.metadata.generation), (Some(1), Some(2)));
    assert_eq!(code(file_systems.replace("data", &PostParams::default(), &old).await), 409);
    let apply = |version: Option<String>| {
        json!({"apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem",
               "metadata": {"resourceVersion": version}, "status": {"claimName": "c"}})
    };
    let by_us = PatchParams::apply("t").force();
    let stale = file_systems.patch_status("data", &by_us, &Patch::Apply(apply(old.resource_version()))).await;
    assert_eq!(code(stale), 409);
    let fresh = Patch::Apply(apply(newer.resource_version()));
    let written = file_systems.patch_status("data", &by_us, &fresh).await.unwrap();
    assert_eq!(written.status.and_then(|s| s.claim_name).as_deref(), Some("c"));
    assert_eq!(written.metadata.generation, Some(2), "a status has no generation");
}

#[tokio::test]
async fn a_write_that_changes_nothing_makes_no_version() {
    let (_api, file_systems) = server().await;
    let made = file_systems.create(&PostParams::default(), &data()).await.unwrap();
    let patch = json!({"spec": {"backend": {"nfs": {"server": "s"}}}});
    let same = file_systems.patch("data", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(same.resource_version(), made.resource_version());
}

#[tokio::test]
async fn finalizers_hold_a_deleted_object_and_preconditions_protect_another() {
    let (api, file_systems) = server().await;
    let mut held = data();
    held.metadata.finalizers = Some(vec!["x/y".into()]);
    file_systems.create(&PostParams::default(), &held).await.unwrap();
    let another = Preconditions { uid: Some("no".into()), resource_version: None };
    let wrong = DeleteParams { preconditions: Some(another), ..DeleteParams::default() };
    assert_eq!(code(file_systems.delete("data", &wrong).await), 409);
    file_systems.delete("data", &DeleteParams::default()).await.unwrap();
    assert!(file_systems.get("data").await.unwrap().metadata.deletion_timestamp.is_some());
    let patch = json!({"metadata": {"finalizers": []}});
    file_systems.patch("data", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(code(file_systems.get("data").await), 404);
    assert_eq!(api.count(Verb::Delete, "filesystems"), 2);
}

#[tokio::test]
async fn a_watch_replays_what_it_missed_and_tells_when_an_object_ceases_to_match() {
    let (api, file_systems) = server().await;
    let list = file_systems.list(&ListParams::default()).await.unwrap();
    let mut labelled = data();
    labelled.labels_mut().insert("l".into(), "1".into());
    file_systems.create(&PostParams::default(), &labelled).await.unwrap();
    api.put(&builders::file_system("a", "unlabelled", builders::nfs("s", 1)));
    let params = WatchParams::default().labels("l=1").timeout(20);
    let version = list.metadata.resource_version.unwrap();
    let stream = file_systems.watch(&params, &version).await.unwrap();
    let mut events = stream.try_filter(|e| std::future::ready(!matches!(e, WatchEvent::Bookmark(_)))).boxed();
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Added(fs))) if fs.name_any() == "data"));
    let patch = json!({"metadata": {"labels": {"l": null}}});
    file_systems.patch("data", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Deleted(fs))) if fs.name_any() == "data"));

    api.compact();
    let mut late = file_systems.watch(&params, &version).await.unwrap().boxed();
    assert!(matches!(late.next().await, Some(Ok(WatchEvent::Error(gone))) if gone.code == 410));
}

#[tokio::test]
async fn claims_and_volumes_are_bound_released_and_bound_again_as_kubernetes_does() {
    let (api, _) = server().await;
    let claim_ref = json!({"kind": "PersistentVolumeClaim", "namespace": "a", "name": "c"});
    let spec = json!({"storageClassName": "s", "claimRef": claim_ref, "capacity": {"storage": "1Gi"}, "accessModes": []});
    api.put(&builders::volume("v", spec));
    let phases = || {
        let volume: Option<PersistentVolume> = api.find("PersistentVolume", "", "v");
        let claim: Option<PersistentVolumeClaim> = api.find("PersistentVolumeClaim", "a", "c");
        let volume = volume.and_then(|v| v.status?.phase).unwrap_or_default();
        (volume, claim.and_then(|c| c.status?.phase).unwrap_or_default())
    };
    let pair = |volume: &str, claim: &str| (volume.to_string(), claim.to_string());
    assert_eq!(phases(), pair("Available", ""));
    let claim = builders::claim("a", "c", json!({"storageClassName": "s", "volumeName": "v"}));
    api.put(&claim);
    assert_eq!(phases(), pair("Bound", "Bound"));
    api.delete("PersistentVolumeClaim", "a", "c");
    assert_eq!(phases(), pair("Released", ""));
    api.put(&claim);
    assert_eq!(phases(), pair("Released", "Pending"), "the volume still remembers the first claim");
    api.edit("PersistentVolume", "", "v", |v| v["spec"]["claimRef"]["uid"] = json!(null));
    assert_eq!(phases(), pair("Bound", "Bound"));
    // A volume's source cannot change.
    let volumes: Api<PersistentVolume> = Api::all(api.client_as("t"));
    let patch = json!({"spec": {"csi": {"driver": "x", "volumeHandle": "y"}}});
    assert_eq!(code(volumes.patch("v", &PatchParams::default(), &Patch::Merge(&patch)).await), 422);
}

#[tokio::test]
async fn faults_strike_the_chosen_write_before_or_after_it_was_carried_out() {
    let (api, file_systems) = server().await;
    let refused = api.trap(0, Moment::Before, Fault::Status(500), |r| r.verb == Verb::Create);
    assert_eq!(code(file_systems.create(&PostParams::default(), &data()).await), 500);
    assert_eq!(refused.await.unwrap().resource, "filesystems");
    assert!(api.all("FileSystem").is_empty());

    let _cut = api.trap(0, Moment::After, Fault::Cut, |r| r.verb == Verb::Create);
    assert!(file_systems.create(&PostParams::default(), &data()).await.is_err());
    assert_eq!(api.all("FileSystem").len(), 1);

    let held = api.trap(0, Moment::After, Fault::Hold, |r| r.verb == Verb::Delete);
    let params = DeleteParams::default();
    let delete = tokio::time::timeout(Duration::from_millis(200), file_systems.delete("data", &params));
    assert!(delete.await.is_err(), "answered");
    held.await.unwrap();
    assert!(api.all("FileSystem").is_empty());
}

#[tokio::test]
async fn a_claim_grows_only_where_it_is_bound_and_its_class_lets_it_and_then_its_volume_grows_too() {
    let api = FakeApi::start().await;
    api.put(&builders::namespace("a", &[]));
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(api.client_as("t"), "a");
    let size = |size: &str| json!({"resources": {"requests": {"storage": size}}});
    let mut spec = size("1Gi");
    spec["volumeName"] = json!("v");
    spec["storageClassName"] = json!("c");
    api.put(&builders::claim("a", "x", spec));
    let grow = async |to: &str| {
        claims.patch("x", &PatchParams::default(), &Patch::Merge(json!({"spec": size(to)}))).await
    };
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "c"},
                       "provisioner": "p", "allowVolumeExpansion": true});
    api.put(&class);
    assert_eq!(code(grow("2Gi").await), 422, "not bound");
    let claim_ref = json!({"namespace": "a", "name": "x"});
    api.put(&builders::volume(
        "v",
        json!({"storageClassName": "c", "claimRef": claim_ref, "capacity": {"storage": "1Gi"}}),
    ));
    assert_eq!(code(grow("512Mi").await), 422, "it shrinks");
    api.edit("StorageClass", "", "c", |class| class["allowVolumeExpansion"] = json!(false));
    assert_eq!(code(grow("2Gi").await), 422, "the class forbids it");
    api.edit("StorageClass", "", "c", |class| class["allowVolumeExpansion"] = json!(true));
    grow("2Gi").await.unwrap();
    let volume: serde_json::Value = api.find("PersistentVolume", "", "v").unwrap();
    assert_eq!(volume["spec"]["capacity"]["storage"], "2Gi");
}

#[tokio::test]
async fn of_a_storage_class_only_options_and_expansion_change() {
    use k8s_openapi::api::storage::v1::StorageClass;
    let api = FakeApi::start().await;
    let classes: Api<StorageClass> = Api::all(api.client_as("t"));
    api.put(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "c"},
                    "provisioner": "p", "reclaimPolicy": "Delete"}));
    let patch = async |change| classes.patch("c", &PatchParams::default(), &Patch::Merge(change)).await;
    patch(json!({"mountOptions": ["soft"], "allowVolumeExpansion": true})).await.unwrap();
    assert_eq!(code(patch(json!({"reclaimPolicy": "Retain"})).await), 422);
    assert_eq!(code(patch(json!({"parameters": {"a": "b"}})).await), 422);
}

#[tokio::test]
async fn a_deployment_is_scaled_by_its_subresource() {
    use k8s_openapi::api::apps::v1::Deployment;
    let api = FakeApi::start().await;
    api.put(&builders::namespace("a", &[]));
    api.put(
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "a", "name": "d"},
                    "spec": {"replicas": 2, "selector": {}, "template": {}}}),
    );
    let deployments: Api<Deployment> = Api::namespaced(api.client_as("t"), "a");
    let was = deployments.get_scale("d").await.unwrap();
    assert_eq!(was.spec.unwrap().replicas, Some(2));
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let now = deployments.patch_scale("d", &PatchParams::default(), &none).await.unwrap();
    assert_eq!(now.spec.unwrap().replicas, Some(0));
    let whole = deployments.get("d").await.unwrap();
    assert_eq!(whole.spec.unwrap().replicas, Some(0));
}
