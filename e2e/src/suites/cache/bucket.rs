//! An FsCache of a bucket: an S3 service that this process is, at the cluster's gateway, read by movers in real pods. Keys that are
//! wrong, a bucket that goes, objects that change while they are read, keys that cannot be files, ETags that are no MD5.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, SECRET_ACCESS_KEY, Store};

use super::caches::{CACHE, FILL_TIME_MAX};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::local::storage::NAME;
use crate::suites::pod::PodSpec;
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::topology::GATEWAY;

const BUCKET: &str = "training";
const WRONG: &str = "a-secret-that-is-wrong-and-in-no-text";
/// Of more than one part.
const MUCH: usize = 20 << 20;
/// SHA-256 of [`much`], worked out by another program.
const MUCH_IS: &str = "4d83f778dff9baae9f968065693e616617480765178affe8372a817ee5783ac9";

pub fn cases() -> Vec<Case> {
    cases![a_bucket_is_kept_as_a_claim_and_what_is_wrong_with_it_is_named_and_never_shown]
}

async fn a_bucket_is_kept_as_a_claim_and_what_is_wrong_with_it_is_named_and_never_shown(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    let service = filled().await?;
    let store = service.store();
    keys(&context, WRONG).await?;
    context.create_cache(CACHE, of_bucket(&service)).await?;
    context.note(context.cache_says(CACHE, "SourceReachable", "AccessDenied", &["secret access key"]).await?);
    keys(&context, SECRET_ACCESS_KEY).await?;
    context.refresh(CACHE, "with the right keys").await?;
    let first = context.warm(CACHE, "n1").await?;
    let words = ["claimName: c", "a//b", "size alone", "parts"];
    context.note(context.cache_says(CACHE, "Ready", "Ready", &words).await?);
    context.start([PodSpec::new("reader").claim(CACHE, "/kept")]).await?;
    context.has_copy("reader", "/kept", &first).await?;
    context.reads("reader", "/kept/one/greeting", "hello").await?;
    ensure!(digest(&context, "reader").await? == MUCH_IS, "what the pod reads is not what the bucket has");
    let listed = context.exec("reader", "cd /kept && find . -type f | sort").await?;
    ensure!(listed.trim() == "./much\n./one/greeting\n./parts", "there is {listed:?}");

    // A newer version of it comes in the midst of each reading: no mixture is ever called whole.
    changes_while_read(store);
    context.refresh(CACHE, "while it changes").await?;
    let words = ["much", "changed while it was read"];
    context.note(context.event(CACHE, &[&["FillFailed"][..], &words].concat(), FILL_TIME_MAX).await?);
    context.note(context.cache_says(CACHE, "Fresh", "RefreshFailed", &words).await?);
    let status = context.fs_caches().get(CACHE).await?.status.unwrap_or_default();
    ensure!(status.files.done == 3, "the copy that pods get has other figures: {status:?}");
    context.start([PodSpec::new("meanwhile").claim(CACHE, "/kept")]).await?;
    ensure!(digest(&context, "meanwhile").await? == MUCH_IS, "a pod reads what was never in the bucket");
    store.clear_hook();
    store.put("data/much", much());
    context.refresh(CACHE, "it has come to rest").await?;
    let second = context.warm_after(CACHE, "n1", first.number).await?;

    store.set_exists(false);
    context.refresh(CACHE, "without the bucket").await?;
    context.note(context.cache_says(CACHE, "SourceReachable", "NoSuchBucket", &[BUCKET]).await?);
    context.start([PodSpec::new("later").claim(CACHE, "/kept")]).await?;
    context.has_copy("later", "/kept", &second).await?;
    context.reads("later", "/kept/one/greeting", "hello").await?;
    no_text_has_a_key(&context).await
}

/// A plain object, one of several parts, one whose ETag is no MD5, and a key that cannot be a file.
async fn filled() -> Result<FakeS3> {
    let listener =
        TcpListener::bind(SocketAddr::from((GATEWAY, 0))).await.context("the cluster's gateway")?;
    let service = FakeS3::serve(listener, BUCKET)?;
    let store = service.store();
    store.put("data/one/greeting", "hello\n");
    store.put("data/much", much());
    store.put_as("data/parts", b"in parts".to_vec(), "0123456789abcdef0123456789abcdef-2", &[]);
    store.put("data/a//b", "nowhere");
    store.put("elsewhere", "not of this prefix");
    Ok(service)
}

fn much() -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at / 4096 + at) % 251).unwrap_or_default();
    (0..MUCH).map(byte).collect()
}

fn changes_while_read(store: &Store) {
    // What is as it was is linked, and not read at all.
    store.put("data/much", vec![0; MUCH]);
    let mut version = 0_u8;
    store.on_request(move |seen, store| {
        if seen.key.ends_with("much") && seen.range.is_some() {
            version = version.wrapping_add(1);
            store.put("data/much", vec![version; MUCH]);
        }
        None
    });
}

fn of_bucket(service: &FakeS3) -> Value {
    let s3 = json!({
        "bucket": BUCKET, "prefix": "data/", "endpoint": service.endpoint(), "secretRef": { "name": "keys" },
    });
    json!({ "source": { "s3": s3 }, "target": { "localStorage": NAME }, "exposure": "Claim" })
}

async fn keys(context: &Context, secret: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys", "namespace": context.namespace() },
        "stringData": { "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": secret },
    });
    context.apply(&secret.to_string()).await
}

async fn digest(context: &Context, pod: &str) -> Result<String> {
    Ok(context.exec(pod, "sha256sum < /kept/much").await?.trim().trim_end_matches([' ', '-']).to_owned())
}

/// Neither what the API server keeps of this namespace, but for the Secret, nor what our processes said.
async fn no_text_has_a_key(context: &Context) -> Result<()> {
    let kept = ["-n", context.namespace(), "get", "fscaches,events,jobs,pods", "-o", "json"];
    let operator = ["-n", PRODUCT_NAMESPACE, "logs", "deployment/workspacefs-operator", "--tail=-1"];
    let plugins = ["-n", PRODUCT_NAMESPACE, "logs", "daemonset/workspacefs-node", "--all-pods", "--tail=-1"];
    for arguments in [kept.as_slice(), &operator, &plugins] {
        let ended = context.kubectl(arguments, "").await?;
        let text = String::from_utf8_lossy(&ended.stdout);
        ensure!(text.len() > 100, "{arguments:?} said nothing: {text}");
        for key in [WRONG, SECRET_ACCESS_KEY] {
            ensure!(!text.contains(key), "a key is in what {arguments:?} says");
        }
    }
    Ok(())
}
