//! Many small files in one request, on their way through the gateway to the file API itself.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures::StreamExt as _;
use futures::stream;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use workspacefs_api::files::tls_name;
use workspacefs_files_proto::tar::{END, Member, MemberKind, padding};

use crate::real_files::RealFiles;
use crate::world::{API, JANE, READER, Said, World, with};

async fn start() -> (World, RealFiles) {
    let world = World::start().await;
    let own = world.pki.leaf(&tls_name(&world.uid));
    let files = RealFiles::start(&own, &world.uid, world.key).await;
    *world.place.lock().unwrap() = files.address;
    (world, files)
}

fn entry(name: &str, content: &[u8]) -> Vec<u8> {
    let size = content.len() as u64;
    let name = name.as_bytes().to_vec();
    let mut bytes = Vec::new();
    Member { name, kind: MemberKind::File, size, mode: 0o640, modified: 5, sha256: None }.write(&mut bytes);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + padding(size), 0);
    bytes
}

async fn post(world: &World, token: &str, target: &str, body: impl Into<Body>) -> Said {
    let token = format!("Bearer {token}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/x-tar")];
    world.ask(with("POST", &format!("{API}/{target}"), &headers, body)).await
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[tokio::test]
async fn an_archive_goes_up_and_a_bundle_comes_down_with_the_rights_that_they_take() {
    let (world, files) = start().await;
    let mut tar: Vec<u8> = (0..100).flat_map(|n| entry(&format!("d/{n}"), &vec![n; 30_000])).collect();
    tar.extend_from_slice(&END);
    for (target, status) in [("archive/top", 403), ("archive", 403)] {
        assert_eq!(post(&world, READER, target, tar.clone()).await.status, status);
    }
    assert!(!files.path("d").exists());
    let said = post(&world, JANE, "archive/top?parents=true", tar).await;
    assert_eq!((said.status.as_u16(), said.header("content-type")), (200, "application/x-ndjson"));
    let done = json!({"done": true, "files": 100, "bytes": 3_000_000, "failed": 0});
    assert_eq!(lines(&said.bytes).last(), Some(&done));
    let entry = world.get(READER, &format!("{API}/stat/top/d/7")).await.json();
    let asked = json!({"files": [{"path": "d/7", "size": entry["size"], "etag": entry["etag"]}]});
    let said = post(&world, READER, "bundle/top", asked.to_string()).await;
    assert_eq!((said.status.as_u16(), said.header("content-type")), (200, "application/x-tar"));
    assert!(said.header("content-disposition").starts_with("attachment; filename=\"top.tar\""));
    assert!(said.bytes.windows(30_000).any(|content| content == [7; 30_000]));
}

#[tokio::test]
async fn an_archive_whose_senders_right_goes_is_cut_and_what_was_whole_is_there() {
    let (world, files) = start().await;
    let begin = Bytes::from([entry("whole", b"content"), entry("large", &vec![7; 2 << 20])].concat());
    let mut part = entry("cut", &[7; 100_000]);
    part.truncate(50_000);
    let begun = stream::iter([Ok::<_, std::io::Error>(begin), Ok(Bytes::from(part))]);
    let token = format!("Bearer {JANE}");
    let body = Body::from_stream(begun.chain(stream::pending()));
    let request = with("POST", &format!("{API}/archive"), &[("authorization", &token)], body);
    let mut answer = world.send(request).await.into_body();
    // It is told how far it is while the archive comes.
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(r#""files":1,"bytes":2097152"#) {
        said.extend_from_slice(&answer.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    world.api.revoke(|grant| grant.verb == "update");
    let since = Instant::now();
    while let Some(Ok(frame)) = answer.frame().await {
        let line = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        assert!(!line.contains("done"), "{line}");
    }
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    for _ in 0..200 {
        if files.path("whole").exists() && files.unfinished() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!((files.read("whole").as_deref(), files.unfinished()), (Some("content"), 0));
    assert!(files.path("large").exists() && !files.path("cut").exists());
}
