//! FsCaches on LocalStorages: one copy per node.

use serde_json::{Value, json};
use workspacefs_api::mover::Outcome;
use workspacefs_testkit::{FakeApi, builders};

use crate::cache::*;
use crate::local::{node, put_node, report, until_labelled};
use crate::world::*;

/// LocalStorage `nvme`, ready on those nodes, for the namespace of the tests.
pub fn put_storage(api: &FakeApi, nodes: &[&str]) {
    api.edit("Namespace", "", SPACE, |space| {
        space["metadata"]["labels"] = json!({"workspacefs.io/workspace": "true"})
    });
    let spec = json!({"nodeGroup": "gpu", "source": {"devices": {}}, "workspaces": [SPACE]});
    api.put(&builders::local_storage("nvme", spec));
    for node in nodes {
        put_node(api, node);
        report(api, "nvme", node, true);
    }
}

pub fn on_nodes(more: Value) -> Value {
    let mut all = json!({"target": {"localStorage": "nvme"}});
    more.as_object().unwrap().iter().for_each(|(field, value)| all[field] = value.clone());
    all
}

/// The nodes with the label of a warm cache.
pub fn warm(api: &FakeApi) -> Vec<String> {
    let label = format!("cache.workspacefs.io/{SPACE}.warm");
    let nodes = api.all("Node").into_iter().filter(|node| node["metadata"]["labels"][&label] == "ready");
    nodes.map(|node| node["metadata"]["name"].as_str().unwrap().to_string()).collect()
}

async fn start(nodes: &[&str]) -> (FakeApi, NfsServer, Operator) {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    put_storage(&api, nodes);
    put_cache(&api, on_nodes(json!({})));
    let operator = Operator::start(&api, "a", config());
    (api, nfs, operator)
}

fn filled(api: &FakeApi, nodes: &[&str]) -> bool {
    let wanted: Vec<_> = nodes.iter().map(|node| ((*node).to_string(), true)).collect();
    let have: Vec<_> =
        generations(api).into_iter().map(|(node, generation)| (node, generation.is_some())).collect();
    have == wanted && api.all("Job").is_empty()
}

#[tokio::test]
async fn each_ready_node_has_a_copy_and_the_label_that_pods_prefer_it_by() {
    let (api, _nfs, _operator) = start(&["n1", "n2"]).await;
    put_node(&api, "without");
    api.until("movers are sent", |api| api.all("Job").len() == 2).await;
    for job in api.all("Job") {
        let affinity = at(&job, "/spec/template/spec/affinity/nodeAffinity");
        let terms = &affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        assert_eq!(terms[0]["matchFields"][0]["values"], json!([errand(&job)["node"]]));
    }
    assert!(warm(&api).is_empty());
    until_moved(&api, "both are filled", |api| filled(api, &["n1", "n2"])).await;
    until_cache(&api, "warm", "Ready", "Ready").await;
    api.until("both are warm", |api| warm(api) == ["n1", "n2"]).await;
    assert_eq!(at(&node(&api, "n1"), "/metadata/labels/example.com~1theirs"), "yes");

    // One joins.
    put_node(&api, "n3");
    report(&api, "nvme", "n3", true);
    let message = until_cache(&api, "warm", "Ready", "SomeNodesNotFilled").await;
    assert!(message.contains("2 of 3 nodes") && message.contains("n3"), "{message}");
    until_moved(&api, "it has a copy", |api| filled(api, &["n1", "n2", "n3"])).await;
    api.until("it is warm", |api| warm(api) == ["n1", "n2", "n3"]).await;
}

#[tokio::test]
async fn a_node_whose_storage_is_not_ready_keeps_its_copy_without_the_label_and_one_that_is_gone_is_forgotten()
 {
    let (api, _nfs, _operator) = start(&["n1", "n2"]).await;
    until_moved(&api, "both are filled", |api| filled(api, &["n1", "n2"])).await;
    report(&api, "nvme", "n1", false);
    until_labelled(&api, "nvme", &["n2"]).await;
    api.until("n1 is cold", |api| warm(api) == ["n2"]).await;
    assert_eq!(generations(&api).len(), 2);
    use_on(&api, "n1", 9, &[1]);
    assert!(api.delete("Node", "", "n1"));
    api.until("n1 is forgotten", |api| {
        let uses = cache(api, "warm").and_then(|cache| cache.status).map(|status| status.uses.len());
        generations(api).len() == 1 && uses == Some(0)
    })
    .await;
    until_cache(&api, "warm", "Ready", "Ready").await;
}

/// Else what lies there of the earlier number would be said again, as new and verified, and the source not even be opened.
#[tokio::test]
async fn a_node_that_is_deleted_and_comes_back_with_its_disk_gets_no_number_that_was_given_before() {
    let (api, _nfs, operator) = start(&["n1", "n2"]).await;
    until_moved(&api, "both are filled", |api| filled(api, &["n1", "n2"])).await;
    let given = |node: &str, number| (node.to_owned(), Some(number));
    assert_eq!(generations(&api), [given("n1", 1), given("n2", 2)]);
    assert!(api.delete("Node", "", "n2"));
    api.until("it is forgotten", |api| generations(api) == [given("n1", 1)]).await;
    operator.stop().await;
    let _operator = Operator::start(&api, "b", config());
    put_node(&api, "n2");
    report(&api, "nvme", "n2", true);
    until_moved(&api, "it has a copy", |api| filled(api, &["n1", "n2"])).await;
    assert_eq!(generations(&api), [given("n1", 1), given("n2", 3)]);
    let status = cache(&api, "warm").and_then(|cache| cache.status).unwrap();
    assert_eq!(status.last_generation, Some(3));
}

#[tokio::test]
async fn a_mover_for_a_node_that_is_gone_is_stopped_and_failures_of_one_node_hold_no_other_up() {
    let (api, _nfs, _operator) = start(&["n1", "n2"]).await;
    api.until("movers are sent", |api| api.all("Job").len() == 2).await;
    assert!(api.delete("Node", "", "n1"));
    api.until("one is stopped", |api| api.all("Job").len() == 1).await;
    assert_eq!(errands(&api)[0]["node"], "n2");
    put_node(&api, "n3");
    report(&api, "nvme", "n3", true);
    let only_n3 = |api: &FakeApi, job: &Value| {
        if errand(job)["node"] == "n3" {
            return well(api, job);
        }
        let reason = workspacefs_api::mover::FailureReason::TargetUnavailable;
        let failure = workspacefs_api::mover::Failure { reason, message: "read-only".into() };
        Outcome { failure: Some(failure), ..Outcome::default() }
    };
    api.until("one has a copy", |api| {
        play(api, only_n3);
        warm(api) == ["n3"]
    })
    .await;
    let message = until_cache(&api, "warm", "Ready", "SomeNodesNotFilled").await;
    assert!(message.contains("n2 (TargetUnavailable: read-only)"), "{message}");
}

#[tokio::test]
async fn no_label_is_set_whose_name_would_be_too_long_and_ready_says_so() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    put_storage(&api, &["n1"]);
    let long = "c".repeat(60);
    api.put(&builders::fs_cache(SPACE, &long, spec(on_nodes(json!({})))));
    let _operator = Operator::start(&api, "a", config());
    until_moved(&api, "it is filled", |api| {
        cache_condition(api, &long, "Ready").is_some_and(|c| c.reason == "Ready")
    })
    .await;
    let message = until_cache(&api, &long, "Ready", "Ready").await;
    assert!(message.contains("63 characters"), "{message}");
    let labels = at(&node(&api, "n1"), "/metadata/labels");
    assert!(!labels.to_string().contains("cache.workspacefs.io"), "{labels}");
}
