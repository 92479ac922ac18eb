//! What somebody sees of workspaces, and that it is no more than theirs.

use axum::body::Body;
use serde_json::json;
use workspacefs_testkit::builders;

use crate::world::{JANE, JOE, READER, World, with};

#[tokio::test]
async fn everybody_sees_their_own_workspaces_only() {
    let world = World::start().await;
    let of = async |token| world.get(token, "/wfs/v1/workspaces").await.json();
    assert_eq!(of(JANE).await, json!([{"name": "ws", "fileSystems": 1}]));
    assert_eq!(of(JOE).await, json!([{"name": "other", "fileSystems": 1}]));
    world.api.put_token("stranger", json!({"username": "stranger"}), &[]);
    assert_eq!(of("stranger").await, json!([]));
    world.api.put_token("admin", json!({"username": "admin"}), &[]);
    world.api.grant("admin", &["list"], "filesystems", "", "*");
    let both = json!([{"name": "other", "fileSystems": 1}, {"name": "ws", "fileSystems": 1}]);
    assert_eq!(of("admin").await, both);
}

#[tokio::test]
async fn file_systems_are_shown_with_the_callers_rights_on_each() {
    let world = World::start().await;
    world.api.put(&builders::file_system("ws", "secret", builders::managed("1Gi")));
    world.sees(|objects| objects.file_system("ws", "secret").is_some()).await;
    let said = world.get(READER, "/wfs/v1/workspaces/ws/filesystems").await.json();
    let rights: Vec<_> =
        said.as_array().unwrap().iter().map(|fs| (fs["name"].clone(), fs["rights"].clone())).collect();
    assert_eq!(
        rights,
        [
            (json!("default"), json!({"read": true, "write": false, "delete": false})),
            (json!("secret"), json!({"read": false, "write": false, "delete": false})),
        ]
    );
    assert_eq!(said[0]["uid"], world.uid.as_str());
}

#[tokio::test]
async fn storage_is_what_the_workspace_may_use_and_caches_take_their_own_right() {
    let world = World::start().await;
    let local = |name: &str, workspaces: &[&str]| {
        let source = json!({"directory": {"path": "/mnt/x"}});
        builders::local_storage(name, json!({"nodeGroup": "gpu", "source": source, "workspaces": workspaces}))
    };
    world.api.put(&local("ours", &["ws"]));
    world.api.put(&local("theirs", &["other"]));
    let spec =
        json!({"source": {"fileSystem": "default", "paths": ["/d"]}, "target": {"localStorage": "ours"}});
    world.api.put(&builders::fs_cache("ws", "warm", spec));
    world.sees(|objects| !objects.storages("other").is_empty() && !objects.caches("ws").is_empty()).await;
    let said = world.get(JANE, "/wfs/v1/workspaces/ws/storage").await.json();
    let names: Vec<_> = said["localStorages"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(
        (names, &said["nodeGroups"], &said["caches"]),
        (vec![json!("ours")], &json!(["gpu"]), &json!([]))
    );
    world.api.grant("reader", &["list"], "fscaches", "ws", "*");
    let said = world.get(READER, "/wfs/v1/workspaces/ws/storage").await.json();
    assert_eq!((&said["caches"][0]["name"], &said["caches"][0]["target"]), (&json!("warm"), &json!("ours")));
}

#[tokio::test]
async fn an_object_that_cannot_be_read_hides_no_other() {
    let world = World::start().await;
    world.api.put(&builders::file_system("ws", "broken", builders::managed("1Gi")));
    world.api.edit("FileSystem", "ws", "broken", |fs| fs["spec"] = json!("from a later version"));
    world.api.put(&builders::file_system("ws", "later", builders::managed("1Gi")));
    world.sees(|objects| objects.file_system("ws", "later").is_some()).await;
    let said = world.get(JANE, "/wfs/v1/workspaces/ws/filesystems").await.json();
    let names: Vec<_> = said.as_array().unwrap().iter().map(|fs| fs["name"].clone()).collect();
    assert_eq!(names, ["default", "later"]);
}

#[tokio::test]
async fn health_and_version_are_anybodys() {
    let world = World::start().await;
    for path in ["/healthz", "/wfs/v1/healthz"] {
        assert_eq!(world.ask(with("GET", path, &[], Body::empty())).await.bytes, b"ok");
    }
    let said = world.ask(with("GET", "/wfs/v1/version", &[], Body::empty())).await.json();
    assert_eq!(said["api"], 1);
}
