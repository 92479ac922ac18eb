//! On a file system of a few megabytes, which is mounted nowhere: it needs root, as the tests of mounts do.

use std::os::fd::AsRawFd as _;

use serde_json::json;
use workspacefs_sys::filesystem::{Access, Context};

use crate::harness::Server;

#[tokio::test]
async fn a_full_file_system_is_told_as_such_and_the_trash_gives_way_oldest_first() {
    let context = Context::open("tmpfs").unwrap();
    context.set("size", "8m").unwrap();
    let mount = context.mount(Access::Full).unwrap();
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let server = Server::start_on(tempfile::tempdir().unwrap(), path.as_ref()).await;
    let megabytes = |count: usize| vec![7; count << 20];
    for name in ["oldest", "older", "kept"] {
        server.put(&format!("/v1/content/{name}"), megabytes(2)).await.is(201, "");
        if name != "kept" {
            server.delete(&format!("/v1/content/{name}")).await.ok();
        }
    }
    // 6 of 8 are taken, 4 of them by the trash.
    server.put("/v1/content/next", megabytes(3)).await.is(201, "");
    let trash = server.get("/v1/trash").await.json();
    assert_eq!(trash["entries"].as_array().unwrap().len(), 1, "{trash}");
    assert_eq!(trash["entries"][0]["path"], "older");

    server.put("/v1/content/too-much", megabytes(4)).await.is(507, "QuotaExceeded");
    server.get("/v1/content/too-much").await.is(404, "NotFound");
    // Nothing gives way to what could not fit all the same.
    assert_eq!(server.get("/v1/trash").await.json(), trash);
    assert!(server.get("/v1/content/kept").await.ok().body == megabytes(2));

    // What did not fit is gone, in a moment: there is room for one megabyte, and then not for three.
    put_soon(&server, "small", megabytes(1)).await;
    let copied = server.post("/v1/copy", json!({"from": "next", "to": "copy"})).await;
    assert_eq!(copied.lines().last().unwrap()["error"]["code"], "QuotaExceeded");
    server.ask("PUT", "/v1/folders/d").send().await.ok();
    server.post("/v1/move", json!({"from": "next", "to": "d/next"})).await.ok();
    let copied = server.post("/v1/copy", json!({"from": "d", "to": "e"})).await;
    assert_eq!(copied.lines().last().unwrap()["error"]["code"], "QuotaExceeded");
    server.get("/v1/stat/e").await.is(404, "NotFound");
    put_soon(&server, "fits", megabytes(1)).await;
}

async fn put_soon(server: &Server, name: &str, content: Vec<u8>) {
    for _ in 0..100 {
        if server.put(&format!("/v1/content/{name}"), &content).await.status == 201 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no room: {}", server.get("/v1/usage").await.text());
}
