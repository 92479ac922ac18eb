//! LocalStorage → a volume and a claim for each workspace that it lists.

use serde_json::{Value, json};
use workspacefs_testkit::{FakeApi, builders};

use crate::local::*;
use crate::world::*;

fn list(api: &FakeApi, workspaces: Value) {
    api.edit("LocalStorage", "", "fast", |storage| {
        storage["spec"]["workspaces"] = workspaces;
        let generation = storage["metadata"]["generation"].as_u64().unwrap();
        storage["metadata"]["generation"] = json!(generation + 1);
    });
}

#[tokio::test]
async fn a_listed_workspace_gets_a_bound_volume_and_claim_for_nodes_where_it_is_ready() {
    let api = api().await;
    put_ready(&api, "fast");
    api.edit("LocalStorage", "", "fast", |fast| fast["spec"]["perWorkspaceQuota"] = json!("100Gi"));
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;

    let uid = storage(&api, "fast").unwrap().metadata.uid.unwrap();
    let namespace: Value = api.find("Namespace", "", "work").unwrap();
    let namespace = namespace["metadata"]["uid"].as_str().unwrap();
    let volume = volume_in(&api, "work", "fast").unwrap();
    assert_eq!(at(&volume, "/metadata/name"), format!("wsfs-local-{uid}-{namespace}"));
    assert_eq!(at(&volume, "/metadata/labels/workspacefs.io~1local-storage-uid"), uid.as_str());
    let spec = at(&volume, "/spec");
    assert_eq!(spec["accessModes"], json!(["ReadWriteMany"]));
    assert_eq!(spec["persistentVolumeReclaimPolicy"], "Retain");
    assert_eq!(spec["volumeMode"], "Filesystem");
    assert_eq!(spec["capacity"]["storage"], "100Gi");
    assert_eq!(spec["csi"]["driver"], "local.csi.workspacefs.io");
    assert_eq!(spec["csi"]["volumeHandle"], format!("v1.ls.{uid}.{namespace}"));
    assert_eq!(
        spec["csi"]["volumeAttributes"],
        json!({"localStorage": "fast", "namespace": "work", "nodeGroup": "gpu"})
    );
    let term = spec.pointer("/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0").unwrap();
    assert_eq!(*term, json!({"key": "local.workspacefs.io/fast", "operator": "In", "values": ["ready"]}));

    let claim = claim(&api, "work", "fast").unwrap();
    assert_eq!(at(&claim, "/spec/storageClassName"), "");
    assert_eq!(at(&claim, "/spec/volumeName"), at(&volume, "/metadata/name"));
    assert_eq!(at(&claim, "/spec/resources/requests/storage"), "100Gi");
    assert_eq!(at(&claim, "/metadata/ownerReferences/0/uid"), uid.as_str());
    assert_eq!(at(&claim, "/metadata/labels/workspacefs.io~1local-storage-uid"), uid.as_str());
    until_of(&api, "fast", "WorkspacesReady", "Bound").await;
    let held = storage(&api, "fast").unwrap().metadata.finalizers;
    assert_eq!(held, Some(vec!["workspacefs.io/local-storage".to_string()]));
}

#[tokio::test]
async fn a_namespace_that_is_no_workspace_is_named_told_of_once_and_picked_up_when_it_is_one() {
    let api = api().await;
    put_ready(&api, "fast");
    list(&api, json!(["later", "work", SPACE]));
    let _operator = Operator::start(&api, "a", config());
    let message = until_of(&api, "fast", "WorkspacesReady", "NoWorkspace").await;
    assert!(
        message.contains("later: ") && message.contains("team-a: ") && !message.contains("work: "),
        "{message}"
    );
    until_claim(&api, "work", "fast").await;
    api.settled(QUIET).await;
    assert!(claim(&api, SPACE, "fast").is_none());
    assert_eq!(told(&api, "NoWorkspace"), 2);

    api.put(&builders::namespace("later", &WORKSPACE));
    until_claim(&api, "later", "fast").await;
    let labels = |ns: &mut Value| ns["metadata"]["labels"]["workspacefs.io/workspace"] = json!("true");
    api.edit("Namespace", "", SPACE, labels);
    until_claim(&api, SPACE, "fast").await;
    until_of(&api, "fast", "WorkspacesReady", "Bound").await;
    api.settled(QUIET).await;
    assert_eq!(told(&api, "NoWorkspace"), 2);
}

#[tokio::test]
async fn a_claim_of_somebody_else_is_left_alone_and_told_of_and_its_end_is_noticed() {
    let api = api().await;
    put_ready(&api, "fast");
    let theirs = api.put(&builders::claim("work", "fast", json!({"accessModes": ["ReadWriteOnce"]})));
    let _operator = Operator::start(&api, "a", config());
    let message = until_of(&api, "fast", "WorkspacesReady", "NameTaken").await;
    assert!(message.contains("work: a PersistentVolumeClaim"), "{message}");
    api.settled(QUIET).await;
    assert_eq!(claim(&api, "work", "fast").unwrap(), theirs);
    assert!(api.all("PersistentVolume").is_empty());
    assert_eq!(told(&api, "NameTaken"), 1);
    // Another workspace is served all the same.
    api.put(&builders::namespace("other", &WORKSPACE));
    list(&api, json!(["work", "other"]));
    until_claim(&api, "other", "fast").await;

    assert!(api.delete("PersistentVolumeClaim", "work", "fast"));
    until_claim(&api, "work", "fast").await;
    until_of(&api, "fast", "WorkspacesReady", "Bound").await;
}

#[tokio::test]
async fn a_claim_deleted_by_its_user_is_made_and_bound_again_to_the_same_volume() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    api.settled(QUIET).await;
    let before = (claim(&api, "work", "fast").unwrap(), volume_in(&api, "work", "fast").unwrap());
    assert!(api.delete("PersistentVolumeClaim", "work", "fast"));
    api.until("a new claim", |api| {
        is_bound(api, "work", "fast")
            && claim(api, "work", "fast").is_some_and(|new| new.metadata.uid != before.0.metadata.uid)
    })
    .await;
    api.settled(QUIET).await;
    let after = volume_in(&api, "work", "fast").unwrap();
    assert_eq!(after.metadata.uid, before.1.metadata.uid, "the volume is another");
    assert_eq!(told(&api, "ClaimMadeAgain"), 1);
}

#[tokio::test]
async fn a_claim_that_lost_its_label_and_owner_by_halves_is_still_ours_and_gets_them_back() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    let uid = storage(&api, "fast").unwrap().metadata.uid.unwrap();
    api.edit("PersistentVolumeClaim", "work", "fast", |claim| claim["metadata"]["labels"] = json!({}));
    let label = |api: &_| {
        at(&claim(api, "work", "fast").unwrap(), "/metadata/labels/workspacefs.io~1local-storage-uid")
    };
    api.until("the label is back", |api| label(api) == uid.as_str()).await;
    api.edit("PersistentVolumeClaim", "work", "fast", |claim| {
        claim["metadata"]["ownerReferences"] = json!([])
    });
    let owner = |api: &_| at(&claim(api, "work", "fast").unwrap(), "/metadata/ownerReferences/0/uid");
    api.until("the owner is back", |api| owner(api) == uid.as_str()).await;
}

#[tokio::test]
async fn a_changed_quota_reaches_the_volume_though_a_claim_asks_for_no_less_than_before() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    let size = |api: &_| at(&volume_in(api, "work", "fast").unwrap(), "/spec/capacity/storage");
    assert_eq!(size(&api), "1Gi", "the placeholder");
    let set = |quota: &str| {
        api.edit("LocalStorage", "", "fast", |fast| fast["spec"]["perWorkspaceQuota"] = json!(quota));
    };
    set("50Gi");
    api.until("the size", |api| size(api) == "50Gi").await;
    set("512Mi");
    api.until("what the claim asks for", |api| size(api) == "1Gi").await;
    until_of(&api, "fast", "QuotaEnforced", "Enforced").await;
    assert_eq!(of(&api, "fast", "QuotaEnforced").unwrap().status, "True");
}

#[tokio::test]
async fn a_workspace_off_the_list_loses_its_claim_once_no_pod_uses_it() {
    let api = api().await;
    put_ready(&api, "fast");
    api.put(&builders::namespace("other", &WORKSPACE));
    list(&api, json!(["work", "other"]));
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    until_claim(&api, "other", "fast").await;
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "fast"}}]);
    api.put(&builders::running_pod("work", "user", volumes.clone()));
    let mut ended = builders::running_pod("work", "ended", volumes);
    ended.status.get_or_insert_default().phase = Some("Succeeded".into());
    api.put(&ended);

    list(&api, json!(["other"]));
    let message = until_of(&api, "fast", "WorkspacesReady", "StillUsed").await;
    assert!(message.contains("work: ") && message.ends_with("gone: user"), "{message}");
    api.settled(QUIET).await;
    assert_eq!(told(&api, "StillUsed"), 1);
    assert!(at(&claim(&api, "work", "fast").unwrap(), "/metadata/deletionTimestamp").is_null());
    assert!(is_bound(&api, "work", "fast"));

    assert!(api.delete("Pod", "work", "user"));
    api.until("claim and volume are gone", |api| {
        claim(api, "work", "fast").is_none() && volume_in(api, "work", "fast").is_none()
    })
    .await;
    assert!(is_bound(&api, "other", "fast"));
    until_of(&api, "fast", "WorkspacesReady", "Bound").await;
}

#[tokio::test]
async fn taking_the_workspaces_label_off_removes_nothing_and_makes_nothing_anew() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    api.edit("Namespace", "", "work", |namespace| namespace["metadata"]["labels"] = json!({}));
    until_of(&api, "fast", "WorkspacesReady", "NoWorkspace").await;
    api.settled(QUIET).await;
    assert!(is_bound(&api, "work", "fast") && volume_in(&api, "work", "fast").is_some());
    assert!(api.delete("PersistentVolumeClaim", "work", "fast"));
    api.until("the volume of nobody goes", |api| volume_in(api, "work", "fast").is_none()).await;
    api.settled(QUIET).await;
    assert!(claim(&api, "work", "fast").is_none());
}

#[tokio::test]
async fn a_namespace_made_again_is_another_workspace_with_other_files() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    let first = volume_in(&api, "work", "fast").unwrap();
    assert!(api.delete("Namespace", "", "work"));
    api.until("the namespace is gone", |api| api.find::<Value>("Namespace", "", "work").is_none()).await;
    api.until("its volume too", |api| api.all("PersistentVolume").is_empty()).await;
    api.put(&builders::namespace("work", &WORKSPACE));
    until_claim(&api, "work", "fast").await;
    let second = volume_in(&api, "work", "fast").unwrap();
    assert_ne!(at(&first, "/spec/csi/volumeHandle"), at(&second, "/spec/csi/volumeHandle"));
}

#[tokio::test]
async fn two_local_storages_in_one_workspace_do_not_disturb_each_other() {
    let api = api().await;
    put_ready(&api, "fast");
    api.put(&builders::local_storage("slow", spec(json!({}))));
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    until_claim(&api, "work", "slow").await;
    until_labelled(&api, "fast", &["n1"]).await;
    assert!(labelled(&api, "slow").is_empty());
    api.delete("LocalStorage", "", "slow");
    api.until("the one is gone", |api| storage(api, "slow").is_none()).await;
    api.settled(QUIET).await;
    assert!(is_bound(&api, "work", "fast") && claim(&api, "work", "slow").is_none());
    assert_eq!(labelled(&api, "fast"), ["n1"]);
}
