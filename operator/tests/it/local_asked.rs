//! Pods that ask for the claim of a LocalStorage by name.

use serde_json::{Value, json};
use workspacefs_testkit::{FakeApi, Verb, builders};

use crate::local::*;
use crate::world::*;

/// A pod of a minute ago, whose claim would be there by now.
fn ask(api: &FakeApi, namespace: &str, name: &str) {
    api.put(&builders::waiting_pod(namespace, name, "fast"));
    let long_ago = |pod: &mut Value| pod["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(api.edit("Pod", namespace, name, long_ago));
}

#[tokio::test]
async fn in_a_workspace_that_is_not_listed_a_pod_is_told_why_there_is_no_claim_and_only_once() {
    let api = api().await;
    put_ready(&api, "fast");
    api.put(&builders::namespace("other", &WORKSPACE));
    // Before anybody looks.
    ask(&api, "other", "first");
    let operator = Operator::start(&api, "a", config());
    api.until("the first is told", |api| told(api, "WorkspaceNotListed") == 1).await;
    let events = api.all("Event");
    let event = events.iter().find(|event| event["reason"] == "WorkspaceNotListed").unwrap();
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["metadata"]["namespace"], "other");
    let about = (&event["regarding"]["kind"], &event["regarding"]["name"], &event["related"]["name"]);
    assert_eq!(about, (&json!("Pod"), &json!("first"), &json!("fast")));
    let note = event["note"].as_str().unwrap();
    assert!(note.contains("no claim fast in other") && note.contains("spec.workspaces"), "{note}");

    ask(&api, "other", "second");
    api.until("the second is told", |api| told(api, "WorkspaceNotListed") == 2).await;
    for n in 0..5 {
        api.edit("Pod", "other", "first", |pod| pod["metadata"]["labels"] = json!({"n": n.to_string()}));
        api.settled(QUIET / 4).await;
    }
    assert_eq!(told(&api, "WorkspaceNotListed"), 2);
    assert!(claim(&api, "other", "fast").is_none());
    let looked = requests(&api)
        .into_iter()
        .filter(|r| r.verb == Verb::Get && r.resource == "persistentvolumeclaims" && r.namespace == "other");
    assert_eq!(looked.count(), 2, "the claim is looked for once for each pod");
    operator.stop().await;
}

#[tokio::test]
async fn nobody_else_is_told_and_their_pods_cost_no_request() {
    let api = api().await;
    put_ready(&api, "fast");
    api.put(&builders::namespace("own", &WORKSPACE));
    api.put(&builders::claim("own", "fast", json!({})));
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    until_of(&api, "fast", "WorkspacesReady", "Bound").await;
    api.settled(QUIET).await;
    let before = requests(&api).len();
    // It has its claim; a namespace that is no workspace has whatever it likes; another claim is not ours.
    ask(&api, "work", "listed");
    ask(&api, SPACE, "no-workspace");
    api.put(&builders::waiting_pod("own", "another", "data"));
    // Placed by its maker: its node's kubelet tells it.
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "fast"}}]);
    api.put(&builders::running_pod("own", "placed", volumes));
    api.settled(QUIET).await;
    assert_eq!(requests(&api).len(), before, "{:#?}", &requests(&api)[before..]);
    // A claim of that name that is the workspace's own: looked for, found, and nothing said.
    ask(&api, "own", "with-its-own-claim");
    api.until("it was looked for", |api| requests(api).len() > before).await;
    api.settled(QUIET).await;
    assert_eq!(told(&api, "WorkspaceNotListed"), 0);
}
