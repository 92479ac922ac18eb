//! Many claims of one StorageClass, made at once: from each one's request until its volume is made, by the installed controller
//! and the real external-provisioner, and until it is Bound, by kube-controller-manager.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::{try_join_all, try_join3};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use workspacefs_bench::Summary;
use workspacefs_e2e::{Cluster, product};

use super::client::with_client;

/// Size of each: a hundred are a small part of the FileSystem.
const SIZE: &str = "16Mi";
const LABEL: &str = "wsfs-bench";
const BOUND_TIME_MAX: Duration = Duration::from_secs(280);

/// Claims made at once.
pub struct Report {
    /// From a claim's request until its PersistentVolume is there.
    pub made: Reached,
    /// From a claim's request until it is Bound.
    pub bound: Reached,
    /// The provisioner's `--kube-api-qps`.
    pub kube_api_qps: String,
    /// Its `--kube-api-burst`.
    pub kube_api_burst: String,
}

/// When all claims had come so far.
pub struct Reached {
    /// From each claim's request.
    pub took: Summary,
    /// From the first request until the last was so far.
    pub per_second: f64,
}

impl Reached {
    fn of(asked: &HashMap<String, Instant>, reached: &HashMap<String, Instant>) -> Option<Self> {
        let took: Option<Vec<Duration>> =
            asked.iter().map(|(name, asked)| Some(reached.get(name)?.duration_since(*asked))).collect();
        let all = reached.values().max()?.duration_since(*asked.values().min()?);
        Some(Self { took: Summary::of(took?)?, per_second: asked.len() as f64 / all.as_secs_f64() })
    }
}

/// Makes `count` claims of the FileSystem `default` of `namespace`, measures, and deletes them.
pub fn measure(cluster: &Cluster, namespace: &str, count: usize) -> Result<Report> {
    let delete = ["--namespace", namespace, "delete", "persistentvolumeclaims", "--selector", LABEL];
    let (made, bound) = with_client(cluster, async |client| bind(client, namespace, count).await)?;
    cluster.kubectl("admin", &delete)?;
    Ok(Report {
        made,
        bound,
        kube_api_qps: provisioner_flag(cluster, "kube-api-qps")?,
        kube_api_burst: provisioner_flag(cluster, "kube-api-burst")?,
    })
}

/// What the installed provisioner was told.
fn provisioner_flag(cluster: &Cluster, flag: &str) -> Result<String> {
    let of = ["get", "deployment", "workspacefs-controller", "--namespace", product::NAMESPACE];
    let path = r#"--output=jsonpath={.spec.template.spec.containers[?(@.name=="csi-provisioner")].args}"#;
    let arguments: Vec<String> =
        serde_json::from_str(&cluster.kubectl("admin", &[&of[..], &[path]].concat())?)?;
    let prefix = format!("--{flag}=");
    let value = arguments.iter().find_map(|argument| argument.strip_prefix(&prefix));
    Ok(value.with_context(|| format!("the provisioner has no {prefix}"))?.to_owned())
}

async fn bind(client: Client, namespace: &str, count: usize) -> Result<(Reached, Reached)> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, namespace);
    // Neither the FileSystem's own claim nor what an interrupted run left is called so.
    let prefix = format!("claim-{}-", std::process::id());
    let config = watcher::Config::default();
    let volume_events = watcher(volumes, config.clone()).default_backoff().applied_objects();
    let claim_events = watcher(claims.clone(), config).default_backoff().applied_objects();
    let claim_of = |volume: &PersistentVolume| {
        let claim = volume.spec.as_ref()?.claim_ref.as_ref()?;
        (claim.namespace.as_deref() == Some(namespace)).then(|| claim.name.clone()).flatten()
    };
    let if_bound = |claim: &PersistentVolumeClaim| {
        let phase = claim.status.as_ref()?.phase.as_deref()?;
        (phase == "Bound").then(|| claim.name_any())
    };
    let all = try_join3(
        create(&claims, namespace, &prefix, count),
        first_seen(volume_events, claim_of, &prefix, count),
        first_seen(claim_events, if_bound, &prefix, count),
    );
    let (asked, made, bound) = tokio::time::timeout(BOUND_TIME_MAX, all)
        .await
        .with_context(|| format!("not all claims are bound after {} s", BOUND_TIME_MAX.as_secs()))??;
    let reached = |seen| Reached::of(&asked, seen).context("not all claims were seen");
    Ok((reached(&made)?, reached(&bound)?))
}

/// Asks for all of them at once; when each was asked for.
async fn create(
    claims: &Api<PersistentVolumeClaim>,
    namespace: &str,
    prefix: &str,
    count: usize,
) -> Result<HashMap<String, Instant>> {
    let create = async |_| {
        let claim = serde_json::from_value(json!({
            "metadata": {"generateName": prefix, "labels": {LABEL: "claims"}},
            "spec": {
                "storageClassName": format!("{namespace}.default"),
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": SIZE}},
            },
        }))?;
        let asked = Instant::now();
        let made = claims.create(&PostParams::default(), &claim).await?;
        anyhow::Ok((made.name_any(), asked))
    };
    Ok(try_join_all((0..count).map(create)).await?.into_iter().collect())
}

/// When each claim, which `name` makes of what is watched, came up first, once `count` have.
async fn first_seen<K>(
    events: impl Stream<Item = watcher::Result<K>>,
    name: impl Fn(&K) -> Option<String>,
    prefix: &str,
    count: usize,
) -> Result<HashMap<String, Instant>> {
    let mut seen = HashMap::new();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        // The API server drops who reads too slowly; the watcher goes on from there.
        let Ok(object) = event else { continue };
        if let Some(name) = name(&object).filter(|name| name.starts_with(prefix)) {
            seen.entry(name).or_insert_with(Instant::now);
        }
        if seen.len() == count {
            return Ok(seen);
        }
    }
    bail!("the watch ended with {} of {count} claims", seen.len())
}
