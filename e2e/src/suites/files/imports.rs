//! "From Cloud": objects of a service that speaks S3, on the cluster's bridge, become files. What a person typed wrong is told at its
//! field, keys are kept nowhere, and a process that dies costs nothing that was read.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, Fault, SECRET_ACCESS_KEY, Seen};

use super::content::Content;
use super::door::Files;
use super::people::Shop;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::wait::{seconds, until};
use crate::topology::{API_SERVICE, GATEWAY};

const BUCKET: &str = "holiday";
const SMALL: usize = 300;
const LATE: usize = 8;
const LARGE: Content = Content("a large object");
/// More than what may be in memory of large objects at once.
const LARGE_LENGTH: usize = 160 << 20;
/// Keys that are no paths.
const NO_PATHS: [&str; 2] = ["../up", "photos//double"];
const IMPORT_TIME_MAX: Duration = seconds(120);

pub fn cases() -> Vec<Case> {
    let all = cases![
        what_is_wrong_in_an_import_is_named_at_its_field_and_addresses_of_the_cluster_are_refused,
        an_import_whose_process_dies_is_interrupted_and_goes_on_without_reading_anything_twice,
    ];
    all.into_iter().map(|case| case.within(500)).collect()
}

/// A service with an empty bucket, where pods reach it.
pub async fn service() -> Result<FakeS3> {
    Ok(FakeS3::serve(TcpListener::bind(SocketAddr::from((GATEWAY, 0))).await?, BUCKET)?)
}

/// What a person fills in, all of it right.
pub fn form(service: &FakeS3) -> Value {
    json!({
        "provider": "s3", "bucket": BUCKET, "endpoint": service.endpoint(), "destination": "from%20cloud",
        "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY,
    })
}

async fn what_is_wrong_in_an_import_is_named_at_its_field_and_addresses_of_the_cluster_are_refused(
    context: Context,
) -> Result<()> {
    let Shop { files, .. } = Shop::open(&context).await?;
    let service = service().await?;
    service.store().put("a", "a");
    let elsewhere = SocketAddr::from((GATEWAY, 1));
    let api_server = format!("https://{API_SERVICE}");
    let account = "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com/holiday";
    for (field, wrong) in [
        ("bucket", json!({ "bucket": "nowhere" })),
        ("bucket", json!({ "bucket": "" })),
        ("accessKeyId", json!({ "accessKeyId": "AKIDOFNOBODY" })),
        ("secretAccessKey", json!({ "secretAccessKey": "another" })),
        ("region", json!({ "region": "eu-central-1" })),
        ("endpoint", json!({ "endpoint": format!("http://{elsewhere}") })),
        ("endpoint", json!({ "endpoint": "http://127.0.0.1:8080" })),
        ("endpoint", json!({ "endpoint": "http://[::ffff:169.254.169.254]" })),
        ("endpoint", json!({ "endpoint": api_server })),
        ("endpoint", json!({ "provider": "r2", "endpoint": account })),
        ("prefix", json!({ "prefix": "there/is/none" })),
        ("destination", json!({ "destination": ".workspacefs-files/uploads" })),
        ("destination", json!({ "destination": "a/../../b" })),
    ] {
        let mut filled = form(&service);
        for (name, value) in wrong.as_object().into_iter().flatten() {
            filled[name] = value.clone();
        }
        let answer = files.post("imports", &filled).await?;
        let said = answer.json()?;
        let named = (400..500).contains(&answer.status) && said["field"] == field;
        ensure!(named, "{wrong}: {field} was to be named: {} {said}", answer.status);
        let repeats = said.to_string().contains(SECRET_ACCESS_KEY);
        ensure!(!repeats, "a secret is repeated: {said}");
    }
    let all = files.get("imports").await?.expect(200)?.json()?;
    ensure!(all == json!([]), "an import was begun: {all}");
    context.on_server("test -z \"$(ls data)\"").await.context("something was written").map(drop)
}

async fn an_import_whose_process_dies_is_interrupted_and_goes_on_without_reading_anything_twice(
    context: Context,
) -> Result<()> {
    let Shop { files, .. } = Shop::open(&context).await?;
    let service = service().await?;
    fill(&service);
    let held = Arc::new(AtomicBool::new(true));
    let holds = held.clone();
    service.store().on_request(move |seen: &Seen, _| {
        (seen.key.contains("late") && holds.load(Ordering::SeqCst)).then_some(Fault::Silence)
    });
    let import = files.post("imports", &form(&service)).await?.expect(201)?.json()?;
    let id = import["id"].as_str().context("no id")?.to_owned();
    ensure!(!import.to_string().contains(ACCESS_KEY_ID), "a key is shown: {import}");
    let early = SMALL + 1;
    state(&files, &id, "all but the late ones are there", |import| import["objects"]["done"] == early)
        .await?;

    let read: BTreeSet<String> = keys(&service).into_iter().filter(|key| !key.contains("late")).collect();
    ensure!(read.len() == early, "{} objects were read", read.len());
    context.files_memory("data", false).await?;
    let pod = context.files_pod("data").await?;
    context.kill_files(&pod).await?;
    context.files_again(&pod).await?;
    let interrupted =
        state(&files, &id, "it is interrupted", |import| import["state"] == "interrupted").await?;
    ensure!(
        interrupted["message"].as_str().is_some_and(|said| said.contains("key")),
        "it says {interrupted}"
    );
    kept_nowhere(&context).await?;

    held.store(false, Ordering::SeqCst);
    keys(&service);
    let resume = format!("imports/{id}/resume");
    let wrong = json!({ "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": "another" });
    let said = files.post(&resume, &wrong).await?.json()?;
    ensure!(said["field"] == "secretAccessKey", "wrong keys: {said}");
    let right = json!({ "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY });
    files.post(&resume, &right).await?.expect(200)?;
    let done = state(&files, &id, "it is done", |import| import["state"] == "done").await?;
    let twice: Vec<String> = keys(&service).into_iter().filter(|key| read.contains(key)).collect();
    ensure!(twice.is_empty(), "{} objects were read twice: {:?}", twice.len(), twice.first());
    reported(&done)?;
    arrived(&context).await?;
    kept_nowhere(&context).await?;
    files.delete(&format!("imports/{id}")).await?.expect(204)?;
    files.get(&format!("imports/{id}")).await?.refused(404, "NotFound").map(drop)
}

fn small(number: usize) -> (String, String) {
    (format!("photos/{:02}/photo {number}.jpg", number % 10), format!("photo {number}\n").repeat(number + 1))
}

fn late(number: usize) -> (String, String) {
    (format!("photos/~late/{number}"), format!("late {number}\n"))
}

fn fill(service: &FakeS3) {
    let store = service.store();
    for (key, content) in (0..SMALL).map(small).chain((0..LATE).map(late)) {
        store.put(&key, content);
    }
    store.put("photos/large.tiff", LARGE.bytes(0, LARGE_LENGTH));
    for key in NO_PATHS {
        store.put(key, "never to be written");
    }
}

/// The keys of the objects whose content was asked for since the last call.
fn keys(service: &FakeS3) -> BTreeSet<String> {
    let seen = service.store().take_seen().into_iter();
    seen.filter(|seen| seen.method == "GET" && !seen.key.is_empty()).map(|seen| seen.key).collect()
}

async fn state(files: &Files, id: &str, wish: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    let look = || async {
        let import = files.get(&format!("imports/{id}")).await?.expect(200)?.json()?;
        ensure!(fits(&import), "it is {import}");
        Ok(import)
    };
    until(wish, IMPORT_TIME_MAX, look).await
}

/// Every object that has no place is named with a reason, and every other one is there.
fn reported(done: &Value) -> Result<()> {
    let failures = done["failures"].as_array().context("no failures")?;
    let failed: BTreeSet<&str> = failures.iter().filter_map(|failure| failure["key"].as_str()).collect();
    ensure!(failed == BTreeSet::from(NO_PATHS), "these failed: {failures:?}");
    let counts = &done["objects"];
    let number = |name: &str| counts[name].as_u64().unwrap_or_default();
    let here = number("done") + number("skipped");
    ensure!(
        here == (SMALL + 1 + LATE) as u64 && number("failed") == NO_PATHS.len() as u64,
        "it counts {counts}"
    );
    Ok(())
}

async fn arrived(context: &Context) -> Result<()> {
    let line = "cd 'data/from cloud' && find . -type f | wc -l && sha256sum < photos/large.tiff && \
                cat photos/00/*.jpg photos/~late/* | sha256sum";
    let seen = context.on_server(line).await?;
    // In the shell's order, which is that of the bytes.
    let mut tens: Vec<(String, String)> = (0..SMALL).step_by(10).map(small).collect();
    tens.sort();
    let late = (0..LATE).map(late);
    let joined: String = tens.into_iter().chain(late).map(|(_, content)| content).collect();
    let expected = format!(
        "{}\n{}  -\n{}  -",
        SMALL + 1 + LATE,
        LARGE.digest(LARGE_LENGTH as u64),
        super::content::digest(joined.as_bytes())
    );
    ensure!(seen == expected, "the server has\n{seen}\nexpected\n{expected}");
    context.on_server("test ! -e up && test ! -e data/up").await.context("a key led out").map(drop)
}

/// No key of the service lies on the file system.
async fn kept_nowhere(context: &Context) -> Result<()> {
    for word in [ACCESS_KEY_ID, SECRET_ACCESS_KEY] {
        let found = context.on_server(&format!("grep -rlF -e '{word}' data || true")).await?;
        ensure!(found.is_empty(), "a key is in {found}");
    }
    Ok(())
}
