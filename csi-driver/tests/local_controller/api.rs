//! The controller on an API server in this process: what it writes there, how it waits, and that any of its writes may be its
//! last. A node of the test's own watches the LocalVolumes and does what they ask.

use std::sync::Arc;
use std::time::Duration;

use csi_driver::local::storages::Storages;
use csi_driver::local_controller::objects::ApiObjects;
use csi_driver::local_controller::seams::{ApiError, LocalStorages, LocalVolumes, NodeState, Nodes, Waited};
use csi_driver::local_controller::{LocalController, leftovers, names};
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::{Code, Request, Status};
use workspacefs_api::LocalVolume;
use workspacefs_api::local_attributes::LocalVolumeId;
use workspacefs_csi_proto::csi::v1::controller_server::Controller as _;
use workspacefs_csi_proto::csi::v1::{CapacityRange, ControllerExpandVolumeRequest, DeleteVolumeRequest};
use workspacefs_runtime::CancellationToken;
use workspacefs_testkit::faults::Outage;
use workspacefs_testkit::{FakeApi, Fault, Moment, Verb, builders};

use crate::world::{GIB, wish};

const KIND: &str = "LocalVolume";

async fn api() -> Arc<FakeApi> {
    let api = FakeApi::start().await;
    api.put(&builders::node("n1", "True"));
    let spec = json!({"nodeGroup": "gpu", "source": {"directory": {"path": "/d"}}, "workspaces": ["team-a"]});
    let mut storage = builders::local_storage("fast", spec);
    let mut entry = serde_json::to_value(builders::node_storage("n1", true)).unwrap();
    entry["available"] = json!("10Gi");
    storage.status = Some(serde_json::from_value(json!({"nodes": [entry]})).unwrap());
    api.put(&storage);
    Arc::new(api)
}

fn objects(api: &FakeApi) -> ApiObjects {
    ApiObjects::new(api.client_as("controller"), Storages::fixed(None))
}

fn controller(api: &FakeApi) -> LocalController {
    let objects = objects(api);
    LocalController::new(objects.clone(), objects.clone(), objects, Duration::from_secs(10))
}

fn storage_uid(api: &FakeApi) -> String {
    api.all("LocalStorage")[0]["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn id(api: &FakeApi) -> String {
    let storage = storage_uid(api);
    let volume = names::object(&storage, "pvc-1", "n1");
    LocalVolumeId::Volume { storage, volume }.to_string()
}

/// Does what the volumes ask, a moment after they ask it; of more than `bytes_max` it says NoSpace.
fn node(api: &Arc<FakeApi>, bytes_max: i64) -> Running {
    let api = api.clone();
    Running(tokio::spawn(async move {
        loop {
            for volume in api.all(KIND) {
                let seen = &volume["status"]["observedGeneration"];
                let meta = &volume["metadata"];
                let is_touched = meta["deletionTimestamp"].is_null()
                    || meta["annotations"]["workspacefs.io/discard-files"] == "true";
                if meta["generation"] != *seen && is_touched {
                    let name = volume["metadata"]["name"].as_str().unwrap();
                    api.edit(KIND, "", name, |volume| act(volume, bytes_max));
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }))
}

fn act(volume: &mut Value, bytes_max: i64) {
    let generation = volume["metadata"]["generation"].clone();
    let size = volume["spec"]["sizeBytes"].clone();
    let old = volume["status"]["sizeBytes"].clone();
    volume["status"] = if volume["metadata"]["deletionTimestamp"].is_string() {
        json!({"observedGeneration": generation, "phase": "Removed"})
    } else if size.as_i64().unwrap() > bytes_max {
        let phase = if old.is_null() { "Pending" } else { "Ready" };
        let mut status = json!({
            "observedGeneration": generation, "phase": phase, "reason": "NoSpace", "message": "the disk is full",
        });
        if !old.is_null() {
            status["sizeBytes"] = old;
        }
        status
    } else {
        json!({"observedGeneration": generation, "phase": "Ready", "sizeBytes": size})
    };
}

/// Ends with its test.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn sweeper(api: &FakeApi) -> (Running, CancellationToken) {
    let shutdown = CancellationToken::new();
    let run =
        leftovers::run(api.client_as("sweeper"), objects(api), objects(api), objects(api), shutdown.clone());
    (Running(tokio::spawn(run)), shutdown)
}

async fn create(controller: &LocalController, bytes: i64) -> Result<String, Status> {
    let answer = controller.create_volume(Request::new(wish("pvc-1", bytes))).await?.into_inner();
    Ok(answer.volume.unwrap().volume_id)
}

async fn expand(controller: &LocalController, id: &str, bytes: i64) -> Result<i64, Status> {
    let request = ControllerExpandVolumeRequest {
        volume_id: id.into(),
        capacity_range: Some(CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
        ..Default::default()
    };
    Ok(controller.controller_expand_volume(Request::new(request)).await?.into_inner().capacity_bytes)
}

/// As a CreateVolume gives the only volume up.
async fn give_up(api: &FakeApi) {
    let volume: LocalVolume = serde_json::from_value(api.all(KIND).remove(0)).unwrap();
    objects(api).delete(&volume).await.unwrap();
}

async fn delete(controller: &LocalController, id: &str) -> Result<(), Status> {
    let request = DeleteVolumeRequest { volume_id: id.into(), ..Default::default() };
    controller.delete_volume(Request::new(request)).await.map(drop)
}

#[tokio::test]
async fn a_volume_that_an_uninstall_let_go_is_held_again_until_its_node_has_moved_the_files_away() {
    let api = api().await;
    let controller = controller(&api);
    let id = {
        let _node = node(&api, 10 * GIB);
        create(&controller, GIB).await.unwrap()
    };
    let name = names::object(&storage_uid(&api), "pvc-1", "n1");
    api.edit(KIND, "", &name, |volume| volume["metadata"]["finalizers"] = json!(["somebody/else"]));
    let deleting = tokio::spawn(async move { delete(&controller, &id).await });
    let held = async {
        loop {
            let volume = api.all(KIND).remove(0);
            if volume["metadata"]["deletionTimestamp"].is_string() {
                break volume["metadata"].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(10), held).await.unwrap();
    assert_eq!(held["finalizers"], json!(["somebody/else", "workspacefs.io/local-volume"]));
    assert_eq!(held["annotations"], json!({"workspacefs.io/discard-files": "true"}));
    let _node = node(&api, 10 * GIB);
    deleting.await.unwrap().unwrap();
    assert_eq!(api.all(KIND)[0]["metadata"]["finalizers"], json!(["somebody/else"]));
}

#[tokio::test]
async fn a_volume_is_made_grown_and_deleted_through_its_object() {
    let api = api().await;
    let _node = node(&api, 10 * GIB);
    let controller = controller(&api);
    let made = create(&controller, GIB).await.unwrap();
    assert_eq!(made, id(&api));
    let object = api.all(KIND).remove(0);
    assert_eq!(object["spec"]["storageUid"], storage_uid(&api));
    assert_eq!(object["metadata"]["finalizers"], json!(["workspacefs.io/local-volume"]));
    assert_eq!(create(&controller, GIB).await.unwrap(), made);
    assert_eq!(expand(&controller, &made, 2 * GIB).await.unwrap(), 2 * GIB);
    assert_eq!(expand(&controller, &made, 20 * GIB).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(api.all(KIND)[0]["spec"]["sizeBytes"], 2 * GIB, "put back");
    delete(&controller, &made).await.unwrap();
    assert!(api.all(KIND).is_empty());
    delete(&controller, &made).await.unwrap();
    // Each wait is a watch: nothing is asked again and again.
    assert!(api.count(Verb::Get, "localvolumes") < 12, "{}", api.count(Verb::Get, "localvolumes"));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Create,
    Expand,
    Delete,
}

async fn call(controller: &LocalController, which: Call, id: &str) -> Result<(), Status> {
    match which {
        Call::Create => assert_eq!(create(controller, GIB).await?, id),
        Call::Expand => assert_eq!(expand(controller, id, 2 * GIB).await?, 2 * GIB),
        Call::Delete => delete(controller, id).await?,
    }
    Ok(())
}

/// Kills the process that makes the call at its `nth` write; false if it has no such write.
async fn killed_at(nth: usize, moment: Moment, which: Call) -> bool {
    let api = api().await;
    let _node = node(&api, 10 * GIB);
    let id = id(&api);
    if which != Call::Create {
        call(&controller(&api), Call::Create, &id).await.unwrap();
    }
    let sprung = api.trap(nth, moment, Fault::Hold, |_| true);
    let first = controller(&api);
    let killed = tokio::select! {
        sprung = sprung => sprung.is_ok(),
        done = call(&first, which, &id) => {
            done.unwrap();
            false
        }
    };
    call(&controller(&api), which, &id).await.unwrap_or_else(|e| panic!("{which:?} {nth} {moment:?}: {e}"));
    let sizes: Vec<i64> = api.all(KIND).iter().filter_map(|one| one["spec"]["sizeBytes"].as_i64()).collect();
    let wanted: &[i64] = match which {
        Call::Create => &[GIB],
        Call::Expand => &[2 * GIB],
        Call::Delete => &[],
    };
    assert_eq!(sizes, wanted, "{which:?} {nth} {moment:?}");
    killed
}

#[tokio::test]
async fn any_write_may_be_the_last_of_a_process_and_the_repeated_call_completes_it() {
    for (which, writes) in [(Call::Create, 1), (Call::Expand, 1), (Call::Delete, 3)] {
        for nth in 0..=writes {
            for moment in [Moment::Before, Moment::After] {
                assert_eq!(killed_at(nth, moment, which).await, nth < writes, "{which:?} {nth}");
            }
        }
    }
}

#[tokio::test]
async fn a_node_that_says_no_is_given_up_and_the_object_goes_without_any_further_call() {
    let api = api().await;
    let _node = node(&api, GIB);
    let (sweeper, shutdown) = sweeper(&api);
    let status = create(&controller(&api), 2 * GIB).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("the disk is full"), "{}", status.message());
    api.until("it is gone", |api| api.all(KIND).is_empty()).await;
    create(&controller(&api), GIB).await.unwrap();
    shutdown.cancel();
    let mut sweeper = sweeper;
    tokio::time::timeout(Duration::from_secs(10), &mut sweeper.0).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn what_is_deleted_on_a_node_that_is_gone_is_let_go_and_on_one_that_is_away_is_kept() {
    let api = api().await;
    let made = {
        let _node = node(&api, GIB);
        create(&controller(&api), GIB).await.unwrap()
    };
    give_up(&api).await;
    let first = sweeper(&api);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(api.all(KIND).len(), 1, "its node may still be moving the files");
    drop(first);
    assert!(api.delete("Node", "", "n1"));
    let _second = sweeper(&api);
    api.until("it is gone", |api| api.all(KIND).is_empty()).await;
    delete(&controller(&api), &made).await.unwrap();
}

#[tokio::test]
async fn an_object_that_nobody_deletes_and_one_that_cannot_be_read_are_left_alone() {
    let api = api().await;
    let _node = node(&api, GIB);
    create(&controller(&api), GIB).await.unwrap();
    let name = api.all(KIND)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let broken = names::object("x", "y", "z");
    let copy = |volume: &mut LocalVolume| {
        volume.metadata = kube::api::ObjectMeta { name: Some(broken.clone()), ..Default::default() };
    };
    let mut other: LocalVolume = api.find(KIND, "", &name).unwrap();
    copy(&mut other);
    api.put(&other);
    api.edit(KIND, "", &broken, |object| {
        object["spec"]["sizeBytes"] = json!("many");
        object["status"]["observedGeneration"] = object["metadata"]["generation"].clone();
    });
    let _sweeper = sweeper(&api);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(api.all(KIND).len(), 2);
    let writes = api.requests().into_iter().filter(|r| r.client == "sweeper" && r.is_write()).count();
    assert_eq!(writes, 0);
    // The one that cannot be read hides no other.
    objects(&api).delete(&api.find(KIND, "", &name).unwrap()).await.unwrap();
    api.until("it is gone", |api| api.find::<Value>(KIND, "", &name).is_none()).await;
}

#[tokio::test]
async fn what_is_deleted_without_its_local_storage_is_let_go() {
    let api = api().await;
    {
        let _node = node(&api, GIB);
        create(&controller(&api), GIB).await.unwrap();
    }
    give_up(&api).await;
    let _sweeper = sweeper(&api);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(api.all(KIND).len(), 1);
    // One that is made again under that name is another.
    assert!(api.delete("LocalStorage", "", "fast"));
    api.put(&builders::local_storage(
        "fast",
        json!({"nodeGroup": "gpu", "source": {"directory": {"path": "/d"}}}),
    ));
    let name = api.all(KIND)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    api.edit(KIND, "", &name, |volume| volume["status"]["message"] = json!("something new"));
    api.until("it is gone", |api| api.all(KIND).is_empty()).await;
}

#[tokio::test]
async fn what_somebody_has_deleted_stays_on_a_node_that_is_gone_too_until_its_claim_ends() {
    let api = api().await;
    let made = {
        let _node = node(&api, GIB);
        create(&controller(&api), GIB).await.unwrap()
    };
    let name = api.all(KIND)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(api.delete(KIND, "", &name));
    assert!(api.delete("Node", "", "n1"));
    let _sweeper = sweeper(&api);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(api.all(KIND).len(), 1);
    assert_eq!(api.requests().into_iter().filter(|r| r.client == "sweeper" && r.is_write()).count(), 0);
    delete(&controller(&api), &made).await.unwrap();
    assert!(api.all(KIND).is_empty());
}

#[tokio::test]
async fn a_wish_is_written_only_over_the_version_that_was_read_and_a_finalizer_of_others_stays() {
    let api = api().await;
    let seam = objects(&api);
    {
        let _node = node(&api, 10 * GIB);
        create(&controller(&api), GIB).await.unwrap();
    }
    let read: LocalVolume = serde_json::from_value(api.all(KIND).remove(0)).unwrap();
    let name = read.metadata.name.clone().unwrap();
    api.edit(KIND, "", &name, |object| object["status"]["message"] = json!("something new"));
    assert!(matches!(seam.resize(&read, 2 * GIB).await, Err(ApiError::Overtaken)));
    assert_eq!(api.all(KIND)[0]["spec"]["sizeBytes"], GIB);

    api.edit(KIND, "", &name, |object| {
        object["metadata"]["finalizers"] = json!(["somebody/else", "workspacefs.io/local-volume"]);
    });
    seam.release(&read).await.unwrap();
    assert_eq!(api.all(KIND)[0]["metadata"]["finalizers"], json!(["somebody/else"]));

    // Another object of the same name is neither deleted nor let go nor changed.
    let mut older = read.clone();
    older.metadata.uid = Some("00000000-0000-4000-8000-00000000dead".into());
    seam.delete(&older).await.unwrap();
    seam.release(&older).await.unwrap();
    assert!(matches!(seam.resize(&older, 2 * GIB).await, Err(ApiError::Overtaken)));
    let meta = api.all(KIND)[0]["metadata"].clone();
    assert!(meta["deletionTimestamp"].is_null() && meta["annotations"].is_null());
}

#[tokio::test]
async fn what_is_no_name_is_never_asked_for() {
    let api = api().await;
    let seam = objects(&api);
    for name in ["", "..", "../nodes", "a/b", "Fast", "a?b", "fast%2f"] {
        assert!(LocalStorages::by_name(&seam, name).await.unwrap().is_none());
        assert!(LocalVolumes::get(&seam, name).await.unwrap().is_none());
        assert_eq!(Nodes::state(&seam, name).await.unwrap(), NodeState::Absent);
    }
    assert!(LocalVolumes::get(&seam, "fast").await.unwrap().is_none(), "no uid");
    assert!(api.requests().is_empty());
    assert_eq!(seam.state("n1").await.unwrap(), NodeState::Ready);
    api.put(&builders::node("n2", "Unknown"));
    assert_eq!(seam.state("n2").await.unwrap(), NodeState::NotReady);
    assert_eq!(seam.state("n3").await.unwrap(), NodeState::Absent);
    assert!(api.find::<Node>("Node", "", "n1").is_some());
}

#[tokio::test]
async fn waiting_ends_in_time_and_goes_on_over_an_outage() {
    let api = api().await;
    let seam = objects(&api);
    let name = names::object("x", "y", "z");
    let soon = Instant::now() + Duration::from_millis(300);
    assert_eq!(seam.wait(&name, Box::new(|now| now.is_some()), soon).await.unwrap(), Waited::Late);

    api.set_outage(Outage::Refusing);
    let soon = Instant::now() + Duration::from_millis(300);
    let failed = seam.wait(&name, Box::new(|now| now.is_some()), soon).await;
    assert!(matches!(failed, Err(ApiError::NoAnswer { .. })), "{failed:?}");
    let later = Instant::now() + Duration::from_secs(10);
    let waiting = {
        let (seam, name) = (seam.clone(), name.clone());
        tokio::spawn(async move { seam.wait(&name, Box::new(|now| now.is_none()), later).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    api.set_outage(Outage::None);
    assert_eq!(waiting.await.unwrap().unwrap(), Waited::Came(None));
}

#[tokio::test]
async fn figures_come_from_what_a_watch_has_seen_and_before_that_from_the_api_server() {
    let api = api().await;
    let storages = Storages::fixed(None);
    let seam = ApiObjects::new(api.client_as("controller"), storages.clone());
    assert!(seam.seen("fast").await.unwrap().is_some());
    let shutdown = CancellationToken::new();
    let _follow = Running(tokio::spawn({
        let (storages, client, shutdown) = (storages.clone(), api.client_as("watch"), shutdown.clone());
        async move { storages.follow(client, shutdown).await }
    }));
    while storages.current().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = api.requests().len();
    assert!(seam.seen("fast").await.unwrap().is_some() && seam.seen("slow").await.unwrap().is_none());
    assert_eq!(api.requests().len(), before);
    shutdown.cancel();
}
