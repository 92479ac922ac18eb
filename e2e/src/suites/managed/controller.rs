//! The CSI controller dies again and again while claims are made, grown and deleted: in the end nothing is doubled and
//! nothing left.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::node_of;
use crate::suites::wait::{seconds, until};

/// kubelet waits longer and longer before it starts again what fails often, and the sidecars before they ask again.
const DONE_TIME_MAX: std::time::Duration = seconds(240);

pub fn cases() -> Vec<Case> {
    let all = cases![a_controller_killed_while_claims_come_grow_and_go_doubles_and_leaves_nothing];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

async fn a_controller_killed_while_claims_come_grow_and_go_doubles_and_leaves_nothing(
    context: Context,
) -> Result<()> {
    let file_system = context.managed_with("data", "1Gi", json!({ "reclaimPolicy": "Delete" })).await?;
    context.class_is_there("data").await?;
    let uid = file_system.uid().context("no uid")?;
    let claims: Vec<String> = (0..10).map(|number| format!("claim-{number}")).collect();
    for (number, claim) in claims.iter().enumerate() {
        context.create_claim(claim, &context.class_of("data"), "16Mi").await?;
        if number % 5 == 4 {
            kill_controller(&context).await?;
        }
    }
    folders(&context, &uid, claims.len()).await?;
    for claim in &claims {
        context.bound(claim).await?;
    }
    for (number, claim) in claims.iter().enumerate() {
        context.grow(claim, "32Mi").await?;
        if number == 5 {
            kill_controller(&context).await?;
        }
    }
    for claim in &claims {
        context.has_size(claim, "32Mi").await?;
    }
    for (number, claim) in claims.iter().enumerate() {
        context.claims().delete(claim, &Default::default()).await?;
        if number == 5 {
            kill_controller(&context).await?;
        }
    }
    folders(&context, &uid, 0).await?;
    let look = || async {
        let usage = context.file_systems().get("data").await?.status.and_then(|status| status.usage);
        let claims = usage.context("no usage")?.claims;
        ensure!(claims.is_empty(), "the status counts {claims:?}");
        Ok(())
    };
    until("the FileSystem has no claim", seconds(150), look).await
}

/// Waits until there are so many volumes of further claims, and the server has a folder for each, and no other.
async fn folders(context: &Context, file_system: &str, count: usize) -> Result<()> {
    let look = || async {
        let mut volumes = Vec::new();
        for volume in context.volumes().list(&ListParams::default()).await? {
            let csi = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
            if csi.is_some_and(|csi| csi.volume_handle.starts_with(&format!("v1.vol.{file_system}."))) {
                volumes.push(volume.name_any());
            }
        }
        volumes.sort();
        let list = format!("ls export/claims/{file_system} 2>/dev/null || true");
        let folders = context.on_disk(&list).await?;
        ensure!(
            volumes.len() == count && folders.lines().eq(&volumes),
            "{volumes:?}, and the folders {folders}"
        );
        Ok(())
    };
    until(&format!("{count} volumes have their folders"), DONE_TIME_MAX, look).await
}

/// SIGKILL to the controller's process, if it runs; the node plugin is the same program with another first argument.
async fn kill_controller(context: &Context) -> Result<()> {
    let controllers = ListParams::default().labels("app.kubernetes.io/component=controller");
    let list = context.product().list(&controllers).await?;
    let node = node_of(list.items.first().context("there is no controller")?)?.to_owned();
    let look = || async { context.on(&node, "pkill -KILL -f '[c]si-driver controller '").await };
    until("the controller runs, and is killed", seconds(90), look).await.map(drop)
}
