//! The workers' second disks as PersistentVolumes for block claims: what an administrator does by hand, or a provisioner of
//! local disks. The StorageClass gives them out when a pod needs one.

use serde_json::json;

use crate::Cluster;
use crate::cluster::KubectlError;
use crate::topology::DISK;

/// The StorageClass.
pub const STORAGE_CLASS: &str = "disks";

/// Size of each, as the PersistentVolume says it: what `machine::kernel` makes.
pub const SIZE: &str = "32Gi";

/// Offers the second disk of a worker. A disk whose claim is gone is offered again, with what is on it.
pub fn offer(cluster: &Cluster, worker: &str) -> Result<(), KubectlError> {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    });
    let name = volume(worker);
    let this_node = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [worker]});
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Block",
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": DISK},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [this_node]}]}},
        },
    });
    let both = json!({"apiVersion": "v1", "kind": "List", "items": [class, volume]});
    cluster.kubectl_with("admin", &["apply", "-f", "-"], both.to_string().as_bytes())?;
    let phase = cluster.kubectl("admin", &["get", "pv", &name, "--output=jsonpath={.status.phase}"])?;
    if phase.trim() == "Released" {
        let free = r#"[{"op": "remove", "path": "/spec/claimRef"}]"#;
        cluster.kubectl("admin", &["patch", "pv", &name, "--type=json", "--patch", free])?;
    }
    Ok(())
}

/// Name of a worker's PersistentVolume.
pub fn volume(worker: &str) -> String {
    format!("disk-{worker}")
}
