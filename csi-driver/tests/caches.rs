//! What a node tells of the FsCaches that it uses, against an API server in this process.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use csi_driver::cache::report::Report;
use csi_driver::cache::state::{GOING, Generation};
use csi_driver::cache::{Caches, Ground};
use csi_driver::local::storages::Storages;
use csi_driver::node::NodeLabels;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use workspacefs_api::{CacheUse, FileSystem, FsCache};
use workspacefs_runtime::CancellationToken;
use workspacefs_testkit::{FakeApi, Fault, Moment, Verb, builders};

const SPACE: &str = "team-a";
const NODE: &str = "n1";
const LABEL: &str = "workspacefs.io/node-group";
/// The node's part of the spread, and some.
const A_WHILE: Duration = Duration::from_secs(5);

/// A node plugin's part of it.
struct Plugin {
    caches: Caches,
    is_unclear: Arc<AtomicBool>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Plugin {
    fn start(api: &FakeApi, group: &str) -> Self {
        let labels = NodeLabels::fixed(Some([(LABEL.to_string(), group.to_string())].into()));
        let storages = Storages::fixed(Some(BTreeMap::new()));
        let ground = Ground { labels, storages, ..Ground::none(LABEL) };
        let (caches, shutdown) = (Caches::new(NODE), CancellationToken::new());
        let is_unclear = Arc::new(AtomicBool::new(false));
        let client = api.client_as("node");
        let report = Report { caches: caches.clone(), ground: ground.clone(), client: client.clone() };
        let (followed, unclear, end) = (caches.clone(), is_unclear.clone(), shutdown.clone());
        let task = tokio::spawn(async move {
            tokio::join!(
                followed.follow(client.clone(), end.clone()),
                ground.dedicated.follow(client, &followed, end.clone()),
                report.run(|| unclear.load(Ordering::SeqCst), end.clone()),
            );
        });
        Self { caches, is_unclear, shutdown, task }
    }

    fn uses(&self, target: &str, cache: &FsCache, generations: &[i64]) {
        let uid = cache.metadata.uid.clone().unwrap();
        let of = |number: &i64| Generation { cache: uid.clone(), number: *number };
        self.caches.use_only(Path::new(target), generations.iter().map(of).collect());
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("does not end").unwrap();
    }
}

async fn api() -> FakeApi {
    let api = FakeApi::start().await;
    api.put(&builders::namespace(SPACE, &[]));
    let nfs = json!({"server": "nfs", "export": "/export", "folder": "near"});
    let near: FileSystem =
        builders::file_system(SPACE, "near", json!({"backend": {"nfs": nfs}, "nodeGroup": "gpu"}));
    api.put(&near);
    api
}

fn put(api: &FakeApi, generation: i64) -> FsCache {
    let object: FsCache = serde_json::from_value(json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache",
        "metadata": {"namespace": SPACE, "name": "warm"},
        "spec": {"source": {"fileSystem": "default", "paths": ["/a"]}, "target": {"fileSystem": "near"}},
        "status": {"copies": [{"node": "*", "phase": "Ready", "generation": generation, "whole": ["/a"]}]},
    }))
    .unwrap();
    api.put(&object)
}

fn refresh(api: &FakeApi, generation: i64) {
    api.edit("FsCache", SPACE, "warm", |cache: &mut Value| {
        cache["status"]["copies"][0]["generation"] = json!(generation);
    });
}

fn entry(api: &FakeApi) -> Option<(i64, Vec<i64>)> {
    let cache: FsCache = api.find("FsCache", SPACE, "warm")?;
    let uses = cache.status?.uses;
    uses.into_iter().find(|one| one.node == NODE).map(|one| (one.seen, one.in_use))
}

fn writes(api: &FakeApi) -> usize {
    api.requests().iter().filter(|request| request.client == "node" && request.verb == Verb::Patch).count()
}

#[tokio::test]
async fn a_node_of_the_group_tells_what_it_has_seen_and_uses_once_for_each_change() {
    let api = api().await;
    let cache = put(&api, 3);
    let plugin = Plugin::start(&api, "gpu");
    api.until("it is told", |api| entry(api) == Some((3, vec![]))).await;
    plugin.uses("/v", &cache, &[3]);
    api.until("its use is told", |api| entry(api) == Some((3, vec![3]))).await;
    refresh(&api, 4);
    api.until("the new one is told", |api| entry(api) == Some((4, vec![3]))).await;
    plugin.uses("/v", &cache, &[]);
    api.until("it is free", |api| entry(api) == Some((4, vec![]))).await;
    let before = writes(&api);
    assert_eq!(before, 4);
    // What others write is no news of this node's.
    api.edit("FsCache", SPACE, "warm", |cache: &mut Value| {
        let other = CacheUse { node: "n2".into(), seen: 9, in_use: vec![4] };
        cache["status"]["uses"].as_array_mut().unwrap().push(serde_json::to_value(other).unwrap());
        cache["status"]["progress"] = json!("7%");
    });
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(writes(&api), before);
    plugin.stop().await;
}

#[tokio::test]
async fn a_node_of_another_group_tells_nothing_and_one_that_has_left_takes_its_entry_away() {
    let api = api().await;
    put(&api, 3);
    let plugin = Plugin::start(&api, "gpu");
    api.until("it is told", |api| entry(api).is_some()).await;
    plugin.stop().await;
    let before = writes(&api);
    let plugin = Plugin::start(&api, "cpu");
    api.until("it is gone", |api| entry(api).is_none()).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(writes(&api), before + 1);
    plugin.stop().await;
}

#[tokio::test]
async fn a_plugin_that_starts_again_has_nothing_to_add_and_goes_back_to_no_older_generation() {
    let api = api().await;
    let cache = put(&api, 3);
    let plugin = Plugin::start(&api, "gpu");
    plugin.uses("/v", &cache, &[3]);
    api.until("it is told", |api| entry(api) == Some((3, vec![3]))).await;
    plugin.stop().await;
    refresh(&api, 2);
    let before = writes(&api);
    let plugin = Plugin::start(&api, "gpu");
    // From its records.
    plugin.uses("/v", &cache, &[3]);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((writes(&api), entry(&api)), (before, Some((3, vec![3]))));
    plugin.stop().await;
}

#[tokio::test]
async fn while_a_record_cannot_be_read_nothing_is_told_and_a_write_that_failed_is_made_again() {
    let api = api().await;
    put(&api, 3);
    let plugin = Plugin::start(&api, "gpu");
    plugin.is_unclear.store(true, Ordering::SeqCst);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((writes(&api), entry(&api)), (0, None));
    plugin.is_unclear.store(false, Ordering::SeqCst);
    let struck = api.trap(0, Moment::Before, Fault::Status(500), |request| request.client == "node");
    refresh(&api, 4);
    struck.await.unwrap();
    api.until("it is told", |api| entry(api) == Some((4, vec![]))).await;
    plugin.stop().await;
}

#[tokio::test]
async fn a_cache_that_is_going_is_told_as_seen_for_good() {
    let api = api().await;
    let cache = put(&api, 3);
    let plugin = Plugin::start(&api, "gpu");
    plugin.uses("/v", &cache, &[3]);
    api.until("it is told", |api| entry(api) == Some((3, vec![3]))).await;
    api.edit("FsCache", SPACE, "warm", |cache: &mut Value| {
        cache["metadata"]["finalizers"] = json!(["workspacefs.io/fscache"]);
    });
    assert!(api.delete("FsCache", SPACE, "warm"));
    api.until("it is told", |api| entry(api) == Some((GOING, vec![3]))).await;
    plugin.stop().await;
}
