//! FsCaches whose exposure is Claim: their claims and volumes, and how those end.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use serde_json::{Value, json};
use workspacefs_testkit::{FakeApi, builders};

use crate::cache::*;
use crate::cache_local::{on_nodes, put_storage, warm};
use crate::world::*;

fn claim_of(api: &FakeApi) -> Option<PersistentVolumeClaim> {
    claim(api, SPACE, "warm")
}

fn volume_of(api: &FakeApi) -> Option<PersistentVolume> {
    let uid = cache(api, "warm")?.metadata.uid?;
    api.find("PersistentVolume", "", &format!("wsfs-{uid}"))
}

fn is_bound(api: &FakeApi) -> bool {
    claim_of(api)
        .is_some_and(|claim| claim.status.and_then(|status| status.phase).as_deref() == Some("Bound"))
}

fn claim_name(api: &FakeApi) -> Option<String> {
    cache(api, "warm")?.status?.claim_name
}

/// FsCache `warm` of that exposure on FileSystem `near`.
async fn start(exposure: &str) -> (FakeApi, NfsServer, Operator) {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, json!({"exposure": exposure}));
    let operator = Operator::start(&api, "a", config());
    (api, nfs, operator)
}

fn expose(api: &FakeApi, exposure: &str) {
    api.edit("FsCache", SPACE, "warm", |cache| cache["spec"]["exposure"] = json!(exposure));
}

#[tokio::test]
async fn a_cache_has_a_read_only_claim_of_its_name_for_the_nodes_of_its_group() {
    let (api, _nfs, _operator) = start("Claim").await;
    api.until("its claim is bound", is_bound).await;
    let message = until_cache(&api, "warm", "Ready", "Filling").await;
    assert!(message.contains("wait") && !message.contains("read the source"), "{message}");
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    let message = until_cache(&api, "warm", "Ready", "Ready").await;
    assert!(message.contains("claimName: warm"), "{message}");
    assert_eq!(claim_name(&api).as_deref(), Some("warm"));
    let (claim, volume) = (claim_of(&api).unwrap().spec.unwrap(), volume_of(&api).unwrap().spec.unwrap());
    let modes = Some(vec!["ReadOnlyMany".to_string()]);
    assert_eq!((claim.access_modes, volume.access_modes), (modes.clone(), modes));
    assert_eq!(volume.csi.unwrap().read_only, Some(true));
    let affinity = serde_json::to_value(volume.node_affinity).unwrap();
    let term = &affinity["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!((&term["key"], &term["values"]), (&json!("workspacefs.io/node-group"), &json!(["gpu"])));
}

#[tokio::test]
async fn on_a_local_storage_it_is_for_the_nodes_whose_copy_is_whole() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    put_storage(&api, &["n1", "n2"]);
    put_cache(&api, on_nodes(json!({"exposure": "Claim"})));
    let _operator = Operator::start(&api, "a", config());
    api.until("its claim is bound", is_bound).await;
    let affinity = serde_json::to_value(volume_of(&api).unwrap().spec.unwrap().node_affinity).unwrap();
    let term = &affinity["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!(term["key"], format!("cache.workspacefs.io/{SPACE}.warm"));
    let partial_on_n2 = |api: &FakeApi, job: &Value| {
        let mut outcome = well(api, job);
        if errand(job)["node"] == "n2" && !outcome.paths.is_empty() {
            outcome.paths[1].state = workspacefs_api::PathState::Partial;
        }
        outcome
    };
    api.until("both are filled", |api| {
        play(api, partial_on_n2);
        generations(api).iter().filter(|(_, generation)| generation.is_some()).count() == 2
    })
    .await;
    // Transparent, that node would be warm: one path is whole there.
    let message = until_cache(&api, "warm", "Ready", "SomeNodesNotFilled").await;
    assert!(message.contains("on 1 of 2 nodes"), "{message}");
    api.until("one is warm", |api| warm(api) == ["n1"]).await;
    expose(&api, "Transparent");
    api.until("both are warm", |api| warm(api) == ["n1", "n2"]).await;
}

#[tokio::test]
async fn claim_and_volume_that_somebody_deleted_are_made_again() {
    let (api, _nfs, _operator) = start("Claim").await;
    api.until("its claim is bound", is_bound).await;
    let first = claim_of(&api).unwrap().metadata.uid;
    assert!(api.delete("PersistentVolumeClaim", SPACE, "warm"));
    api.until("it is made again", |api| {
        is_bound(api) && claim_of(api).is_some_and(|claim| claim.metadata.uid != first)
    })
    .await;
}

#[tokio::test]
async fn a_claim_of_somebody_else_is_left_alone_and_the_cache_says_so() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    let theirs = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let theirs = api.put(&builders::claim(SPACE, "warm", theirs));
    put_cache(&api, json!({"exposure": "Claim"}));
    let _operator = Operator::start(&api, "a", config());
    until_cache(&api, "warm", "Ready", "NameTaken").await;
    until_moved(&api, "it is filled all the same", |api| has(api, 1)).await;
    let message = until_cache(&api, "warm", "Ready", "NameTaken").await;
    assert!(message.contains("PersistentVolumeClaim warm"), "{message}");
    assert_eq!((volume_of(&api), claim_name(&api)), (None, None));
    assert!(api.delete("FsCache", SPACE, "warm"));
    until_moved(&api, "it is gone", |api| {
        use_on(api, "n1", i64::MAX, &[]);
        cache(api, "warm").is_none()
    })
    .await;
    assert_eq!(claim_of(&api).unwrap().metadata.uid, theirs.metadata.uid);
}

#[tokio::test]
async fn claim_and_volume_go_with_the_cache_and_the_cache_not_before_them() {
    let (api, _nfs, _operator) = start("Claim").await;
    until_moved(&api, "it is filled", |api| has(api, 1) && is_bound(api)).await;
    // As Kubernetes keeps a claim that a pod uses.
    let keep = "example.com/a-pod-uses-it";
    api.edit("PersistentVolumeClaim", SPACE, "warm", |claim| claim["metadata"]["finalizers"] = json!([keep]));
    use_on(&api, "n1", i64::MAX, &[]);
    assert!(api.delete("FsCache", SPACE, "warm"));
    let waits = |api: &FakeApi| {
        let message = cache_condition(api, "warm", "Ready").map(|condition| condition.message);
        message.is_some_and(|message| message.contains("claim warm")) && copies(api).is_empty()
    };
    until_moved(&api, "its copy is gone and its claim waited for", waits).await;
    assert!(volume_of(&api).is_some());
    api.edit("PersistentVolumeClaim", SPACE, "warm", |claim| claim["metadata"]["finalizers"] = json!([]));
    until_moved(&api, "all is gone", |api| {
        cache(api, "warm").is_none() && claim_of(api).is_none() && api.all("PersistentVolume").len() == 2
    })
    .await;
}

#[tokio::test]
async fn a_cache_that_is_transparent_again_has_no_claim_any_more() {
    let (api, _nfs, _operator) = start("Claim").await;
    until_moved(&api, "it is filled", |api| has(api, 1) && is_bound(api)).await;
    expose(&api, "Transparent");
    api.until("both are gone", |api| claim_of(api).is_none() && volume_of(api).is_none()).await;
    api.until("it says so", |api| claim_name(api).is_none()).await;
    let message = until_cache(&api, "warm", "Ready", "Ready").await;
    assert!(message.contains("at their places"), "{message}");
}
