//! The life of a FileSystem and its claim: made by itself, bound again, held while in use, gone when asked, and in all of
//! it the files stay.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    cases![
        every_workspace_gets_a_default_file_system_that_works,
        a_workspace_whose_default_file_system_is_deleted_gets_it_again,
        a_deleted_claim_is_made_and_bound_again_with_its_files,
        a_file_system_in_use_stays_until_its_pods_are_gone_and_names_them,
        a_deleted_namespace_goes_and_its_files_stay,
        another_drivers_claim_is_used_as_it_is,
        changed_mount_options_reach_the_next_mount,
    ]
}

async fn every_workspace_gets_a_default_file_system_that_works(context: Context) -> Result<()> {
    let nothing = context.file_systems().get_opt("default").await?;
    ensure!(nothing.is_none(), "a namespace that is no workspace has a default file system");
    context.become_workspace().await?;
    let look = || async { Ok(context.file_systems().get("default").await?) };
    let file_system = until("the workspace has a FileSystem `default`", seconds(30), look).await?;
    let folder = file_system.spec.backend.nfs.as_ref().and_then(|nfs| nfs.folder.clone()).unwrap_or_default();
    ensure!(folder.contains(context.namespace()), "its folder {folder:?} does not name the workspace");
    context.usable("default").await?;
    let pod =
        PodSpec::new("user").with_user(1000).claim("default", "/claim").inline("default", "", "/inline");
    context.start([pod]).await?;
    context.exec("user", "echo x > /claim/x && cat /inline/x").await?;
    Ok(())
}

async fn a_workspace_whose_default_file_system_is_deleted_gets_it_again(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let look = || async { Ok(context.file_systems().get("default").await?) };
    let first = until("the workspace has a FileSystem `default`", seconds(30), look).await?;
    context.usable("default").await?;
    context.start([PodSpec::new("one").claim("default", "/data")]).await?;
    context.exec("one", "echo kept > /data/file").await?;
    context.stop("one").await?;
    context.file_systems().delete("default", &DeleteParams::default()).await?;
    let look = || async {
        let now = context.file_systems().get("default").await?;
        ensure!(now.metadata.uid != first.metadata.uid, "it is still the first one");
        Ok(())
    };
    until("it is made again", seconds(60), look).await?;
    context.usable("default").await?;
    context.start([PodSpec::new("two").claim("default", "/data")]).await?;
    let kept = context.exec("two", "cat /data/file").await?;
    ensure!(kept == "kept", "the file says {kept:?}");
    Ok(())
}

async fn a_deleted_claim_is_made_and_bound_again_with_its_files(context: Context) -> Result<()> {
    context.file_system("data").await?;
    let first = context.bound("data").await?;
    context.start([PodSpec::new("one").claim("data", "/data")]).await?;
    context.exec("one", "echo kept > /data/file").await?;
    let before = context.on_server("stat -c '%i %Z' data/file").await?;
    context.stop("one").await?;
    context.claims().delete("data", &DeleteParams::default()).await?;
    let look = || async {
        let now = context.claims().get("data").await?;
        ensure!(now.metadata.uid != first.metadata.uid, "it is still the first one");
        Ok(())
    };
    until("the claim is made again", seconds(60), look).await?;
    let second = context.usable("data").await?;
    let volume = format!("wsfs-{}", second.metadata.uid.context("no uid")?);
    let bound = context.bound("data").await?.spec.and_then(|spec| spec.volume_name);
    ensure!(bound.as_deref() == Some(volume.as_str()), "it is bound to {bound:?} instead of {volume}");
    context.start([PodSpec::new("two").claim("data", "/data")]).await?;
    let kept = context.exec("two", "cat /data/file").await?;
    let after = context.on_server("stat -c '%i %Z' data/file").await?;
    ensure!(kept == "kept" && before == after, "the file was touched: {kept:?}, {before} -> {after}");
    Ok(())
}

async fn a_file_system_in_use_stays_until_its_pods_are_gone_and_names_them(context: Context) -> Result<()> {
    context.file_system("data").await?;
    let pods = [
        PodSpec::new("by-claim").claim("data", "/data"),
        PodSpec::new("by-inline").inline("data", "", "/data"),
    ];
    context.start(pods).await?;
    context.file_systems().delete("data", &DeleteParams::default()).await?;
    let held = context.condition("data", "InUse", "True", seconds(30)).await?;
    let message = held.condition("InUse").map(|condition| condition.message.clone()).unwrap_or_default();
    ensure!(
        message.contains("by-claim") && message.contains("by-inline"),
        "the message names not both pods: {message}"
    );
    // Its pods notice nothing.
    tokio::time::sleep(seconds(5)).await;
    context.exec("by-claim", "echo x > /data/x").await?;
    context.exec("by-inline", "cat /data/x").await?;
    context.stop("by-inline").await?;
    let named = || async {
        let held = context.file_systems().get("data").await?;
        let message = held.condition("InUse").map(|condition| condition.message.clone()).unwrap_or_default();
        ensure!(message.contains("by-claim") && !message.contains("by-inline"), "the message is {message}");
        Ok(())
    };
    until("the pod that left is no longer named", seconds(60), named).await?;
    context.stop("by-claim").await?;
    gone(&context, "data").await?;
    let kept = context.on_server("cat data/x").await?;
    ensure!(kept == "x", "the file says {kept:?}");
    Ok(())
}

/// Waits until a FileSystem and what was made for it are gone.
async fn gone(context: &Context, name: &str) -> Result<()> {
    let look = || async {
        ensure!(context.file_systems().get_opt(name).await?.is_none(), "the FileSystem is there");
        ensure!(context.claims().get_opt(name).await?.is_none(), "the claim is there");
        Ok(())
    };
    until(&format!("FileSystem {name} and its claim are gone"), seconds(60), look).await
}

async fn a_deleted_namespace_goes_and_its_files_stay(context: Context) -> Result<()> {
    let name = format!("{}-2", context.namespace().trim_start_matches("e2e-"));
    let labels = json!({ "workspacefs.io/e2e": "shared", "workspacefs.io/workspace": "true" });
    let object = serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } }))?;
    let namespaces: Api<Namespace> = Api::all(context.client());
    namespaces.create(&PostParams::default(), &object).await?;
    let inner = context.in_namespace(&name);
    let nfs = json!({ "server": "10.99.0.21", "export": "/export/shared", "folder": context.folder("data") });
    let data = inner.file_system_with("data", json!({ "backend": { "nfs": nfs } })).await?;
    let look = || async { inner.usable("default").await };
    let default = until("the workspace has a default", seconds(60), look).await?;
    let user = PodSpec::new("user")
        .on("n1")
        .claim("data", "/data")
        .claim("default", "/home")
        .inline("data", "", "/x");
    inner.start([user]).await?;
    inner.exec("user", "echo kept > /data/file && echo kept > /home/file").await?;
    // Everything at once, as `kubectl delete namespace` does, with the pod running.
    namespaces.delete(&name, &DeleteParams::default()).await?;
    let look = || async {
        match namespaces.get_opt(&name).await? {
            None => Ok(()),
            Some(namespace) => anyhow::bail!(crate::suites::report::remains(&namespace)),
        }
    };
    until("the namespace is gone", seconds(120), look).await?;
    for file_system in [&data, &default] {
        let volume = format!("wsfs-{}", file_system.metadata.uid.clone().context("no uid")?);
        let left = context.volumes().get_opt(&volume).await?;
        ensure!(left.is_none(), "the PersistentVolume {volume} is left");
    }
    let folder = default.spec.backend.nfs.as_ref().and_then(|nfs| nfs.folder.clone()).context("no folder")?;
    let kept = context
        .on("nfs", &format!("cat /export/shared/{folder}/file && rm -r /export/shared/{folder}"))
        .await?;
    ensure!(kept == "kept", "the default file system's file says {kept:?}");
    let kept = context.on_server("cat data/file").await?;
    ensure!(kept == "kept", "the file says {kept:?}");
    Ok(())
}

async fn another_drivers_claim_is_used_as_it_is(context: Context) -> Result<()> {
    // Kubernetes' own NFS volume stands for whatever driver it is.
    let name = format!("foreign-{}", context.namespace());
    let path = format!("/export/shared/e2e/{}/foreign", context.namespace());
    context.on_server("mkdir -p foreign && chmod 0777 foreign").await?;
    let volume = json!({
        "metadata": { "name": name, "labels": { "workspacefs.io/e2e": "shared" } },
        "spec": {
            "capacity": { "storage": "1Gi" },
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": name,
            "nfs": { "server": "10.99.0.21", "path": path },
        },
    });
    let claim = json!({
        "metadata": { "name": "efs" },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": name,
            "resources": { "requests": { "storage": "1Gi" } },
        },
    });
    let volumes = context.volumes();
    volumes.create(&PostParams::default(), &serde_json::from_value(volume)?).await?;
    let outcome = async {
        let spec = json!({ "backend": { "persistentVolumeClaim": { "claimName": "efs" } } });
        context.create_file_system("data", spec).await?;
        let early = context.condition("data", "Ready", "False", seconds(30)).await?;
        let message = early.condition("Ready").map(|condition| condition.message.clone()).unwrap_or_default();
        ensure!(message.contains("efs"), "nothing says that the claim efs is missing: {message}");
        let claim = context.claims().create(&PostParams::default(), &serde_json::from_value(claim)?).await?;
        let ready = context.condition("data", "Ready", "True", seconds(60)).await?;
        let named = ready.status.and_then(|status| status.claim_name);
        ensure!(named.as_deref() == Some("efs"), "its claim is {named:?}");
        let made = context.claims().get_opt("data").await?;
        ensure!(made.is_none(), "a claim was made beside the one that is used");
        context.create(&PodSpec::new("inline").inline("data", "", "/data")).await?;
        context.event("inline", &["FailedPrecondition", "claim"], seconds(30)).await?;
        context.create(&PodSpec::new("user").claim("efs", "/data")).await?;
        context.placed("user").await?;
        context.file_systems().delete("data", &DeleteParams::default()).await?;
        let held = context.condition("data", "InUse", "True", seconds(30)).await?;
        let message = held.condition("InUse").map(|condition| condition.message.clone()).unwrap_or_default();
        // What the driver refuses to mount is no use.
        ensure!(
            message.contains("user") && !message.contains("inline"),
            "the pod that mounts the claim efs is the one to name: {message}"
        );
        let look = || async {
            ensure!(context.file_systems().get_opt("data").await?.is_none(), "it is still there");
            Ok(())
        };
        context.stop("inline").await?;
        context.stop("user").await?;
        until("the FileSystem is gone", seconds(60), look).await?;
        let now = context.claims().get("efs").await?;
        ensure!(now.metadata.uid == claim.metadata.uid, "the claim did not survive");
        ensure!(now.metadata.deletion_timestamp.is_none(), "the claim is being deleted");
        Ok(())
    };
    let outcome = outcome.await;
    let claim = context.claims().delete("efs", &DeleteParams::default()).await;
    let volume = volumes.delete(&name, &DeleteParams::default()).await;
    outcome?;
    claim?;
    volume?;
    Ok(())
}

async fn changed_mount_options_reach_the_next_mount(context: Context) -> Result<()> {
    let spec = json!({ "backend": context.shared("data"), "mountOptions": ["acregmax=62"] });
    context.file_system_with("data", spec).await?;
    let [old] = context.start([PodSpec::new("old").on("n1").claim("data", "/data")]).await?;
    let change = Patch::Merge(json!({ "spec": { "mountOptions": ["acregmax=63"] } }));
    context.file_systems().patch("data", &PatchParams::default(), &change).await?;
    let uid = context.file_systems().get("data").await?.metadata.uid.context("no uid")?;
    let look = || async {
        let volume = context.volumes().get(&format!("wsfs-{uid}")).await?;
        let options = volume.spec.and_then(|spec| spec.mount_options).unwrap_or_default();
        ensure!(options.iter().any(|option| option == "acregmax=63"), "it has {options:?}");
        Ok(())
    };
    until("the PersistentVolume has the new option", seconds(30), look).await?;
    let [new] = context.start([PodSpec::new("new").on("n1").claim("data", "/data")]).await?;
    let mount = context.mount_of(&new).await?;
    ensure!(mount.has("acregmax=63"), "the new mount has {}", mount.super_options);
    let mount = context.mount_of(&old).await?;
    ensure!(mount.has("acregmax=62"), "the running pod's mount has {}", mount.super_options);
    context.exec("old", "echo x > /data/x").await?;
    context.exec("new", "cat /data/x").await?;
    Ok(())
}
