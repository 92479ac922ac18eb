//! LocalStorage → the label of its ready nodes, and what its status says of them.

use serde_json::{Value, json};
use workspacefs_testkit::{Fault, Moment, Verb, builders};

use crate::local::*;
use crate::world::*;

#[tokio::test]
async fn the_label_is_on_exactly_the_nodes_where_it_is_ready_and_nothing_else_of_them_is_touched() {
    let api = api().await;
    for name in ["n1", "n2", "n3", "n4"] {
        put_node(&api, name);
    }
    // Of another group, with a label from somewhere.
    let mut other = builders::node("n5", "True");
    other.metadata.labels = Some([("local.workspacefs.io/fast".to_string(), "ready".to_string())].into());
    api.put(&other);
    api.put(&builders::local_storage("fast", spec(json!({}))));
    for (name, ready) in [("n1", true), ("n2", false), ("n3", true), ("n5", true)] {
        report(&api, "fast", name, ready);
    }
    let _operator = Operator::start(&api, "a", config());
    until_labelled(&api, "fast", &["n1", "n3"]).await;
    assert_eq!(at(&node(&api, "n1"), "/metadata/labels/local.workspacefs.io~1fast"), "ready");

    report(&api, "fast", "n2", true);
    until_labelled(&api, "fast", &["n1", "n2", "n3"]).await;
    report(&api, "fast", "n1", false);
    until_labelled(&api, "fast", &["n2", "n3"]).await;
    // A node that left the group, with what it says of itself.
    api.edit("Node", "", "n3", |node| node["metadata"]["labels"]["workspacefs.io/node-group"] = json!("cpu"));
    until_labelled(&api, "fast", &["n2"]).await;
    // A label with another value, and one that somebody took off.
    api.edit("Node", "", "n2", |node| node["metadata"]["labels"]["local.workspacefs.io/fast"] = json!("no"));
    let value = |api: &_| at(&node(api, "n2"), "/metadata/labels/local.workspacefs.io~1fast");
    api.until("the label is right again", |api| value(api) == "ready").await;
    for name in ["n1", "n2", "n3"] {
        assert_eq!(at(&node(&api, name), "/metadata/labels/example.com~1theirs"), "yes");
    }
}

#[tokio::test]
async fn a_node_that_kubernetes_takes_for_unreachable_is_not_ready_whatever_it_said_before() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_labelled(&api, "fast", &["n1"]).await;
    until_of(&api, "fast", "Ready", "Ready").await;
    for status in ["Unknown", "False"] {
        api.edit("Node", "", "n1", |node| node["status"]["conditions"][0]["status"] = json!(status));
        until_labelled(&api, "fast", &[]).await;
        let message = until_of(&api, "fast", "Ready", "NoneReady").await;
        assert!(message.contains("n1: NodeNotReady"), "{message}");
        api.edit("Node", "", "n1", |node| node["status"]["conditions"][0]["status"] = json!("True"));
        until_labelled(&api, "fast", &["n1"]).await;
    }
    assert_eq!(storage(&api, "fast").unwrap().status.unwrap().nodes.len(), 1, "its entry stays");
}

#[tokio::test]
async fn entries_of_nodes_that_are_gone_or_left_are_removed_and_all_others_stay_as_their_nodes_wrote_them() {
    let api = api().await;
    put_ready(&api, "fast");
    put_node(&api, "n3");
    put_node(&api, "n2");
    for (name, ready) in [("gone", true), ("n3", true), ("n2", false)] {
        report(&api, "fast", name, ready);
    }
    let _operator = Operator::start(&api, "a", config());
    let entries = |api: &_| at(&storage(api, "fast").unwrap(), "/status/nodes");
    let names = |api: &_| -> Vec<Value> {
        entries(api).as_array().unwrap().iter().map(|entry| entry["node"].clone()).collect()
    };
    api.until("the entry of nobody is gone", |api| names(api) == ["n1", "n3", "n2"]).await;
    // Whatever a node writes stands.
    let mut entry = serde_json::to_value(builders::node_storage("n2", true)).unwrap();
    entry["message"] = json!("written meanwhile");
    report_as(&api, "fast", entry.clone());
    until_labelled(&api, "fast", &["n1", "n2", "n3"]).await;
    api.settled(QUIET).await;
    assert_eq!(entries(&api)[2], entry);

    api.edit("Node", "", "n1", |node| node["metadata"]["labels"]["workspacefs.io/node-group"] = json!("cpu"));
    assert!(api.delete("Node", "", "n3"));
    api.until("both entries are gone", |api| names(api) == ["n2"]).await;
    assert_eq!(entries(&api)[0], entry);
    let told = event_reasons(&api);
    assert!(told.contains(&"NodeGone".to_string()) && told.contains(&"NodeLeft".to_string()), "{told:?}");
}

#[tokio::test]
async fn the_status_says_how_many_nodes_have_it_what_it_is_on_how_large_and_how_well() {
    let api = api().await;
    put_ready(&api, "fast");
    put_node(&api, "n2");
    let entry = |node: &str, ready: bool, media: &str, health: &str| {
        let mut entry = serde_json::to_value(builders::node_storage(node, ready)).unwrap();
        entry["health"] = json!(health);
        entry["device"] = json!({"name": "sdb", "media": media, "fsType": "xfs"});
        entry["capacity"] = json!("1Ti");
        entry["used"] = json!("1Gi");
        entry
    };
    report_as(&api, "fast", entry("n1", true, "NVMe", "Healthy"));
    report_as(&api, "fast", entry("n2", true, "NVMe", "Healthy"));
    let _operator = Operator::start(&api, "a", config());
    until_of(&api, "fast", "Ready", "Ready").await;
    let says = |api: &_| {
        let status = at(&storage(api, "fast").unwrap(), "/status");
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_string();
        ["nodesReady", "media", "capacity", "used", "health"].map(text).join(" ")
    };
    api.until("the sums", |api| says(api) == "2/2 NVMe 2Ti 2Gi Healthy").await;
    assert!(of(&api, "fast", "Degraded").is_none());
    report_as(&api, "fast", entry("n2", false, "NVMe", "Failed"));
    api.until("the sums of one", |api| says(api) == "1/2 NVMe 1Ti 1Gi Failed").await;
    let message = until_of(&api, "fast", "Ready", "SomeNotReady").await;
    assert!(message.contains("1 of 2") && message.contains("n2: NoDisk: no disk"), "{message}");
    let message = until_of(&api, "fast", "Degraded", "DiskFailed").await;
    assert!(message.contains("n2: its disk failed"), "{message}");
    assert_eq!(of(&api, "fast", "QuotaEnforced").unwrap().reason, "NoQuota");
    let mut entry = entry("n2", true, "NVMe", "Healthy");
    entry["sharesFileSystem"] = json!(true);
    report_as(&api, "fast", entry);
    until_of(&api, "fast", "SharesFileSystem", "NotOwnFileSystem").await;
    assert!(of(&api, "fast", "Degraded").is_none());
}

#[tokio::test]
async fn a_node_whose_disk_reports_errors_takes_no_new_pods_and_its_entry_stays_as_its_node_wrote_it() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_labelled(&api, "fast", &["n1"]).await;
    let mut entry = serde_json::to_value(builders::node_storage("n1", true)).unwrap();
    entry["health"] = json!("Degraded");
    entry["message"] = json!("8 so far");
    report_as(&api, "fast", entry.clone());
    until_labelled(&api, "fast", &[]).await;
    for (kind, reason) in [("Ready", "NoneReady"), ("Degraded", "DiskErrors")] {
        let message = until_of(&api, "fast", kind, reason).await;
        assert!(message.contains("n1: ") && message.contains("reports I/O errors: no new pods"), "{message}");
    }
    assert_eq!(told(&api, "NodeNotReady"), 1);
    let events = api.all("Event");
    let left = events.iter().find(|event| event["reason"] == "NodeNotReady").unwrap();
    assert!(left["note"].as_str().unwrap().contains("reports I/O errors: no new pods"), "{left}");
    // By it the plugin publishes, for a pod that was placed a moment ago.
    assert_eq!(at(&storage(&api, "fast").unwrap(), "/status/nodes/0"), entry);
    report(&api, "fast", "n1", true);
    until_labelled(&api, "fast", &["n1"]).await;
}

#[tokio::test]
async fn files_beside_all_quotas_are_said_with_node_and_figure_and_told_once() {
    let api = api().await;
    put_ready(&api, "fast");
    api.edit("LocalStorage", "", "fast", |fast| fast["spec"]["perWorkspaceQuota"] = json!("100Gi"));
    let operator = Operator::start(&api, "a", config());
    until_of(&api, "fast", "QuotaEnforced", "Enforced").await;
    let say = |size: &str| {
        let mut entry = serde_json::to_value(builders::node_storage("n1", true)).unwrap();
        entry["capacity"] = json!("1Ti");
        entry["unaccounted"] = json!(size);
        report_as(&api, "fast", entry);
    };
    say("3Gi");
    let message = until_of(&api, "fast", "QuotaEnforced", "Advisory").await;
    assert!(message.contains("node n1: at least 2Gi"), "{message}");
    api.until("it is told", |api| told(api, "UnaccountedFiles") == 1).await;
    let events = api.all("Event");
    let event = events.iter().find(|event| event["reason"] == "UnaccountedFiles").unwrap();
    assert_eq!((&event["type"], &event["related"]["name"]), (&json!("Warning"), &json!("n1")));
    // More and less, a little more than the least, another operator: nothing new.
    say("3900Mi");
    say("1100Mi");
    say("900Mi");
    api.settled(QUIET).await;
    operator.stop().await;
    let _operator = Operator::start(&api, "b", config());
    api.settled(QUIET).await;
    assert_eq!(told(&api, "UnaccountedFiles"), 1);
    assert_eq!(of(&api, "fast", "QuotaEnforced").unwrap().reason, "Advisory");
    say("100Mi");
    until_of(&api, "fast", "QuotaEnforced", "Enforced").await;
}

#[tokio::test]
async fn without_nodes_it_says_which_label_it_waits_for() {
    let api = api().await;
    api.put(&builders::local_storage("fast", spec(json!({"nodeSelector": {"rack": "1"}}))));
    put_node(&api, "n1");
    let _operator = Operator::start(&api, "a", config());
    let message = until_of(&api, "fast", "Ready", "NoNodes").await;
    assert!(
        message.contains("workspacefs.io/node-group=gpu") && message.contains("nodeSelector"),
        "{message}"
    );
    api.edit("Node", "", "n1", |node| node["metadata"]["labels"]["rack"] = json!("1"));
    let message = until_of(&api, "fast", "Ready", "NoneReady").await;
    assert!(message.contains("n1: NoReport"), "{message}");
}

#[tokio::test]
async fn nodes_that_join_or_leave_are_told_of_one_by_one_with_the_reason() {
    let api = api().await;
    put_ready(&api, "fast");
    put_node(&api, "n2");
    report(&api, "fast", "n2", true);
    let _operator = Operator::start(&api, "a", config());
    until_labelled(&api, "fast", &["n1", "n2"]).await;
    api.until("both are told of", |api| told(api, "NodeReady") == 2).await;
    report(&api, "fast", "n2", false);
    api.until("it is told", |api| told(api, "NodeNotReady") == 1).await;
    let events = api.all("Event");
    let left = events.iter().find(|event| event["reason"] == "NodeNotReady").unwrap();
    assert_eq!((&left["type"], &left["related"]["name"]), (&json!("Warning"), &json!("n2")));
    assert_eq!(left["regarding"]["name"], "fast");
    assert!(left["note"].as_str().unwrap().contains("NoDisk: no disk"), "{left}");
}

#[tokio::test]
async fn a_node_whose_label_cannot_be_set_holds_up_neither_the_others_nor_the_status() {
    let api = api().await;
    put_ready(&api, "fast");
    put_node(&api, "n2");
    report(&api, "fast", "n2", true);
    let refused = api.trap(0, Moment::Before, Fault::Status(403), |r| r.resource == "nodes");
    let _operator = Operator::start(&api, "a", config());
    assert_eq!(refused.await.unwrap().name, "n1");
    until_labelled(&api, "fast", &["n2"]).await;
    until_claim(&api, "work", "fast").await;
    until_of(&api, "fast", "Ready", "Ready").await;
    until_labelled(&api, "fast", &["n1", "n2"]).await;
}

#[tokio::test]
async fn an_operator_that_starts_where_all_is_well_writes_nothing_and_heartbeats_cost_no_request() {
    let api = api().await;
    put_ready(&api, "fast");
    let operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    until_of(&api, "fast", "WorkspacesReady", "Bound").await;
    until_of(&api, "fast", "Ready", "Ready").await;
    api.settled(QUIET).await;
    operator.stop().await;
    let before = writes(&api).len();
    let _operator = Operator::start(&api, "b", config());
    api.until("it has looked", |api| {
        api.requests()
            .iter()
            .any(|r| r.client == "b" && r.verb == Verb::Watch && r.resource == "localstorages")
    })
    .await;
    tokio::time::sleep(QUIET).await;
    let asked = requests(&api).len();
    for n in 0..20 {
        api.edit("Node", "", "n1", |node| node["status"]["images"] = json!([{"sizeBytes": n}]));
        tokio::time::sleep(QUIET / 20).await;
    }
    tokio::time::sleep(QUIET).await;
    assert_eq!(writes(&api).len(), before, "{:#?}", &writes(&api)[before..]);
    assert_eq!(requests(&api).len(), asked, "{:#?}", &requests(&api)[asked..]);
}

#[tokio::test]
async fn where_it_is_switched_off_nobody_asks_for_local_storages() {
    let api = api().await;
    put_ready(&api, "fast");
    let nfs = NfsServer::start().await;
    put_nfs(&api, "data", nfs.port);
    let off = workspacefs_operator::config::Config { local_storage: false, ..config() };
    let _operator = Operator::start(&api, "a", off);
    until_bound(&api, "data").await;
    api.settled(QUIET).await;
    assert!(!requests(&api).iter().any(|r| r.resource == "localstorages"));
}

#[tokio::test]
async fn a_file_system_with_local_cache_says_whether_the_nodes_have_the_cache() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let asked = |name: &str, cache: bool| {
        let mut spec = builders::nfs("127.0.0.1", nfs.port);
        spec["localCache"] = json!(cache);
        api.put(&builders::file_system(SPACE, name, spec));
    };
    asked("cached", true);
    asked("plain", false);
    let _operator = Operator::start(&api, "a", config());
    let message = until_reason(&api, "cached", "CacheReady", "NoCache").await;
    assert!(message.contains("no LocalStorage has fsCache"), "{message}");

    put_node(&api, "n1");
    api.put(&builders::local_storage("fast", spec(json!({"fsCache": {"size": "1Gi"}}))));
    let told = |ready: bool, reason: &str| {
        let mut entry = serde_json::to_value(builders::node_storage("n1", true)).unwrap();
        entry["cache"] = json!({"ready": ready, "reason": reason, "message": "stop it"});
        report_as(&api, "fast", entry);
    };
    told(false, "DeviceBusy");
    let message = until_reason(&api, "cached", "CacheReady", "DeviceBusy").await;
    assert!(message.contains("LocalStorage fast") && message.contains("n1"), "{message}");
    told(true, "Ready");
    until_reason(&api, "cached", "CacheReady", "Ready").await;
    api.delete("LocalStorage", "", "fast");
    until_reason(&api, "cached", "CacheReady", "NoCache").await;
    assert!(condition(&api, "plain", "CacheReady").is_none());
}
