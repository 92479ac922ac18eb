//! tus, as its clients speak it.

use std::os::unix::fs::MetadataExt as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::harness::{Answer, Ask, Server};

fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> =
        pairs.iter().map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value))).collect();
    pairs.join(",")
}

fn sha256(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

fn tus<'s>(server: &'s Server, method: &str, target: &str) -> Ask<'s> {
    server.ask(method, target).header("Tus-Resumable", "1.0.0")
}

async fn create(server: &Server, size: usize, pairs: &[(&str, &str)]) -> Answer {
    tus(server, "POST", "/v1/uploads")
        .header("Upload-Length", size.to_string())
        .header("Upload-Metadata", metadata(pairs))
        .send()
        .await
}

fn id(answer: &Answer) -> String {
    format!("/v1/{}", answer.get("location").unwrap())
}

fn patch<'s>(server: &'s Server, target: &str, offset: usize, body: &[u8]) -> Ask<'s> {
    tus(server, "PATCH", target)
        .header("Content-Type", "application/offset+octet-stream")
        .header("Upload-Offset", offset.to_string())
        .body(body)
}

async fn offset(server: &Server, target: &str) -> usize {
    tus(server, "HEAD", target).send().await.ok().get("upload-offset").unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_upload_goes_on_after_a_lost_connection_and_appears_after_the_last_byte() {
    let server = Server::start().await;
    let content: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 253) as u8).collect();
    let sum = sha256(&content);
    let pairs =
        [("path", "new/%FF"), ("modified", "2001-02-03T04:05:06Z"), ("mode", "640"), ("sha256", &sum)];
    let made = create(&server, content.len(), &pairs).await.is(201, "");
    assert!(made.get("location").unwrap().starts_with("uploads/") && made.get("upload-expires").is_some());
    let target = id(&made);
    // The caller hangs up in the middle of what it announced.
    patch(&server, &target, 0, &content[..2_000_000]).promise(content.len()).begin().await;
    while server.get("/v1/uploads").await.ok().json()[0]["offset"] == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let at = offset(&server, &target).await;
    assert!(at <= 2_000_000);
    let listed = server.get("/v1/uploads").await.ok().json();
    assert_eq!(
        (&listed[0]["path"], &listed[0]["offset"], &listed[0]["size"]),
        (&"new/%FF".into(), &at.into(), &content.len().into())
    );
    patch(&server, &target, at + 1, b"x").send().await.is(409, "Conflict");
    server.get("/v1/stat/new/%FF").await.is(404, "NotFound");
    let done = patch(&server, &target, at, &content[at..]).send().await.is(204, "");
    assert_eq!(done.get("upload-offset"), Some("5000000"));
    assert!(server.get("/v1/content/new/%FF").await.ok().body == content);
    let entry = server.get("/v1/stat/new/%FF").await.json();
    assert_eq!(
        (&entry["mode"], &entry["modified"]),
        (&"0640".into(), &"2001-02-03T04:05:06.000000000Z".into())
    );
    assert_eq!(offset(&server, &target).await, content.len(), "who did not hear the last answer asks again");
    assert_eq!(server.get("/v1/uploads").await.json(), serde_json::json!([]));
}

#[tokio::test]
async fn a_later_request_takes_over_from_one_that_hangs() {
    let server = Server::start().await;
    let target = id(&create(&server, 10, &[("path", "f")]).await);
    let hanging = patch(&server, &target, 0, b"01234").promise(10);
    let stream = hanging.begin().await;
    // Until its bytes are there: that they come is not promised in time.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let at = offset(&server, &target).await;
    assert!(at == 5 || at == 0, "{at}");
    patch(&server, &target, at, &b"0123456789"[at..]).send().await.is(204, "");
    assert_eq!(server.read("f").as_deref(), Some("0123456789"));
    drop(stream);
}

#[tokio::test]
async fn a_damaged_piece_is_taken_back_and_a_damaged_whole_gets_no_name() {
    let server = Server::start().await;
    let target = id(&create(&server, 10, &[("path", "f")]).await);
    let checked = |body: &'static [u8], of: &[u8]| {
        patch(&server, &target, 0, body).header("Upload-Checksum", format!("sha256 {}", sha256(of))).send()
    };
    checked(b"01234", b"01235").await.is(460, "ChecksumMismatch");
    assert_eq!(offset(&server, &target).await, 0);
    checked(b"01234", b"01234").await.is(204, "");
    let bad = patch(&server, &target, 5, b"5").header("Upload-Checksum", "crc32 AAAA").send().await;
    bad.is(400, "BadRequest");
    patch(&server, &target, 5, b"567890123").send().await.is(413, "TooLarge");
    let whole = id(&create(&server, 3, &[("path", "g"), ("sha256", &sha256(b"abc"))]).await);
    patch(&server, &whole, 0, b"abd").send().await.is(422, "ChecksumMismatch");
    assert_eq!((server.read("g"), offset(&server, &whole).await), (None, 0));
    patch(&server, &whole, 0, b"abc").send().await.is(204, "");
    assert_eq!(server.read("g").as_deref(), Some("abc"));
}

#[tokio::test]
async fn an_upload_comes_with_its_first_bytes_or_none_and_replaces_only_what_it_may() {
    let server = Server::start().await;
    let all = tus(&server, "POST", "/v1/uploads")
        .header("Upload-Length", "3")
        .header("Upload-Metadata", metadata(&[("path", "f")]))
        .header("Content-Type", "application/offset+octet-stream")
        .body("abc")
        .send()
        .await
        .is(201, "");
    assert_eq!((all.get("upload-offset"), server.read("f").as_deref()), (Some("3"), Some("abc")));
    create(&server, 0, &[("path", "empty")]).await.is(201, "");
    assert_eq!(server.read("empty").as_deref(), Some(""));
    create(&server, 1, &[("path", "f")]).await.is(409, "Exists");
    let target = id(&create(&server, 1, &[("path", "f"), ("overwrite", "true")]).await);
    patch(&server, &target, 0, b"x").send().await.is(204, "");
    assert_eq!(server.read("f").as_deref(), Some("x"));
    assert_eq!(std::fs::metadata(server.path("f")).unwrap().mode() & 0o777, 0o664);
    // Somebody else makes the file meanwhile: that all bytes are here is not told as if it were done.
    let target = id(&create(&server, 1, &[("path", "g")]).await);
    server.write("g", "theirs");
    patch(&server, &target, 0, b"x").send().await.is(409, "Exists");
    tus(&server, "HEAD", &target).send().await.is(409, "");
    assert_eq!(server.read("g").as_deref(), Some("theirs"));
    std::fs::remove_file(server.path("g")).unwrap();
    assert_eq!((offset(&server, &target).await, server.read("g").as_deref()), (1, Some("x")));
}

#[tokio::test]
async fn an_upload_is_seen_by_its_user_only_and_can_be_given_up() {
    let server = Server::start().await;
    let target = id(&create(&server, 3, &[("path", "f")]).await);
    tus(&server, "HEAD", &target).user("john").send().await.is(404, "");
    tus(&server, "DELETE", &target).user("john").send().await.is(404, "NotFound");
    patch(&server, &target, 0, b"abc").user("john").send().await.is(404, "NotFound");
    let others = server.ask("GET", "/v1/uploads").user("john").send().await;
    assert_eq!(others.ok().json(), serde_json::json!([]));
    tus(&server, "DELETE", &target).send().await.is(204, "");
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
    for id in ["..", "%2e%2e", "x", "../../root", "..%2f..%2fsecret"] {
        let answer = tus(&server, "DELETE", &format!("/v1/uploads/{id}")).send().await;
        assert_eq!(answer.status, 404, "{id}");
    }
}

#[tokio::test]
async fn the_version_is_asked_for_and_told() {
    let server = Server::start().await;
    let options = server.ask("OPTIONS", "/v1/uploads").send().await.is(204, "");
    assert!(options.get("tus-extension").unwrap().contains("creation-with-upload"));
    assert_eq!(options.get("tus-resumable"), Some("1.0.0"));
    let old = server.ask("POST", "/v1/uploads").header("Tus-Resumable", "0.2.2").send().await;
    assert_eq!(old.is(412, "PreconditionFailed").get("tus-version"), Some("1.0.0"));
    tus(&server, "POST", "/v1/uploads").header("Upload-Length", "1").send().await.is(400, "BadRequest");
    create(&server, 1, &[("path", "../f")]).await.is(400, "BadRequest");
    create(&server, 1, &[("path", ".workspacefs-files/f")]).await.is(404, "NotFound");
}

#[tokio::test]
async fn too_many_open_uploads_are_told_to_wait_and_those_of_one_user_hold_up_nobody_else() {
    let server = Server::start().await;
    let as_joe = async |path: &str| {
        let ask = tus(&server, "POST", "/v1/uploads").header("Upload-Length", "1").user("joe");
        ask.header("Upload-Metadata", metadata(&[("path", path)])).send().await
    };
    for n in 0..200 {
        create(&server, 1, &[("path", &format!("f{n}"))]).await.is(201, "");
    }
    let busy = create(&server, 1, &[("path", "more")]).await.is(429, "Busy");
    assert!(busy.get("retry-after").is_some());
    server.put("/v1/content/other", "x").await.is(201, "");
    let joes = id(&as_joe("g").await.is(201, "")).rsplit('/').next().unwrap().to_owned();
    patch(&server, &format!("/v1/uploads/{joes}"), 0, b"x").user("joe").send().await.is(204, "");
    let first = server.get("/v1/uploads").await.json()[0]["id"].as_str().unwrap().to_owned();
    tus(&server, "DELETE", &format!("/v1/uploads/{first}")).send().await.is(204, "");
    create(&server, 1, &[("path", "more")]).await.is(201, "");
    // As if many others had begun some, to a thousand in all.
    for n in 0..800 {
        let other = format!("{}{n:03x}", &first[..first.len() - 3]);
        std::fs::write(server.path(&format!(".workspacefs-files/uploads/{other}.data")), "").unwrap();
    }
    as_joe("h").await.is(429, "Busy");
}

#[tokio::test]
async fn an_upload_that_cannot_begin_leaves_nothing_behind() {
    let server = Server::start().await;
    let begin = |size: usize| {
        tus(&server, "POST", "/v1/uploads")
            .header("Upload-Length", size.to_string())
            .header("Content-Type", "application/offset+octet-stream")
    };
    let wrong = begin(3).header("Upload-Metadata", metadata(&[("path", "f")]));
    let wrong = wrong.header("Upload-Checksum", "crc32 AAAA").body("abc").send().await;
    assert_eq!(wrong.is(400, "BadRequest").json()["field"], "Upload-Checksum");
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
    let other = begin(3).header("Upload-Metadata", metadata(&[("path", "f"), ("sha256", &sha256(b"abd"))]));
    other.body("abc").send().await.is(422, "ChecksumMismatch");
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
    // A piece that was damaged can be sent again: of that the caller hears.
    let damaged = begin(3).header("Upload-Metadata", metadata(&[("path", "f")]));
    let damaged = damaged.header("Upload-Checksum", format!("sha256 {}", sha256(b"abd"))).body("abc");
    let target = id(&damaged.send().await.is(201, ""));
    patch(&server, &target, 0, b"abc").send().await.is(204, "");
    assert_eq!(server.read("f").as_deref(), Some("abc"));
}

#[tokio::test]
async fn an_upload_that_rests_is_given_up_after_days_unless_somebody_holds_it() {
    use workspacefs_files::{facts, sweep};
    let days = |count: i128| facts::now() + count * 86_400 * 1_000_000_000;
    let server = Server::start().await;
    // A file of long ago, all of whose bytes are here, and another that cannot get its name yet.
    let old = ("modified", "2001-02-03T04:05:06Z");
    let target = id(&create(&server, 1, &[("path", "f"), old]).await);
    server.write("f", "theirs");
    patch(&server, &target, 0, b"x").send().await.is(409, "Exists");
    sweep::once(&server.app).await.unwrap();
    sweep::once_at(&server.app, days(6)).await.unwrap();
    std::fs::remove_file(server.path("f")).unwrap();
    assert_eq!(offset(&server, &target).await, 1);
    assert_eq!(server.read("f").as_deref(), Some("x"));

    let target = id(&create(&server, 9, &[("path", "g"), old]).await);
    let held = server.app.holds.hold(target.rsplit('/').next().unwrap()).await.unwrap();
    sweep::once_at(&server.app, days(8)).await.unwrap();
    drop(held);
    assert_eq!(offset(&server, &target).await, 0);
    assert_eq!(server.left_in("finished", 0).await, [""; 0], "the first one's record is not kept for long");
    sweep::once_at(&server.app, days(8)).await.unwrap();
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
    tus(&server, "HEAD", &target).send().await.is(404, "");
}

#[tokio::test]
async fn records_of_finished_uploads_lie_apart() {
    let server = Server::start().await;
    let target = id(&create(&server, 1, &[("path", "f")]).await);
    patch(&server, &target, 0, b"x").send().await.is(204, "");
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
    assert_eq!(server.left_in("finished", 1).await.len(), 1);
    assert_eq!(offset(&server, &target).await, 1);
    tus(&server, "DELETE", &target).send().await.is(204, "");
    assert_eq!(server.left_in("finished", 0).await, [""; 0]);
    let long = "x".repeat(7000);
    create(&server, 1, &[("path", "f"), ("filename", &long)]).await.is(400, "BadRequest");
    create(&server, 1, &[("path", "f"), ("path", "g")]).await.is(400, "BadRequest");
}

/// As after a process that ended between the two: over NFS a name is given by a link.
#[tokio::test]
async fn an_upload_whose_file_has_its_name_already_is_finished_and_no_conflict() {
    let server = Server::start().await;
    let target = id(&create(&server, 1, &[("path", "f")]).await);
    server.write("f", "theirs");
    patch(&server, &target, 0, b"x").send().await.is(409, "Exists");
    std::fs::remove_file(server.path("f")).unwrap();
    let data = format!(".workspacefs-files/uploads/{}.data", target.rsplit('/').next().unwrap());
    std::fs::hard_link(server.path(&data), server.path("f")).unwrap();
    assert_eq!(offset(&server, &target).await, 1);
    assert_eq!(server.read("f").as_deref(), Some("x"));
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
}

/// Whoever waited for it is gone, or was told that it takes too long.
#[tokio::test]
async fn what_still_writes_an_upload_holds_it() {
    use std::sync::Arc;
    use workspacefs_files::uploads;
    let server = Server::start().await;
    let target = id(&create(&server, 3, &[("path", "f")]).await);
    let id = target.rsplit('/').next().unwrap();
    let held = Arc::new(server.app.holds.hold(id).await.unwrap());
    let file = uploads::open(&server.app.root, id, Arc::clone(&held)).unwrap();
    drop(held);
    assert!(server.app.holds.hold_free(id).is_none());
    let late = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        file.write_at(b"abc", 0).unwrap();
    });
    assert_eq!(offset(&server, &target).await, 3, "who comes next comes after it");
    late.join().unwrap();
    assert_eq!(server.read("f").as_deref(), Some("abc"));
}
