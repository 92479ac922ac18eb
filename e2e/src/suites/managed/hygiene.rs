//! What every process of the product keeps to, with the embedded server: its agent, the controller that calls it, and the
//! probe beside it. After the faults, whose logs are still there.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, ResourceExt};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::hygiene::Figures;
use crate::suites::report::PRODUCT_NAMESPACE;

/// Every process that has figures: 9809, 9811, 9810, 9813.
const COMPONENTS: [&str; 4] = ["node", "operator", "controller", "nfs-server"];

/// 9814, which tells what it met and counts nothing.
const PROBE: &str = "isolation-probe";

/// Those with a network of their own.
const APART: [&str; 4] = ["operator", "controller", "nfs-server", PROBE];

/// The operator's, one for each party of the agent's port and one for their authority.
const SECRETS: [&str; 3] = ["workspacefs-nfs-authority", "workspacefs-nfs-tls", "workspacefs-nfs-client"];

pub fn cases() -> Vec<Case> {
    let all = cases![
        no_secret_of_the_embedded_server_reaches_logs_events_or_figures,
        figures_of_the_embedded_server_do_not_grow_with_its_folders,
        pods_of_the_product_listen_at_the_ports_that_the_chart_declares_only,
        nothing_of_the_embedded_server_is_left_when_no_pod_uses_a_volume,
    ];
    all.into_iter().map(Case::alone).collect()
}

async fn no_secret_of_the_embedded_server_reaches_logs_events_or_figures(context: Context) -> Result<()> {
    context.managed("data", "64Mi").await?;
    context.publish_with_a_secret().await?;
    let mut words = vec!["PRIVATE KEY".to_owned()];
    words.extend(private_keys(&context).await?);
    context.logs_are_clean_of(&words).await?;
    context.secret_is_told_nowhere(&COMPONENTS).await?;
    for Figures { component, text, .. } in context.figures_that_name_nobody(&COMPONENTS, &[]).await? {
        let told = words.iter().any(|word| text.contains(word));
        ensure!(!told, "a private key stands in the figures of {component}");
    }
    Ok(())
}

/// The lines of all private keys of the product.
async fn private_keys(context: &Context) -> Result<Vec<String>> {
    let api: Api<Secret> = Api::namespaced(context.client(), PRODUCT_NAMESPACE);
    let mut lines = Vec::new();
    for name in SECRETS {
        let data = api.get(name).await?.data.unwrap_or_default();
        let key = data.get("tls.key").with_context(|| format!("no key in the Secret {name}"))?;
        let key = String::from_utf8(key.0.clone())?;
        lines.extend(key.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
    }
    // A short last line would be found anywhere.
    lines.retain(|line| line.len() > 20);
    ensure!(lines.len() >= SECRETS.len(), "no keys to look for");
    Ok(lines)
}

async fn figures_of_the_embedded_server_do_not_grow_with_its_folders(context: Context) -> Result<()> {
    let before = grown(&context, "one").await?;
    let after = grown(&context, "two").await?;
    for (component, one) in &before {
        let two = after.get(component).context("a component has gone")?;
        // Another call, or another outcome of one, may be counted for the first time; a folder has none of its own.
        let more: Vec<&String> = two.iter().filter(|series| !one.contains(series)).collect();
        let bounded = |series: &str| series.contains("code=") || series.contains("outcome=");
        let unbounded: Vec<_> = more.into_iter().filter(|series| !bounded(series)).collect();
        ensure!(unbounded.is_empty(), "figures of {component} came with a FileSystem: {unbounded:?}");
    }
    let of_agent = &before["nfs-server"];
    for figure in ["workspacefs_nfs_serving", "workspacefs_file_systems", "workspacefs_disk_free_bytes"] {
        ensure!(of_agent.iter().any(|series| series == figure), "no {figure} in {of_agent:?}");
    }
    let counted = of_agent.iter().any(|series| series.contains("EnsureFileSystem"));
    ensure!(counted, "no call is counted in {of_agent:?}");
    let probe = context.pods_of(PROBE).await?;
    let probe = probe.first().context("no probe is Ready")?;
    let report = context.served(probe, "/isolation").await?;
    ensure!(!report.contains("e2e-"), "the probe names a namespace: {report}");
    Ok(())
}

/// Makes a FileSystem with a claim on it, and gives the series of each component; none names any of it.
async fn grown(context: &Context, name: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let object = context.managed(name, "64Mi").await?;
    let uid = object.uid().context("no uid")?;
    let namespaces: Api<Namespace> = Api::all(context.client());
    let namespace = namespaces.get(context.namespace()).await?.uid().context("no uid")?;
    let volume = context.bound(name).await?.spec.and_then(|spec| spec.volume_name).context("no volume")?;
    let names = [uid.as_str(), &namespace, &volume, context.namespace()];
    let all = context.figures_that_name_nobody(&COMPONENTS, &names).await?;
    let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for figures in &all {
        let of_process = figures.series().into_iter().map(str::to_owned);
        series.entry(figures.component.clone()).or_default().extend(of_process);
    }
    Ok(series)
}

async fn pods_of_the_product_listen_at_the_ports_that_the_chart_declares_only(
    context: Context,
) -> Result<()> {
    for component in APART {
        context.only_declared_ports_are_open(component).await?;
    }
    Ok(())
}

async fn nothing_of_the_embedded_server_is_left_when_no_pod_uses_a_volume(context: Context) -> Result<()> {
    context.nothing_is_left().await?;
    context.logs_are_clean().await
}
