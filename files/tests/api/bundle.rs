//! Many small files in one answer: exactly those that are what they are asked for as.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use workspacefs_files_proto::tar::{Decoder, Member, Step};

use crate::harness::Server;

/// How a file is asked for as it is.
async fn known(server: &Server, folder: &str, path: &str) -> Value {
    let entry = server.get(&format!("/v1/stat/{folder}/{path}")).await.ok().json();
    json!({"path": path, "size": entry["size"], "etag": entry["etag"]})
}

fn read(mut bytes: &[u8]) -> Vec<(Member, Vec<u8>)> {
    let (mut decoder, mut members) = (Decoder::default(), Vec::<(Member, Vec<u8>)>::new());
    loop {
        match decoder.next(&mut bytes).unwrap() {
            Step::Member(member) => members.push((member, Vec::new())),
            Step::Content(content) => members.last_mut().unwrap().1.extend_from_slice(content),
            Step::End => return members,
            Step::More => panic!("it is not closed"),
        }
    }
}

#[tokio::test]
async fn a_bundle_has_what_was_asked_for_in_that_order_with_names_of_any_bytes() {
    let server = Server::start().await;
    let mut files = Vec::new();
    let mut expected = Vec::new();
    let names = (0..60).map(|n| format!("sub{}/file {n}", n % 7).into_bytes());
    for (n, name) in names.chain([b"not\xffutf8\n".to_vec(), b"l".repeat(255)]).enumerate() {
        let path = server.path("top").join(OsStr::from_bytes(&name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content = vec![n as u8; n * n * 100];
        fs::write(&path, &content).unwrap();
        files.push(known(&server, "top", &workspacefs_files_proto::path::encode(&name)).await);
        expected.push((name, content));
    }
    let answer = server.post("/v1/bundle/top", json!({"files": files})).await.ok();
    assert_eq!(answer.get("content-type"), Some("application/x-tar"));
    assert!(answer.whole);
    let members = read(&answer.body);
    assert!(
        members
            .iter()
            .map(|(member, content)| (&member.name, content))
            .eq(expected.iter().map(|(n, c)| (n, c)))
    );
    let stat = fs::metadata(server.path("top/sub0/file 0")).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    let modified = i128::from(stat.mtime()) * 1_000_000_000 + i128::from(stat.mtime_nsec());
    assert_eq!((members[0].0.modified, members[0].0.mode), (modified, stat.mode() & 0o7777));
    let none = server.post("/v1/bundle/top", json!({"files": []})).await.ok();
    assert_eq!(read(&none.body), []);
}

#[tokio::test]
async fn what_is_another_by_now_or_may_not_be_read_is_left_out_and_the_rest_comes() {
    let server = Server::start().await;
    for name in ["same", "changed", "grown", "gone", "last"] {
        server.write(&format!("d/{name}"), name);
    }
    server.write("d/large", vec![7; (1 << 20) + 1]);
    server.write(".workspacefs/x", "hidden");
    symlink("../../secret", server.path("d/out")).unwrap();
    symlink("../.workspacefs/x", server.path("d/hidden")).unwrap();
    symlink("same", server.path("d/link")).unwrap();
    let mut files = Vec::new();
    for name in ["same", "changed", "grown", "gone", "large", "out", "hidden", "link", "last"] {
        files.push(known(&server, "d", name).await);
    }
    files.push(json!({"path": "none", "size": 0, "etag": "\"x\""}));
    server.write("d/changed", "CHANGED");
    server.write("d/grown", "grown more");
    fs::remove_file(server.path("d/gone")).unwrap();
    let answer = server.post("/v1/bundle/d", json!({"files": files})).await.ok();
    let names: Vec<_> = read(&answer.body).into_iter().map(|(member, _)| member.name).collect();
    assert_eq!(names, [&b"same"[..], b"last"]);
    assert!(!answer.text().contains("SECRET") && !answer.text().contains("hidden"));

    let asked = |path: &str| json!({"files": [{"path": path, "size": 6, "etag": "\"x\""}]});
    for bad in ["../secret", "a/../../secret", "%2e%2e/secret", "a%00", "%"] {
        server.post("/v1/bundle/d", asked(bad)).await.is(400, "BadRequest");
    }
    server.post("/v1/bundle/none", asked("x")).await.is(404, "NotFound");
    server.post("/v1/bundle/.workspacefs", asked("x")).await.is(404, "NotFound");
    server.post("/v1/bundle/d/same", asked("x")).await.is(409, "NotDirectory");
    server.post("/v1/bundle/d", json!({"paths": []})).await.is(400, "BadRequest");
    server.post("/v1/bundle/d", asked(&"x".repeat(70_000))).await.is(413, "TooLarge");
}
