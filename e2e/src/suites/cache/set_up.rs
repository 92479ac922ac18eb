//! What the cases find on the machines: n1 in the node group and n2 outside of it, and one LocalStorage, which has approved a
//! disk of each and lists no workspace yet; and a second NFS server.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::Cluster;
use crate::suites::hygiene::NODES;
use crate::suites::local::disks;
use crate::suites::local::set_up::{self, GROUP_LABEL};
use crate::suites::local::storage::{NAME, identity, on_disks};
use crate::suites::shared::{begin_second_server, end_second_server};
use crate::topology::Drive;

/// Makes it; again if need be.
pub fn prepare(cluster: &Cluster) -> Result<()> {
    // Blank drives, no LocalStorage, no file of an earlier run; and both nodes in the group.
    set_up::prepare(cluster)?;
    begin_second_server(cluster)?;
    cluster.kubectl("admin", &["label", "node", "n2", &format!("{GROUP_LABEL}-")])?;
    let approved = NODES.map(|node| identity(node, Drive::Ssd));
    let storage = json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalStorage", "metadata": { "name": NAME },
        "spec": on_disks(&approved, &[]),
    });
    cluster.kubectl_with("admin", &["apply", "-f", "-"], storage.to_string().as_bytes())?;
    Ok(())
}

/// Undoes it.
pub fn tidy_up(cluster: &Cluster) -> Result<()> {
    end_second_server(cluster)?;
    let delete = ["delete", "localstorages.workspacefs.io", NAME, "--ignore-not-found", "--timeout=100s"];
    if let Err(error) = cluster.kubectl("admin", &delete) {
        // Of a namespace that was to be kept; the next run removes that first.
        println!("LocalStorage {NAME} is still in use: {error:#}");
    } else {
        for node in NODES {
            disks::blank(&cluster.machine(node)?, &[Drive::Ssd])
                .with_context(|| format!("the disk of {node}"))?;
        }
    }
    set_up::tidy_up(cluster)
}
