//! Whether pods can reach the server is asked, not believed: this cluster's network enforces no NetworkPolicy, until a rule
//! of the test's own does.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::node_of;
use crate::suites::wait::seconds;

/// The probe tries twice a minute, the operator looks as often.
const SEEN_TIME_MAX: std::time::Duration = seconds(150);

pub fn cases() -> Vec<Case> {
    let all = cases![isolated_says_what_the_network_does];
    all.into_iter().map(Case::alone).collect()
}

async fn isolated_says_what_the_network_does(context: Context) -> Result<()> {
    context.managed("data", "64Mi").await?;
    let open = context.condition("data", "Isolated", "False", SEEN_TIME_MAX).await?;
    let message = open.condition("Isolated").map(|c| c.message.clone()).unwrap_or_default();
    ensure!(message.contains("NetworkPolicy"), "no remedy in {message:?}");
    let probe = probe(&context).await?;
    let node = node_of(&probe)?.to_owned();
    let address = probe.status.and_then(|status| status.pod_ip).context("the probe has no address")?;
    // What an enforcing network does with the chart's policy, seen from the probe: its packets to the server go nowhere.
    let rule = format!("FORWARD -s {address} -p tcp --dport 2049 -j DROP");
    context.on(&node, &format!("iptables -I {rule}")).await?;
    let closed = context.condition("data", "Isolated", "True", SEEN_TIME_MAX).await;
    context.on(&node, &format!("iptables -D {rule}")).await?;
    closed?;
    context.condition("data", "Isolated", "False", SEEN_TIME_MAX).await.map(drop)
}

async fn probe(context: &Context) -> Result<Pod> {
    let probes = ListParams::default().labels("app.kubernetes.io/component=isolation-probe");
    let list = context.product().list(&probes).await?;
    list.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none()).context("there is no probe")
}
