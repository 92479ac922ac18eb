//! The embedded server on an administrator's directory: on XFS that a node has mounted, beside whatever else lies there.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::release::{current_values, install};
use crate::product;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    let all = cases![a_directory_on_xfs_of_a_node_is_served_with_enforced_sizes];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

/// Where the node mounts the XFS; the server's directory is one of two folders on it.
const MOUNT: &str = "/srv/e2e-xfs";
const SERVED: &str = "/srv/e2e-xfs/workspacefs";

async fn a_directory_on_xfs_of_a_node_is_served_with_enforced_sizes(context: Context) -> Result<()> {
    let values = current_values(&context).await?;
    context.blocking(product::uninstall).await?;
    let outcome = with_a_directory(&context, values.clone()).await;
    // The next case finds the disk served again, whatever became of this one.
    context.blocking(product::uninstall).await?;
    context.on("n1", &unmount()).await?;
    install(&context, product::chart().as_path(), values).await?;
    outcome
}

/// What an earlier run left too.
fn unmount() -> String {
    format!("{{ ! mountpoint -q {MOUNT} || umount {MOUNT}; }} && rm -rf {MOUNT} {MOUNT}.img")
}

async fn with_a_directory(context: &Context, mut values: Value) -> Result<()> {
    let mount = format!(
        "{} && mkdir {MOUNT} && truncate -s 1G {MOUNT}.img && mkfs.xfs -q -K {MOUNT}.img && \
         mount -o loop,prjquota {MOUNT}.img {MOUNT} && mkdir {SERVED} && echo kept > {MOUNT}/neighbour",
        unmount()
    );
    context.on("n1", &mount).await?;
    values["nfsServer"]["storage"] = json!({ "directory": { "path": SERVED, "nodeName": "n1" } });
    install(context, product::chart().as_path(), values).await.context("the chart with a directory")?;
    context.managed("data", "64Mi").await?;
    context.start([PodSpec::new("user").on("n2").claim("data", "/data")]).await?;
    context.exec("user", "echo precious > /data/x && sync -d /data/x").await?;
    let folder = context.folder_of("data").await?;
    let stored = context.on("n1", &format!("cat {SERVED}/{folder}/x")).await?;
    ensure!(stored.trim() == "precious", "the node's directory has {stored:?}");
    let over =
        context.try_exec("user", "dd if=/dev/zero of=/data/big bs=1M count=100 conv=fsync 2>&1").await?;
    ensure!(!over.success, "100 MiB went into 64");
    context.stop("user").await?;
    context.remove_file_system("data").await?;
    let neighbour = context.on("n1", &format!("cat {MOUNT}/neighbour")).await?;
    ensure!(neighbour.trim() == "kept", "what lies beside it reads {neighbour:?}");
    Ok(())
}
