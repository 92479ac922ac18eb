//! Sending contents, taking them, and the links in between.

use std::os::unix::fs::{MetadataExt as _, symlink};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::harness::Server;

fn sha256(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

#[tokio::test]
async fn what_is_put_is_got_whole_in_ranges_and_not_again() {
    let server = Server::start().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let put = server.put("/v1/content/a/big?parents=true", &content).await.is(201, "");
    let etag = put.get("etag").unwrap().to_owned();
    assert_eq!(put.json()["size"], content.len());
    let got = server.get("/v1/content/a/big").await.ok();
    assert!(got.body == content);
    assert_eq!((got.get("etag"), got.get("accept-ranges")), (Some(etag.as_str()), Some("bytes")));
    assert_eq!(got.get("content-disposition"), Some("attachment"));
    assert!(got.get("content-security-policy").unwrap().contains("sandbox"));
    let part = server.ask("GET", "/v1/content/a/big").header("Range", "bytes=1000000-1999999").send().await;
    assert_eq!((part.status, part.get("content-range")), (206, Some("bytes 1000000-1999999/3000000")));
    assert!(part.body == content[1_000_000..2_000_000]);
    let beyond = server.ask("GET", "/v1/content/a/big").header("Range", "bytes=3000000-").send().await;
    assert_eq!(beyond.is(416, "RangeNotSatisfiable").get("content-range"), Some("bytes */3000000"));
    let same = server.ask("GET", "/v1/content/a/big").header("If-None-Match", &etag).send().await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let head = server.ask("HEAD", "/v1/content/a/big").send().await;
    assert_eq!((head.status, head.get("content-length"), head.body.len()), (200, Some("3000000"), 0));
    server.get("/v1/content/a").await.is(409, "IsDirectory");
    server.put("/v1/content/a", "x").await.is(409, "IsDirectory");
    server.put("/v1/content/a/big/x", "x").await.is(409, "NotDirectory");
    server.put("/v1/content/", "x").await.is(409, "IsDirectory");
    server.put("/v1/content/empty", "").await.is(201, "");
    assert_eq!(server.get("/v1/content/empty").await.ok().body.len(), 0);
}

#[tokio::test]
async fn conditions_say_what_is_replaced_and_a_mode_stays() {
    let server = Server::start().await;
    server.write("f", "one");
    std::fs::set_permissions(server.path("f"), std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
    let put = |name: &'static str, value: String, body: &'static str| {
        server.ask("PUT", "/v1/content/f").header(name, value).body(body).send()
    };
    put("If-None-Match", "*".into(), "x").await.is(412, "PreconditionFailed");
    put("If-Match", "\"other\"".into(), "x").await.is(412, "PreconditionFailed");
    put("If-None-Match", "\"other\"".into(), "x").await.is(400, "BadRequest");
    put("If-Unmodified-Since", "Fri, 27 Nov 2026 23:00:00 GMT".into(), "x").await.is(400, "BadRequest");
    let etag = server.get("/v1/stat/f").await.json()["etag"].as_str().unwrap().to_owned();
    put("If-Match", etag.clone(), "two").await.is(200, "");
    put("If-Match", etag, "three").await.is(412, "PreconditionFailed");
    assert_eq!(server.read("f").as_deref(), Some("two"));
    assert_eq!(std::fs::metadata(server.path("f")).unwrap().mode() & 0o777, 0o750);
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
}

#[tokio::test]
async fn a_post_makes_a_file_and_replaces_nothing() {
    let server = Server::start().await;
    let post = |target: &'static str| server.ask("POST", target).body("posted");
    let made = post("/v1/content/a/f?parents=true").header("X-Wfs-Mode", "0640").send().await.is(201, "");
    assert_eq!((&made.json()["path"], &made.json()["mode"]), (&"a/f".into(), &"0640".into()));
    assert!(made.get("etag").is_some());
    symlink("nowhere", server.path("link")).unwrap();
    for taken in ["/v1/content/a/f", "/v1/content/a", "/v1/content/", "/v1/content/link"] {
        post(taken).send().await.is(409, "Exists");
    }
    post("/v1/content/none/f").send().await.is(404, "NotFound");
    let conditional = post("/v1/content/g").header("If-None-Match", "*").send().await.is(400, "BadRequest");
    assert_eq!(conditional.json()["field"], "If-None-Match");
    let wrong = format!("sha-256=:{}:", sha256(b"other"));
    post("/v1/content/g").header("Repr-Digest", wrong).send().await.is(422, "ChecksumMismatch");
    // Of many at once one makes it.
    let all = futures::future::join_all((0..8).map(|_| post("/v1/content/once").send())).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(all.iter().filter(|answer| answer.status == 409).count(), 7);
    assert_eq!((server.read("a/f").as_deref(), server.read("g")), (Some("posted"), None));
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
}

#[tokio::test]
async fn digest_time_and_mode_are_checked_and_set() {
    let server = Server::start().await;
    let put = |digest: String| {
        server
            .ask("PUT", "/v1/content/f")
            .header("Repr-Digest", format!("sha-256=:{digest}:"))
            .header("X-Wfs-Modified", "2001-02-03T04:05:06.000000007Z")
            .header("X-Wfs-Mode", "0640")
            .body("content")
            .send()
    };
    put(sha256(b"other")).await.is(422, "ChecksumMismatch");
    assert_eq!(server.read("f"), None);
    put("short".into()).await.is(400, "BadRequest");
    let entry = put(sha256(b"content")).await.is(201, "").json();
    assert_eq!(
        (&entry["modified"], &entry["mode"]),
        (&"2001-02-03T04:05:06.000000007Z".into(), &"0640".into())
    );
    let default = server.put("/v1/content/g", "x").await.json();
    assert_eq!(default["mode"], "0664", "the folder's mode without execution");
    let bad = server.ask("PUT", "/v1/content/h").header("X-Wfs-Mode", "4755").send().await;
    assert_eq!(bad.is(400, "BadRequest").json()["field"], "mode");
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
}

#[tokio::test]
async fn an_upload_whose_caller_goes_away_leaves_nothing_and_replaces_nothing() {
    let server = Server::start().await;
    server.write("f", "old");
    server.ask("PUT", "/v1/content/f").body("only a part").promise(5_000_000).begin().await;
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
    assert_eq!(server.read("f").as_deref(), Some("old"));
}

#[tokio::test]
async fn a_file_that_becomes_shorter_breaks_the_download() {
    let server = Server::start().await;
    server.write("f", vec![1; 64 << 20]);
    let ask = server.ask("GET", "/v1/content/f");
    let mut stream = ask.begin().await;
    use tokio::io::AsyncReadExt as _;
    let mut bytes = vec![0; 4096];
    stream.read_exact(&mut bytes).await.unwrap();
    std::fs::OpenOptions::new().write(true).open(server.path("f")).unwrap().set_len(1000).unwrap();
    let _ = stream.read_to_end(&mut bytes).await;
    let answer = crate::harness::Answer::parse(&bytes, false);
    assert!(!answer.whole && answer.body.len() < 64 << 20);
}

#[tokio::test]
async fn links_inside_are_followed_for_reading_and_replaced_by_writing() {
    let server = Server::start().await;
    server.write("real/f", "content");
    symlink("real", server.path("link")).unwrap();
    symlink("real/f", server.path("file-link")).unwrap();
    assert_eq!(server.get("/v1/content/link/f").await.ok().text(), "content");
    assert_eq!(server.get("/v1/content/file-link").await.ok().text(), "content");
    assert_eq!(server.get("/v1/stat/file-link").await.ok().json()["type"], "symlink");
    server.put("/v1/content/link/g", "g").await.is(201, "");
    assert_eq!(server.read("real/g").as_deref(), Some("g"));
    server.put("/v1/content/file-link", "own").await.ok();
    assert_eq!(server.read("real/f").as_deref(), Some("content"));
    server.delete("/v1/content/link").await.ok();
    assert_eq!(server.read("real/f").as_deref(), Some("content"), "a link is deleted itself");
}
