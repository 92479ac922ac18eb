//! The trash, and the sweep that empties it.

use std::time::Duration;

use serde_json::json;

use crate::harness::Server;

#[tokio::test]
async fn what_is_deleted_can_be_put_back_until_it_goes_for_good() {
    let server = Server::start().await;
    server.write("d/x", "X");
    server.write("f", "F");
    server.delete("/v1/content/d").await.is(409, "NotEmpty");
    let id = server.delete("/v1/content/d?recursive=true").await.is(200, "").json()["trash"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(!server.path("d").exists());
    let file = server.delete("/v1/content/f").await.json()["trash"].as_str().unwrap().to_owned();
    let page = server.get("/v1/trash").await.ok().json();
    let first = &page["entries"][0];
    assert_eq!(
        (&first["id"], &first["path"], &first["type"]),
        (&file.as_str().into(), &"f".into(), &"file".into())
    );
    assert_eq!((&first["size"], &first["deletedBy"]), (&1.into(), &"jane".into()));
    assert!(first["expiresAt"].as_str().unwrap() > first["deletedAt"].as_str().unwrap());
    let page = server.get("/v1/trash?limit=1").await.json();
    let rest =
        server.get(&format!("/v1/trash?limit=1&cursor={}", page["next"].as_str().unwrap())).await.json();
    assert_eq!((&rest["entries"][0]["id"], &rest["next"]), (&id.as_str().into(), &serde_json::Value::Null));

    server.write("d/other", "");
    let restore = format!("/v1/trash/{id}/restore");
    server.post(&restore, json!({})).await.is(409, "Exists");
    server.post(&restore, json!({"to": "../out"})).await.is(400, "BadRequest");
    assert_eq!(server.post(&restore, json!({"to": "deep/down/d"})).await.ok().json()["path"], "deep/down/d");
    assert_eq!(server.read("deep/down/d/x").as_deref(), Some("X"));
    server.post(&restore, json!({})).await.is(404, "NotFound");
    server.delete(&format!("/v1/trash/{file}")).await.is(204, "");
    assert_eq!(server.left_in("trash", 0).await, [""; 0]);

    server.delete("/v1/content/deep?recursive=true&permanent=true").await.is(204, "");
    assert_eq!(server.left_in("trash", 0).await, [""; 0]);
    server.delete("/v1/content/d/other").await.ok();
    server.delete("/v1/content/d").await.ok();
    server.delete("/v1/trash").await.is(204, "");
    assert_eq!(server.left_in("trash", 0).await, [""; 0]);
    server.delete("/v1/content/").await.is(400, "BadRequest");
    server.delete("/v1/content/none").await.is(404, "NotFound");
}

#[tokio::test]
async fn a_sweep_measures_folders_and_removes_what_is_too_old() {
    let server = Server::start().await;
    server.write("d/x", vec![0; 1000]);
    server.write("d/sub/y", vec![0; 500]);
    let id = server.delete("/v1/content/d?recursive=true").await.json()["trash"].as_str().unwrap().to_owned();
    assert!(server.get("/v1/trash").await.json()["entries"][0]["size"].is_null());
    workspacefs_files::sweep::once(&server.app).await.unwrap();
    let size = server.get("/v1/trash").await.json()["entries"][0]["size"].as_u64().unwrap();
    assert!(size >= 1500, "{size}");
    assert_eq!(server.get("/v1/usage").await.json()["trash"], json!({"bytes": size, "entries": 1}));
    // As if it had been deleted 31 days ago: the id says when.
    let old =
        u64::from_str_radix(&id[..12], 16).unwrap() - Duration::from_secs(31 * 86_400).as_millis() as u64;
    let trash = server.path(".workspacefs-files/trash");
    std::fs::rename(trash.join(&id), trash.join(format!("{old:012x}{}", &id[12..]))).unwrap();
    workspacefs_files::sweep::once(&server.app).await.unwrap();
    assert_eq!(server.left_in("trash", 0).await, [""; 0]);
}

#[tokio::test]
async fn a_sweep_takes_what_nobody_writes_any_more_whatever_time_of_modification_it_has() {
    use workspacefs_files::{facts, sweep};
    let server = Server::start().await;
    let days = |count: i128| count * 86_400 * 1_000_000_000;
    // Left by a process that ended in the middle.
    server.write(".workspacefs-files/uploads/left.put", "x");
    let set_old = |path: &std::path::Path| {
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(20 * 365 * 86_400);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    };
    set_old(&server.path(".workspacefs-files/uploads/left.put"));
    sweep::once(&server.app).await.unwrap();
    assert_eq!(server.left_in("uploads", 1).await, ["left.put"]);
    let new = workspacefs_files::write::NewFile::create(&server.app.root).unwrap();
    sweep::once_at(&server.app, facts::now() + days(2)).await.unwrap();
    let left = server.left_in("uploads", 1).await;
    assert!(left.len() == 1 && left[0] != "left.put", "{left:?}: that is still written");
    drop(new);
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
}

#[tokio::test]
async fn a_size_that_can_never_be_there_takes_nothing_from_the_trash() {
    let server = Server::start().await;
    server.write("d/x", vec![0; 1000]);
    server.delete("/v1/content/d?recursive=true").await.ok();
    let stream = server.ask("PUT", "/v1/content/f").body("x").promise(1 << 60).begin().await;
    assert_eq!(server.left_in("uploads", 1).await.len(), 1, "it is begun");
    assert_eq!(server.left_in("trash", 1).await.len(), 1);
    drop(stream);
}
