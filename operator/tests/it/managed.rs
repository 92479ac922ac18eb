//! FileSystems on the embedded server.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tonic::Status;
use workspacefs_operator::workspace::template::Template;
use workspacefs_testkit::{Verb, builders};

use crate::embedded::*;
use crate::world::*;

/// A FileSystem `name` of that size in [`SPACE`]; its uid.
fn put_managed(api: &workspacefs_testkit::FakeApi, name: &str, capacity: &str) -> String {
    let fs = api.put(&builders::file_system(SPACE, name, builders::managed(capacity)));
    fs.metadata.uid.unwrap()
}

fn set_capacity(api: &workspacefs_testkit::FakeApi, name: &str, capacity: &str) {
    api.edit("FileSystem", SPACE, name, |fs| {
        fs["spec"]["backend"]["managed"]["capacity"] = json!(capacity);
        fs["metadata"]["generation"] = json!(fs["metadata"]["generation"].as_u64().unwrap() + 1);
    });
}

fn request(api: &workspacefs_testkit::FakeApi, name: &str) -> Value {
    at(&claim(api, SPACE, name).unwrap(), "/spec/resources/requests/storage")
}

fn usage(api: &workspacefs_testkit::FakeApi, name: &str) -> Value {
    at(&file_system(api, SPACE, name).unwrap(), "/status/usage")
}

#[tokio::test]
async fn it_gets_a_folder_with_its_size_and_then_what_every_file_system_gets() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    let mut spec = builders::managed("10Gi");
    spec["owner"] = json!({"uid": 1000, "gid": 1000, "mode": "0770"});
    spec["mountOptions"] = json!(["soft"]);
    let uid = api.put(&builders::file_system(SPACE, "data", spec)).metadata.uid.unwrap();
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    until_reason(&api, "data", "Reachable", "Answered").await;

    let namespace: Value = api.find("Namespace", "", SPACE).unwrap();
    let folder = format!("workspaces/{}/data", namespace["metadata"]["uid"].as_str().unwrap());
    let made = server.agent.file_system(&uid).unwrap();
    assert_eq!((made.folder.as_str(), made.capacity_bytes), (folder.as_str(), 10 * GIB));

    let fs = file_system(&api, SPACE, "data").unwrap();
    let share = json!({"server": server.address, "export": "/workspacefs", "folder": folder});
    assert_eq!(at(&fs, "/status/share"), share);
    let volume = at(&volume(&api, "data").unwrap(), "/spec");
    let attributes = &volume["csi"]["volumeAttributes"];
    assert_eq!((&attributes["server"], &attributes["existing"]), (&share["server"], &share["folder"]));
    assert_eq!(volume["csi"]["volumeHandle"], format!("v1.fs.{uid}"));
    assert_eq!(
        (&volume["accessModes"], &volume["capacity"]["storage"]),
        (&json!(["ReadWriteMany"]), &json!("10Gi"))
    );
    assert_eq!(request(&api, "data"), "10Gi");

    let class: Value = api.find("StorageClass", "", "team-a.data").unwrap();
    assert_eq!(class["parameters"], json!({"namespace": SPACE, "fileSystem": "data"}));
    assert_eq!(
        (&class["provisioner"], &class["reclaimPolicy"]),
        (&json!("csi.workspacefs.io"), &json!("Retain"))
    );
    assert_eq!((&class["allowVolumeExpansion"], &class["mountOptions"]), (&json!(true), &json!(["soft"])));

    let quota = condition(&api, "data", "QuotaEnforced").unwrap();
    assert_eq!((quota.status.as_str(), quota.reason.as_str()), ("True", "Enforced"));
    assert_eq!(condition(&api, "data", "Isolated").unwrap().reason, "NotProbed");
    assert!(condition(&api, "data", "Resized").is_none());
    let usage = usage(&api, "data");
    assert_eq!(
        (&usage["capacity"], &usage["used"], &usage["available"]),
        (&json!("10Gi"), &json!("0"), &json!("10240Mi"))
    );
}

#[tokio::test]
async fn without_a_server_it_says_which_values_to_set_and_nothing_is_made() {
    let api = api().await;
    put_managed(&api, "data", "10Gi");
    let _operator = Operator::start(&api, "a", config());
    let message = until_reason(&api, "data", "Ready", "NoServer").await;
    assert!(
        message.contains("nfsServer.storage.block") && message.contains("nfsServer.storage.directory"),
        "{message}"
    );
    api.settled(QUIET).await;
    assert!(api.all("PersistentVolume").is_empty() && api.all("Secret").is_empty());
    // It ends like any other.
    api.delete("FileSystem", SPACE, "data");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
}

#[tokio::test]
async fn what_the_server_says_is_said_and_put_right_when_it_can_be() {
    let api = api().await;
    let mut server = Embedded::start(&api).await;
    server.stop().await;
    put_managed(&api, "data", "10Gi");
    put_managed(&api, "much", "1000Gi");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_reason(&api, "data", "Ready", "ServerUnavailable").await;
    assert!(volume(&api, "data").is_none(), "a volume without a folder");
    server.resume(&api).await;
    until_bound(&api, "data").await;
    let message = until_reason(&api, "much", "Ready", "NoSpace").await;
    assert!(message.contains("bytes left"), "{message}");
    set_capacity(&api, "much", "20Gi");
    until_bound(&api, "much").await;
}

#[tokio::test]
async fn without_a_service_it_waits_for_one() {
    let api = api().await;
    put_managed(&api, "data", "10Gi");
    let _operator = Operator::start(&api, "a", embedded_config());
    let message = until_reason(&api, "data", "Ready", "ServerUnavailable").await;
    assert!(message.contains("no Service workspacefs-nfs in namespace workspacefs-system"), "{message}");
    let _server = Embedded::start(&api).await;
    until_bound(&api, "data").await;
}

#[tokio::test]
async fn a_grown_capacity_reaches_the_server_first_and_then_claim_and_volume() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    let uid = put_managed(&api, "data", "10Gi");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    server.agent.refuse(Some(Status::unavailable("the disk is not mounted yet")));
    set_capacity(&api, "data", "20Gi");
    let message = until_reason(&api, "data", "Resized", "ServerUnavailable").await;
    assert!(message.contains("the disk is not mounted yet"), "{message}");
    assert_eq!(request(&api, "data"), "10Gi", "the claim promises what nobody enforces");
    assert!(has_reason(&api, "data", "Bound"));
    server.agent.refuse(None);
    api.until("the claim asks for it", |api| request(api, "data") == "20Gi").await;
    assert_eq!(server.agent.file_system(&uid).unwrap().capacity_bytes, 20 * GIB);
    // The volume is the resizer's to raise: it would call no driver for one that is large enough already.
    let volume_writes = |api: &workspacefs_testkit::FakeApi| {
        writes(api).iter().filter(|r| r.resource == "persistentvolumes" && r.verb == Verb::Patch).count()
    };
    assert_eq!(volume_writes(&api), 0);
    assert_eq!(at(&volume(&api, "data").unwrap(), "/spec/capacity/storage"), "20Gi");
    api.until("all is well", |api| condition(api, "data", "Resized").is_none()).await;
    assert_eq!(usage(&api, "data")["capacity"], "20Gi");
}

#[tokio::test]
async fn it_shrinks_as_far_as_nothing_is_used_and_its_claim_never() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    let uid = put_managed(&api, "data", "10Gi");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    server.agent.fill(&uid, 4 * GIB, 7);
    set_capacity(&api, "data", "2Gi");
    let message = until_reason(&api, "data", "Resized", "BelowUsage").await;
    assert_eq!(message, format!("the size stays 10Gi, not 2Gi: {} bytes are used", 4 * GIB));
    assert!(has_reason(&api, "data", "Bound"));
    assert_eq!(usage(&api, "data")["capacity"], "10Gi");
    api.settled(QUIET).await;
    assert_eq!(event_reasons(&api).iter().filter(|reason| *reason == "BelowUsage").count(), 1);

    set_capacity(&api, "data", "5Gi");
    api.until("it has shrunk", |api| usage(api, "data")["capacity"] == "5Gi").await;
    api.until("and nothing is amiss", |api| condition(api, "data", "Resized").is_none()).await;
    assert_eq!(server.agent.file_system(&uid).unwrap().capacity_bytes, 5 * GIB);
    assert_eq!(request(&api, "data"), "10Gi");

    // A volume that is lost then is made as large as the claim says, or they would not be bound.
    let name = volume(&api, "data").unwrap().metadata.name.unwrap();
    api.delete("PersistentVolume", "", &name);
    api.edit("PersistentVolume", "", &name, |volume| volume["metadata"]["finalizers"] = json!([]));
    api.until("bound again", |api| {
        volume(api, "data").is_some_and(|volume| at(&volume, "/status/phase") == "Bound")
    })
    .await;
    assert_eq!(at(&volume(&api, "data").unwrap(), "/spec/capacity/storage"), "10Gi");
}

#[tokio::test]
async fn a_claim_that_may_not_grow_says_why_and_the_server_enforces_the_size_all_the_same() {
    use workspacefs_testkit::{Fault, Moment};
    let api = api().await;
    let server = Embedded::start(&api).await;
    let uid = put_managed(&api, "data", "10Gi");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    let _sprung = api.trap(0, Moment::Before, Fault::Status(403), |request| {
        request.resource == "persistentvolumeclaims" && request.verb == Verb::Patch
    });
    set_capacity(&api, "data", "20Gi");
    let message = until_reason(&api, "data", "Resized", "ClaimRefused").await;
    assert!(message.contains("injected by the test"), "{message}");
    assert_eq!(server.agent.file_system(&uid).unwrap().capacity_bytes, 20 * GIB);
    api.until("the next look succeeds", |api| request(api, "data") == "20Gi").await;
}

#[tokio::test]
async fn many_file_systems_cost_the_server_one_question_an_interval_and_the_api_server_none() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    for i in 0..10 {
        put_managed(&api, &format!("data-{i}"), "1Gi");
    }
    let mut config = embedded_config();
    config.usage_interval = Duration::from_millis(500);
    let _operator = Operator::start(&api, "a", config);
    for i in 0..10 {
        until_bound(&api, &format!("data-{i}")).await;
        until_reason(&api, &format!("data-{i}"), "Reachable", "Answered").await;
    }
    api.settled(QUIET).await;
    // One that has just been made is made once; a pass that saw the object as it was before may ask again.
    assert!(server.agent.calls("ensure") <= 20, "{}", server.agent.calls("ensure"));
    let (before, ensured, listed) =
        (requests(&api).len(), server.agent.calls("ensure"), server.agent.calls("list"));
    sleep(Duration::from_millis(2200)).await;
    assert_eq!(server.agent.calls("ensure"), ensured);
    let asked = server.agent.calls("list") - listed;
    assert!((3..=5).contains(&asked), "asked {asked} times in 2.2 s");
    let after = requests(&api);
    assert_eq!(after.len(), before, "{:?}", &after[before..]);
}

#[tokio::test]
async fn an_operator_that_starts_where_all_is_well_makes_nothing_again() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    let uid = put_managed(&api, "data", "10Gi");
    let operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    until_reason(&api, "data", "Reachable", "Answered").await;
    server.agent.put_claim(&uid, "pvc-1", GIB, GIB - 1);
    api.until("the claim is shown", |api| usage(api, "data")["claims"][0]["volume"] == "pvc-1").await;
    api.settled(QUIET).await;
    operator.stop().await;
    let (before, asked) = (writes(&api).len(), server.agent.calls("list"));
    let _operator = Operator::start(&api, "a", embedded_config());
    while server.agent.calls("list") < asked + 3 {
        sleep(Duration::from_millis(20)).await;
    }
    api.settled(QUIET).await;
    assert_eq!(writes(&api).len(), before, "{:#?}", &writes(&api)[before..]);
    assert_eq!(server.agent.calls("ensure"), 1);
}

#[tokio::test]
async fn usage_is_shown_when_it_has_moved_and_each_crossing_is_told_once() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    let uid = put_managed(&api, "data", "10Gi");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    api.until("usage is known", |api| usage(api, "data")["used"] == "0").await;

    server.agent.fill(&uid, 1 << 20, 5);
    let listed = server.agent.calls("list");
    while server.agent.calls("list") < listed + 3 {
        sleep(Duration::from_millis(20)).await;
    }
    api.settled(QUIET).await;
    assert_eq!(usage(&api, "data")["used"], "0", "a status for every megabyte");

    server.agent.fill(&uid, 93 * GIB / 10, 5);
    api.until("it is shown", |api| usage(api, "data")["used"] == "9524Mi").await;
    until_reason(&api, "data", "QuotaEnforced", "NearlyFull").await;
    server.agent.put_claim(&uid, "pvc-1", GIB / 2, GIB / 2 - GIB / 20);
    api.until("the claim is shown", |api| usage(api, "data")["claims"][0]["capacity"] == "512Mi").await;
    server.agent.put_claim(&uid, "pvc-1", GIB / 2, GIB / 2);
    server.agent.fill(&uid, 95 * GIB / 10, 5);
    until_reason(&api, "data", "QuotaEnforced", "Full").await;
    server.agent.fill(&uid, 94 * GIB / 10, 5);
    api.until("some of it is free", |api| usage(api, "data")["used"] == "9626Mi").await;
    api.settled(QUIET).await;
    let events = event_reasons(&api);
    for reason in ["NearlyFull", "Full", "ClaimNearlyFull", "ClaimFull"] {
        assert_eq!(events.iter().filter(|event| *event == reason).count(), 1, "{reason}: {events:?}");
    }
    assert_eq!(condition(&api, "data", "QuotaEnforced").unwrap().status, "True");
}

#[tokio::test]
async fn a_server_that_is_lost_with_its_node_says_how_to_get_it_back() {
    let api = api().await;
    let mut server = Embedded::start(&api).await;
    put_managed(&api, "data", "10Gi");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    until_reason(&api, "data", "Reachable", "Answered").await;
    let asked =
        |r: &workspacefs_testkit::Request| r.resource == "nodes" && r.verb == workspacefs_testkit::Verb::Get;
    assert!(!requests(&api).iter().any(asked), "its node is looked at though all is well");
    let mut pod = builders::running_pod(SYSTEM, "workspacefs-nfs-0", json!([]));
    pod.status.get_or_insert_default().container_statuses = Some(vec![]);
    api.put(&pod);
    api.put(&builders::node("n1", "Unknown"));
    server.stop().await;
    let message = until_reason(&api, "data", "Reachable", "ServerNodeLost").await;
    assert!(message.contains("out-of-service"), "{message}");
    assert!(has_reason(&api, "data", "Bound"), "a server that is away does not unbind the claim");
    server.resume(&api).await;
    until_reason(&api, "data", "Reachable", "Answered").await;
}

#[tokio::test]
async fn a_service_with_another_address_says_how_to_bring_the_old_one_back() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    put_managed(&api, "data", "10Gi");
    let operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    let was = server.address.clone();
    drop(server);
    operator.stop().await;
    let other = fresh_address();
    let moved = Embedded::at(&api, &other).await;
    let _operator = Operator::start(&api, "a", embedded_config());
    let message = until_reason(&api, "data", "Ready", "ServerMoved").await;
    assert!(message.contains(&was) && message.contains(&other), "{message}");
    let fs = file_system(&api, SPACE, "data").unwrap();
    assert_eq!(at(&fs, "/status/share/server"), was.as_str(), "the status parts from the volume");
    drop(moved);
}

#[tokio::test]
async fn a_folder_that_is_gone_is_made_again_and_somebody_hears_of_it() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    let uid = put_managed(&api, "data", "10Gi");
    let _operator = Operator::start(&api, "a", embedded_config());
    until_bound(&api, "data").await;
    server.agent.fill(&uid, GIB, 700);
    api.until("it is shown", |api| usage(api, "data")["inodesUsed"] == 700).await;
    server.agent.wipe();
    api.until("it is empty", |api| usage(api, "data")["inodesUsed"] == 1).await;
    assert!(server.agent.file_system(&uid).is_some());
    api.settled(QUIET).await;
    assert_eq!(event_reasons(&api).iter().filter(|reason| *reason == "FolderMadeAgain").count(), 1);
}

#[tokio::test]
async fn every_workspace_gets_one_where_the_template_says_so() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    let template = Template::parse(builders::managed("10Gi")).unwrap();
    let mut config = embedded_config();
    config.default_file_system = Some(template);
    let _operator = Operator::start(&api, "a", config);
    for name in ["work-a", "work-b"] {
        api.put(&builders::namespace(name, &[("workspacefs.io/workspace", "true")]));
    }
    for name in ["work-a", "work-b"] {
        api.until(name, |api| {
            file_system(api, name, "default")
                .is_some_and(|fs| fs.condition("Ready").is_some_and(|c| c.status == "True"))
        })
        .await;
    }
    assert_eq!(server.agent.all().len(), 2);
}

#[tokio::test]
async fn adopting_what_nobody_retained_says_so_and_what_was_retained_is_taken_over() {
    let api = api().await;
    let _server = Embedded::start(&api).await;
    let _operator = Operator::start(&api, "a", embedded_config());
    put_managed(&api, "old", "10Gi");
    until_bound(&api, "old").await;
    let namespace: Value = api.find("Namespace", "", SPACE).unwrap();
    let key = format!("{}/old", namespace["metadata"]["uid"].as_str().unwrap());
    let mut spec = builders::managed("10Gi");
    spec["backend"]["managed"]["adopt"] = json!(key);
    api.put(&builders::file_system(SPACE, "new", spec));
    until_reason(&api, "new", "Ready", "NotAdopted").await;
    api.delete("FileSystem", SPACE, "old");
    until_bound(&api, "new").await;
    let fs = file_system(&api, SPACE, "new").unwrap();
    assert_eq!(at(&fs, "/status/share/folder"), format!("workspaces/{key}"));
}
