//! Backend persistentVolumeClaim: another driver's claim, used as it is.

use serde_json::json;
use workspacefs_testkit::builders;

use crate::files::files_config;
use crate::world::*;

fn put_on_claim(api: &workspacefs_testkit::FakeApi, name: &str, claim: &str) {
    let spec = json!({"backend": {"persistentVolumeClaim": {"claimName": claim}}});
    api.put(&builders::file_system(SPACE, name, spec));
}

fn set_phase(api: &workspacefs_testkit::FakeApi, claim: &str, phase: &str) {
    api.edit("PersistentVolumeClaim", SPACE, claim, |claim| claim["status"]["phase"] = json!(phase));
}

#[tokio::test]
async fn it_is_ready_when_that_claim_is_bound_and_shared_and_follows_it_at_once() {
    let api = api().await;
    put_on_claim(&api, "data", "efs");
    let _operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Ready", "ClaimMissing").await;
    api.put(&builders::claim(SPACE, "efs", json!({"accessModes": ["ReadWriteMany"]})));
    until_reason(&api, "data", "Ready", "ClaimNotBound").await;
    set_phase(&api, "efs", "Bound");
    let message = until_reason(&api, "data", "Ready", "Bound").await;
    assert!(message.contains("claimName: efs"), "{message}");
    assert_eq!(at(&file_system(&api, SPACE, "data").unwrap(), "/status/claimName"), "efs");
    set_phase(&api, "efs", "Lost");
    until_reason(&api, "data", "Ready", "ClaimNotBound").await;
    api.delete("PersistentVolumeClaim", SPACE, "efs");
    until_reason(&api, "data", "Ready", "ClaimMissing").await;
}

#[tokio::test]
async fn a_claim_for_one_node_is_refused_in_words() {
    let api = api().await;
    api.put(&builders::claim(SPACE, "disk", json!({"accessModes": ["ReadWriteOnce"]})));
    put_on_claim(&api, "data", "disk");
    let _operator = Operator::start(&api, "a", config());
    let message = until_reason(&api, "data", "Ready", "ClaimNotShared").await;
    assert!(message.contains("ReadWriteMany"), "{message}");
}

/// The claim of a LocalStorage is ReadWriteMany too. Were it a FileSystem, `files` would show one node's disk for all.
#[tokio::test]
async fn a_claim_on_nodes_own_disks_is_no_file_system() {
    let api = api().await;
    for (claim, metadata) in [
        ("scratch", json!({"labels": {"workspacefs.io/local-storage-uid": "1"}})),
        (
            "mine",
            json!({"annotations": {"volume.kubernetes.io/storage-provisioner": "local.csi.workspacefs.io"}}),
        ),
    ] {
        api.put(&builders::claim(SPACE, claim, json!({"accessModes": ["ReadWriteMany"]})));
        api.edit("PersistentVolumeClaim", SPACE, claim, |claim| {
            for (field, value) in metadata.as_object().unwrap() {
                claim["metadata"][field] = value.clone();
            }
        });
        set_phase(&api, claim, "Bound");
        put_on_claim(&api, &format!("on-{claim}"), claim);
    }
    // Without a word of the claim its volume tells.
    let spec = json!({"accessModes": ["ReadWriteMany"], "volumeName": "disk"});
    api.put(&builders::claim(SPACE, "plain", spec));
    api.put(&builders::volume(
        "disk",
        json!({"csi": {"driver": "local.csi.workspacefs.io", "volumeHandle": "h"}}),
    ));
    set_phase(&api, "plain", "Bound");
    put_on_claim(&api, "on-plain", "plain");
    let _operator = Operator::start(&api, "a", files_config());
    for name in ["on-scratch", "on-mine", "on-plain"] {
        let message = until_reason(&api, name, "Ready", "ClaimIsLocal").await;
        assert!(message.contains("LocalStorage"), "{message}");
        let message = until_reason(&api, name, "FilesReady", "Starting").await;
        assert!(message.contains("LocalStorage"), "{message}");
    }
    api.settled(QUIET).await;
    assert!(api.all("Deployment").is_empty() && api.all("Service").is_empty());
}

#[tokio::test]
async fn files_that_run_are_taken_away_once_it_is_seen_that_their_claim_is_local() {
    let api = api().await;
    api.put(&builders::claim(SPACE, "plain", json!({"accessModes": ["ReadWriteMany"]})));
    set_phase(&api, "plain", "Bound");
    put_on_claim(&api, "data", "plain");
    let _operator = Operator::start(&api, "a", files_config());
    until_reason(&api, "data", "FilesReady", "Starting").await;
    api.until("its files run", |api| !api.all("Deployment").is_empty()).await;
    api.edit("PersistentVolumeClaim", SPACE, "plain", |claim| {
        claim["metadata"]["labels"] = json!({"workspacefs.io/local-storage-uid": "1"});
    });
    until_reason(&api, "data", "Ready", "ClaimIsLocal").await;
    api.until("nothing runs", |api| api.all("Deployment").is_empty() && api.all("Service").is_empty()).await;
    api.settled(QUIET).await;
    assert!(api.all("Deployment").is_empty());
    assert!(at(&file_system(&api, SPACE, "data").unwrap(), "/status/filesAddress").is_null());
}

#[tokio::test]
async fn no_volume_no_claim_and_no_probe_is_made_for_it_and_its_end_touches_nothing() {
    let api = api().await;
    let theirs = api.put(&builders::claim(SPACE, "data", json!({"accessModes": ["ReadWriteMany"]})));
    put_on_claim(&api, "data", "data");
    let _operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Ready", "ClaimNotBound").await;
    assert!(condition(&api, "data", "Reachable").is_none());
    api.delete("FileSystem", SPACE, "data");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
    api.settled(QUIET).await;
    assert_eq!(claim(&api, SPACE, "data").unwrap(), theirs);
    assert!(api.all("PersistentVolume").is_empty());
}

#[tokio::test]
async fn while_pods_use_its_claim_it_stays_and_names_them_and_the_claim_is_never_deleted() {
    let api = api().await;
    let claim_of = |name: &str| json!([{"name": "v", "persistentVolumeClaim": {"claimName": name}}]);
    api.put(&builders::claim(SPACE, "efs", json!({"accessModes": ["ReadWriteMany"]})));
    set_phase(&api, "efs", "Bound");
    let theirs = claim(&api, SPACE, "efs").unwrap();
    put_on_claim(&api, "data", "efs");
    let _operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Ready", "Bound").await;
    api.put(&builders::running_pod(SPACE, "user", claim_of("efs")));
    // Its own name is no claim of it, and inline it is refused: neither uses it.
    api.put(&builders::running_pod(SPACE, "bystander", claim_of("data")));
    let inline = json!([{"name": "v", "csi": {"driver": "csi.workspacefs.io", "volumeAttributes": {"fileSystem": "data"}}}]);
    api.put(&builders::running_pod(SPACE, "refused", inline));

    api.delete("FileSystem", SPACE, "data");
    let message = until_reason(&api, "data", "InUse", "PodsUseIt").await;
    assert_eq!(message, "1 pod uses it: user. It goes when they are gone");
    assert!(has_reason(&api, "data", "Terminating"));
    api.settled(QUIET).await;
    assert!(event_reasons(&api).contains(&"InUse".to_string()));
    // The claim's name stays with it as long as somebody may ask.
    assert_eq!(at(&file_system(&api, SPACE, "data").unwrap(), "/status/claimName"), "efs");

    api.delete("Pod", SPACE, "user");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
    api.settled(QUIET).await;
    assert_eq!(claim(&api, SPACE, "efs").unwrap(), theirs);
}
