//! The end of FileSystems with files behind them: what waits for what, and where the files go.

use serde_json::{Value, json};
use tonic::Status;
use workspacefs_testkit::{FakeApi, Verb, builders};

use crate::embedded::*;
use crate::world::*;

fn put_managed(api: &FakeApi, name: &str, policy: &str) -> String {
    let mut spec = builders::managed("10Gi");
    spec["reclaimPolicy"] = json!(policy);
    api.put(&builders::file_system(SPACE, name, spec)).metadata.uid.unwrap()
}

fn is_gone(api: &FakeApi) -> bool {
    file_system(api, SPACE, "data").is_none()
}

/// A volume that the CSI controller made on the FileSystem of that uid, bound to a claim of another namespace.
fn put_further_claim(api: &FakeApi, uid: &str) {
    api.put(&builders::namespace("team-b", &[]));
    let class = json!("team-a.data");
    let claim = json!({"volumeName": "pvc-1", "storageClassName": class});
    api.put(&builders::claim("team-b", "scratch", claim));
    let handle = format!("v1.vol.{uid}.pvc-1");
    api.put(&builders::volume(
        "pvc-1",
        json!({
            "storageClassName": class, "claimRef": {"namespace": "team-b", "name": "scratch"},
            "csi": {"driver": "csi.workspacefs.io", "volumeHandle": handle}, "capacity": {"storage": "1Gi"},
        }),
    ));
}

#[tokio::test]
async fn the_folder_ends_last_and_goes_where_the_policy_says() {
    for (policy, kept) in
        [("Retain", "workspaces/"), ("Delete", "trash/"), ("Archive", "archive/team-a-data")]
    {
        let api = api().await;
        let server = Embedded::start(&api).await;
        put_managed(&api, "data", policy);
        let _operator = Operator::start(&api, "a", embedded_config());
        until_bound(&api, "data").await;
        let class: Value = api.find("StorageClass", "", "team-a.data").unwrap();
        let reclaim = if policy == "Retain" { "Retain" } else { "Delete" };
        assert_eq!(class["reclaimPolicy"], reclaim);

        let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
        api.put(&builders::running_pod(SPACE, "user", volumes));
        api.delete("FileSystem", SPACE, "data");
        until_reason(&api, "data", "InUse", "PodsUseIt").await;
        api.until("no further claim begins", |api| api.all("StorageClass").is_empty()).await;
        api.settled(QUIET).await;
        assert_eq!(server.agent.calls("remove"), 0);
        api.delete("Pod", SPACE, "user");
        api.until("it is gone", is_gone).await;
        assert!(api.all("PersistentVolume").is_empty() && claim(&api, SPACE, "data").is_none());
        assert_eq!(server.agent.calls("remove"), 1);
        let now = server.agent.kept();
        assert!(now.len() == 1 && now[0].starts_with(kept), "{policy}: {now:?}");
        api.settled(QUIET).await;
        let told = event_reasons(&api).contains(&"FilesMoved".to_string());
        assert_eq!(told, policy != "Retain");
        let deletes: Vec<_> = writes(&api).into_iter().filter(|r| r.verb == Verb::Delete).collect();
        let order: Vec<_> = deletes.iter().map(|r| r.resource).collect();
        assert_eq!(order, ["storageclasses", "persistentvolumeclaims", "persistentvolumes"]);
    }
}

#[tokio::test]
async fn further_claims_hold_it_and_are_named() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    let uid = put_managed(&api, "data", "Delete");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    put_further_claim(&api, &uid);
    api.delete("FileSystem", SPACE, "data");
    let message = until_reason(&api, "data", "InUse", "ClaimsUseIt").await;
    assert_eq!(message, "1 claim uses it: team-b/scratch. It goes when they are gone");
    api.settled(QUIET).await;
    assert!(at(&claim(&api, SPACE, "data").unwrap(), "/metadata/deletionTimestamp").is_null());
    assert_eq!(server.agent.calls("remove"), 0);
    api.delete("PersistentVolumeClaim", "team-b", "scratch");
    api.until("it is gone", is_gone).await;
    assert_eq!(server.agent.calls("remove"), 1);
    assert!(api.find::<Value>("PersistentVolume", "", "pvc-1").is_some(), "the provisioner's to delete");
}

#[tokio::test]
async fn an_nfs_file_system_waits_for_its_further_claims_too() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let uid = put_nfs(&api, "data", nfs.port).metadata.uid.unwrap();
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    put_further_claim(&api, &uid);
    api.delete("FileSystem", SPACE, "data");
    until_reason(&api, "data", "InUse", "ClaimsUseIt").await;
    api.delete("PersistentVolumeClaim", "team-b", "scratch");
    api.until("it is gone", is_gone).await;
}

#[tokio::test]
async fn while_the_server_is_away_it_stays_and_says_so() {
    let api = api().await;
    let mut server = Embedded::start(&api).await;
    put_managed(&api, "data", "Delete");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    server.agent.refuse(Some(Status::unavailable("the disk is not mounted yet")));
    api.delete("FileSystem", SPACE, "data");
    let waits = |api: &FakeApi, word: &str| {
        condition(api, "data", "Ready").is_some_and(|c| c.reason == "Terminating" && c.message.contains(word))
    };
    api.until("it waits", |api| waits(api, "the disk is not mounted yet")).await;
    server.stop().await;
    server.agent.refuse(None);
    api.until("it waits all the same", |api| waits(api, "onnect")).await;
    assert!(file_system(&api, SPACE, "data").is_some());
    server.resume(&api).await;
    api.until("it is gone", is_gone).await;
    assert_eq!(server.agent.kept().len(), 1);
}

#[tokio::test]
async fn without_the_server_that_has_its_files_it_never_loses_its_finalizer() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    put_managed(&api, "data", "Delete");
    let operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    operator.stop().await;
    // The values name no server any more.
    let operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Ready", "NoServer").await;
    assert!(claim(&api, SPACE, "data").is_some(), "its claim is what pods have");
    api.delete("FileSystem", SPACE, "data");
    api.until("it waits", |api| {
        condition(api, "data", "Ready").is_some_and(|c| c.message.contains("nfsServer.storage.block"))
            && api.all("PersistentVolume").is_empty()
    })
    .await;
    api.settled(QUIET).await;
    assert!(!is_gone(&api));
    operator.stop().await;
    let _operator = Operator::start(&api, "a", embedded_config());
    api.until("it is gone", is_gone).await;
    assert_eq!(server.agent.kept().len(), 1);
}

#[tokio::test]
async fn one_that_cannot_be_read_any_more_keeps_its_files() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    put_managed(&api, "data", "Delete");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    api.edit("FileSystem", SPACE, "data", |fs| fs["spec"]["backend"] = json!("nonsense"));
    let gone = |api: &FakeApi| api.find::<Value>("FileSystem", SPACE, "data").is_none();
    api.delete("FileSystem", SPACE, "data");
    api.until("it is gone", gone).await;
    assert!(server.agent.kept()[0].starts_with("workspaces/"), "{:?}", server.agent.kept());
}

#[tokio::test]
async fn one_that_is_made_again_finds_its_files_in_the_same_namespace_and_nobody_elses_in_another() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    put_managed(&api, "data", "Retain");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    let folder = |api: &FakeApi| at(&file_system(api, SPACE, "data").unwrap(), "/status/share/folder");
    let first = folder(&api);
    api.delete("FileSystem", SPACE, "data");
    api.until("it is gone", is_gone).await;
    put_managed(&api, "data", "Retain");
    until_bound(&api, "data").await;
    assert_eq!(folder(&api), first);
    api.delete("Namespace", "", SPACE);
    api.until("the namespace is gone", |api| api.find::<Value>("Namespace", "", SPACE).is_none()).await;
    api.put(&builders::namespace(SPACE, &[]));
    put_managed(&api, "data", "Retain");
    until_bound(&api, "data").await;
    assert_ne!(folder(&api), first);
    assert_eq!(server.agent.kept(), [first.as_str().unwrap()]);
}

#[tokio::test]
async fn files_of_an_nfs_server_are_held_for_the_csi_controller() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let finalizers = |api: &FakeApi| at(&file_system(api, SPACE, "data").unwrap(), "/metadata/finalizers");
    let mut fs = builders::file_system(SPACE, "data", builders::nfs("127.0.0.1", nfs.port));
    fs.spec.reclaim_policy = workspacefs_api::ReclaimPolicy::Delete;
    api.put(&fs);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    let both = json!(["workspacefs.io/files", "workspacefs.io/filesystem"]);
    assert_eq!(finalizers(&api), both);
    let set =
        writes(&api).into_iter().filter(|r| r.resource == "filesystems" && r.subresource.is_empty()).count();
    assert_eq!(set, 1, "both in one write");

    let policy = |policy: &'static str| {
        api.edit("FileSystem", SPACE, "data", |fs| fs["spec"]["reclaimPolicy"] = json!(policy))
    };
    policy("Retain");
    api.until("nothing is to be moved", |api| finalizers(api) == json!(["workspacefs.io/filesystem"])).await;
    policy("Archive");
    api.until("it is again", |api| finalizers(api).as_array().unwrap().len() == 2).await;
    api.delete("FileSystem", SPACE, "data");
    api.until("ours is off", |api| finalizers(api) == json!(["workspacefs.io/files"])).await;
    assert!(api.all("PersistentVolume").is_empty());
    api.settled(QUIET).await;
    assert_eq!(finalizers(&api), json!(["workspacefs.io/files"]), "the controller's work is not done");
}

#[tokio::test]
async fn what_the_server_keeps_for_one_that_was_torn_away_is_retained_and_the_others_are_left_alone() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    let uid = put_managed(&api, "data", "Delete");
    let stays = put_managed(&api, "other", "Delete");
    let operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    until_bound(&api, "other").await;
    operator.stop().await;
    // As an uninstall does it, and then an administrator.
    api.edit("FileSystem", SPACE, "data", |fs| fs["metadata"]["finalizers"] = json!([]));
    api.delete("FileSystem", SPACE, "data");
    let _operator = Operator::start(&api, "a", embedded_config());
    while server.agent.file_system(&uid).is_some() {
        tokio::time::sleep(QUIET / 4).await;
    }
    assert!(server.agent.kept()[0].starts_with("workspaces/"), "{:?}", server.agent.kept());
    let listed = server.agent.calls("list");
    while server.agent.calls("list") < listed + 5 {
        tokio::time::sleep(QUIET / 4).await;
    }
    assert!(server.agent.file_system(&stays).is_some());
    // Made again, it finds its files.
    put_managed(&api, "data", "Delete");
    until_reason(&api, "data", "QuotaEnforced", "Enforced").await;
    assert!(server.agent.kept().is_empty());
}
