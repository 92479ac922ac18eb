//! The StorageClass of each LocalStorage, for claims of a size of their own.

use serde_json::{Value, json};
use workspacefs_testkit::{FakeApi, Fault, Moment};

use crate::local::*;
use crate::world::*;

const CLASS: &str = "workspacefs-local-fast";

fn class(api: &FakeApi) -> Option<Value> {
    api.find("StorageClass", "", CLASS)
}

async fn until_class(api: &FakeApi, what: &str, is: impl Fn(&Value) -> bool) {
    api.until(what, |api| class(api).is_some_and(|class| is(&class))).await;
}

#[tokio::test]
async fn each_has_one_whose_claims_wait_for_their_pod_and_may_grow() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_class(&api, "the class", |_| true).await;
    let class = class(&api).unwrap();
    assert_eq!(class["provisioner"], "local.csi.workspacefs.io");
    assert_eq!(class["parameters"], json!({"localStorage": "fast"}));
    assert_eq!(class["volumeBindingMode"], "WaitForFirstConsumer");
    assert_eq!(class["reclaimPolicy"], "Delete");
    assert_eq!(class["allowVolumeExpansion"], true);
    let uid = storage(&api, "fast").unwrap().metadata.uid.unwrap();
    let labels = &class["metadata"]["labels"];
    assert_eq!(labels["workspacefs.io/local-storage-uid"], uid.as_str());
    assert_eq!(labels["app.kubernetes.io/managed-by"], "workspacefs");
    api.settled(QUIET).await;
    assert!(of(&api, "fast", "StorageClassReady").is_none(), "said though all is well");
}

#[tokio::test]
async fn a_deleted_one_is_made_again_and_one_that_is_otherwise_set_right() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_class(&api, "the class", |_| true).await;
    let uid = |api: &_| class(api).unwrap()["metadata"]["uid"].clone();
    let first = uid(&api);
    api.delete("StorageClass", "", CLASS);
    until_class(&api, "another", |class| class["metadata"]["uid"] != first).await;
    let second = uid(&api);
    // What may change changes in place.
    api.edit("StorageClass", "", CLASS, |class| class["allowVolumeExpansion"] = json!(false));
    until_class(&api, "growth", |class| class["allowVolumeExpansion"] == true).await;
    assert_eq!(uid(&api), second);
    // What cannot change takes another class.
    api.edit("StorageClass", "", CLASS, |class| class["volumeBindingMode"] = json!("Immediate"));
    until_class(&api, "binding", |class| class["volumeBindingMode"] == "WaitForFirstConsumer").await;
    assert_ne!(uid(&api), second);
}

#[tokio::test]
async fn a_foreign_one_of_that_name_is_not_touched_and_said() {
    let api = api().await;
    let foreign = api.put(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                                  "metadata": {"name": CLASS}, "provisioner": "example.com/other"}));
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    let message = until_of(&api, "fast", "StorageClassReady", "NameTaken").await;
    assert!(message.contains(CLASS) && message.contains("LocalStorage"), "{message}");
    // Shares need no class.
    until_claim(&api, "work", "fast").await;
    api.settled(QUIET).await;
    assert_eq!(class(&api).unwrap(), foreign);
    assert_eq!(told(&api, "StorageClassNotReady"), 1);
    api.delete("LocalStorage", "", "fast");
    api.until("it is gone", |api| storage(api, "fast").is_none()).await;
    assert_eq!(class(&api).unwrap(), foreign);
}

#[tokio::test]
async fn one_that_an_earlier_local_storage_of_that_name_left_behind_is_taken_over_and_goes_with_this_one() {
    let api = api().await;
    let labels =
        json!({"app.kubernetes.io/managed-by": "workspacefs", "workspacefs.io/local-storage-uid": "old"});
    api.put(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                    "metadata": {"name": CLASS, "labels": labels}, "provisioner": "local.csi.workspacefs.io",
                    "parameters": {"localStorage": "fast"}, "reclaimPolicy": "Delete",
                    "volumeBindingMode": "WaitForFirstConsumer"}));
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    let uid = storage(&api, "fast").unwrap().metadata.uid.unwrap();
    until_class(&api, "it is of now", |class| {
        class["metadata"]["labels"]["workspacefs.io/local-storage-uid"] == uid.as_str()
            && class["allowVolumeExpansion"] == true
    })
    .await;
    assert!(api.delete("LocalStorage", "", "fast"));
    api.until("both are gone", |api| storage(api, "fast").is_none() && class(api).is_none()).await;
}

#[tokio::test]
async fn one_that_is_refused_holds_up_neither_shares_nor_status() {
    let api = api().await;
    put_ready(&api, "fast");
    let refused = api.trap(0, Moment::Before, Fault::Status(403), |r| r.resource == "storageclasses");
    let _operator = Operator::start(&api, "a", config());
    assert_eq!(refused.await.unwrap().resource, "storageclasses");
    until_claim(&api, "work", "fast").await;
    api.until("it is told", |api| told(api, "StorageClassNotReady") == 1).await;
    until_class(&api, "the class, the next time", |_| true).await;
    api.until("nothing more is said", |api| of(api, "fast", "StorageClassReady").is_none()).await;
}
