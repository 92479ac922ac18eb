//! Reading and writing on the embedded server's NFS-Ganesha, against the kernel's NFS server on the same disk of the same
//! machine, from another machine.

use std::time::Duration;

use anyhow::{Context, Result};
use workspacefs_bench::FilesReport;
use workspacefs_e2e::Machine;
use workspacefs_e2e::topology::DISK;

use super::mounted::{Mounted, Share};
use super::server::{ask, machine_of_server};
use crate::standalone::Standalone;

/// The file that is written and read. It fits into the server's memory: not the disk is compared.
pub const MIB: usize = 256;
/// How often.
pub const ROUNDS: usize = 5;
/// Reads and writes of 4 KiB per round.
const BLOCKS: usize = 200;
const TIME_MAX: Duration = Duration::from_secs(1200);

/// The machine that mounts.
pub const CLIENT: &str = "n2";

/// The same from both.
#[derive(Debug)]
pub struct Report {
    /// The embedded server.
    pub ganesha: FilesReport,
    /// The kernel's.
    pub kernel: FilesReport,
}

/// Measures in the folder of the run's FileSystem, by our program on the client.
pub fn measure(driver: &Standalone, file_bench: &str) -> Result<Report> {
    let cluster = driver.cluster();
    let client = cluster.machine(CLIENT)?;
    let share = Share::of(driver)?;
    let kernel = KernelServer::start(machine_of_server(cluster)?)?;
    let by_ganesha = Mounted::new(&client, &share.source(), "ganesha")?;
    let by_kernel = Mounted::new(&client, &kernel.source(&share.folder), "kernel")?;
    let folders = [by_ganesha.path(), by_kernel.path()].map(|path| format!("--folder={path}"));
    let sizes = [format!("--mib={MIB}"), format!("--rounds={ROUNDS}"), format!("--blocks={BLOCKS}")];
    let mut argv = vec![file_bench, "compare"];
    argv.extend(folders.iter().chain(&sizes).map(String::as_str));
    let reports: Vec<FilesReport> = serde_json::from_str(&ask(&client, &argv, TIME_MAX)?)?;
    let [ganesha, kernel] = <[_; 2]>::try_from(reports).ok().context("not two reports")?;
    Ok(Report { ganesha, kernel })
}

/// The kernel's NFS server on the embedded server's machine, exporting the same disk; ends when dropped.
struct KernelServer {
    machine: Machine,
}

/// Where the disk is mounted a second time. To XFS it is the same file system, with the same quotas.
const ROOT: &str = "/srv/wsfs-bench";

impl KernelServer {
    fn start(machine: Machine) -> Result<Self> {
        let this = Self { machine };
        // As e2e's storage host does it, for version 4 alone.
        this.machine.shell(&format!(
            "modprobe nfsd && mkdir -p {ROOT} /run/rpc_pipefs /var/lib/nfs/nfsdcld \
             && mount -t xfs -o prjquota {DISK} {ROOT} \
             && {{ mountpoint -q /run/rpc_pipefs || mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs; }} \
             && {{ mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd; }} \
             && {{ nfsdcld -F </dev/null >/dev/null 2>&1 & echo $! >/run/wsfs-bench-nfsdcld.pid; sleep 1; }} \
             && echo 1048576 >/proc/fs/nfsd/max_block_size \
             && exportfs -o rw,sync,no_root_squash,no_subtree_check '*:{ROOT}' \
             && rpc.nfsd --no-nfs-version 3 --grace-time 10 --lease-time 10 8 \
             && {{ rpc.mountd --foreground --no-nfs-version 3 </dev/null >/dev/null 2>&1 & \
                  echo $! >/run/wsfs-bench-mountd.pid; }}"
        ))?;
        Ok(this)
    }

    /// What a client mounts for a folder of the embedded server's export.
    fn source(&self, folder: &str) -> String {
        // EXPORT_FOLDER of the embedded server.
        format!("{}:{ROOT}/export/{folder}", self.machine.plan().address())
    }
}

impl Drop for KernelServer {
    fn drop(&mut self) {
        let line = format!(
            "rpc.nfsd 0; exportfs -u '*:{ROOT}'; exportfs -f; \
             for p in /run/wsfs-bench-*.pid; do kill $(cat $p); rm $p; done; umount {ROOT}"
        );
        if let Err(error) = self.machine.shell(&line) {
            eprintln!("the kernel's NFS server may still run on {}: {error}", self.machine.name());
        }
    }
}
