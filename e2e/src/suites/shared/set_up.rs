//! What the cases find on the machines beyond the cluster itself: a second NFS server, an address that swallows
//! everything, and a node group.

use anyhow::{Context as _, Result};

use crate::Cluster;

/// The second server: n2 exports a folder of its own, in NFS 4.0 and 4.1 only.
pub const SECOND_SERVER: &str = "10.99.0.12";
/// What it exports.
pub const SECOND_EXPORT: &str = "/export/second";
/// An address that no machine has and whose packets vanish without a word.
pub const BLACK_HOLE: &str = "10.99.0.77";
/// A machine where nothing listens on the port of NFS.
pub const NOTHING_LISTENS: &str = "10.99.0.1";
/// The group that n1 belongs to, and n2 does not; the examples' own.
pub const NODE_GROUP: &str = "gpu";

const START_SECOND_SERVER: &str = r#"
rm -rf /export/second/e2e
mkdir -p /export/second
chmod 0777 /export/second
exportfs -o rw,sync,no_root_squash,no_subtree_check '*:/export/second'
if ! mountpoint -q /proc/fs/nfsd; then modprobe nfsd; mount -t nfsd nfsd /proc/fs/nfsd; fi
if [ "$(cat /proc/fs/nfsd/threads)" = 0 ]; then
  mkdir -p /var/lib/nfs/rpc_pipefs /var/lib/nfs/v4recovery
  mountpoint -q /var/lib/nfs/rpc_pipefs || mount -t rpc_pipefs rpc_pipefs /var/lib/nfs/rpc_pipefs
  rpc.nfsd --grace-time 15 --lease-time 15 -N 3 -N 4.2 2
fi
pgrep -x rpc.mountd >/dev/null || rpc.mountd --no-nfs-version 3
"#;

const START_BLACK_HOLE: &str = "ip neigh replace 10.99.0.77 lladdr 02:00:00:00:00:77 dev vec0 nud permanent";

/// No file of an earlier run, which may have been killed.
const EMPTY_FOLDERS: &str = "rm -rf /export/*/e2e && mkdir /export/shared/e2e";

/// Makes it; again if need be.
pub fn prepare(cluster: &Cluster) -> Result<()> {
    begin_second_server(cluster)?;
    for node in ["n1", "n2"] {
        cluster.machine(node)?.shell(START_BLACK_HOLE)?;
    }
    cluster.machine("nfs")?.shell(EMPTY_FOLDERS)?;
    let label = format!("workspacefs.io/node-group={NODE_GROUP}");
    cluster.kubectl("admin", &["label", "--overwrite", "node", "n1", &label])?;
    cluster.kubectl("admin", &["label", "node", "n2", "workspacefs.io/node-group-"])?;
    Ok(())
}

/// Undoes it.
pub fn tidy_up(cluster: &Cluster) -> Result<()> {
    for node in ["n1", "n2"] {
        cluster.kubectl("admin", &["label", "node", node, "workspacefs.io/node-group-"])?;
        cluster.machine(node)?.shell("ip neigh del 10.99.0.77 dev vec0 || true")?;
    }
    end_second_server(cluster)
}

/// Starts the second server, with no file of an earlier run; again if need be.
pub fn begin_second_server(cluster: &Cluster) -> Result<()> {
    cluster.machine("n2")?.shell(START_SECOND_SERVER).context("the second NFS server on n2").map(drop)
}

/// Stops it, and removes its files.
pub fn end_second_server(cluster: &Cluster) -> Result<()> {
    let stop = "rpc.nfsd 0; pkill -x rpc.mountd; exportfs -u '*:/export/second'; rm -rf /export/second";
    cluster.machine("n2")?.shell(stop).context("the second NFS server on n2").map(drop)
}
