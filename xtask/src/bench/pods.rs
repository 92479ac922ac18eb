//! From asking for a pod to its being Running, with and without a volume, one after the other on worker n1. Pods go in rounds of
//! one of each kind, so that what slows the machine down for a while slows all kinds: what a volume costs is the difference
//! within a round.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;
use workspacefs_bench::Summary;
use workspacefs_e2e::Cluster;
use workspacefs_e2e::cluster::BUSYBOX_IMAGE;

use super::client::with_client;
use super::quartiles::Quartiles;

const NAMESPACE: &str = "wsfs-bench-pods";
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// What a pod mounts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Volume {
    None,
    /// The kubelet's own cheapest, for comparison.
    EmptyDir,
    Claim,
    Inline,
}

/// The first is what the others are compared with.
const KINDS: [Volume; 4] = [Volume::None, Volume::EmptyDir, Volume::Claim, Volume::Inline];

/// Time from the request to phase Running.
pub struct Report {
    /// Pods without a volume.
    pub none: Started,
    /// Pods with an emptyDir.
    pub empty_dir: Started,
    /// Pods with the claim `default`.
    pub claim: Started,
    /// Pods with an inline volume of the FileSystem `default`.
    pub inline: Started,
}

/// Pods of one kind, one a round.
#[derive(Clone, Debug)]
pub struct Started {
    /// What they took.
    pub took: Summary,
    /// The least that one took, in seconds.
    pub shortest_s: f64,
    /// What each took longer than the pod without a volume of its round, in seconds.
    pub more: Quartiles,
}

impl Started {
    /// Of one kind and of the pods without a volume, in the order of the rounds. None of no round.
    pub fn of(took: &[Duration], without: &[Duration]) -> Option<Self> {
        let more = took.iter().zip(without).map(|(with, without)| with.as_secs_f64() - without.as_secs_f64());
        Some(Self {
            took: Summary::of(took.to_vec())?,
            shortest_s: took.iter().min()?.as_secs_f64(),
            more: Quartiles::of(more.collect())?,
        })
    }
}

/// Measures `count` pods of each kind, and `also` while one pod uses the share.
pub fn with_pods<T: Send>(
    cluster: &Cluster,
    count: usize,
    also: impl FnOnce() -> Result<T> + Send,
) -> Result<(Report, T)> {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"workspacefs.io/workspace": "true"}},
    });
    cluster.kubectl_with("admin", &["apply", "-f", "-"], namespace.to_string().as_bytes())?;
    let measured = with_client(cluster, async |client| measure(client, count, also).await);
    cluster.kubectl("admin", &["delete", "namespace", NAMESPACE, "--wait"])?;
    measured
}

async fn measure<T>(client: Client, count: usize, also: impl FnOnce() -> Result<T>) -> Result<(Report, T)> {
    wait_until_bound(&client).await?;
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    // Stays: the share is mounted, and the image is warm, when the clock starts.
    start(&pods, "holder", Volume::Claim).await?;
    let also = also()?;

    let mut samples: [Vec<Duration>; KINDS.len()] = Default::default();
    for round in 0..count {
        // Each round begins with another kind: what is first after a pause may be slower.
        for turn in 0..KINDS.len() {
            let index = (round + turn) % KINDS.len();
            let name = format!("pod-{round}-{:?}", KINDS[index]).to_lowercase();
            samples[index].push(start(&pods, &name, KINDS[index]).await?);
            remove(&pods, &name).await?;
        }
    }
    let [none, empty_dir, claim, inline] =
        samples.each_ref().map(|took| Started::of(took, &samples[0]).context("no pod was measured"));
    let report = Report { none: none?, empty_dir: empty_dir?, claim: claim?, inline: inline? };
    Ok((report, also))
}

async fn wait_until_bound(client: &Client) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), NAMESPACE);
    let asked = Instant::now();
    loop {
        let claim = claims.get_opt("default").await?;
        let phase = claim.and_then(|claim| claim.status).and_then(|status| status.phase);
        if phase.as_deref() == Some("Bound") {
            return Ok(());
        }
        if asked.elapsed() > START_TIME_MAX {
            bail!("the claim default is not bound: {phase:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn pod(name: &str, kind: Volume) -> Result<Pod> {
    let source = match kind {
        Volume::None => None,
        Volume::EmptyDir => Some(json!({"name": "v", "emptyDir": {}})),
        Volume::Claim => Some(json!({"name": "v", "persistentVolumeClaim": {"claimName": "default"}})),
        Volume::Inline => Some(json!({
            "name": "v",
            "csi": {"driver": workspacefs_api::DRIVER, "volumeAttributes": {"fileSystem": "default"}},
        })),
    };
    let mounts: Vec<_> = source.iter().map(|_| json!({"name": "v", "mountPath": "/v"})).collect();
    let volumes: Vec<_> = source.into_iter().collect();
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": "n1"},
            // Its token would be a volume too.
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "containers": [{
                "name": "main",
                "image": BUSYBOX_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "3600"],
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        },
    }))?)
}

/// Makes a pod; the time until it runs.
async fn start(pods: &Api<Pod>, name: &str, kind: Volume) -> Result<Duration> {
    let pod = pod(name, kind)?;
    let started = Instant::now();
    let made = pods.create(&PostParams::default(), &pod).await?;
    let version = made.metadata.resource_version.context("a pod without a version")?;
    let wanted =
        |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    let running =
        watch(pods, name, &version, |event| matches!(event, WatchEvent::Modified(pod) if wanted(pod)));
    match tokio::time::timeout(START_TIME_MAX, running).await {
        Ok(seen) => seen.map(|()| started.elapsed()),
        Err(_) => bail!("the pod {name} does not run after {} s", START_TIME_MAX.as_secs()),
    }
}

/// Deletes a pod and waits until it is gone: two never start or end at once.
async fn remove(pods: &Api<Pod>, name: &str) -> Result<()> {
    let version = pods.get(name).await?.metadata.resource_version.context("a pod without a version")?;
    pods.delete(name, &DeleteParams::default()).await?;
    let gone = watch(pods, name, &version, |event| matches!(event, WatchEvent::Deleted(_)));
    tokio::time::timeout(START_TIME_MAX, gone).await.with_context(|| format!("the pod {name} does not go"))?
}

async fn watch(
    pods: &Api<Pod>,
    name: &str,
    version: &str,
    wanted: impl Fn(&WatchEvent<Pod>) -> bool,
) -> Result<()> {
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(pods.watch(&params, version).await?);
    while let Some(event) = events.try_next().await? {
        if wanted(&event) {
            return Ok(());
        }
    }
    bail!("the watch of {name} ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_volume_adds_is_compared_within_a_round() {
        let seconds = |times: &[u64]| times.iter().map(|time| Duration::from_secs(*time)).collect::<Vec<_>>();
        // The machine gets slower all the time; the volume costs a second.
        let (without, with) = (seconds(&[5, 10, 20, 40]), seconds(&[6, 11, 21, 41]));
        let started = Started::of(&with, &without).unwrap();
        assert_eq!(started.more, Quartiles { low: 1.0, median: 1.0, high: 1.0 });
        assert_eq!((started.shortest_s, started.took.count), (6.0, 4));
        assert!(!started.more.spans(0.0));
        let noise = Started::of(&seconds(&[4, 12, 19, 50]), &without).unwrap();
        assert!(noise.more.spans(0.0), "{noise:?}");
        assert!(Started::of(&[], &[]).is_none());
    }
}
