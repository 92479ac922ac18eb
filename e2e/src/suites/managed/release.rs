//! The release as a whole: an uninstall never breaks a pod or a namespace, what is installed again finds its data, and an
//! upgrade from the chart before the embedded server changes nothing for a running pod.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::Value;

use crate::cluster::KubectlError;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fio::{Way, inline_writer, writer};
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};
use crate::{Cluster, product};

/// The chart of commit e4afb7d, by `helm package`: the last one without the embedded server, which people run who upgrade.
const BEFORE: &str = "charts/before-the-embedded-server.tgz";

pub fn cases() -> Vec<Case> {
    let all = cases![
        an_uninstall_is_refused_while_pods_use_file_systems_and_says_which,
        an_uninstall_without_pods_leaves_no_namespace_terminating_and_a_reinstall_finds_the_data,
        an_upgrade_from_the_chart_before_keeps_mounts_and_bytes,
    ];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

async fn an_uninstall_is_refused_while_pods_use_file_systems_and_says_which(context: Context) -> Result<()> {
    context.managed("data", "256Mi").await?;
    context.start([writer("user", Way::Direct, "data").on("n2")]).await?;
    let refused = context.blocking(|cluster| Ok::<_, KubectlError>(product::uninstall(cluster))).await?;
    ensure!(refused.is_err(), "it was uninstalled under a running pod");
    let job = ["--namespace", product::NAMESPACE, "logs", "job/workspacefs-retire"];
    let said = context.blocking(move |cluster: &Cluster| cluster.kubectl("admin", &job)).await?;
    ensure!(said.contains(&format!("{}/user", context.namespace())), "it names not the pod: {said}");
    context.note(said.lines().last().unwrap_or_default().to_owned());
    context.verifies_again("user", seconds(60)).await?;
    context.verified("user").await?;
    // The documented way back; then everything works as before, upgrades too.
    context.blocking(product::take_uninstall_back).await?;
    let values = current_values(&context).await?;
    install(&context, product::chart().as_path(), values).await?;
    context.managed("more", "64Mi").await.map(drop)
}

async fn an_uninstall_without_pods_leaves_no_namespace_terminating_and_a_reinstall_finds_the_data(
    context: Context,
) -> Result<()> {
    let other = context.in_namespace(&format!("{}-b", context.namespace()));
    context.managed("data", "256Mi").await?;
    context.start([PodSpec::new("writer").on("n2").claim("data", "/data")]).await?;
    context.exec("writer", "echo precious > /data/x && sync -d /data/x").await?;
    context.stop("writer").await?;
    let labels = serde_json::json!({ "workspacefs.io/e2e": "managed", "workspacefs.io/workspace": "true" });
    let namespace = serde_json::json!({ "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": other.namespace(), "labels": labels } });
    context.apply(&namespace.to_string()).await?;
    until("the other workspace has its FileSystem", seconds(90), || async {
        other.usable("default").await.map(drop)
    })
    .await?;
    let values = current_values(&context).await?;
    context.blocking(product::uninstall).await?;
    let gone = context.kubectl(&["delete", "namespace", other.namespace(), "--timeout=100s"], "").await?;
    let said = String::from_utf8_lossy(&gone.stderr).into_owned();
    // Installed again whatever became of the namespace: the cluster is the next case's.
    install(&context, product::chart().as_path(), values).await?;
    ensure!(gone.status.success(), "without the release the namespace does not go: {said}");
    // Its FileSystem went while nobody was there to remove the PersistentVolume: an administrator's work.
    for volume in context.volumes().list(&ListParams::default()).await? {
        let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        if claim.and_then(|claim| claim.namespace.as_deref()) == Some(other.namespace()) {
            context.volumes().delete(&volume.name_any(), &DeleteParams::default()).await?;
        }
    }
    context.usable("data").await?;
    context.start([PodSpec::new("reader").on("n1").claim("data", "/data")]).await?;
    let read = context.exec("reader", "cat /data/x").await?;
    ensure!(read == "precious", "it reads {read:?}");
    Ok(())
}

async fn an_upgrade_from_the_chart_before_keeps_mounts_and_bytes(context: Context) -> Result<()> {
    let values = current_values(&context).await?;
    let outcome = upgrade(&context, values.clone()).await;
    install(&context, product::chart().as_path(), values).await?;
    outcome
}

async fn upgrade(context: &Context, new_values: Value) -> Result<()> {
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join(BEFORE);
    context.blocking(product::uninstall).await?;
    let old_values = product::values();
    // It runs the present programs: their images have the tag that the chart before names. Its rights are not enough for
    // the present operator, so the pod names the FileSystem itself, which takes the node plugin only.
    install(context, &old, old_values).await.context("the chart before")?;
    let folder = context.folder("own");
    context
        .on("nfs", &format!("mkdir -p /export/shared/{folder} && chmod 0777 /export/shared/{folder}"))
        .await?;
    context.create_file_system("own", serde_json::json!({ "backend": context.shared("own") })).await?;
    context.start([inline_writer("user", Way::Direct, "own").on("n2")]).await?;
    let [user] = [context.pods().get("user").await?];
    let before = context.mounts_of(&user).await?;
    install(context, product::chart().as_path(), new_values).await.context("the upgrade")?;
    context.verifies_again("user", seconds(60)).await?;
    let after = context.mounts_of(&user).await?;
    ensure!(after == before, "mounts before {before:?}, after {after:?}");
    let done = context.verified("user").await?;
    context.note(done.to_string());
    context.stop("user").await?;
    context.usable("own").await?;
    // The new kind is there, and the new server.
    context.managed("data", "64Mi").await.map(drop)
}

pub(super) async fn current_values(context: &Context) -> Result<Value> {
    context.blocking(product::installed_values).await
}

pub(super) async fn install(context: &Context, chart: &Path, values: Value) -> Result<()> {
    let chart = chart.to_owned();
    context.blocking(move |cluster| product::install_chart(cluster, &chart, &values)).await
}
