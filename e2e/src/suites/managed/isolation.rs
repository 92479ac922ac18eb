//! Whether pods can reach the server is asked, not believed: this cluster's network enforces no NetworkPolicy, until a rule
//! of the test's own does.

use anyhow::{Context as _, Result, ensure};
use kube::api::ListParams;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::OPERATORS;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;
use crate::topology::PODS;

/// The probe tries twice a minute, the operator looks as often.
const SEEN_TIME_MAX: std::time::Duration = seconds(150);

const WORKERS: [&str; 2] = ["n1", "n2"];

/// Of the rule that this makes.
const CHAIN: &str = "WSFS-E2E-NFS";

pub fn cases() -> Vec<Case> {
    let all = cases![isolated_says_what_the_network_does];
    all.into_iter().map(Case::alone).collect()
}

async fn isolated_says_what_the_network_does(context: Context) -> Result<()> {
    context.managed("data", "64Mi").await?;
    let open = context.condition("data", "Isolated", "False", SEEN_TIME_MAX).await?;
    let message = open.condition("Isolated").map(|c| c.message.clone()).unwrap_or_default();
    ensure!(message.contains("NetworkPolicy"), "no remedy in {message:?}");
    let server = context.server().await?;
    let address = server.status.and_then(|status| status.pod_ip).context("the server has no address")?;
    // What an enforcing network does with the chart's policy: of the pods only the operator comes through. On both nodes,
    // since the one that a pod is on gives its packets its own address when they leave for another node.
    let operators = context.product().list(&ListParams::default().labels(OPERATORS)).await?;
    let operators: Vec<String> = operators.items.into_iter().filter_map(|pod| pod.status?.pod_ip).collect();
    ensure!(!operators.is_empty(), "there is no operator");
    let returns: String =
        operators.iter().map(|source| format!("iptables -A {CHAIN} -s {source} -j RETURN && ")).collect();
    let close = format!(
        "iptables -N {CHAIN} && {returns} iptables -A {CHAIN} -s {PODS} -j DROP && \
         iptables -I FORWARD -d {address} -p tcp --dport 2049 -j {CHAIN}"
    );
    // Also of a run that was killed.
    let open = format!(
        "iptables -S FORWARD | grep {CHAIN} | sed s/^-A/-D/ | while read rule; do iptables $rule; done; \
         iptables -F {CHAIN} 2>/dev/null; iptables -X {CHAIN} 2>/dev/null; true"
    );
    for node in WORKERS {
        context.on(node, &format!("{open}; {close}")).await?;
    }
    let closed = closed(&context).await;
    for node in WORKERS {
        context.on(node, &open).await?;
    }
    closed?;
    context.condition("data", "Isolated", "False", SEEN_TIME_MAX).await.map(drop)
}

/// No pod reaches the server by itself, and volumes on it are mounted from any node as before.
async fn closed(context: &Context) -> Result<()> {
    context.condition("data", "Isolated", "True", SEEN_TIME_MAX).await?;
    let pod = |node| PodSpec::new(node).on(node).claim("data", "/data");
    context.start(WORKERS.map(pod)).await?;
    context.exec("n2", "echo works > /data/x").await?;
    context.exec("n1", "grep works /data/x").await.map(drop)
}
