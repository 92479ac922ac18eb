//! What the cases find on the machines: a node group of each worker, and an empty folder of the storage host's.

use anyhow::Result;

use crate::Cluster;

/// Where the suite's values keep the gateway: another node can go without it.
pub const GATEWAY_NODE: &str = "n1";
/// The network from which the suite's values allow imports: the harness, on the bridge.
pub const IMPORTS_FROM: &str = "10.99.0.1/32";
/// The group of [`GATEWAY_NODE`].
pub const NEAR: &str = "near";
/// The group of the other node, which may go, and its node.
pub const FAR: &str = "far";
/// See [`FAR`].
pub const FAR_NODE: &str = "n2";
/// What [`FAR_NODE`] is reserved by while a case says so.
pub const TAINT: &str = "e2e.workspacefs.io/reserved";

const GROUP_LABEL: &str = "workspacefs.io/node-group";

/// Makes it; again if need be.
pub fn prepare(cluster: &Cluster) -> Result<()> {
    cluster.machine("nfs")?.shell("rm -rf /export/*/e2e && mkdir /export/shared/e2e")?;
    for (node, group) in [(GATEWAY_NODE, NEAR), (FAR_NODE, FAR)] {
        let label = format!("{GROUP_LABEL}={group}");
        cluster.kubectl("admin", &["label", "--overwrite", "node", node, &label])?;
    }
    open(cluster)
}

/// Undoes it.
pub fn tidy_up(cluster: &Cluster) -> Result<()> {
    for node in [GATEWAY_NODE, FAR_NODE] {
        cluster.kubectl("admin", &["label", "node", node, &format!("{GROUP_LABEL}-")])?;
    }
    open(cluster)
}

/// Reserves [`FAR_NODE`].
pub fn reserve(cluster: &Cluster) -> Result<()> {
    let taint = format!("{TAINT}=yes:NoSchedule");
    cluster.kubectl("admin", &["taint", "--overwrite", "node", FAR_NODE, &taint])?;
    Ok(())
}

/// Ends [`reserve`]; fine if there is nothing to end.
pub fn open(cluster: &Cluster) -> Result<()> {
    let taints = ["get", "node", FAR_NODE, "--output=jsonpath={.spec.taints[*].key}"];
    if cluster.kubectl("admin", &taints)?.split_whitespace().any(|key| key == TAINT) {
        cluster.kubectl("admin", &["taint", "node", FAR_NODE, &format!("{TAINT}-")])?;
    }
    Ok(())
}
