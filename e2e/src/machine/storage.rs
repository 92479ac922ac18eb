//! The storage host: the kernel's NFS server, versions 3 and 4, on XFS with project quota.

use super::description::{Part, file, run, serve, shell, sysctls, words};
use crate::topology::DISK;

/// How long clients may reclaim their locks after a restart, and how long a lease lasts, in seconds. The usual 90 s
/// would make each test of a restarted server that slow.
const GRACE_SECONDS: u32 = 15;

/// The exports: for everybody, with root squashed, and for one host that does not exist. The first takes clients from
/// unprivileged ports too, as the mount option `noresvport` needs it.
const EXPORTS: &str = "/export/shared *(rw,sync,no_root_squash,no_subtree_check,insecure)\n\
/export/squashed *(rw,sync,root_squash,no_subtree_check)\n\
/export/closed 10.99.0.250(rw,sync,no_root_squash,no_subtree_check)\n";

/// What makes a machine the storage host.
pub fn part() -> Part {
    Part {
        modules: words("xfs nfsd"),
        sysctls: sysctls(&[("kernel/panic", "10"), ("kernel/panic_on_oops", "1")]),
        files: vec![file("/etc/exports", EXPORTS.to_owned())],
        steps: vec![
            // Blank at the first boot, kept over a power cut. Without -K mkfs discards the disk first, 32 KiB at a time,
            // which takes 10 to 90 s.
            shell(&format!("blkid -t TYPE=xfs {DISK} || mkfs.xfs -q -K {DISK}")),
            run(&format!("mount -t xfs -o prjquota {DISK} /export")),
            shell(
                "mkdir -p /export/shared /export/squashed /export/closed; \
                 chmod 0755 /export/shared /export/squashed /export/closed",
            ),
            run("mkdir -p /run/rpcbind /run/rpc_pipefs /var/lib/nfs/nfsdcld"),
            run("mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs"),
            run("mount -t nfsd nfsd /proc/fs/nfsd"),
            serve("rpcbind", "rpcbind -f -w", Some("/run/rpcbind.sock")),
            // Remembers clients over restarts, so that the grace period ends as soon as all are back.
            serve("nfsdcld", "nfsdcld -F", None),
            // As large as a server with more memory takes by itself.
            shell("echo 1048576 > /proc/fs/nfsd/max_block_size"),
            run("exportfs -ra"),
            run(&format!("rpc.nfsd --grace-time {GRACE_SECONDS} --lease-time {GRACE_SECONDS} 8")),
            serve("rpc.mountd", "rpc.mountd --foreground", None),
        ],
    }
}
