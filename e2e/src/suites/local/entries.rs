//! A node's entry is that node's, and so is what became of a volume on its disk: no other node's token may write it, whatever
//! field manager it names.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};
use workspacefs_api::local_volume::LocalVolumePhase;

use super::storage::{NAME, TAKEN_TIME_MAX, on_disks};
use crate::host::command::Ended;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::hygiene::NODES;
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    let all = cases![
        another_nodes_token_cannot_write_a_nodes_entry,
        another_nodes_token_cannot_write_what_became_of_a_volume,
        the_operators_token_puts_no_label_but_its_own_on_a_node,
    ];
    all.into_iter().map(Case::alone).collect()
}

async fn another_nodes_token_cannot_write_a_nodes_entry(context: Context) -> Result<()> {
    let storage = context.local_storage(NAME, on_disks(&[], &[context.namespace()])).await?;
    for node in NODES {
        context.entry(NAME, node, "there", TAKEN_TIME_MAX, |_| true).await?;
    }
    let token = token_of_driver(&context, "n2").await?;
    let forged = |node: &str| json!([{ "node": node, "ready": true, "reason": "Ready", "observedAt": "2026-01-01T00:00:00Z" }]);
    let apply = |entries: Value| {
        json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalStorage",
            "metadata": { "name": NAME }, "status": { "nodes": entries },
        })
    };
    let manager = "--field-manager=workspacefs-node-n1";
    let as_n1 = ["apply", "--server-side", "--force-conflicts", "--subresource=status", manager, "-f", "-"];
    refused(&context, &token, &as_n1, &apply(forged("n1")).to_string()).await.context("n1's entry")?;
    // Nor an entry of a node that has none, nor both in one.
    refused(&context, &token, &as_n1, &apply(forged("n9")).to_string()).await.context("a new entry")?;
    let both =
        [forged("n1"), forged("n2")].iter().flat_map(|list| list.as_array().cloned()).flatten().collect();
    refused(&context, &token, &as_n1, &apply(both).to_string()).await.context("n1's entry beside its own")?;
    // By n1's own manager, so that what it applied before is taken away.
    refused(&context, &token, &as_n1, &apply(json!([])).to_string()).await.context("n1's entry removed")?;
    let mut condition = apply(json!([]));
    condition["status"] = json!({ "nodesReady": "2/2" });
    let as_operator = ["apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-"];
    refused(&context, &token, &as_operator, &condition.to_string())
        .await
        .context("what is the operator's")?;
    let object = context.local_storages().get(NAME).await?;
    let untouched = object.on_node("n1").is_some_and(|entry| !entry.ready) && object.on_node("n9").is_none();
    ensure!(untouched, "an entry was forged: {:?}", object.status);
    // It is not for want of a right: its own entry it may write.
    let as_n2 = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--subresource=status",
        "--field-manager=e2e",
        "-f",
        "-",
    ];
    let ended = with_token(&context, &token, &as_n2, &apply(forged("n2")).to_string()).await?;
    ensure!(ended.status.success(), "its own entry: {}", String::from_utf8_lossy(&ended.stderr));
    storage.end().await
}

/// A volume on either node, of a LocalStorage that is not there: it never comes to a disk.
const VOLUMES: [(&str, &str); 2] =
    [("n1", "9b2d7a60-1f4e-4c0b-8f6d-2a1d5e7c9a01"), ("n2", "9b2d7a60-1f4e-4c0b-8f6d-2a1d5e7c9a02")];

async fn another_nodes_token_cannot_write_what_became_of_a_volume(context: Context) -> Result<()> {
    for (node, name) in VOLUMES {
        let object = json!({
            "metadata": { "name": name },
            "spec": {
                "storage": "nothing", "storageUid": name, "node": node, "volume": name,
                "namespace": context.namespace(), "claim": "", "sizeBytes": 4096,
            },
        });
        context.local_volumes().create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    }
    let outcome = what_became_of_a_volume(&context).await;
    for (_, name) in VOLUMES {
        context.local_volumes().delete(name, &Default::default()).await?;
    }
    outcome
}

async fn what_became_of_a_volume(context: &Context) -> Result<()> {
    let [(_, of_n1), (_, of_n2)] = VOLUMES;
    let look = || async {
        let object = context.local_volumes().get(of_n1).await?;
        ensure!(object.is_observed(), "its status is {:?}", object.status);
        let status = object.status.unwrap_or_default();
        ensure!(status.phase == LocalVolumePhase::Pending && status.reason.is_some(), "it is {status:?}");
        Ok(())
    };
    until("n1 says that it has no such storage", seconds(60), look).await?;
    let token = token_of_driver(context, "n2").await?;
    let forged = |name: &str| {
        let object = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalVolume",
            "metadata": { "name": name }, "status": { "phase": "Removed" },
        });
        object.to_string()
    };
    for manager in ["--field-manager=workspacefs-node-n1", "--field-manager=e2e"] {
        let apply =
            ["apply", "--server-side", "--force-conflicts", "--subresource=status", manager, "-f", "-"];
        refused(context, &token, &apply, &forged(of_n1)).await.with_context(|| manager.to_owned())?;
    }
    let phase = context.local_volumes().get(of_n1).await?.phase();
    ensure!(phase == LocalVolumePhase::Pending, "it was forged: {phase:?}");
    // It is not for want of a right: of its own volume it may.
    let manager = "--field-manager=e2e";
    let apply = ["apply", "--server-side", "--force-conflicts", "--subresource=status", manager, "-f", "-"];
    let ended = with_token(context, &token, &apply, &forged(of_n2)).await?;
    ensure!(ended.status.success(), "its own volume: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

async fn the_operators_token_puts_no_label_but_its_own_on_a_node(context: Context) -> Result<()> {
    let operators = context.pods_of("operator").await?;
    let pod = operators.first().context("no operator is Ready")?.name_any();
    let token = token_of(&context, "workspacefs-operator", &pod).await?;
    for label in ["workspacefs.io/node-group=stolen", "e2e=x", "kubernetes.io/hostname=n2"] {
        let patch = ["label", "--overwrite", "node", "n1", label];
        refused(&context, &token, &patch, "").await.with_context(|| format!("the label {label}"))?;
    }
    let taint = ["taint", "node", "n1", "e2e=x:NoSchedule"];
    refused(&context, &token, &taint, "").await.context("a taint")?;
    let own = ["label", "--overwrite", "node", "n1", "local.workspacefs.io/e2e=ready"];
    let ended = with_token(&context, &token, &own, "").await?;
    context.kubectl(&["label", "node", "n1", "local.workspacefs.io/e2e-"], "").await?;
    ensure!(ended.status.success(), "its own label: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

/// A token of the node plugin's account as its pod on a node has it, which names that node.
async fn token_of_driver(context: &Context, node: &str) -> Result<String> {
    let pod = context.driver(node).await?.name_any();
    token_of(context, "workspacefs-node", &pod).await
}

async fn token_of(context: &Context, account: &str, pod: &str) -> Result<String> {
    let (account, pod) = (account.to_owned(), pod.to_owned());
    let create = move |cluster: &crate::Cluster| {
        let words = [
            "--namespace",
            PRODUCT_NAMESPACE,
            "create",
            "token",
            &account,
            "--bound-object-kind=Pod",
            &format!("--bound-object-name={pod}"),
        ];
        cluster.kubectl("admin", &words)
    };
    Ok(context.blocking(create).await?.trim().to_owned())
}

/// kubectl with this token instead of a user's own. It needs to read what it changes, which the token may.
async fn with_token(context: &Context, token: &str, arguments: &[&str], input: &str) -> Result<Ended> {
    let mut words = vec![format!("--token={token}")];
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    let input = input.to_owned();
    let run = move |cluster: &crate::Cluster| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        cluster.try_kubectl("nobody", &words, input.as_bytes())
    };
    context.blocking(run).await
}

async fn refused(context: &Context, token: &str, arguments: &[&str], input: &str) -> Result<()> {
    let ended = with_token(context, token, arguments, input).await?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(!ended.status.success(), "it was accepted");
    // By the policy: a right that is missing would say so in other words.
    ensure!(said.contains("ValidatingAdmissionPolicy"), "it was refused by something else: {said}");
    Ok(())
}
