//! A bucket as the source: a service that speaks S3, on the machines' own network, with everything in one case, because a
//! mover's pod takes most of its time.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use workspacefs_api::PathState;
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, Fault, SECRET_ACCESS_KEY, Seen, Store};

use super::caches::{CACHE, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::topology::GATEWAY;

pub fn cases() -> Vec<Case> {
    let all = cases![a_buckets_objects_are_kept_as_files_what_cannot_be_is_named_and_no_key_is_told];
    all.into_iter().map(|case| case.within(900)).collect()
}

const BUCKET: &str = "training";
const KEYS: &str = "keys";
/// What a person types by mistake; it is no more to be told than the right one.
const WRONG: &str = "wrong-4b1d-secret-access-key";
/// Several parts, so that it can change between two of them.
const MUCH: usize = 21_000_000;

async fn a_buckets_objects_are_kept_as_files_what_cannot_be_is_named_and_no_key_is_told(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    // The case runs in the cluster's network namespace, of which this is the address that machines and pods reach.
    let service = FakeS3::serve(TcpListener::bind((GATEWAY, 0)).await?, BUCKET)?;
    let store = service.store();
    store.put("train/greeting", "old\n");
    store.put("train/much", vec![1; MUCH]);
    store.put_as("train/parts/model", b"weights\n".to_vec(), "0123456789abcdef0123456789abcdef-2", &[]);
    store.put("train/a//b", "no path");
    store.put("other/greeting", "not asked for\n");

    context.put_keys(WRONG).await?;
    context.create_cache(CACHE, from_bucket(&service.endpoint())).await?;
    let said = context.cache_says(CACHE, "SourceReachable", "AccessDenied", &["secret access key"]).await?;
    context.note(said);
    context.put_keys(SECRET_ACCESS_KEY).await?;
    context.refresh(CACHE, "the keys are right").await?;
    let first = context.warm(CACHE, "n1").await?;
    context.start([reader("old")]).await?;
    context.has_copy("old", "/kept", &first).await?;
    context.reads("old", "/kept/greeting", "old").await?;
    context.reads("old", "/kept/parts/model", "weights").await?;
    context.names_what_is_no_file_and_what_is_verified_by_size().await?;

    // Every time that it is read, it is another one before it was read whole.
    store.put("train/greeting", "new\n");
    store.put("train/much", vec![2; MUCH]);
    store.on_request(change_while_read());
    context.refresh(CACHE, "changing").await?;
    context.cache_says(CACHE, "Fresh", "RefreshFailed", &["much", "changed while it was read"]).await?;
    context.start([reader("meanwhile")]).await?;
    context.has_copy("meanwhile", "/kept", &first).await?;
    context.reads("meanwhile", "/kept/greeting", "old").await?;

    store.clear_hook();
    context.refresh(CACHE, "quiet again").await?;
    let second = context.warm_after(CACHE, "n1", first.number).await?;
    context.start([reader("new")]).await?;
    context.has_copy("new", "/kept", &second).await?;
    context.reads("new", "/kept/greeting", "new").await?;
    context.reads("old", "/kept/greeting", "old").await?;

    store.set_exists(false);
    context.refresh(CACHE, "gone").await?;
    context.cache_says(CACHE, "SourceReachable", "NoSuchBucket", &[BUCKET]).await?;
    context.reads("new", "/kept/greeting", "new").await?;
    context.tells_no_key().await
}

fn from_bucket(endpoint: &str) -> Value {
    let mut spec = on_nodes(&[]);
    let s3 = json!({
        "bucket": BUCKET, "prefix": "train/", "endpoint": endpoint, "region": "us-east-1",
        "secretRef": { "name": KEYS },
    });
    spec["source"] = json!({ "s3": s3 });
    spec["exposure"] = "Claim".into();
    spec
}

fn reader(name: &str) -> PodSpec {
    PodSpec::new(name).claim(CACHE, "/kept")
}

/// Another content after each answer of a part of `much`.
fn change_while_read() -> impl FnMut(&Seen, &Store) -> Option<Fault> + Send + 'static {
    let mut turn = 2_u8;
    move |seen, store| {
        if seen.method == "GET" && seen.key == "train/much" {
            turn = turn.wrapping_add(1);
            store.put("train/much", vec![turn; MUCH]);
        }
        None
    }
}

impl Context {
    /// The Secret that the cache names, with the right id and this secret access key.
    async fn put_keys(&self, secret_access_key: &str) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client(), self.namespace());
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": KEYS },
            "stringData": { "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": secret_access_key },
        });
        secrets.patch(KEYS, &PatchParams::apply("e2e").force(), &Patch::Apply(secret)).await?;
        Ok(())
    }

    async fn names_what_is_no_file_and_what_is_verified_by_size(&self) -> Result<()> {
        let status = self.fs_caches().get(CACHE).await?.status.unwrap_or_default();
        let path = status.paths.first().context("no path in the status")?;
        ensure!(path.state == PathState::Whole && path.files == 3, "the status says {path:?}");
        for words in ["a//b", "size"] {
            ensure!(path.message.contains(words), "nothing is said of {words:?}: {}", path.message);
        }
        self.note(path.message.clone());
        let listed = self.exec("old", "cd /kept && find . -type f | sort | tr '\\n' ' '").await?;
        ensure!(listed.trim() == "./greeting ./much ./parts/model", "the copy holds {listed}");
        Ok(())
    }

    /// Neither key stands in an Event, in the cache's status, in a Job or pod of the namespace, or in a log.
    async fn tells_no_key(&self) -> Result<()> {
        let events: Api<Event> = Api::namespaced(self.client(), self.namespace());
        let mut told: Vec<(String, String)> = Vec::new();
        for event in events.list(&ListParams::default()).await? {
            told.push((format!("Event {}", event.name_any()), serde_json::to_string(&event)?));
        }
        for pod in self.pods().list(&ListParams::default()).await? {
            told.push((format!("pod {}", pod.name_any()), serde_json::to_string(&pod)?));
        }
        told.push(("the FsCache".into(), serde_json::to_string(&self.fs_caches().get(CACHE).await?)?));
        ensure!(told.len() > 2, "nothing was looked at: {told:?}");
        for key in [SECRET_ACCESS_KEY, WRONG] {
            let found: Vec<&String> =
                told.iter().filter(|(_, text)| text.contains(key)).map(|(name, _)| name).collect();
            ensure!(found.is_empty(), "a secret access key stands in {found:?}");
        }
        let words = [SECRET_ACCESS_KEY, WRONG].map(str::to_owned);
        self.logs_are_clean_of(&words).await?;
        let of_movers =
            format!("cd /var/log/pods && grep -rlF -e '{SECRET_ACCESS_KEY}' -e '{WRONG}' . || true");
        let found = self.on("n1", &of_movers).await?;
        ensure!(found.is_empty(), "a secret access key stands in the logs {found}");
        Ok(())
    }
}
