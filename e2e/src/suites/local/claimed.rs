//! Claims of a LocalStorage's class as cases see them: made, followed to their LocalVolume and to its folder on a disk, and
//! taken away.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::{CSIStorageCapacity, StorageClass};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use workspacefs_api::local_attributes::LocalVolumeId;
use workspacefs_api::local_volume::LocalVolumePhase;
use workspacefs_api::{LOCAL_DRIVER, LocalStorage, LocalVolume, quantity};

use super::storage::NAME;
use crate::Cluster;
use crate::suites::context::Context;
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::suites::wait::{seconds, until};

pub const MIB: u64 = 1 << 20;

/// The scheduler's choice of a node, on a claim: with it no pod is needed for its volume to be made.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Time for volumes of deleted claims to be gone.
const REMOVAL_TIME_MAX: Duration = seconds(90);

impl Context {
    /// All LocalVolumes.
    pub fn local_volumes(&self) -> Api<LocalVolume> {
        Api::all(self.client())
    }

    /// The LocalVolumes of the case's LocalStorage.
    pub async fn volumes_there(&self) -> Result<Vec<LocalVolume>> {
        let all = self.local_volumes().list(&ListParams::default()).await?;
        Ok(all.items.into_iter().filter(|volume| volume.spec.storage == NAME).collect())
    }

    /// Waits until the StorageClass of the case's LocalStorage is there.
    pub async fn local_class(&self) -> Result<StorageClass> {
        let api: Api<StorageClass> = Api::all(self.client());
        let name = LocalStorage::class_name(NAME);
        let look = || async { Ok(api.get(&name).await?) };
        until(&format!("StorageClass {name} is there"), seconds(60), look).await
    }

    /// Makes a claim of that class, whose node the scheduler will choose when a pod wants it, or has chosen.
    pub async fn local_claim(&self, name: &str, size: &str, node: Option<&str>) -> Result<()> {
        let annotations = match node {
            Some(node) => json!({ SELECTED_NODE: node }),
            None => json!({}),
        };
        let object = json!({
            "metadata": { "name": name, "annotations": annotations },
            "spec": {
                "storageClassName": LocalStorage::class_name(NAME),
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": size } },
            },
        });
        self.claims().create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    /// Waits until a claim is bound; gives its PersistentVolume and its LocalVolume, which is Ready.
    pub async fn local_volume_of(&self, claim: &str) -> Result<(PersistentVolume, LocalVolume)> {
        let volume = self.volumes().get(&self.volume_of(claim).await?).await?;
        let handle = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref()).map(|csi| &csi.volume_handle);
        let handle = handle.context("no CSI volume")?;
        let LocalVolumeId::Volume { volume: name, .. } = LocalVolumeId::parse(handle)? else {
            bail!("claim {claim} is bound to the share {handle}");
        };
        let object = self.local_volumes().get(&name).await?;
        ensure!(object.phase() == LocalVolumePhase::Ready, "it is bound, and {:?}", object.status);
        Ok((volume, object))
    }

    /// Waits until as many LocalVolumes of the case's LocalStorage are there and all are Ready.
    pub async fn volumes_are(&self, count: usize, limit: Duration) -> Result<()> {
        let look = || async {
            let there = self.volumes_there().await?;
            let say = |volume: &LocalVolume| (volume.name_any(), volume.phase(), volume.status.clone());
            let ready = there.iter().filter(|volume| volume.phase() == LocalVolumePhase::Ready).count();
            let going = there.iter().any(|volume| volume.metadata.deletion_timestamp.is_some());
            let fits = ready == count && there.len() == count && !going;
            ensure!(fits, "they are {:?}", there.iter().map(say).collect::<Vec<_>>());
            Ok(())
        };
        until(&format!("{count} LocalVolumes are there and Ready"), limit, look).await
    }

    /// The largest volume that can be made on a node, as that says.
    pub async fn available(&self, node: &str) -> Result<u64> {
        let object = self.local_storages().get(NAME).await?;
        let entry = object.on_node(node).context("the node has no entry")?;
        let available = entry.available.as_ref().and_then(|available| quantity::bytes(&available.0));
        available.with_context(|| format!("it says nothing of what is available: {entry:?}"))
    }

    /// Waits until that fits, which `wish` says for the reader.
    pub async fn available_is(&self, node: &str, wish: &str, fits: impl Fn(u64) -> bool) -> Result<u64> {
        let look = || async {
            let available = self.available(node).await?;
            ensure!(fits(available), "it is {} MiB", available / MIB);
            Ok(available)
        };
        until(&format!("what is available on {node} is {wish}"), seconds(60), look).await
    }

    /// What the scheduler is told of the room for volumes of the case's LocalStorage: bytes, of each node that was asked.
    pub async fn told_capacities(&self) -> Result<Vec<u64>> {
        let api: Api<CSIStorageCapacity> = Api::namespaced(self.client(), PRODUCT_NAMESPACE);
        let class = LocalStorage::class_name(NAME);
        let all = api.list(&ListParams::default()).await?.items;
        let ours = all.into_iter().filter(|object| object.storage_class_name == class);
        Ok(ours.filter_map(|object| quantity::bytes(&object.capacity?.0)).collect())
    }

    /// Where the disk of the case's LocalStorage is mounted on its nodes.
    pub async fn disk_root(&self) -> Result<String> {
        let uid = self.local_storages().get(NAME).await?.uid().context("no uid")?;
        Ok(format!("/var/lib/kubelet/plugins/{LOCAL_DRIVER}/disks/{uid}"))
    }

    /// Runs a line of shell in the root of that disk; it must succeed.
    pub async fn on_local_disk(&self, node: &str, line: &str) -> Result<String> {
        let root = self.disk_root().await?;
        // The node plugin mounts in its container, and the mount propagates to the node.
        self.on(node, &format!("cd {root} && {line}")).await
    }
}

/// Removes the claims of a LocalStorage's class in these workspaces, and waits until their volumes are gone. Those that do not
/// go are let go of, and an error.
pub fn take_away(cluster: &Cluster, name: &str, workspaces: &[String]) -> Result<()> {
    let class = LocalStorage::class_name(name);
    for namespace in workspaces {
        let of_class = format!(
            "--output=jsonpath={{range .items[?(@.spec.storageClassName==\"{class}\")]}}{{.metadata.name}}{{\" \"}}{{end}}"
        );
        let claims = cluster.kubectl("admin", &["--namespace", namespace, "get", "pvc", &of_class])?;
        let claims: Vec<&str> = claims.split_whitespace().collect();
        if !claims.is_empty() {
            let delete = ["--namespace", namespace, "delete", "--timeout=60s", "--ignore-not-found", "pvc"];
            cluster.kubectl("admin", &[&delete[..], &claims].concat())?;
        }
    }
    let asked = Instant::now();
    let mut left = volumes_of(cluster, name)?;
    while !left.is_empty() && asked.elapsed() < REMOVAL_TIME_MAX {
        std::thread::sleep(seconds(1));
        left = volumes_of(cluster, name)?;
    }
    let_go_of(cluster, &left)?;
    ensure!(left.is_empty(), "without their claims these LocalVolumes stay: {left:?}");
    Ok(())
}

/// Removes every LocalVolume, whatever lies on a disk: a killed run may have left some that nobody else removes.
pub fn let_go_of_all(cluster: &Cluster) -> Result<()> {
    let names =
        cluster.kubectl("admin", &["get", "localvolumes", "--output=jsonpath={.items[*].metadata.name}"])?;
    let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let_go_of(cluster, &names)
}

fn let_go_of(cluster: &Cluster, volumes: &[String]) -> Result<()> {
    for volume in volumes {
        println!("LocalVolume {volume} is let go of, with whatever lies on its disk");
        cluster.kubectl("admin", &["delete", "localvolume", volume, "--ignore-not-found", "--wait=false"])?;
        let free = json!({ "metadata": { "finalizers": null } }).to_string();
        let patch = ["patch", "localvolume", volume, "--type=merge", "--patch", &free];
        // It may have gone by itself at last.
        cluster.try_kubectl("admin", &patch, b"")?;
    }
    Ok(())
}

/// The names of a LocalStorage's LocalVolumes.
fn volumes_of(cluster: &Cluster, name: &str) -> Result<Vec<String>> {
    let of_storage = format!(
        "--output=jsonpath={{range .items[?(@.spec.storage==\"{name}\")]}}{{.metadata.name}}{{\" \"}}{{end}}"
    );
    let names = cluster.kubectl("admin", &["get", "localvolumes", &of_storage])?;
    Ok(names.split_whitespace().map(str::to_owned).collect())
}
