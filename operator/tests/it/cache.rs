//! What the tests of FsCaches start from: a source and a target, nodes, and what Kubernetes and movers do with a Job.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};
use workspacefs_api::mover::{Outcome, PathOutcome};
use workspacefs_api::{CacheCopy, CachePhase, CacheUse, FsCache, PathState};
use workspacefs_testkit::{FakeApi, builders};

use crate::local::put_node;
use crate::world::*;

/// The spec of an FsCache of FileSystem `data` on FileSystem `near`, with some fields more.
pub fn spec(more: Value) -> Value {
    let mut spec =
        json!({"source": {"fileSystem": "data", "paths": ["/a", "/b/c"]}, "target": {"fileSystem": "near"}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec
}

/// FileSystems `data` and `near`, which is node group `gpu`'s, with node `n1` in it.
pub fn put_file_systems(api: &FakeApi, port: u16) {
    put_nfs(api, "data", port);
    let mut near = builders::nfs("127.0.0.1", port);
    near["backend"]["nfs"]["folder"] = json!("near");
    near["nodeGroup"] = json!("gpu");
    api.put(&builders::file_system(SPACE, "near", near));
    put_node(api, "n1");
}

/// FsCache `warm`.
pub fn put_cache(api: &FakeApi, more: Value) -> FsCache {
    api.put(&builders::fs_cache(SPACE, "warm", spec(more)))
}

pub fn cache(api: &FakeApi, name: &str) -> Option<FsCache> {
    api.find("FsCache", SPACE, name)
}

pub fn copies(api: &FakeApi) -> Vec<CacheCopy> {
    cache(api, "warm").and_then(|cache| cache.status).map(|status| status.copies).unwrap_or_default()
}

/// An operator beside an API server with one FsCache, and a server for its source and target.
pub async fn start(more: Value) -> (FakeApi, NfsServer, Operator) {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, more);
    let operator = Operator::start(&api, "a", config());
    (api, nfs, operator)
}

/// The generation of each copy, by node.
pub fn generations(api: &FakeApi) -> Vec<(String, Option<i64>)> {
    copies(api).into_iter().map(|copy| (copy.node, copy.generation)).collect()
}

/// Whether its one copy has that generation, and nothing is at work.
pub fn has(api: &FakeApi, generation: i64) -> bool {
    copies(api).first().is_some_and(|copy| copy.generation == Some(generation)) && api.all("Job").is_empty()
}

/// A condition. The phase that is beside it is never another one than Ready says.
pub fn cache_condition(api: &FakeApi, name: &str, kind: &str) -> Option<Condition> {
    let status = cache(api, name)?.status?;
    let of = |kind| status.conditions.iter().find(|condition| condition.type_ == kind).cloned();
    if let Some(ready) = of("Ready") {
        let says_ready = matches!(status.phase, Some(CachePhase::Ready | CachePhase::Refreshing));
        assert_eq!(says_ready, ready.status == "True", "{:?}, but {ready:?}", status.phase);
    }
    of(kind)
}

/// Waits for a condition's reason and returns its message.
pub async fn until_cache(api: &FakeApi, name: &str, kind: &str, reason: &str) -> String {
    let what = format!("{name}: {kind} because {reason}");
    api.until(&what, |api| cache_condition(api, name, kind).is_some_and(|c| c.reason == reason)).await;
    cache_condition(api, name, kind).unwrap().message
}

/// What a Job is for, but for the uid of the source.
pub fn errand(job: &Value) -> Value {
    let mut errand = whole_errand(job);
    errand.as_object_mut().unwrap().remove("source");
    errand
}

/// The uid of the source that a Job reads.
pub fn source_of(job: &Value) -> Value {
    whole_errand(job)["source"].take()
}

fn whole_errand(job: &Value) -> Value {
    serde_json::from_str(job["metadata"]["annotations"]["cache.workspacefs.io/errand"].as_str().unwrap())
        .unwrap()
}

/// What the Jobs are for.
pub fn errands(api: &FakeApi) -> Vec<Value> {
    api.all("Job").iter().map(errand).collect()
}

/// As the nodes write what they know and use.
///
/// Nothing is written that is there already: whoever waits for something looks after each write, and would never let the operator
/// work if looking wrote.
pub fn use_on(api: &FakeApi, node: &str, seen: i64, in_use: &[i64]) {
    let entry = json!({"node": node, "seen": seen, "inUse": in_use});
    let known = cache(api, "warm").and_then(|cache| cache.status).map(|status| status.uses);
    let is_it = |known: &CacheUse| known.node == node && known.seen == seen && known.in_use == in_use;
    if known.is_some_and(|uses| uses.iter().any(is_it)) {
        return;
    }
    api.edit("FsCache", SPACE, "warm", |cache| {
        if cache["status"]["uses"].is_null() {
            cache["status"]["uses"] = json!([]);
        }
        let uses = cache["status"]["uses"].as_array_mut().unwrap();
        uses.retain(|entry| entry["node"] != node);
        uses.push(entry);
    });
}

/// Asks for a refresh.
pub fn ask(api: &FakeApi, value: &str) {
    api.edit("FsCache", SPACE, "warm", |cache| {
        cache["metadata"]["annotations"] = json!({"cache.workspacefs.io/refresh": value});
    });
}

/// What a mover says to whom all goes well.
pub fn well(api: &FakeApi, job: &Value) -> Outcome {
    let errand = errand(job);
    let copy = copies(api).into_iter().find(|copy| errand["node"] == copy.node.as_str()).unwrap_or_default();
    let mut present: Vec<i64> = copy.superseded.iter().copied().chain(copy.generation).collect();
    present.retain(|generation| {
        !errand["remove"].as_array().is_some_and(|gone| gone.contains(&json!(generation)))
    });
    let path = PathOutcome { state: PathState::Whole, files: 2, bytes: 10, message: String::new() };
    let mut outcome = Outcome::default();
    match errand["task"].as_str().unwrap() {
        "RemoveAll" => present.clear(),
        "Fill" => {
            outcome.generation = errand["generation"].as_i64();
            outcome.as_of = Some(1_000_000_000);
            outcome.paths = vec![path; 2];
            present.extend(outcome.generation.filter(|generation| !present.contains(generation)));
        }
        "Scrub" => outcome.paths = vec![path; 2],
        _ => {}
    }
    outcome.present = present;
    outcome
}

/// What Kubernetes and movers do: each Job that has not ended gets a pod that ends at once, with what `say` makes of
/// the Job.
pub fn play(api: &FakeApi, say: impl Fn(&FakeApi, &Value) -> Outcome) {
    for job in api.all("Job") {
        let meta = &job["metadata"];
        if !job["status"].is_null() || !meta["deletionTimestamp"].is_null() {
            continue;
        }
        let outcome = say(api, &job);
        let end = json!({
            "exitCode": 0, "message": outcome.to_message(), "finishedAt": "2026-01-01T00:00:00Z",
        });
        put_pod(api, &job, json!({"terminated": end}));
        let how = if outcome.failure.is_some() { "Failed" } else { "Complete" };
        api.edit("Job", SPACE, meta["name"].as_str().unwrap(), |job| {
            job["status"] = json!({"conditions": [{"type": how, "status": "True"}]});
        });
    }
}

/// As if a Job had been made long ago.
pub fn age(api: &FakeApi, job: &Value) {
    api.edit("Job", SPACE, job["metadata"]["name"].as_str().unwrap(), |job| {
        job["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
}

/// The pod of a Job, with that state of its container.
pub fn put_pod(api: &FakeApi, job: &Value, state: Value) {
    let meta = &job["metadata"];
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]});
    let ended = !state["terminated"].is_null();
    let container = json!({
        "name": "mover", "image": "", "imageID": "", "ready": !ended, "restartCount": 0, "state": state,
    });
    let pod: Value = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": SPACE, "name": format!("{}-x", meta["name"].as_str().unwrap()),
            "labels": meta["labels"], "ownerReferences": [owner],
        },
        "spec": {"containers": [{"name": "mover"}]},
        "status": {
            "phase": if ended { "Succeeded" } else { "Running" }, "containerStatuses": [container],
        },
    });
    api.put(&pod);
}

/// Waits for `done` while movers do well.
pub async fn until_moved(api: &FakeApi, what: &str, mut done: impl FnMut(&FakeApi) -> bool) {
    api.until(what, |api| {
        play(api, well);
        done(api)
    })
    .await;
}
