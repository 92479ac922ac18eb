//! Further claims, by the StorageClass of a FileSystem, with the real provisioner and resizer.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    cases![
        a_claim_of_the_class_is_bound_to_a_folder_of_its_own_and_ends_at_its_size,
        a_claim_grows_while_a_pod_writes,
        a_claim_takes_from_what_is_left_and_gives_it_back,
        a_claim_larger_than_its_file_system_or_grown_beyond_what_is_left_is_told_both_numbers,
        a_claim_on_an_nfs_server_of_your_own_is_a_fresh_folder_and_cannot_grow,
        a_deleted_claim_goes_into_the_trash_under_reclaim_policy_delete,
        a_further_claim_is_scheduled_in_the_node_group_of_its_file_system_only,
    ]
}

impl Context {
    /// The StorageClass of one of the case's FileSystems.
    pub fn class_of(&self, file_system: &str) -> String {
        format!("{}.{file_system}", self.namespace())
    }

    /// Makes a claim of a class.
    pub async fn create_claim(&self, name: &str, class: &str, size: &str) -> Result<PersistentVolumeClaim> {
        let object = json!({
            "metadata": { "name": name },
            "spec": {
                "storageClassName": class,
                "accessModes": ["ReadWriteMany"],
                "resources": { "requests": { "storage": size } },
            },
        });
        Ok(self.claims().create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }

    /// Asks for more.
    pub async fn grow(&self, claim: &str, size: &str) -> Result<()> {
        let patch = json!({ "spec": { "resources": { "requests": { "storage": size } } } });
        self.claims().patch(claim, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Waits until a claim has this size.
    pub async fn has_size(&self, claim: &str, size: &str) -> Result<()> {
        let look = || async {
            let object = self.claims().get(claim).await?;
            let now = object.status.and_then(|status| status.capacity).and_then(|mut s| s.remove("storage"));
            ensure!(now.as_ref().is_some_and(|now| now.0 == size), "its size is {now:?}");
            Ok(())
        };
        until(&format!("claim {claim} has {size}"), seconds(90), look).await
    }

    /// The name of the volume that a claim is, or will be, bound to.
    pub async fn volume_of(&self, claim: &str) -> Result<String> {
        let claim = self.bound(claim).await?;
        claim.spec.and_then(|spec| spec.volume_name).context("bound to nothing")
    }

    /// Deletes a claim and waits until its volume is gone, which has the folder removed.
    pub async fn delete_claim(&self, name: &str) -> Result<()> {
        let volume = self.volume_of(name).await?;
        self.claims().delete(name, &Default::default()).await?;
        let look = || async {
            let left = self.volumes().get_opt(&volume).await?;
            ensure!(left.is_none(), "the PersistentVolume {volume} is still there");
            Ok(())
        };
        until(&format!("the volume of claim {name} is gone"), seconds(90), look).await
    }

    /// Waits until the StorageClass of a FileSystem is there.
    pub async fn class_is_there(&self, file_system: &str) -> Result<StorageClass> {
        let api: Api<StorageClass> = Api::all(self.client());
        let name = self.class_of(file_system);
        let look = || async { Ok(api.get(&name).await?) };
        until(&format!("StorageClass {name} is there"), seconds(60), look).await
    }
}

/// 400 MiB, which are more than a claim has.
pub(super) const OVER: &str = "dd if=/dev/zero of=/data/big bs=1M count=400 conv=fsync 2>&1";

async fn a_claim_of_the_class_is_bound_to_a_folder_of_its_own_and_ends_at_its_size(
    context: Context,
) -> Result<()> {
    context.managed("data", "512Mi").await?;
    let class = context.class_is_there("data").await?;
    ensure!(class.allow_volume_expansion == Some(true), "its claims cannot grow");
    context.create_claim("more", &context.class_of("data"), "100Mi").await?;
    context.bound("more").await?;
    context.has_size("more", "100Mi").await?;
    let both = PodSpec::new("user").on("n2").claim("more", "/data").claim("data", "/own");
    context.start([both]).await?;
    context
        .exec("user", "echo own > /own/x && test ! -e /data/x && echo more > /data/y && test ! -e /own/y")
        .await?;
    let ran = context.try_exec("user", OVER).await?;
    ensure!(!ran.success, "400 MiB went into 100: {}", ran.text);
    // What the claim cannot have, its FileSystem still has.
    context.exec("user", "dd if=/dev/zero of=/own/some bs=1M count=100 conv=fsync 2>&1").await?;
    Ok(())
}

async fn a_claim_grows_while_a_pod_writes(context: Context) -> Result<()> {
    context.managed("data", "1Gi").await?;
    context.class_is_there("data").await?;
    context.create_claim("more", &context.class_of("data"), "64Mi").await?;
    context.bound("more").await?;
    context.start([PodSpec::new("user").on("n2").claim("more", "/data")]).await?;
    ensure!(!context.try_exec("user", OVER).await?.success, "400 MiB went into 64");
    context.grow("more", "512Mi").await?;
    context.has_size("more", "512Mi").await?;
    context.exec("user", OVER).await?;
    Ok(())
}

async fn a_claim_takes_from_what_is_left_and_gives_it_back(context: Context) -> Result<()> {
    context.managed_with("data", "512Mi", json!({ "reclaimPolicy": "Delete" })).await?;
    context.class_is_there("data").await?;
    let class = context.class_of("data");
    context.create_claim("first", &class, "300Mi").await?;
    context.bound("first").await?;
    context.create_claim("second", &class, "300Mi").await?;
    let message = context.event("second", &["ProvisioningFailed"], seconds(60)).await?;
    context.note(message.clone());
    // 300 MiB of what 512 less 300 leave.
    let both = "314572800 bytes are more than the 222298112 bytes that are left";
    ensure!(message.contains(both), "it says {message}");
    context.claims().delete("first", &Default::default()).await?;
    // The provisioner tries again by itself.
    until("the second claim is bound", seconds(150), || async { context.bound("second").await.map(drop) })
        .await
}

async fn a_claim_larger_than_its_file_system_or_grown_beyond_what_is_left_is_told_both_numbers(
    context: Context,
) -> Result<()> {
    context.managed_with("data", "256Mi", json!({ "reclaimPolicy": "Delete" })).await?;
    context.class_is_there("data").await?;
    let class = context.class_of("data");
    context.create_claim("vast", &class, "1Gi").await?;
    let message = context.event("vast", &["ProvisioningFailed"], seconds(60)).await?;
    // 1 GiB of 256 MiB.
    ensure!(message.contains("1073741824") && message.contains("268435456"), "it says {message}");
    context.note(message);
    context.claims().delete("vast", &Default::default()).await?;
    context.create_claim("grows", &class, "64Mi").await?;
    context.bound("grows").await?;
    context.grow("grows", "512Mi").await?;
    let message = context.event("grows", &["VolumeResizeFailed"], seconds(90)).await?;
    // 512 MiB of 256.
    ensure!(message.contains("536870912"), "it says {message}");
    context.note(message);
    // The answer is final: the claim may ask for less.
    context.grow("grows", "96Mi").await?;
    context.has_size("grows", "96Mi").await
}

async fn a_claim_on_an_nfs_server_of_your_own_is_a_fresh_folder_and_cannot_grow(
    context: Context,
) -> Result<()> {
    context.file_system("own").await?;
    let class = context.class_is_there("own").await?;
    ensure!(class.allow_volume_expansion != Some(true), "the class says that its claims can grow");
    context.create_claim("more", &context.class_of("own"), "100Mi").await?;
    context.bound("more").await?;
    let both = PodSpec::new("user").on("n2").claim("more", "/data").claim("own", "/own");
    context.start([both]).await?;
    context
        .exec("user", "echo x > /data/x && test ! -e /own/x && echo x > /own/y && test ! -e /data/y")
        .await?;
    let refused = context.grow("more", "200Mi").await;
    let Err(error) = refused else { anyhow::bail!("it was accepted") };
    ensure!(format!("{error:#}").contains("resize"), "{error:#}");
    Ok(())
}

async fn a_further_claim_is_scheduled_in_the_node_group_of_its_file_system_only(
    context: Context,
) -> Result<()> {
    // Not the examples' group, nor their node.
    let labelled = context
        .kubectl(&["label", "--overwrite", "node", "n2", "workspacefs.io/node-group=claims"], "")
        .await?;
    ensure!(labelled.status.success(), "{}", String::from_utf8_lossy(&labelled.stderr));
    let outcome = scheduled_in_the_group_only(&context).await;
    context.kubectl(&["label", "node", "n2", "workspacefs.io/node-group-"], "").await?;
    outcome
}

async fn scheduled_in_the_group_only(context: &Context) -> Result<()> {
    context.managed_with("data", "256Mi", json!({ "nodeGroup": "claims" })).await?;
    context.class_is_there("data").await?;
    context.create_claim("more", &context.class_of("data"), "64Mi").await?;
    context.bound("more").await?;
    // Usually the operator was there before it was bound; on a busy machine it comes after (docs/limitations.md).
    let volume = context.volume_of("more").await?;
    let confined = || async {
        let spec = context.volumes().get(&volume).await?.spec.unwrap_or_default();
        ensure!(spec.node_affinity.is_some(), "it has no node affinity");
        Ok(())
    };
    until("the PersistentVolume is kept to the node group", seconds(60), confined).await?;
    // The scheduler hears of it a moment later.
    tokio::time::sleep(seconds(2)).await;
    context.create(&PodSpec::new("outside").on("n1").claim("more", "/data")).await?;
    context.create(&PodSpec::new("anywhere").claim("more", "/data")).await?;
    let words = ["FailedScheduling", "didn't match PersistentVolume's node affinity"];
    context.note(context.event("outside", &words, seconds(60)).await?);
    let inside = context.running("anywhere").await?;
    let node = inside.spec.and_then(|spec| spec.node_name);
    ensure!(node.as_deref() == Some("n2"), "n2 alone is in the group, the pod is on {node:?}");
    let outside = context.pods().get("outside").await?;
    let node = outside.spec.and_then(|spec| spec.node_name);
    ensure!(node.is_none(), "the pod outside the group is on {node:?}");
    context.stop("outside").await?;
    context.stop("anywhere").await
}

async fn a_deleted_claim_goes_into_the_trash_under_reclaim_policy_delete(context: Context) -> Result<()> {
    context.managed_with("data", "512Mi", json!({ "reclaimPolicy": "Delete" })).await?;
    context.class_is_there("data").await?;
    context.create_claim("more", &context.class_of("data"), "100Mi").await?;
    context.start([PodSpec::new("user").on("n2").claim("more", "/data")]).await?;
    context.exec("user", "echo precious > /data/x && sync -d /data/x").await?;
    context.stop("user").await?;
    context.delete_claim("more").await?;
    let removed = context.agent(&["removed"]).await?;
    ensure!(removed.contains(context.namespace()), "the agent lists:\n{removed}");
    Ok(())
}
