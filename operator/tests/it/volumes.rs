//! FileSystem → PersistentVolume and claim.

use serde_json::{Value, json};
use workspacefs_testkit::builders;

use crate::world::*;

#[tokio::test]
async fn a_file_system_gets_a_bound_volume_and_claim_that_say_what_it_says() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let mut spec = builders::nfs("127.0.0.1", nfs.port);
    spec["nodeGroup"] = json!("gpu");
    spec["capacity"] = json!("2Ti");
    spec["mountOptions"] = json!(["soft"]);
    spec["localCache"] = json!(true);
    spec["owner"] = json!({"uid": 1000, "gid": 1000, "mode": "0770"});
    let fs = api.put(&builders::file_system(SPACE, "data", spec));
    let uid = fs.metadata.uid.unwrap();
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;

    let volume = volume(&api, "data").unwrap();
    assert_eq!(at(&volume, "/metadata/labels/workspacefs.io~1filesystem-uid"), uid.as_str());
    assert_eq!(at(&volume, "/metadata/labels/app.kubernetes.io~1managed-by"), "workspacefs");
    let spec = at(&volume, "/spec");
    assert_eq!(spec["accessModes"], json!(["ReadWriteMany"]));
    assert_eq!(spec["persistentVolumeReclaimPolicy"], "Retain");
    assert_eq!(spec["storageClassName"], "team-a.data");
    assert_eq!(spec["mountOptions"], json!(["soft", "fsc"]));
    assert_eq!(spec["capacity"]["storage"], "2Ti");
    assert_eq!(spec["csi"]["driver"], "csi.workspacefs.io");
    assert_eq!(spec["csi"]["volumeHandle"], format!("v1.fs.{uid}"));
    let attributes = &spec["csi"]["volumeAttributes"];
    assert_eq!((&attributes["fileSystem"], &attributes["ownerUid"]), (&json!("team-a/data"), &json!("1000")));
    let term = spec.pointer("/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0").unwrap();
    assert_eq!(*term, json!({"key": "workspacefs.io/node-group", "operator": "In", "values": ["gpu"]}));

    let claim = claim(&api, SPACE, "data").unwrap();
    assert_eq!(at(&claim, "/spec/volumeName"), format!("wsfs-{uid}"));
    assert_eq!(at(&claim, "/spec/resources/requests/storage"), "2Ti");
    assert_eq!(at(&claim, "/metadata/ownerReferences/0/uid"), uid.as_str());
    assert_eq!(at(&claim, "/metadata/ownerReferences/0/blockOwnerDeletion"), Value::Null);
    assert_eq!(at(&claim, "/status/phase"), "Bound");
    let fs = file_system(&api, SPACE, "data").unwrap();
    assert_eq!(at(&fs, "/status/claimName"), "data");
    assert_eq!(at(&fs, "/metadata/finalizers"), json!(["workspacefs.io/filesystem"]));
}

#[tokio::test]
async fn a_further_claims_volume_gets_the_node_affinity_of_its_file_systems_group_whenever_it_was_made() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let mut spec = builders::nfs("127.0.0.1", nfs.port);
    put_nfs(&api, "anywhere", nfs.port);
    spec["nodeGroup"] = json!("gpu");
    api.put(&builders::file_system(SPACE, "data", spec));
    let put = |name: &str, of: &str| {
        let uid = file_system(&api, SPACE, of).and_then(|fs| fs.metadata.uid).unwrap();
        let csi = json!({"driver": "csi.workspacefs.io", "volumeHandle": format!("v1.vol.{uid}.{name}")});
        let claim = json!({"namespace": SPACE, "name": name});
        api.put(&builders::volume(
            name,
            json!({"csi": csi, "claimRef": claim, "capacity": {"storage": "1Gi"}}),
        ));
    };
    let key = |name: &str| {
        let volume: Value = api.find("PersistentVolume", "", name).unwrap();
        let term = "/spec/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0";
        volume.pointer(term).cloned()
    };
    let gpu = json!({"key": "workspacefs.io/node-group", "operator": "In", "values": ["gpu"]});
    put("pvc-before", "data");
    put("pvc-free", "anywhere");
    let operator = Operator::start(&api, "a", config());
    api.until("the one that was there has it", |_| key("pvc-before") == Some(gpu.clone())).await;
    put("pvc-after", "data");
    api.until("the new one has it", |_| key("pvc-after") == Some(gpu.clone())).await;
    api.settled(QUIET).await;
    assert_eq!(key("pvc-free"), None);
    let patches = || writes(&api).iter().filter(|write| write.name.starts_with("pvc-")).count();
    let before = patches();
    operator.stop().await;
    let _operator = Operator::start(&api, "a", config());
    api.settled(QUIET).await;
    assert_eq!(patches(), before, "what has one is left alone");
}

#[tokio::test]
async fn without_a_capacity_the_claim_shows_the_placeholder_and_a_condition_says_so() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    assert_eq!(at(&volume(&api, "data").unwrap(), "/spec/capacity/storage"), "1Gi");
    let quota = condition(&api, "data", "QuotaEnforced").unwrap();
    assert_eq!((quota.status.as_str(), quota.reason.as_str()), ("False", "Advisory"));
    assert!(quota.message.contains("placeholder"), "{}", quota.message);
}

#[tokio::test]
async fn changed_mount_options_and_capacity_reach_the_volume_and_dropped_ones_leave_it() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    api.edit("FileSystem", SPACE, "data", |fs| {
        fs["spec"]["mountOptions"] = json!(["soft", "timeo=30"]);
        fs["spec"]["capacity"] = json!("1536Gi");
        fs["metadata"]["generation"] = json!(2);
    });
    let options =
        |wished: Value| move |api: &_| at(&volume(api, "data").unwrap(), "/spec/mountOptions") == wished;
    api.until("options set", options(json!(["soft", "timeo=30"]))).await;
    assert_eq!(at(&volume(&api, "data").unwrap(), "/spec/capacity/storage"), "1536Gi");
    api.edit("FileSystem", SPACE, "data", |fs| fs["spec"]["mountOptions"] = Value::Null);
    api.until("options dropped", options(json!([]))).await;
}

#[tokio::test]
async fn a_deleted_claim_is_made_and_bound_again_to_the_same_volume() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    let before = (claim(&api, SPACE, "data").unwrap(), volume(&api, "data").unwrap());
    assert!(api.delete("PersistentVolumeClaim", SPACE, "data"));
    api.until("a new claim", |api| {
        claim(api, SPACE, "data").is_some_and(|new| {
            new.metadata.uid != before.0.metadata.uid && at(&new, "/status/phase") == "Bound"
        })
    })
    .await;
    api.settled(QUIET).await;
    let volume = volume(&api, "data").unwrap();
    assert_eq!(volume.metadata.uid, before.1.metadata.uid, "the volume is another");
    assert_eq!(at(&volume, "/spec/csi"), at(&before.1, "/spec/csi"));
    assert!(has_reason(&api, "data", "Bound"));
    assert!(event_reasons(&api).contains(&"ClaimMadeAgain".to_string()));
}

#[tokio::test]
async fn a_claim_that_is_deleted_under_a_pod_is_made_again_when_the_pod_is_gone() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    api.put(&builders::running_pod(SPACE, "user", volumes));
    api.delete("PersistentVolumeClaim", SPACE, "data");
    let message = until_reason(&api, "data", "Ready", "ClaimTerminating").await;
    assert!(message.contains("Files stay"), "{message}");
    api.delete("Pod", SPACE, "user");
    until_bound(&api, "data").await;
}

#[tokio::test]
async fn a_deleted_volume_is_made_again_and_its_claim_bound_again() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    let before = volume(&api, "data").unwrap();
    let name = before.metadata.name.clone().unwrap();
    // By force, as people do: without the protection it goes at once, and the claim is Lost.
    api.delete("PersistentVolume", "", &name);
    api.edit("PersistentVolume", "", &name, |volume| volume["metadata"]["finalizers"] = json!([]));
    api.until("a new volume, bound", |api| {
        volume(api, "data").is_some_and(|new| {
            new.metadata.uid != before.metadata.uid && at(&new, "/status/phase") == "Bound"
        })
    })
    .await;
    until_bound(&api, "data").await;
}

#[tokio::test]
async fn a_foreign_claim_of_that_name_is_not_touched_and_no_volume_is_put_before_it() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let foreign = api.put(&builders::claim(SPACE, "data", json!({"storageClassName": "team-a.data"})));
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    let message = until_reason(&api, "data", "Ready", "NameTaken").await;
    assert!(message.contains("PersistentVolumeClaim data"), "{message}");
    api.settled(QUIET).await;
    assert_eq!(claim(&api, SPACE, "data").unwrap(), foreign);
    assert!(volume(&api, "data").is_none(), "a volume that the foreign claim could bind");
    assert!(writes(&api).iter().all(|r| !r.resource.starts_with("persistent")), "{:?}", writes(&api));

    // Out of the way: at once, not at some next interval.
    api.delete("PersistentVolumeClaim", SPACE, "data");
    until_bound(&api, "data").await;
}

#[tokio::test]
async fn a_foreign_volume_of_that_name_is_not_touched() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let fs = put_nfs(&api, "data", nfs.port);
    let name = format!("wsfs-{}", fs.metadata.uid.unwrap());
    let foreign = api.put(&builders::volume(&name, json!({"nfs": {"server": "x", "path": "/"}})));
    let _operator = Operator::start(&api, "a", config());
    let message = until_reason(&api, "data", "Ready", "NameTaken").await;
    assert!(message.contains(&name), "{message}");
    api.settled(QUIET).await;
    let now: k8s_openapi::api::core::v1::PersistentVolume = api.find("PersistentVolume", "", &name).unwrap();
    assert_eq!(now, foreign);
    assert!(claim(&api, SPACE, "data").is_none());
}

#[tokio::test]
async fn a_claim_of_an_earlier_file_system_of_the_same_name_is_foreign_until_it_is_gone() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let mut left_over = builders::claim(SPACE, "data", json!({"volumeName": "wsfs-old"}));
    left_over.metadata.labels = Some([("workspacefs.io/filesystem-uid".into(), "old".into())].into());
    api.put(&left_over);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Ready", "NameTaken").await;
    api.delete("PersistentVolumeClaim", SPACE, "data");
    until_bound(&api, "data").await;
}

#[tokio::test]
async fn labels_that_somebody_took_off_our_claim_are_put_back() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    api.edit("PersistentVolumeClaim", SPACE, "data", |claim| claim["metadata"]["labels"] = Value::Null);
    let label = "/metadata/labels/workspacefs.io~1filesystem-uid";
    api.until("the label", |api| at(&claim(api, SPACE, "data").unwrap(), label).is_string()).await;
}

#[tokio::test]
async fn what_the_api_server_refuses_is_said_and_stops_nobody_else() {
    use workspacefs_testkit::{Fault, Moment};
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "quota", nfs.port);
    for nth in 0..2 {
        let _sprung = api.trap(nth, Moment::Before, Fault::Status(403), |request| {
            request.resource == "persistentvolumeclaims" && request.name == "quota"
        });
    }
    put_nfs(&api, "fine", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    let message = until_reason(&api, "quota", "Ready", "Refused").await;
    assert!(message.contains("injected by the test"), "{message}");
    until_bound(&api, "fine").await;
    // The reason went away: the next look finds out.
    until_bound(&api, "quota").await;
}
