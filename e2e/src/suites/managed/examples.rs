//! The files of `examples/managed/`, exactly as they are.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;

const FILE_SYSTEM: &str = include_str!("../../../../examples/managed/filesystem.yaml");
const CLAIM: &str = include_str!("../../../../examples/managed/claim.yaml");
const DEDICATED: &str = include_str!("../../../../examples/managed/dedicated-filesystem.yaml");

/// The namespace that the example of a claim names.
const NAMESPACE: &str = "team-a";

pub fn cases() -> Vec<Case> {
    cases![the_examples_for_the_embedded_server_work_as_they_are]
}

async fn the_examples_for_the_embedded_server_work_as_they_are(context: Context) -> Result<()> {
    let team = context.in_namespace(NAMESPACE);
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "workspacefs.io/e2e": "managed" } },
    });
    context.apply(&namespace.to_string()).await?;
    context.kubectl(&["label", "--overwrite", "node", "n1", "workspacefs.io/node-group=gpu"], "").await?;
    let outcome = all_work(&team).await;
    let gone = context.kubectl(&["delete", "namespace", NAMESPACE, "--timeout=110s"], "").await?;
    context.kubectl(&["label", "node", "n1", "workspacefs.io/node-group-"], "").await?;
    outcome?;
    ensure!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
    Ok(())
}

async fn all_work(team: &Context) -> Result<()> {
    for example in [FILE_SYSTEM, CLAIM, DEDICATED] {
        team.apply(example).await?;
    }
    team.usable("datasets").await?;
    team.usable("scratch").await?;
    team.running("run-1").await?;
    team.exec("run-1", "echo works > /run-1/x && rm /run-1/x").await?;
    let log = team.job_log("train").await?;
    ensure!(log.trim() == "trained on n1", "n1 alone is in the group, the Job says {log:?}");
    team.has_size("run-1", "100Mi").await
}
