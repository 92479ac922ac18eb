use serde_json::json;

use crate::harness::Server;

#[tokio::test]
async fn folders_are_made_with_or_without_those_above() {
    let server = Server::start().await;
    server.ask("PUT", "/v1/folders/a/b/c").send().await.is(404, "NotFound");
    let made = server.ask("PUT", "/v1/folders/a/b/c?parents=true").send().await.is(201, "").json();
    assert_eq!((&made["path"], &made["mode"]), (&"a/b/c".into(), &"0775".into()));
    server.ask("PUT", "/v1/folders/a/b/c").send().await.is(409, "Exists");
    server.ask("PUT", "/v1/folders/a/b/c?parents=true").send().await.is(200, "");
    server.write("file", "");
    server.ask("PUT", "/v1/folders/file?parents=true").send().await.is(409, "Exists");
    server.ask("PUT", "/v1/folders/file/x?parents=true").send().await.is(409, "NotDirectory");
    server.ask("PUT", "/v1/folders/").send().await.is(409, "Exists");
}

#[tokio::test]
async fn moving_replaces_a_file_only_when_asked_and_a_folder_never() {
    let server = Server::start().await;
    server.write("a", "A");
    server.write("b", "B");
    server.write("d/x", "X");
    server.write("e/y", "Y");
    let moved = async |body| server.post("/v1/move", body).await;
    moved(json!({"from": "a", "to": "b"})).await.is(409, "Exists");
    assert_eq!(moved(json!({"from": "a", "to": "b", "overwrite": true})).await.ok().json()["path"], "b");
    assert_eq!((server.read("a"), server.read("b").as_deref()), (None, Some("A")));
    for to in ["d", "e"] {
        moved(json!({"from": "b", "to": to, "overwrite": true})).await.is(409, "Exists");
    }
    moved(json!({"from": "d", "to": "e", "overwrite": true})).await.is(409, "Exists");
    moved(json!({"from": "d", "to": "b", "overwrite": true})).await.is(409, "Exists");
    moved(json!({"from": "d", "to": "d/in"})).await.is(400, "BadRequest");
    moved(json!({"from": "", "to": "x"})).await.is(400, "BadRequest");
    moved(json!({"from": "none", "to": "x"})).await.is(404, "NotFound");
    moved(json!({"from": "b", "to": "new/b"})).await.is(404, "NotFound");
    moved(json!({"from": "d", "to": "new/d", "parents": true})).await.ok();
    assert_eq!(server.read("new/d/x").as_deref(), Some("X"));
    moved(json!({"from": "b"})).await.is(400, "BadRequest");
    moved(json!({"from": "b", "to": "../x"})).await.is(400, "BadRequest");
}
