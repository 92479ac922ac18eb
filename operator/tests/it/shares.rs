//! How full a share is, as the CSI controller writes it into the status of its FileSystems: the operator tells of it, and
//! neither takes it away nor writes it itself.

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use workspacefs_api::FileSystem;
use workspacefs_testkit::FakeApi;

use crate::world::*;

/// As the CSI controller tells it.
async fn tell(api: &FakeApi, name: &str, used_gib: u64) {
    let usage = json!({
        "scope": "Share", "capacity": "100Gi", "used": format!("{used_gib}Gi"), "inodes": 0, "inodesUsed": 0,
        "available": format!("{}Gi", 100 - used_gib), "observedAt": "2026-08-01T00:00:00Z",
    });
    let patch = json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem", "metadata": {"name": name},
        "status": {"usage": usage},
    });
    let all: Api<FileSystem> = Api::namespaced(api.client_as("controller"), SPACE);
    let by = PatchParams::apply("workspacefs-csi-controller-usage").force();
    all.patch_status(name, &by, &Patch::Apply(&patch)).await.unwrap();
}

fn used(api: &FakeApi) -> Value {
    at(&file_system(api, SPACE, "data").unwrap(), "/status/usage/used")
}

fn told(api: &FakeApi, reason: &str) -> usize {
    event_reasons(api).iter().filter(|told| *told == reason).count()
}

async fn gone(api: &FakeApi) {
    api.until("there is space again", |api| condition(api, "data", "SpaceLow").is_none()).await;
}

#[tokio::test]
async fn each_rise_of_a_share_is_one_event_and_again_after_it_fell() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    tell(&api, "data", 50).await;
    api.settled(QUIET).await;
    assert!(condition(&api, "data", "SpaceLow").is_none());
    assert_eq!((told(&api, "NearlyFull"), told(&api, "Full")), (0, 0));

    tell(&api, "data", 91).await;
    let message = until_reason(&api, "data", "SpaceLow", "NearlyFull").await;
    assert!(message.contains("127.0.0.1:/export") && message.contains("as a whole"), "{message}");
    tell(&api, "data", 92).await;
    tell(&api, "data", 88).await;
    api.settled(QUIET).await;
    assert_eq!((told(&api, "NearlyFull"), told(&api, "Full")), (1, 0), "{:?}", event_reasons(&api));
    // An operator that starts anew has told it already.
    operator.stop().await;
    let _operator = Operator::start(&api, "a", config());
    tell(&api, "data", 93).await;
    api.settled(QUIET).await;
    assert_eq!(told(&api, "NearlyFull"), 1, "{:?}", event_reasons(&api));

    tell(&api, "data", 100).await;
    until_reason(&api, "data", "SpaceLow", "Full").await;
    tell(&api, "data", 95).await;
    until_reason(&api, "data", "SpaceLow", "NearlyFull").await;
    api.settled(QUIET).await;
    assert_eq!((told(&api, "NearlyFull"), told(&api, "Full")), (1, 1), "{:?}", event_reasons(&api));

    tell(&api, "data", 20).await;
    gone(&api).await;
    tell(&api, "data", 90).await;
    until_reason(&api, "data", "SpaceLow", "NearlyFull").await;
    api.settled(QUIET).await;
    let warnings = api.all("Event").into_iter().filter(|event| event["reason"] == "NearlyFull");
    let times: u64 = warnings.map(|event| event["series"]["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(times, 2, "it is told again: {:?}", event_reasons(&api));
}

#[tokio::test]
async fn the_operators_writes_leave_a_shares_figures_and_it_never_owns_them() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    tell(&api, "data", 91).await;
    until_reason(&api, "data", "SpaceLow", "NearlyFull").await;
    nfs.stop().await;
    // Whatever it writes now.
    until_reason(&api, "data", "Reachable", "Refused").await;
    assert_eq!(used(&api), "91Gi");
    api.settled(QUIET).await;
    let before = writes(&api).len();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(writes(&api).len(), before, "figures of others are no reason to write again and again");
    // What is none of its kinds any more keeps them, too, and they are still the controller's to take away.
    api.edit("FileSystem", SPACE, "data", |fs| fs["spec"]["mountOptions"] = json!(["sec=none"]));
    until_reason(&api, "data", "Ready", "Invalid").await;
    assert_eq!(used(&api), "91Gi");
    let all: Api<FileSystem> = Api::namespaced(api.client_as("controller"), SPACE);
    let patch = json!({"apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem",
        "metadata": {"name": "data"}, "status": {}});
    let by = PatchParams::apply("workspacefs-csi-controller-usage").force();
    all.patch_status("data", &by, &Patch::Apply(&patch)).await.unwrap();
    api.settled(QUIET).await;
    assert_eq!(used(&api), Value::Null, "the operator had applied them as its own");
}
