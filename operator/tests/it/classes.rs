//! The StorageClass of each FileSystem, for further claims.

use serde_json::{Value, json};
use workspacefs_testkit::{FakeApi, builders};

use crate::world::*;

const CLASS: &str = "team-a.data";

fn class(api: &FakeApi) -> Option<Value> {
    api.find("StorageClass", "", CLASS)
}

async fn until_class(api: &FakeApi, what: &str, is: impl Fn(&Value) -> bool) {
    api.until(what, |api| class(api).is_some_and(|class| is(&class))).await;
}

#[tokio::test]
async fn an_nfs_file_system_has_one_whose_claims_do_not_grow() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_class(&api, "the class", |_| true).await;
    let class = class(&api).unwrap();
    assert_eq!(class["allowVolumeExpansion"], Value::Null);
    assert_eq!(class["volumeBindingMode"], "Immediate");
    assert_eq!(class["metadata"]["labels"]["app.kubernetes.io/managed-by"], "workspacefs");
}

#[tokio::test]
async fn one_on_another_drivers_claim_has_none() {
    let api = api().await;
    let backend = json!({"backend": {"persistentVolumeClaim": {"claimName": "efs"}}});
    api.put(&builders::file_system(SPACE, "data", backend));
    let _operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Ready", "ClaimMissing").await;
    api.settled(QUIET).await;
    assert!(class(&api).is_none());
}

#[tokio::test]
async fn a_deleted_one_is_made_again_and_a_changed_one_set_right() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_class(&api, "the class", |_| true).await;
    let first = class(&api).unwrap();
    api.delete("StorageClass", "", CLASS);
    until_class(&api, "another", |class| class["metadata"]["uid"] != first["metadata"]["uid"]).await;
    let second = class(&api).unwrap();

    // What may change changes in place.
    api.edit("FileSystem", SPACE, "data", |fs| {
        fs["spec"]["mountOptions"] = json!(["soft"]);
        fs["metadata"]["generation"] = json!(2);
    });
    until_class(&api, "the options", |class| class["mountOptions"] == json!(["soft"])).await;
    assert_eq!(class(&api).unwrap()["metadata"]["uid"], second["metadata"]["uid"]);
    api.edit("StorageClass", "", CLASS, |class| class["metadata"]["annotations"] = json!({"theirs": "x"}));
    api.settled(QUIET).await;
    assert_eq!(class(&api).unwrap()["metadata"]["annotations"]["theirs"], "x");

    // What cannot change takes another class.
    api.edit("FileSystem", SPACE, "data", |fs| {
        fs["spec"]["reclaimPolicy"] = json!("Delete");
        fs["metadata"]["generation"] = json!(3);
    });
    until_class(&api, "the policy", |class| class["reclaimPolicy"] == "Delete").await;
    assert_ne!(class(&api).unwrap()["metadata"]["uid"], second["metadata"]["uid"]);
}

#[tokio::test]
async fn a_foreign_one_of_that_name_is_not_touched_and_said() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let foreign = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                         "metadata": {"name": CLASS}, "provisioner": "example.com/other"});
    let foreign = api.put(&foreign);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    let message = until_reason(&api, "data", "StorageClassReady", "NameTaken").await;
    assert!(message.contains(CLASS), "{message}");
    until_bound(&api, "data").await;
    api.settled(QUIET).await;
    assert_eq!(class(&api).unwrap(), foreign);
    assert!(event_reasons(&api).contains(&"StorageClassNotReady".to_string()));
    api.delete("FileSystem", SPACE, "data");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
    assert_eq!(class(&api).unwrap(), foreign);
}

#[tokio::test]
async fn one_that_an_earlier_file_system_of_that_name_left_behind_is_taken_over() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let labels =
        json!({"app.kubernetes.io/managed-by": "workspacefs", "workspacefs.io/filesystem-uid": "old"});
    api.put(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                    "metadata": {"name": CLASS, "labels": labels}, "provisioner": "csi.workspacefs.io",
                    "parameters": {"namespace": "team-a", "fileSystem": "data"}, "reclaimPolicy": "Delete",
                    "allowVolumeExpansion": true}));
    let fs = put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    let uid = fs.metadata.uid.unwrap();
    until_class(&api, "it is of now", |class| {
        class["metadata"]["labels"]["workspacefs.io/filesystem-uid"] == uid.as_str()
            && class["reclaimPolicy"] == "Retain"
            && class["allowVolumeExpansion"].is_null()
    })
    .await;
}

#[tokio::test]
async fn conditions_of_others_stay_and_cause_no_writes() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    until_reason(&api, "data", "Reachable", "Answered").await;
    api.settled(QUIET).await;
    api.edit("FileSystem", SPACE, "data", |fs| {
        let theirs = json!({"type": "NotOurs", "status": "True", "reason": "FolderExisted", "message": "m",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        fs["status"]["conditions"].as_array_mut().unwrap().push(theirs);
    });
    api.settled(QUIET).await;
    let before = writes(&api).len();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(writes(&api).len(), before, "{:?}", &writes(&api)[before..]);
    nfs.stop().await;
    until_reason(&api, "data", "Reachable", "Refused").await;
    assert_eq!(condition(&api, "data", "NotOurs").unwrap().reason, "FolderExisted");
}
