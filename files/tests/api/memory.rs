//! How much memory the process takes, as the kernel counts it, while more passes through than it may hold.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, SECRET_ACCESS_KEY};

use crate::harness::Answer;
use crate::process::Process;

const BYTES_MAX: u64 = 128_000_000;
/// More than ten times what large parts have of memory.
const LARGE_BYTES: usize = 320 << 20;
const SMALL: usize = 100;
const SMALL_BYTES: usize = 512 << 10;
/// As many uploads, and as many downloads, as the gateway lets one user have at once.
const TRANSFERS: usize = 64;

struct Bucket {
    service: FakeS3,
    large: Vec<u8>,
}

impl Bucket {
    async fn filled() -> Self {
        let service = FakeS3::start("buck").await.unwrap();
        let large: Vec<u8> = (0..LARGE_BYTES).map(|n| (n >> 10) as u8).collect();
        // Uploaded in parts, as they are: there is nothing to hash, which takes long in a program that is not optimised.
        let etag = "0123456789abcdef0123456789abcdef-40";
        service.store().put_as("large", large.clone(), etag, &[]);
        for n in 0..SMALL {
            service.store().put_as(&format!("small/{n}"), vec![n as u8; SMALL_BYTES], etag, &[]);
        }
        Self { service, large }
    }

    async fn imported(&self, files: &Process, to: &str) {
        let form = json!({
            "provider": "s3", "bucket": "buck", "endpoint": self.service.endpoint(), "destination": to,
            "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY,
        });
        let mut import = files.ask("POST", "/v1/imports", &form.to_string()).await.is(201, "").json();
        let target = format!("/v1/imports/{}", import["id"].as_str().unwrap());
        while ["listing", "running"].contains(&import["state"].as_str().unwrap()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            import = files.ask("GET", &target, "").await.ok().json();
        }
        let expected: [&Value; 2] = [&json!("done"), &json!(SMALL + 1)];
        assert_eq!([&import["state"], &import["objects"]["done"]], expected, "{import}");
        assert!(std::fs::read(files.dir.path().join(format!("root/{to}/large"))).unwrap() == self.large);
    }
}

/// Downloads that nobody reads on.
async fn unread(files: &Process) -> Vec<TlsStream<TcpStream>> {
    let big = std::fs::File::create(files.dir.path().join("root/big")).unwrap();
    big.set_len(64 << 20).unwrap();
    let mut readers = Vec::new();
    for _ in 0..TRANSFERS {
        let mut reader = files.begin("GET", "/v1/content/big", 0).await;
        reader.read_exact(&mut [0; 1024]).await.unwrap();
        readers.push(reader);
    }
    readers
}

/// Uploads that stop after more than they may have in memory.
struct Uploads {
    content: Vec<u8>,
    writers: Vec<TlsStream<TcpStream>>,
}

impl Uploads {
    const SENT: usize = 3 << 20;
    const REST: usize = 1 << 20;

    async fn begun(files: &Process) -> Self {
        let content: Vec<u8> = (0..Self::SENT + Self::REST).map(|n| (n % 251) as u8).collect();
        let writing = (0..TRANSFERS).map(async |n| {
            let mut writer = files.begin("PUT", &format!("/v1/content/f{n}"), content.len()).await;
            writer.write_all(&content[..Self::SENT]).await.unwrap();
            writer.flush().await.unwrap();
            writer
        });
        let writers = futures::future::join_all(writing).await;
        Self { content, writers }
    }

    async fn finished(self, files: &Process) {
        let finishing = self.writers.into_iter().map(async |mut writer| {
            writer.write_all(&self.content[Self::SENT..]).await.unwrap();
            // What TLS still holds goes with no read.
            writer.flush().await.unwrap();
            let mut bytes = Vec::new();
            let _ = writer.read_to_end(&mut bytes).await;
            Answer::parse(&bytes, false).is(201, "");
        });
        futures::future::join_all(finishing).await;
        for n in 0..TRANSFERS {
            let written = std::fs::read(files.dir.path().join(format!("root/f{n}"))).unwrap();
            assert!(written == self.content, "{n}");
        }
    }
}

fn holds(files: &Process, rest: u64) {
    let peak = files.peak_bytes();
    println!("{} MB at rest, {} MB at the most", rest / 1_000_000, peak / 1_000_000);
    assert!(peak <= BYTES_MAX, "{peak} bytes, {rest} at rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_large_and_small_objects_takes_no_more_memory_than_it_may() {
    let bucket = Bucket::filled().await;
    let files = Process::start().await;
    let rest = files.peak_bytes();
    bucket.imported(&files, "in").await;
    holds(&files, rest);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_transfers_at_once_take_no_more_memory_than_they_may_and_all_go_on() {
    let files = Process::start().await;
    let rest = files.peak_bytes();
    let readers = unread(&files).await;
    Uploads::begun(&files).await.finished(&files).await;
    holds(&files, rest);
    drop(readers);
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_beside_many_transfers_take_no_more_memory_than_all_may_together() {
    let bucket = Bucket::filled().await;
    let files = Process::start().await;
    let rest = files.peak_bytes();
    let readers = unread(&files).await;
    let uploads = Uploads::begun(&files).await;
    tokio::join!(bucket.imported(&files, "in"), bucket.imported(&files, "there"));
    uploads.finished(&files).await;
    holds(&files, rest);
    drop(readers);
}
