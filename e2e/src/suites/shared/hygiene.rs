//! After everything: no trace of a volume, no secret in a log, no panic, and figures that name nobody.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::operator::OPERATORS;
use crate::suites::case::{Case, cases};
use crate::suites::context::{Context, is_ready};
use crate::suites::node::node_of;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

/// A secret that the driver is given; it must show nowhere.
const CANARY: &str = "canary-7d1f0c-must-not-be-seen";

const NODES: [&str; 2] = ["n1", "n2"];

pub fn cases() -> Vec<Case> {
    let all = cases![
        no_secret_reaches_logs_events_or_figures,
        figures_are_served_and_name_no_object,
        nothing_is_left_when_no_pod_uses_a_volume,
    ];
    all.into_iter().map(Case::alone).collect()
}

async fn no_secret_reaches_logs_events_or_figures(context: Context) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(context.client(), context.namespace());
    let secret = json!({ "metadata": { "name": "canary" }, "stringData": { "password": CANARY } });
    secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    context.file_system("data").await?;
    let volume = |attributes| {
        json!({ "csi": {
            "driver": "csi.workspacefs.io",
            "nodePublishSecretRef": { "name": "canary" },
            "volumeAttributes": attributes,
        } })
    };
    // One that works and one that fails: errors tell more than successes.
    let good = volume(json!({ "fileSystem": "data" }));
    let bad = volume(json!({ "fileSystem": "data", "mountFrom": "/missing" }));
    let pod =
        |name: &str, source| PodSpec::new(name).on("n1").volume("v", source).mount("v", "/data", json!({}));
    context.create(&pod("bad", bad)).await?;
    context.start([pod("good", good)]).await?;
    context.event("bad", &["NotFound", "missing"], seconds(30)).await?;
    logs_are_clean(&context).await?;
    let events: Api<Event> = Api::all(context.client());
    let told = events.list(&ListParams::default()).await?.into_iter().filter_map(|event| event.message);
    let told: Vec<String> = told.filter(|message| message.contains(CANARY)).collect();
    ensure!(told.is_empty(), "the secret stands in Events: {told:?}");
    for (process, figures) in all_figures(&context).await? {
        ensure!(!figures.contains(CANARY), "the secret stands in the metrics of {process}");
    }
    let recorded = context.on("n1", &format!("grep -rlF {CANARY} /run/workspacefs || true")).await?;
    ensure!(recorded.is_empty(), "the secret stands in the records {recorded}");
    Ok(())
}

/// No log of the product, of any container that is still known, tells a secret or speaks of a panic.
pub async fn logs_are_clean(context: &Context) -> Result<()> {
    for node in NODES {
        // The tokens of the product's own pods, as kubelet gave them.
        let line = format!(
            "cd /var/log/pods && ls -d workspacefs-system_* >/dev/null && \
             {{ printf '%s\\n' '{CANARY}' panicked; \
                cat /var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/kube-api-access-*/token 2>/dev/null | \
                sed 's/eyJhbGci/\\neyJhbGci/g' | grep . ; }} > /run/e2e-words; \
             grep -rFf /run/e2e-words workspacefs-system_* | cut -c1-400; rm -f /run/e2e-words"
        );
        let found = context.on(node, &line).await?;
        ensure!(found.is_empty(), "on {node} a log holds what it must not:\n{found}");
    }
    Ok(())
}

async fn figures_are_served_and_name_no_object(context: Context) -> Result<()> {
    // A driver that has just started has counted no call yet: each publishes a volume first.
    context.file_system("data").await?;
    let pod = |node| PodSpec::new(&format!("on-{node}")).on(node).inline("data", "", "/data");
    context.start(NODES.map(pod)).await?;
    let mut of_operators = String::new();
    for (process, figures) in all_figures(&context).await? {
        ensure!(
            figures.lines().any(|line| line.starts_with("workspacefs_")),
            "no figure of ours of {process}:\n{figures}"
        );
        ensure!(
            !figures.contains("e2e-"),
            "a namespace or pod stands in the figures of {process}: they grow without end"
        );
        match process {
            Process::Driver(node) => {
                ensure!(figures.contains("NodePublishVolume"), "no figure of the calls on {node}:\n{figures}")
            }
            Process::Operator(_) => of_operators.push_str(&figures),
        }
    }
    // Only the replica that leads has something to count.
    let has = |start: &str| of_operators.lines().any(|line| line.starts_with(start));
    ensure!(
        has("workspacefs_reconciles_total{kind=\"FileSystem\""),
        "no pass over a FileSystem was counted:\n{of_operators}"
    );
    ensure!(has("workspacefs_leader 1"), "no operator leads:\n{of_operators}");
    Ok(())
}

/// Whose figures they are.
enum Process {
    /// The driver of this node.
    Driver(&'static str),
    /// The operator in this pod.
    Operator(String),
}

impl std::fmt::Display for Process {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Process::Driver(node) => write!(formatter, "the driver on {node}"),
            Process::Operator(pod) => write!(formatter, "the operator {pod}"),
        }
    }
}

/// The figures of every process of the product.
async fn all_figures(context: &Context) -> Result<Vec<(Process, String)>> {
    let mut all = Vec::new();
    for node in NODES {
        all.push((Process::Driver(node), figures(context, node, "127.0.0.1:9809").await?));
    }
    let mut operators = 0;
    for pod in context.product().list(&ListParams::default().labels(OPERATORS)).await? {
        if !is_ready(&pod) || pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        // It has a network of its own, which its node reaches.
        let address =
            pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("no address")?;
        let figures = figures(context, node_of(&pod)?, &format!("{address}:9811")).await?;
        all.push((Process::Operator(pod.name_any()), figures));
        operators += 1;
    }
    ensure!(operators > 0, "no operator is Ready");
    Ok(all)
}

/// What a process serves, as seen from a node.
async fn figures(context: &Context, node: &str, address: &str) -> Result<String> {
    context.on(node, &format!("busybox wget -qO- http://{address}/metrics")).await
}

async fn nothing_is_left_when_no_pod_uses_a_volume(context: Context) -> Result<()> {
    for node in NODES {
        context.traceless(node).await?;
    }
    let look = || async {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=workspacefs");
        let volumes = context.volumes().list(&ours).await?;
        let of_cases = volumes.into_iter().filter_map(|volume| volume.spec?.claim_ref?.namespace);
        let of_cases: Vec<String> = of_cases.filter(|namespace| namespace.starts_with("e2e-")).collect();
        ensure!(of_cases.is_empty(), "PersistentVolumes of {of_cases:?}");
        Ok(())
    };
    until("no PersistentVolume of a removed namespace is left", seconds(60), look).await?;
    // Whatever the driver started on the nodes is the driver's own process again.
    for node in NODES {
        let waiting = context.on(node, "ps ax -o stat=,args= | grep '^D.*[c]si-driver' || true").await?;
        ensure!(waiting.is_empty(), "a process of the driver on {node} waits for ever: {waiting}");
    }
    logs_are_clean(&context).await
}
