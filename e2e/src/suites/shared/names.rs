//! Names that are taken: what is not ours is never touched.

use anyhow::{Context as _, Result, ensure};
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    cases![a_claim_that_is_not_ours_is_never_touched_and_its_name_is_taken_until_it_goes]
}

async fn a_claim_that_is_not_ours_is_never_touched_and_its_name_is_taken_until_it_goes(
    context: Context,
) -> Result<()> {
    let foreign = json!({
        "metadata": { "name": "data", "labels": { "owner": "somebody" } },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "somebody",
            "resources": { "requests": { "storage": "1Gi" } },
        },
    });
    let foreign = context.claims().create(&PostParams::default(), &serde_json::from_value(foreign)?).await?;
    context.create_file_system("data", json!({ "backend": context.shared("data") })).await?;
    let refused = context.condition("data", "Ready", "False", seconds(30)).await?;
    let condition = refused.condition("Ready").context("no condition")?;
    ensure!(condition.reason == "NameTaken", "the reason is {}: {}", condition.reason, condition.message);
    ensure!(condition.message.contains("data"), "the message does not name the claim: {}", condition.message);

    // Some passes later it is still as it was, and it survives the FileSystem.
    tokio::time::sleep(seconds(5)).await;
    let unchanged = async || -> Result<()> {
        let now = context.claims().get("data").await?;
        ensure!(now.metadata.uid == foreign.metadata.uid, "it is another claim now");
        ensure!(now.spec == foreign.spec, "its spec was changed: {:?}", now.spec);
        ensure!(now.metadata.labels == foreign.metadata.labels, "its labels were changed");
        ensure!(now.metadata.owner_references.is_none(), "it was given an owner");
        Ok(())
    };
    unchanged().await?;
    context.create_file_system("other", json!({ "backend": context.shared("data") })).await?;
    context.file_systems().delete("data", &DeleteParams::default()).await?;
    let look = || async {
        ensure!(context.file_systems().get_opt("data").await?.is_none(), "it is still there");
        Ok(())
    };
    until("the refused FileSystem is gone", seconds(60), look).await?;
    unchanged().await?;

    // Made again while the claim is there, it becomes ready as soon as the name is free.
    context.create_file_system("data", json!({ "backend": context.shared("data") })).await?;
    context.condition("data", "Ready", "False", seconds(30)).await?;
    context.claims().delete("data", &DeleteParams::default()).await?;
    context.usable("data").await?;
    Ok(())
}
