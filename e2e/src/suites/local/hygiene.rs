//! After everything: no trace of a volume or of a disk on the nodes, no object of one, no label, no panic in a log.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::ResourceExt;
use kube::api::ListParams;
use workspacefs_api::LOCAL_DRIVER;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::hygiene::NODES;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    let all = cases![nothing_is_left_when_no_local_storage_is_there];
    all.into_iter().map(Case::alone).collect()
}

async fn nothing_is_left_when_no_local_storage_is_there(context: Context) -> Result<()> {
    let left = context.local_storages().list(&ListParams::default()).await?;
    ensure!(
        left.items.is_empty(),
        "an earlier case left {:?}",
        left.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    );
    for node in NODES {
        let look = || async {
            let mounts =
                context.on(node, &format!("grep -F /{LOCAL_DRIVER}/ /proc/1/mountinfo || true")).await?;
            let helpers = context.on(node, "pgrep -f '[d]isk-helper' || true").await?;
            ensure!(
                mounts.is_empty() && helpers.is_empty(),
                "mounts:\n{mounts}\nhelper processes: {helpers}"
            );
            Ok(())
        };
        until(&format!("{node} has no trace of a disk"), seconds(60), look).await?;
    }
    let left = context.local_volumes().list(&ListParams::default()).await?;
    let left: Vec<_> = left.iter().map(ResourceExt::name_any).collect();
    ensure!(left.is_empty(), "LocalVolumes are left: {left:?}");
    let classes: Api<StorageClass> = Api::all(context.client());
    let classes = classes.list(&ListParams::default()).await?;
    let ours: Vec<_> =
        classes.iter().filter(|class| class.provisioner == LOCAL_DRIVER).map(ResourceExt::name_any).collect();
    ensure!(ours.is_empty(), "StorageClasses are left: {ours:?}");
    let volumes = context.volumes().list(&ListParams::default()).await?;
    let is_local = |volume: &&PersistentVolume| {
        let source = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
        source.is_some_and(|source| source.driver == LOCAL_DRIVER)
    };
    let ours: Vec<_> = volumes.iter().filter(is_local).map(ResourceExt::name_any).collect();
    ensure!(ours.is_empty(), "PersistentVolumes are left: {ours:?}");
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(context.client());
    for node in nodes.list(&ListParams::default()).await? {
        let labels: Vec<&String> =
            node.labels().keys().filter(|key| key.starts_with("local.workspacefs.io/")).collect();
        ensure!(labels.is_empty(), "{} still has {labels:?}", node.name_any());
    }
    context.nothing_is_left().await?;
    context.logs_are_clean().await
}
