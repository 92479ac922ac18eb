//! The end of a LocalStorage, and objects that are not as they should be.

use serde_json::{Value, json};
use workspacefs_testkit::builders;

use crate::local::*;
use crate::world::*;

#[tokio::test]
async fn one_in_use_stays_and_names_the_pods_but_takes_no_new_ones() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    until_labelled(&api, "fast", &["n1"]).await;
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "fast"}}]);
    api.put(&builders::running_pod("work", "user", volumes.clone()));
    // A claim of that name in a namespace that is not listed is somebody else's.
    api.put(&builders::claim(SPACE, "fast", json!({})));
    api.put(&builders::running_pod(SPACE, "bystander", volumes));

    assert!(api.delete("LocalStorage", "", "fast"));
    let message = until_of(&api, "fast", "InUse", "PodsUseIt").await;
    assert_eq!(message, "1 pod uses it: work/user. It goes when they are gone");
    assert_eq!(of(&api, "fast", "Ready").unwrap().reason, "Terminating");
    api.settled(QUIET).await;
    assert!(labelled(&api, "fast").is_empty());
    assert!(is_bound(&api, "work", "fast"));
    assert_eq!(told(&api, "InUse"), 1);
    assert_eq!(storage(&api, "fast").unwrap().status.unwrap().nodes.len(), 1, "entries are the nodes'");

    assert!(api.delete("Pod", "work", "user"));
    api.until("all is gone", |api| {
        storage(api, "fast").is_none()
            && api.all("PersistentVolume").is_empty()
            && claim(api, "work", "fast").is_none()
    })
    .await;
    assert!(claim(&api, SPACE, "fast").is_some());
}

#[tokio::test]
async fn an_unused_one_goes_with_labels_claims_and_volumes_and_pods_are_asked_for_only_then() {
    let api = api().await;
    put_ready(&api, "fast");
    put_node(&api, "n2");
    report(&api, "fast", "n2", true);
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    until_labelled(&api, "fast", &["n1", "n2"]).await;
    assert!(!requests(&api).iter().any(|r| r.resource == "pods" && !r.namespace.is_empty()));
    // Its user has taken the label off a moment ago.
    api.edit("PersistentVolumeClaim", "work", "fast", |claim| claim["metadata"]["labels"] = json!({}));
    assert!(api.delete("LocalStorage", "", "fast"));
    api.until("it is gone", |api| storage(api, "fast").is_none()).await;
    assert!(labelled(&api, "fast").is_empty());
    assert!(claim(&api, "work", "fast").is_none());
    assert!(api.all("PersistentVolume").is_empty() && api.all("StorageClass").is_empty());
    assert_eq!(at(&node(&api, "n1"), "/metadata/labels/example.com~1theirs"), "yes");
}

#[tokio::test]
async fn finalizers_of_others_stay() {
    let api = api().await;
    put_ready(&api, "fast");
    api.edit("LocalStorage", "", "fast", |fast| {
        fast["metadata"]["finalizers"] = json!(["example.com/theirs"])
    });
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    assert!(api.delete("LocalStorage", "", "fast"));
    let held = |api: &_| at(&storage(api, "fast").unwrap(), "/metadata/finalizers");
    api.until("ours is off", |api| held(api) == json!(["example.com/theirs"])).await;
    assert!(api.all("PersistentVolume").is_empty());
}

#[tokio::test]
async fn one_that_is_not_valid_any_more_says_so_keeps_what_there_is_and_stops_nobody() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    until_labelled(&api, "fast", &["n1"]).await;
    for (at, spec) in
        [("quota", spec(json!({"perWorkspaceQuota": "0"}))), ("all of it", json!("none of your business"))]
    {
        api.edit("LocalStorage", "", "fast", |fast| fast["spec"] = spec);
        let ready = |api: &workspacefs_testkit::FakeApi| -> Value {
            let fast: Value = api.find("LocalStorage", "", "fast").unwrap();
            let conditions = fast["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.into_iter().find(|c| c["type"] == "Ready").unwrap_or_default()
        };
        api.until(at, |api| ready(api)["reason"] == "Invalid").await;
        api.settled(QUIET).await;
        assert!(is_bound(&api, "work", "fast"));
        assert_eq!(labelled(&api, "fast"), ["n1"]);
    }
    api.put(&builders::local_storage("other", spec(json!({}))));
    until_claim(&api, "work", "other").await;

    assert!(api.delete("LocalStorage", "", "fast"));
    api.until("it is gone", |api| api.find::<Value>("LocalStorage", "", "fast").is_none()).await;
    assert!(claim(&api, "work", "fast").is_none() && labelled(&api, "fast").is_empty());
}
