//! Workspaces on one disk: who is listed has a share of its own, who is not has none and is told.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::storage::{NAME, identity, on_disks};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![
        two_workspaces_on_one_disk_do_not_see_each_other,
        a_workspace_that_is_not_listed_gets_no_claim_and_an_event_says_so,
        a_claim_of_that_name_in_a_workspace_that_is_not_listed_is_not_touched,
        a_workspace_that_is_taken_off_the_list_and_put_on_again_finds_its_files,
    ];
    all.into_iter().map(Case::alone).collect()
}

async fn two_workspaces_on_one_disk_do_not_see_each_other(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let (other, gone) = context.workspace_beside("b").await?;
    let workspaces = [context.namespace(), other.namespace()];
    let storage = context.local_storage(NAME, on_disks(&[identity("n1", Drive::Ssd)], &workspaces)).await?;
    context.ready_on(NAME, "n1").await?;
    for workspace in [&context, &other] {
        workspace.bound(NAME).await?;
        workspace.start([PodSpec::new("user").claim(NAME, "/data")]).await?;
    }
    for workspace in [&context, &other] {
        let line = format!("test -z \"$(ls -A /data)\" && echo mine > /data/{}", workspace.namespace());
        workspace.exec("user", &line).await?;
    }
    for workspace in [&context, &other] {
        // What is above a share is not reached either: `..` of a mount's root is where it is mounted.
        let seen = workspace.exec("user", "ls -A /data; ls -A /data/..").await?;
        let own = seen.lines().next();
        ensure!(own == Some(workspace.namespace()), "{} sees {seen:?}", workspace.namespace());
        ensure!(!seen.contains(".workspacefs"), "{} sees the disk's root: {seen:?}", workspace.namespace());
    }
    storage.end().await?;
    gone.end().await
}

async fn a_workspace_that_is_not_listed_gets_no_claim_and_an_event_says_so(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let (listed, gone) = context.workspace_beside("b").await?;
    let spec = on_disks(&[identity("n1", Drive::Ssd)], &[listed.namespace()]);
    let storage = context.local_storage(NAME, spec).await?;
    listed.bound(NAME).await?;
    context.create(&PodSpec::new("asks").claim(NAME, "/data")).await?;
    context.note(context.event_of_any(&[NAME, "workspaces"], seconds(60)).await?);
    ensure!(context.claims().get_opt(NAME).await?.is_none(), "it has got a claim");
    context.stop("asks").await?;
    storage.end().await?;
    gone.end().await
}

async fn a_claim_of_that_name_in_a_workspace_that_is_not_listed_is_not_touched(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let own = json!({
        "metadata": { "name": NAME, "labels": { "owner": "somebody" } },
        "spec": {
            "accessModes": ["ReadWriteMany"], "storageClassName": "somebody",
            "resources": { "requests": { "storage": "1Gi" } },
        },
    });
    let before = context.claims().create(&PostParams::default(), &serde_json::from_value(own)?).await?;
    let (listed, gone) = context.workspace_beside("b").await?;
    let spec = on_disks(&[identity("n1", Drive::Ssd)], &[listed.namespace()]);
    let storage = context.local_storage(NAME, spec).await?;
    context.ready_on(NAME, "n1").await?;
    listed.bound(NAME).await?;
    tokio::time::sleep(seconds(5)).await;
    let after = context.claims().get(NAME).await?;
    ensure!(after.metadata.uid == before.metadata.uid, "it is another claim now");
    ensure!(after.spec == before.spec, "its spec was changed: {:?}", after.spec);
    ensure!(after.metadata.labels == before.metadata.labels, "its labels were changed");
    ensure!(after.metadata.owner_references.is_none(), "it was given an owner");
    storage.end().await?;
    ensure!(context.claims().get_opt(NAME).await?.is_some(), "it went with the LocalStorage");
    gone.end().await
}

async fn a_workspace_that_is_taken_off_the_list_and_put_on_again_finds_its_files(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let approved = [identity("n1", Drive::Ssd)];
    let storage = context.local_storage(NAME, on_disks(&approved, &[context.namespace()])).await?;
    context.ready_on(NAME, "n1").await?;
    context.start([PodSpec::new("writer").claim(NAME, "/data")]).await?;
    context.exec("writer", "echo precious > /data/x && sync -d /data/x").await?;
    let list = async |workspaces: &[&str]| -> Result<()> {
        let patch = json!({ "spec": { "workspaces": workspaces } });
        context.local_storages().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    };
    list(&[]).await?;
    // A pod that uses it keeps what it has.
    context.storage_condition(NAME, "WorkspacesReady", "False", &[context.namespace(), "writer"]).await?;
    context.exec("writer", "cat /data/x").await?;
    context.stop("writer").await?;
    let look = || async {
        ensure!(context.claims().get_opt(NAME).await?.is_none(), "the claim is still there");
        Ok(())
    };
    until("the claim is gone", seconds(90), look).await?;
    list(&[context.namespace()]).await?;
    context.bound(NAME).await?;
    context.start([PodSpec::new("reader").claim(NAME, "/data")]).await?;
    let read = context.exec("reader", "cat /data/x").await?;
    ensure!(read == "precious", "it reads {read:?}");
    storage.end().await
}
