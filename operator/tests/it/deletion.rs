//! The end of a FileSystem.

use serde_json::{Value, json};
use workspacefs_testkit::builders;

use crate::world::*;

#[tokio::test]
async fn a_file_system_in_use_stays_and_names_the_pods_that_hold_it() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    let by_claim = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    let inline = json!([{"name": "v", "csi": {"driver": "csi.workspacefs.io", "volumeAttributes": {"fileSystem": "data"}}}]);
    api.put(&builders::running_pod(SPACE, "by-claim", by_claim.clone()));
    api.put(&builders::running_pod(SPACE, "inline", inline));
    let mut ended = builders::running_pod(SPACE, "ended", by_claim);
    ended.status.get_or_insert_default().phase = Some("Succeeded".into());
    api.put(&ended);

    api.delete("FileSystem", SPACE, "data");
    let message = until_reason(&api, "data", "InUse", "PodsUseIt").await;
    assert_eq!(message, "2 pods use it: by-claim, inline. It goes when they are gone");
    api.settled(QUIET).await;
    assert!(event_reasons(&api).contains(&"InUse".to_string()));
    assert!(at(&claim(&api, SPACE, "data").unwrap(), "/metadata/deletionTimestamp").is_null());
    assert!(volume(&api, "data").is_some());

    api.delete("Pod", SPACE, "by-claim");
    api.delete("Pod", SPACE, "inline");
    api.until("all is gone", |api| {
        file_system(api, SPACE, "data").is_none()
            && api.all("PersistentVolume").is_empty()
            && claim(api, SPACE, "data").is_none()
    })
    .await;
}

#[tokio::test]
async fn an_unused_one_goes_with_its_claim_and_volume_and_pods_are_asked_for_only_then() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    put_nfs(&api, "other", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    until_bound(&api, "other").await;
    // Those of all namespaces are watched for LocalStorages.
    let asked_for_pods = |api: &workspacefs_testkit::FakeApi| {
        requests(api).iter().any(|r| r.resource == "pods" && !r.namespace.is_empty())
    };
    assert!(!asked_for_pods(&api));
    api.delete("FileSystem", SPACE, "data");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
    assert!(asked_for_pods(&api));
    assert!(claim(&api, SPACE, "data").is_none());
    assert_eq!(api.all("PersistentVolume").len(), 1, "the other's volume stays");
    assert!(has_reason(&api, "other", "Bound"));
}

#[tokio::test]
async fn foreign_objects_of_its_name_are_not_deleted_with_it() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let theirs = api.put(&builders::claim(SPACE, "data", json!({})));
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Ready", "NameTaken").await;
    // Whoever uses that claim does not use the FileSystem.
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    api.put(&builders::running_pod(SPACE, "theirs", volumes));
    api.delete("FileSystem", SPACE, "data");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
    api.settled(QUIET).await;
    assert_eq!(claim(&api, SPACE, "data").unwrap(), theirs);
}

#[tokio::test]
async fn finalizers_of_others_stay() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let mut fs = builders::file_system(SPACE, "data", builders::nfs("127.0.0.1", nfs.port));
    fs.metadata.finalizers = Some(vec!["example.com/theirs".into()]);
    api.put(&fs);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    api.delete("FileSystem", SPACE, "data");
    let finalizers = |api: &_| at(&file_system(api, SPACE, "data").unwrap(), "/metadata/finalizers");
    api.until("ours is off", |api| finalizers(api) == json!(["example.com/theirs"])).await;
    assert!(api.all("PersistentVolume").is_empty());
}

#[tokio::test]
async fn a_namespace_that_ends_takes_its_file_systems_along_and_is_not_refilled() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let label = [("workspacefs.io/workspace", "true")];
    api.put(&builders::namespace("work", &label));
    let _operator = Operator::start(&api, "a", config_with_default(nfs.port));
    let ready = |api: &workspacefs_testkit::FakeApi| {
        file_system(api, "work", "default")
            .is_some_and(|fs| fs.condition("Ready").is_some_and(|c| c.status == "True"))
    };
    api.until("the default FileSystem is bound", ready).await;
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "default"}}]);
    let mut pod = builders::running_pod("work", "user", volumes);
    pod.metadata.finalizers = Some(vec!["example.com/slow".into()]);
    api.put(&pod);
    api.delete("Namespace", "", "work");
    api.until("the pod that holds it is named", |api| {
        file_system(api, "work", "default").is_some_and(|fs| fs.condition("InUse").is_some())
    })
    .await;
    api.edit("Pod", "work", "user", |pod| pod["metadata"]["finalizers"] = json!([]));
    api.until("the namespace is gone", |api| api.find::<Value>("Namespace", "", "work").is_none()).await;
    assert!(api.all("PersistentVolume").is_empty());
}
