//! The calls of a login, and of what goes with storage.

use serde_json::json;
use workspacefs_testkit::builders;

use super::{BASE, Lep, request};
use crate::world::{JANE, JOE, READER};

/// A ServiceAccount of `ws`.
const ROBOT: &str = "token-of-robot";
/// One of a namespace that is no workspace.
const STRANGER: &str = "token-of-stranger";

#[tokio::test]
async fn the_base_names_the_workspace_in_json() {
    let lep = Lep::start().await;
    for path in ["", "/"] {
        let said = lep.ask("GET", path).await;
        assert_eq!((said.status.as_u16(), said.json()), (200, json!({"display_name": "ws"})));
    }
    for (token, status) in [(READER, 200), (JOE, 404), ("nobodys", 401)] {
        let said = lep.ask_as(token, "GET", "").await;
        assert_eq!(said.status.as_u16(), status, "{token}");
        assert_eq!(said.header("content-type"), "application/json", "never a page");
    }
}

#[tokio::test]
async fn there_is_no_list_of_tokens() {
    let lep = Lep::start().await;
    assert_eq!(lep.ask("GET", "/tokens").await.json(), json!([]));
    assert_eq!(lep.ask_as("nobodys", "GET", "/tokens").await.status, 401);
}

#[tokio::test]
async fn a_workspace_has_all_that_the_clients_schema_asks_for() {
    let lep = Lep::start().await;
    let said = lep.ask("GET", "/workspace").await.json();
    for text in ["build_time", "git_commit", "workspace_name", "workspace_tier"] {
        assert!(said[text].is_string(), "{text}");
    }
    assert_eq!((&said["workspace_name"], &said["workspace_state"]), (&json!("ws"), &json!("normal")));
    assert_eq!(said["git_commit"].as_str().unwrap().split('.').count(), 3);
    assert!(said["workspace_disk_usage_bytes"].is_u64() && said["supported_shapes"] == json!({}));
    for count in ["photons", "deployments", "jobs", "pods", "secrets", "image_pull_secrets"] {
        assert!(said["workloads"][format!("num_{count}")].is_u64(), "{count}");
    }
    for quota in ["limit", "used"] {
        let (resources, services) = (&said["resource_quota"][quota], &said["service_quota"][quota]);
        assert!(resources["cpu"].is_f64() && resources["memory"].is_u64(), "{resources}");
        assert!(resources["accelerator_num"].is_f64());
        assert!(services["kv_store_num"].is_u64() && services["queue_num"].is_u64());
    }
}

#[tokio::test]
async fn node_groups_have_metadata_spec_and_status_and_their_volumes() {
    let lep = Lep::start().await;
    let mut fs = builders::file_system("ws", "fast", builders::managed("10Gi"));
    fs.spec.node_group = Some("gpu".into());
    lep.world.api.put(&fs);
    lep.world.api.grant("team", &["get", "list"], "filesystems/files", "ws", "fast");
    let spec =
        |ws| json!({"nodeGroup": "cpu", "source": {"directory": {"path": "/mnt/x"}}, "workspaces": [ws]});
    lep.world.api.put(&builders::local_storage("nvme", spec("ws")));
    lep.world.api.put(&builders::local_storage("others", spec("other")));
    lep.world.sees(|objects| objects.storages("ws").len() == 1 && objects.file_systems_of("ws") == 2).await;
    let said = lep.ask("GET", "/dedicated-node-groups").await.json();
    let expected = json!([
        {"metadata": {"id": "cpu", "name": "cpu"}, "status": {},
         "spec": {"volumes": [{"from": "local", "name": "nvme", "size_in_gb": 0}]}},
        {"metadata": {"id": "gpu", "name": "gpu"}, "status": {},
         "spec": {"volumes": [{"from": "nfs", "name": "fast", "size_in_gb": 10}]}},
    ]);
    assert_eq!(said, expected);
}

#[tokio::test]
async fn without_a_workspace_in_the_address_the_token_must_be_a_service_accounts() {
    let lep = Lep::start().await;
    let robot = json!({"username": "system:serviceaccount:ws:robot"});
    lep.world.api.put_token(ROBOT, robot, &[]);
    lep.world.api.grant(
        "system:serviceaccount:ws:robot",
        &["get", "list"],
        "filesystems/files",
        "ws",
        "default",
    );
    lep.world.api.put_token(STRANGER, json!({"username": "system:serviceaccount:plain:x"}), &[]);
    lep.files.write("f", "x");
    let ask = async |token: &str, path: &str| lep.world.ask(request(token, "GET", path)).await;
    for path in ["/api/v1", "/api/v1/", "/api/v1/tokens", "/api/v1/storage", "/api/v1/storage/default/f"] {
        assert_eq!(ask(ROBOT, path).await.status, 200, "{path}");
        let said = ask(JANE, path).await;
        assert_eq!((said.status.as_u16(), said.code()), (400, "BadRequest".into()), "{path}");
        assert!(said.json()["message"].as_str().unwrap().contains("/api/v2/workspaces/NAME"));
        assert_eq!(ask("nobodys", path).await.status, 401, "{path}");
        assert_eq!(ask(STRANGER, path).await.status, 404, "{path}");
    }
    assert_eq!(ask(ROBOT, "/api/v1/storage/default/f").await.bytes, b"x");
    assert_eq!(lep.world.ask(request(ROBOT, "DELETE", "/api/v1/storage/default/f")).await.status, 403);
    assert_eq!(ask(ROBOT, &format!("{BASE}/storage/default/f")).await.bytes, b"x");
}
