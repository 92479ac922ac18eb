//! What asks for what it may not have is told why on its claim, and leaves nothing behind.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};
use serde_json::{Value, json};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    let mut all = cases![
        a_class_that_names_no_file_system_is_told_on_the_claim,
        a_class_with_a_word_nobody_knows_is_told_on_the_claim,
        a_claim_from_another_namespace_is_refused_unless_the_class_allows_it,
    ];
    // They compare all that is on the disk.
    let alone = cases![hostile_volume_handles_reach_nothing_on_the_disk];
    all.extend(alone.into_iter().map(Case::alone));
    all
}

/// Applies a class of the case's own, named after the namespace.
async fn class(context: &Context, name: &str, parameters: Value) -> Result<String> {
    let name = format!("{}-{name}", context.namespace());
    let object = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": name },
        "provisioner": "csi.workspacefs.io",
        "parameters": parameters,
        "reclaimPolicy": "Delete",
    });
    context.apply(&object.to_string()).await?;
    Ok(name)
}

/// A claim of the class is refused in these words; the class is removed again.
async fn refused(context: &Context, class: &str, words: &[&str]) -> Result<()> {
    context.create_claim("asks", class, "10Mi").await?;
    let mut all = vec!["ProvisioningFailed"];
    all.extend(words);
    let told = context.event("asks", &all, seconds(60)).await;
    context.claims().delete("asks", &Default::default()).await?;
    let look = || async {
        ensure!(context.claims().get_opt("asks").await?.is_none(), "the claim is still there");
        Ok(())
    };
    until("the claim is gone", seconds(30), look).await?;
    forgotten(context, "asks").await?;
    context.kubectl(&["delete", "storageclass", class], "").await?;
    context.note(told?);
    Ok(())
}

/// A refusal is final: the provisioner does not go on with a claim that is gone, as it would for ever after an answer that
/// leaves open what became of the volume.
async fn forgotten(context: &Context, claim: &str) -> Result<()> {
    let key = format!("{}/{claim}", context.namespace());
    let log = async |seconds: i64| -> Result<String> {
        let controllers = ListParams::default().labels("app.kubernetes.io/component=controller");
        let list = context.product().list(&controllers).await?;
        let pod = list.into_iter().next().context("there is no controller")?.name_any();
        let container = Some("csi-provisioner".to_owned());
        let since = LogParams { container, since_seconds: Some(seconds), ..LogParams::default() };
        Ok(context.product().logs(&pod, &since).await?)
    };
    let before = log(60).await?;
    ensure!(before.contains(&key), "the provisioner's log names no claim {key}");
    tokio::time::sleep(seconds(22)).await;
    let later = log(20).await?;
    let tried: Vec<&str> = later.lines().filter(|line| line.contains(&key)).collect();
    ensure!(tried.is_empty(), "the claim is gone, and the provisioner goes on:\n{}", tried.join("\n"));
    Ok(())
}

async fn a_class_that_names_no_file_system_is_told_on_the_claim(context: Context) -> Result<()> {
    let parameters = json!({ "namespace": context.namespace(), "fileSystem": "missing" });
    let class = class(&context, "missing", parameters).await?;
    refused(&context, &class, &["missing"]).await
}

async fn a_class_with_a_word_nobody_knows_is_told_on_the_claim(context: Context) -> Result<()> {
    context.managed("data", "64Mi").await?;
    let parameters = json!({ "namespace": context.namespace(), "fileSystem": "data", "flavour": "sweet" });
    let class = class(&context, "unknown", parameters).await?;
    refused(&context, &class, &["flavour"]).await
}

async fn a_claim_from_another_namespace_is_refused_unless_the_class_allows_it(
    context: Context,
) -> Result<()> {
    let other = context.in_namespace(&format!("{}-b", context.namespace()));
    context.managed("data", "256Mi").await?;
    context.class_is_there("data").await?;
    other
        .apply(
            &json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": other.namespace(), "labels": {
                    "workspacefs.io/e2e": "managed" } },
            })
            .to_string(),
        )
        .await?;
    let outcome = from_another(&context, &other).await;
    context.kubectl(&["delete", "namespace", other.namespace(), "--timeout=100s"], "").await?;
    outcome
}

async fn from_another(context: &Context, other: &Context) -> Result<()> {
    other.create_claim("asks", &context.class_of("data"), "10Mi").await?;
    other.event("asks", &["ProvisioningFailed", "namespace"], seconds(60)).await?;
    other.claims().delete("asks", &Default::default()).await?;
    let parameters = json!({
        "namespace": context.namespace(), "fileSystem": "data", "allowedNamespaces": other.namespace(),
    });
    let class = class(context, "allows", parameters).await?;
    other.create_claim("may", &class, "10Mi").await?;
    let bound = other.bound("may").await;
    other.claims().delete("may", &Default::default()).await?;
    context.kubectl(&["delete", "storageclass", &class], "").await?;
    bound.map(drop)
}

/// Whoever held the object holds it no longer.
const RELEASE: &str = r#"{"metadata": {"finalizers": null}}"#;

async fn hostile_volume_handles_reach_nothing_on_the_disk(context: Context) -> Result<()> {
    let victim = context.managed_with("victim", "64Mi", json!({ "reclaimPolicy": "Delete" })).await?;
    let uid = victim.uid().context("no uid")?;
    context.start([PodSpec::new("writer").on("n2").claim("victim", "/data")]).await?;
    context.exec("writer", "echo precious > /data/x && sync -d /data/x").await?;
    context.stop("writer").await?;
    let own = context.volumes().get(&format!("wsfs-{uid}")).await?;
    let attributes = own.spec.and_then(|spec| spec.csi?.volume_attributes).context("no attributes")?;
    let handles = [
        "v1.vol.../../etc".to_owned(),
        "../x".to_owned(),
        format!("v1.vol.{uid}.a/b"),
        format!("v1.vol.{uid}...%2f..%2fworkspaces"),
        "v1.vol.".to_owned() + &"x".repeat(4096),
        format!("v1.fs.{uid}"),
    ];
    let list = "find export trash archive -printf '%p %i %s %m\\n' | sort";
    let before = context.on_disk(list).await?;
    for (number, handle) in handles.iter().enumerate() {
        let name = format!("{}-{number}", context.namespace());
        context.apply(&hostile(&context, &name, handle, &json!(attributes)).to_string()).await?;
        let outcome = deleted(&context, &name, number == 0, handle.starts_with("v1.fs.")).await;
        // What cannot be deleted must not stay for ever.
        context.kubectl(&["delete", "pv", &name, "--ignore-not-found", "--wait=false"], "").await?;
        context.kubectl(&["patch", "pv", &name, "--type=merge", "--patch", RELEASE], "").await?;
        outcome.with_context(|| format!("the handle {}", handle.get(..60).unwrap_or(handle)))?;
    }
    let after = context.on_disk(list).await?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}");
    Ok(())
}

/// A PersistentVolume as if the provisioner had made it, and the claim that it is for.
fn hostile(context: &Context, name: &str, handle: &str, attributes: &Value) -> Value {
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "labels": { "workspacefs.io/e2e": "managed" },
            "annotations": { "pv.kubernetes.io/provisioned-by": "csi.workspacefs.io" },
        },
        "spec": {
            "capacity": { "storage": "10Mi" },
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "",
            "claimRef": { "namespace": context.namespace(), "name": name },
            "csi": { "driver": "csi.workspacefs.io", "volumeHandle": handle, "volumeAttributes": attributes },
        },
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": name },
        "spec": {
            "storageClassName": "", "volumeName": name, "accessModes": ["ReadWriteMany"],
            "resources": { "requests": { "storage": "10Mi" } },
        },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [volume, claim] })
}

/// Deletes the claim and waits until its volume is gone, or is refused to go.
async fn deleted(context: &Context, name: &str, mount: bool, refused: bool) -> Result<()> {
    context.bound(name).await?;
    if mount {
        context.create(&PodSpec::new("thief").on("n2").claim(name, "/data")).await?;
        context.event("thief", &["FailedMount", "not a volume id of this driver"], seconds(90)).await?;
        context.stop("thief").await?;
    }
    context.claims().delete(name, &Default::default()).await?;
    if refused {
        let events = context.in_namespace("default");
        return events
            .event(name, &["VolumeFailedDelete", "only with the FileSystem"], seconds(90))
            .await
            .map(drop);
    }
    let look = || async {
        ensure!(context.volumes().get_opt(name).await?.is_none(), "it is there");
        Ok(())
    };
    until("the volume is gone", seconds(90), look).await
}
