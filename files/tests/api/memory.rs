//! How much memory the process takes, as the kernel counts it, while more passes through than it may hold.

use std::time::Duration;

use serde_json::json;
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, SECRET_ACCESS_KEY};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::Answer;
use crate::process::Process;

const BYTES_MAX: u64 = 128_000_000;
/// Parts that are in memory at once have 40 MiB.
const LARGE_BYTES: usize = 320 << 20;
const SMALL: usize = 100;
const SMALL_BYTES: usize = 512 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_large_and_small_objects_takes_no_more_memory_than_it_may() {
    let service = FakeS3::start("buck").await.unwrap();
    let large: Vec<u8> = (0..LARGE_BYTES).map(|n| (n >> 10) as u8).collect();
    // Uploaded in parts, as they are: there is nothing to hash, which takes long in a program that is not optimised.
    let etag = "0123456789abcdef0123456789abcdef-40";
    service.store().put_as("large", large.clone(), etag, &[]);
    for n in 0..SMALL {
        service.store().put_as(&format!("small/{n}"), vec![n as u8; SMALL_BYTES], etag, &[]);
    }
    let files = Process::start().await;
    let rest = files.peak_bytes();
    let form = json!({
        "provider": "s3", "bucket": "buck", "endpoint": service.endpoint(), "destination": "in",
        "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY,
    });
    let begun = files.ask("POST", "/v1/imports", &form.to_string()).await.is(201, "");
    let target = format!("/v1/imports/{}", begun.json()["id"].as_str().unwrap());
    let mut import = begun.json();
    while ["listing", "running"].contains(&import["state"].as_str().unwrap()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        import = files.ask("GET", &target, "").await.ok().json();
    }
    assert_eq!(
        (&import["state"], &import["objects"]["done"]),
        (&json!("done"), &json!(SMALL + 1)),
        "{import}"
    );
    assert!(std::fs::read(files.dir.path().join("root/in/large")).unwrap() == large);
    let peak = files.peak_bytes();
    println!("{} MB at rest, {} MB at the most", rest / 1_000_000, peak / 1_000_000);
    assert!(peak <= BYTES_MAX, "{peak} bytes, {rest} at rest");
}

/// As many as the gateway lets one user have at once, twice. Uploads stop after more than they may have in memory, and so do those
/// who read: whatever is kept for them is kept at once.
#[tokio::test(flavor = "multi_thread")]
async fn many_transfers_at_once_take_no_more_memory_than_they_may_and_all_go_on() {
    const EACH: usize = 64;
    const SENT: usize = 3 << 20;
    const REST: usize = 1 << 20;
    let files = Process::start().await;
    let rest = files.peak_bytes();
    let big = std::fs::File::create(files.dir.path().join("root/big")).unwrap();
    big.set_len(64 << 20).unwrap();
    let mut readers = Vec::new();
    for _ in 0..EACH {
        let mut reader = files.begin("GET", "/v1/content/big", 0).await;
        reader.read_exact(&mut [0; 1024]).await.unwrap();
        readers.push(reader);
    }
    let content: Vec<u8> = (0..SENT + REST).map(|n| (n % 251) as u8).collect();
    let writing = (0..EACH).map(async |n| {
        let mut writer = files.begin("PUT", &format!("/v1/content/f{n}"), content.len()).await;
        writer.write_all(&content[..SENT]).await.unwrap();
        writer.flush().await.unwrap();
        writer
    });
    let writers = futures::future::join_all(writing).await;
    let finishing = writers.into_iter().map(async |mut writer| {
        writer.write_all(&content[SENT..]).await.unwrap();
        // What TLS still holds goes with no read.
        writer.flush().await.unwrap();
        let mut bytes = Vec::new();
        let _ = writer.read_to_end(&mut bytes).await;
        Answer::parse(&bytes, false).is(201, "");
    });
    futures::future::join_all(finishing).await;
    for n in 0..EACH {
        assert!(std::fs::read(files.dir.path().join(format!("root/f{n}"))).unwrap() == content, "{n}");
    }
    let peak = files.peak_bytes();
    println!("{} MB at rest, {} MB at the most", rest / 1_000_000, peak / 1_000_000);
    assert!(peak <= BYTES_MAX, "{peak} bytes, {rest} at rest");
    drop(readers);
}
