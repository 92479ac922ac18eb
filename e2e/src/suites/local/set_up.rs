//! What the cases find on the machines: both workers in one node group, all their drives blank, no LocalStorage, no device
//! that an earlier run left.

use anyhow::{Context as _, Result};

use super::storage::GROUP;
use super::{claimed, disks};
use crate::Cluster;
use crate::suites::hygiene::NODES;
use crate::topology::Drive;

/// Both nodes' label.
pub const GROUP_LABEL: &str = "workspacefs.io/node-group";

/// What cases of faults make on a node; a killed run leaves it.
const REMOVE_DEVICES: &str = "for at in $(awk '$5 ~ /^.srv.e2e-/ { print $5 }' /proc/1/mountinfo | tac); do umount -l $at; done; \
                              ! [ -e /dev/mapper/control ] || dmsetup remove_all --force --noudevrules --noudevsync; \
                              ! [ -d /sys/module/scsi_debug ] || modprobe -r scsi_debug || true";

/// Makes it; again if need be.
pub fn prepare(cluster: &Cluster) -> Result<()> {
    for node in NODES {
        // Before anything else: the cluster may be older than its drives.
        let machine = cluster.machine(node)?;
        disks::names(&machine, &Drive::ALL)?;
        for drive in Drive::ALL {
            machine.plug_drive(drive)?;
        }
    }
    claimed::let_go_of_all(cluster).context("LocalVolumes that are here already")?;
    let all = ["delete", "localstorages.workspacefs.io", "--all", "--timeout=100s"];
    cluster.kubectl("admin", &all).context("LocalStorages that are here already")?;
    for node in NODES {
        let machine = cluster.machine(node)?;
        machine.shell(REMOVE_DEVICES)?;
        let left = disks::blank(&machine, &Drive::ALL)?;
        if !left.is_empty() {
            println!("{node} still had a drive mounted at {}", left.join(", "));
        }
        let label = format!("{GROUP_LABEL}={GROUP}");
        cluster.kubectl("admin", &["label", "--overwrite", "node", node, &label])?;
    }
    cluster.machine("nfs")?.shell("rm -rf /export/*/e2e && mkdir /export/shared/e2e")?;
    Ok(())
}

/// Undoes it.
pub fn tidy_up(cluster: &Cluster) -> Result<()> {
    for node in NODES {
        cluster.kubectl("admin", &["label", "node", node, &format!("{GROUP_LABEL}-")])?;
    }
    Ok(())
}
