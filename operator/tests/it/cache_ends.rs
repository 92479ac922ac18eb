//! The end of FsCaches: what lies on the target goes when no node uses it, and what cannot be had any more lets go.

use serde_json::json;
use workspacefs_testkit::FakeApi;

use crate::cache::*;
use crate::cache_local::{on_nodes, put_storage, warm};
use crate::local::told;
use crate::world::*;

/// What a node says of an FsCache that it sees going.
pub const GOING: i64 = i64::MAX;

fn is_gone(api: &FakeApi) -> bool {
    cache(api, "warm").is_none()
}

#[tokio::test]
async fn what_lies_on_the_target_is_removed_when_no_node_uses_it() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, json!({}));
    let _operator = Operator::start(&api, "a", config());
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    use_on(&api, "n1", 1, &[1]);
    assert!(api.delete("FsCache", SPACE, "warm"));
    let message = until_cache(&api, "warm", "Ready", "Terminating").await;
    assert!(message.contains("nodes n1"), "{message}");
    use_on(&api, "n1", GOING, &[1]);
    api.settled(QUIET).await;
    assert!(api.all("Job").is_empty());
    use_on(&api, "n1", GOING, &[]);
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    assert_eq!(errands(&api), [json!({"node": "*", "task": "RemoveAll", "generation": 0})]);
    // Whatever keeps its pod from being made keeps the FsCache, which says so.
    age(&api, &api.all("Job")[0]);
    api.until("it says what is in the way", |api| {
        let ready = cache_condition(api, "warm", "Ready");
        ready.is_some_and(|ready| ready.message.contains("gets no pod"))
    })
    .await;
    until_moved(&api, "it is gone", is_gone).await;
    assert!(api.all("Job").is_empty());
    assert_eq!(told(&api, "CopiesKept"), 0);
}

#[tokio::test]
async fn a_mover_that_still_fills_is_stopped_and_what_it_began_removed() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, json!({}));
    let _operator = Operator::start(&api, "a", config());
    api.until("a mover is sent", |api| errands(api).iter().any(|errand| errand["task"] == "Fill")).await;
    assert!(api.delete("FsCache", SPACE, "warm"));
    api.until("another is sent", |api| errands(api).iter().any(|errand| errand["task"] == "RemoveAll")).await;
    assert_eq!(api.all("Job").len(), 1);
    until_moved(&api, "it is gone", is_gone).await;
}

#[tokio::test]
async fn a_target_that_is_gone_lets_go_and_says_what_stays() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, json!({}));
    let _operator = Operator::start(&api, "a", config());
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    use_on(&api, "n1", 1, &[1]);
    assert!(api.delete("FileSystem", SPACE, "near"));
    until_cache(&api, "warm", "TargetAvailable", "TargetMissing").await;
    assert!(api.delete("FsCache", SPACE, "warm"));
    api.until("it is gone", is_gone).await;
    assert_eq!(told(&api, "CopiesKept"), 1);
}

#[tokio::test]
async fn of_a_local_storage_each_nodes_copy_goes_and_the_labels_first() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    put_storage(&api, &["n1", "n2"]);
    put_cache(&api, on_nodes(json!({})));
    let _operator = Operator::start(&api, "a", config());
    until_moved(&api, "both are warm", |api| warm(api) == ["n1", "n2"] && api.all("Job").is_empty()).await;
    for node in ["n1", "n2"] {
        use_on(&api, node, 1, &[1]);
    }
    assert!(api.delete("FsCache", SPACE, "warm"));
    api.until("no node is warm", |api| warm(api).is_empty()).await;
    use_on(&api, "n1", GOING, &[]);
    until_moved(&api, "one copy is gone", |api| generations(api).len() == 1).await;
    assert_eq!(generations(&api)[0].0, "n2");
    // Its Node is deleted, whatever it says.
    assert!(api.delete("Node", "", "n2"));
    api.until("it is gone", is_gone).await;
}

#[tokio::test]
async fn a_copy_on_a_node_that_left_the_group_keeps_nobody_waiting_and_is_said_to_stay() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    put_storage(&api, &["n1", "n2"]);
    put_cache(&api, on_nodes(json!({})));
    let _operator = Operator::start(&api, "a", config());
    until_moved(&api, "both are warm", |api| warm(api) == ["n1", "n2"] && api.all("Job").is_empty()).await;
    api.edit("Node", "", "n2", |node| {
        node["metadata"]["labels"]["workspacefs.io/node-group"] = json!("cpu");
    });
    api.until("it is cold", |api| warm(api) == ["n1"]).await;
    assert!(api.delete("FsCache", SPACE, "warm"));
    until_cache(&api, "warm", "Ready", "Terminating").await;
    use_on(&api, "n1", GOING, &[]);
    until_moved(&api, "it is gone", is_gone).await;
    api.until("what stays is told", |api| told(api, "CopiesKept") == 1).await;
}

#[tokio::test]
async fn the_end_of_its_namespace_is_not_held_up() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, json!({}));
    let _operator = Operator::start(&api, "a", config());
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    assert!(api.delete("Namespace", "", SPACE));
    api.until("all is gone", |api| api.find::<serde_json::Value>("Namespace", "", SPACE).is_none()).await;
}
