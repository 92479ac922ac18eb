//! What an uninstall begins with.

use std::time::Duration;

use serde_json::{Value, json};
use workspacefs_operator::Replica;
use workspacefs_operator::retire::{RetireError, retire};
use workspacefs_testkit::{FakeApi, Fault, Moment, Verb, builders};

use crate::world::*;

const PATIENCE: Duration = Duration::from_secs(15);

fn put_deployment(api: &FakeApi) {
    api.put(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": SYSTEM, "name": "workspacefs-operator"}, "spec": {"replicas": 2},
    }));
}

fn replicas(api: &FakeApi) -> Value {
    api.find::<Value>("Deployment", SYSTEM, "workspacefs-operator").unwrap()["spec"]["replicas"].clone()
}

fn finalizers(api: &FakeApi) -> Vec<Value> {
    api.all("FileSystem").iter().map(|fs| fs["metadata"]["finalizers"].clone()).collect()
}

async fn try_to_retire(api: &FakeApi) -> Result<(), RetireError> {
    retire_as(api, "retire").await
}

async fn retire_as(api: &FakeApi, name: &str) -> Result<(), RetireError> {
    let replica = Replica { identity: name.into(), namespace: SYSTEM.into(), times: QUICK_LEASE };
    retire(api.client_as(name), replica, PATIENCE).await
}

/// FileSystems in two namespaces with all kinds of finalizers.
fn put_file_systems(api: &FakeApi) {
    put_deployment(api);
    api.put(&builders::namespace("team-b", &[]));
    for (namespace, name, held) in [
        (SPACE, "data", json!(["workspacefs.io/filesystem"])),
        (SPACE, "files", json!(["workspacefs.io/filesystem", "workspacefs.io/files"])),
        (SPACE, "fresh", json!(null)),
        ("team-b", "theirs", json!(["example.com/theirs", "workspacefs.io/filesystem"])),
    ] {
        let mut fs = builders::file_system(namespace, name, builders::nfs("s", 2049));
        fs.metadata.finalizers = serde_json::from_value(held).unwrap();
        api.put(&fs);
    }
    let mut cache = builders::fs_cache(SPACE, "warm", crate::cache::spec(json!({})));
    cache.metadata.finalizers = Some(vec!["workspacefs.io/fscache".into()]);
    api.put(&cache);
    let mut storage = builders::local_storage("fast", crate::local::spec(json!({})));
    storage.metadata.finalizers = Some(vec!["workspacefs.io/local-storage".into()]);
    api.put(&storage);
    // One that stays, and one whose node has not moved the files away yet.
    api.put(&builders::local_volume("uid", "n1", "data"));
    api.put(&builders::local_volume("uid", "gone", "leaving"));
    api.delete("LocalVolume", "", "volume-leaving");
}

fn is_retired(api: &FakeApi) -> bool {
    let lease: Option<Value> = api.find("Lease", SYSTEM, "workspacefs-operator");
    let free = lease.is_some_and(|lease| lease["spec"]["holderIdentity"].is_null());
    let ours = |list: &Value| {
        list.as_array().is_some_and(|f| f.iter().any(|f| f.as_str().unwrap().starts_with("workspacefs.io/")))
    };
    let local = crate::local::storage(api, "fast").and_then(|storage| storage.metadata.finalizers);
    free && replicas(api) == 0
        && !finalizers(api).iter().any(ours)
        && local.is_none_or(|held| held.is_empty())
        && !api.all("FsCache").iter().any(|cache| ours(&cache["metadata"]["finalizers"]))
        && !api.all("LocalVolume").iter().any(|volume| ours(&volume["metadata"]["finalizers"]))
}

#[tokio::test]
async fn while_pods_use_file_systems_it_refuses_names_them_and_changes_nothing() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_deployment(&api);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    let by_claim = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    api.put(&builders::running_pod(SPACE, "user", by_claim));
    api.put(&builders::namespace("team-b", &[]));
    let inline = json!([{"name": "v", "csi": {"driver": "csi.workspacefs.io", "volumeAttributes": {"fileSystem": "x"}}}]);
    api.put(&builders::running_pod("team-b", "inline", inline));
    api.settled(QUIET).await;
    let refused = try_to_retire(&api).await.unwrap_err().to_string();
    assert!(
        refused.contains("2 pods use FileSystems") && refused.contains("team-a/user, team-b/inline"),
        "{refused}"
    );
    assert!(!api.requests().iter().any(|r| r.client == "retire" && r.is_write()));
    assert_eq!(replicas(&api), 2);
}

#[tokio::test]
async fn it_stops_the_operator_waits_for_its_lease_and_frees_every_file_system() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_deployment(&api);
    put_nfs(&api, "data", nfs.port);
    let operator = Operator::with_lease(&api, "a", config(), QUICK_LEASE);
    until_bound(&api, "data").await;
    let kubelet = async {
        api.until("it is scaled down", |api| replicas(api) == 0).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!finalizers(&api)[0].is_null(), "freed while an operator leads");
        operator.stop().await;
    };
    let (retired, ()) = tokio::join!(try_to_retire(&api), kubelet);
    retired.unwrap();
    assert!(is_retired(&api), "{}", api.dump());
    assert_eq!(api.all("PersistentVolume").len(), 1, "volumes stay");
    assert!(claim(&api, SPACE, "data").is_some());
    // Again: nothing to do.
    let before = finalizers(&api);
    try_to_retire(&api).await.unwrap();
    assert_eq!(finalizers(&api), before);
}

#[tokio::test]
async fn a_pod_on_a_local_claim_stops_it_and_without_one_local_storages_are_freed_too() {
    let api = api().await;
    put_deployment(&api);
    let operator = Operator::with_lease(&api, "a", config(), QUICK_LEASE);
    crate::local::put_ready(&api, "fast");
    crate::local::until_claim(&api, "work", "fast").await;
    let by_claim = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "fast"}}]);
    api.put(&builders::running_pod("work", "user", by_claim));
    let refused = try_to_retire(&api).await.unwrap_err().to_string();
    assert!(refused.contains("1 pod uses") && refused.contains("work/user"), "{refused}");
    let held = |api: &FakeApi| crate::local::storage(api, "fast").unwrap().metadata.finalizers;
    assert_eq!(held(&api), Some(vec!["workspacefs.io/local-storage".into()]));

    api.delete("Pod", "work", "user");
    let kubelet = async {
        api.until("it is scaled down", |api| replicas(api) == 0).await;
        operator.stop().await;
    };
    let (retired, ()) = tokio::join!(try_to_retire(&api), kubelet);
    retired.unwrap();
    assert!(held(&api).is_none_or(|held| held.is_empty()), "{:?}", held(&api));
    assert!(claim(&api, "work", "fast").is_some(), "claims stay");
    assert_eq!(crate::local::labelled(&api, "fast"), ["n1"], "labels stay");
}

#[tokio::test]
async fn finalizers_of_others_stay_and_an_object_that_changes_meanwhile_is_freed_all_the_same() {
    let api = api().await;
    put_file_systems(&api);
    let _conflict = api.trap(0, Moment::Before, Fault::Status(409), |r| r.resource == "filesystems");
    try_to_retire(&api).await.unwrap();
    assert!(is_retired(&api), "{}", api.dump());
    let volumes = api.all("LocalVolume").into_iter().map(|volume| volume["metadata"]["name"].clone());
    assert_eq!(volumes.collect::<Vec<_>>(), ["volume-data"], "what nobody deleted stays");
    let theirs = finalizers(&api).into_iter().filter(|list| !list.is_null() && *list != json!([]));
    assert_eq!(theirs.collect::<Vec<_>>(), [json!(["example.com/theirs"])]);
}

#[tokio::test]
async fn a_pod_that_comes_at_the_last_moment_stops_it_and_the_operator_goes_on() {
    let api = api().await;
    put_file_systems(&api);
    let volumes = json!([{"name": "v", "csi": {"driver": "csi.workspacefs.io"}}]);
    let pod = async {
        api.until("it is scaled down", |api| replicas(api) == 0).await;
        api.put(&builders::running_pod(SPACE, "late", volumes));
    };
    // Somebody leads, so that there is a last moment.
    let holder = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"namespace": SYSTEM, "name": "workspacefs-operator"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 1},
    });
    api.put(&holder);
    let (retired, ()) = tokio::join!(try_to_retire(&api), pod);
    assert!(matches!(retired, Err(RetireError::InUse(_))), "{retired:?}");
    assert_eq!(replicas(&api), 2);
    assert_eq!(finalizers(&api)[0], json!(["workspacefs.io/filesystem"]));
}

#[tokio::test]
async fn killed_at_any_write_the_next_try_completes_it() {
    let mut struck = 0;
    for nth in 0.. {
        let mut there = false;
        for moment in [Moment::Before, Moment::After] {
            let api = api().await;
            put_file_systems(&api);
            let sprung = api.trap(nth, moment, Fault::Hold, |r| r.client == "first");
            tokio::select! {
                done = retire_as(&api, "first") => done.unwrap(),
                _ = sprung => there = true,
            }
            try_to_retire(&api).await.unwrap();
            assert!(is_retired(&api), "killed at write {nth}, {moment:?}: {}", api.dump());
        }
        if !there {
            break;
        }
        struck += 1;
    }
    assert!(struck >= 8, "only {struck} writes");
}

#[tokio::test]
async fn it_gives_up_in_time_while_an_operator_leads() {
    let api = api().await;
    put_file_systems(&api);
    let _operator = Operator::with_lease(&api, "a", config(), QUICK_LEASE);
    api.until("it leads", |api| !api.all("Lease").is_empty()).await;
    let replica = Replica { identity: "retire".into(), namespace: SYSTEM.into(), times: QUICK_LEASE };
    let late = retire(api.client_as("retire"), replica, Duration::from_secs(2)).await;
    assert!(matches!(late, Err(RetireError::Late(_))), "{late:?}");
}

/// A pod of `files` on a node, and the Deployment that it is of.
fn put_files(api: &FakeApi) {
    let uid = file_system(api, SPACE, "data").unwrap().metadata.uid;
    let labels =
        json!({"app.kubernetes.io/component": "files", "app.kubernetes.io/managed-by": "workspacefs"});
    api.put(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "spec": {},
        "metadata": {
            "namespace": SPACE, "name": "files-data", "labels": labels,
            "ownerReferences": [{"apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem", "name": "data", "uid": uid}],
        },
    }));
    let inline = json!([{"name": "v", "csi": {"driver": "csi.workspacefs.io", "volumeAttributes": {"fileSystem": "data"}}}]);
    let mut pod = builders::running_pod(SPACE, "files-data-x", inline);
    pod.metadata.labels = serde_json::from_value(labels).unwrap();
    api.put(&pod);
}

#[tokio::test]
async fn what_runs_files_is_ended_first_and_holds_nothing_up() {
    let api = api().await;
    put_file_systems(&api);
    put_files(&api);
    let retiring = try_to_retire(&api);
    let ending = async {
        api.until("the Deployment is gone", |api| {
            api.find::<Value>("Deployment", SPACE, "files-data").is_none()
        })
        .await;
        assert!(finalizers(&api).iter().any(|held| !held.is_null()), "its pod still has it mounted");
        // As the garbage collector does.
        api.delete("Pod", SPACE, "files-data-x");
    };
    let (retired, ()) = tokio::join!(retiring, ending);
    retired.unwrap();
    assert_eq!(replicas(&api), json!(0));
}

#[tokio::test]
async fn while_others_use_a_file_system_what_runs_files_stays() {
    let api = api().await;
    put_file_systems(&api);
    put_files(&api);
    let inline = json!([{"name": "v", "csi": {"driver": "csi.workspacefs.io", "volumeAttributes": {"fileSystem": "data"}}}]);
    api.put(&builders::running_pod(SPACE, "user", inline));
    let refused = try_to_retire(&api).await.unwrap_err();
    assert!(
        matches!(&refused, RetireError::InUse(users) if *users == [format!("{SPACE}/user")]),
        "{refused}"
    );
    assert!(api.find::<Value>("Deployment", SPACE, "files-data").is_some());
}

#[tokio::test]
async fn what_somebody_labelled_as_ours_stays() {
    let api = api().await;
    put_file_systems(&api);
    let labels =
        json!({"app.kubernetes.io/component": "files", "app.kubernetes.io/managed-by": "workspacefs"});
    for name in ["files-theirs", "database"] {
        api.put(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "spec": {},
            "metadata": {"namespace": SPACE, "name": name, "labels": labels},
        }));
    }
    let mut pod = builders::running_pod(SPACE, "database-x", json!([]));
    pod.metadata.labels = serde_json::from_value(labels).unwrap();
    api.put(&pod);
    try_to_retire(&api).await.unwrap();
    for name in ["files-theirs", "database"] {
        assert!(api.find::<Value>("Deployment", SPACE, name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn where_files_were_never_on_it_has_no_right_to_look_for_them_and_goes_on() {
    let api = api().await;
    put_file_systems(&api);
    api.forbid(|r| r.resource == "deployments" && r.subresource.is_empty());
    try_to_retire(&api).await.unwrap();
    assert!(is_retired(&api), "{}", api.dump());
}

#[tokio::test]
async fn whatever_goes_wrong_the_operator_goes_on() {
    let api = api().await;
    put_file_systems(&api);
    api.forbid(|r| r.resource == "fscaches" && r.verb == Verb::Patch && r.client == "retire");
    let failed = try_to_retire(&api).await;
    assert!(matches!(failed, Err(RetireError::Api { .. })), "{failed:?}");
    assert_eq!(replicas(&api), 2);
    api.permit();
    // Somebody leads who does not end.
    let _operator = Operator::with_lease(&api, "a", config(), QUICK_LEASE);
    api.until("it leads", |api| {
        api.find::<Value>("Lease", SYSTEM, "workspacefs-operator")
            .is_some_and(|lease| lease["spec"]["holderIdentity"] == "a")
    })
    .await;
    let replica = Replica { identity: "retire".into(), namespace: SYSTEM.into(), times: QUICK_LEASE };
    let late = retire(api.client_as("retire"), replica, Duration::from_secs(2)).await;
    assert!(matches!(late, Err(RetireError::Late(_))), "{late:?}");
    assert_eq!(replicas(&api), 2);
}
