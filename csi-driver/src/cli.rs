//! The command line. Every flag can be given by an environment variable `WSFS_<FLAG>` too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::endpoint::Endpoint;
use crate::{local, local_cache, process, share};

#[derive(Parser)]
#[command(
    name = "csi-driver",
    version,
    about = "CSI drivers csi.workspacefs.io and local.csi.workspacefs.io"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The node plugin: one per node, mounts volumes.
    Node(NodeArgs),
    /// The controller: one per cluster, makes and removes volumes.
    Controller(ControllerArgs),
    /// Started by these two, one per share; talks over its standard input.
    #[command(hide = true)]
    ShareHelper {
        /// Process id of the plugin, with which it dies.
        parent: u32,
    },
    /// Started by the node plugin, one per LocalStorage; talks over its standard input.
    #[command(hide = true)]
    DiskHelper {
        /// Process id of the plugin, with which it dies.
        parent: u32,
    },
    /// Started by the node plugin, one per node; talks over its standard input.
    #[command(hide = true)]
    CacheHelper {
        /// Process id of the plugin, with which it dies.
        parent: u32,
    },
}

/// Flags of the node plugin.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    /// Name of the Node object this process runs on.
    #[arg(long, env = "WSFS_NODE_NAME")]
    pub node_name: String,
    /// Kubelet's root folder.
    #[arg(long, env = "WSFS_KUBELET_DIR", default_value = "/var/lib/kubelet")]
    pub kubelet_dir: PathBuf,
    /// Folder on tmpfs for the records of mounted volumes: they must vanish at reboot, as the mounts do.
    #[arg(long, env = "WSFS_STATE_DIR", default_value = "/run/workspacefs")]
    pub state_dir: PathBuf,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "WSFS_HTTP", default_value = "0.0.0.0:9809")]
    pub http: SocketAddr,
    /// Socket of the CSI services [default: KUBELET_DIR/plugins/csi.workspacefs.io/csi.sock].
    #[arg(long, env = "WSFS_ENDPOINT")]
    pub endpoint: Option<Endpoint>,
    /// Label of a Node that names its node group.
    #[arg(long, env = "WSFS_NODE_GROUP_LABEL", default_value = workspacefs_api::NODE_GROUP_LABEL)]
    pub node_group_label: String,
    /// Mount as kernels before 5.12 need it.
    #[arg(long, env = "WSFS_LEGACY_MOUNTS")]
    pub legacy_mounts: bool,
    /// How long an RPC may wait for a server, in seconds.
    #[arg(long, env = "WSFS_RPC_DEADLINE_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rpc_deadline_seconds: u64,
    /// Leave this node's disks alone: no driver local.csi.workspacefs.io.
    #[arg(long, env = "WSFS_NO_LOCAL_STORAGE")]
    pub no_local_storage: bool,
    /// Show pods the copies that FsCaches keep for this node.
    #[arg(long, env = "WSFS_FS_CACHES")]
    pub fs_caches: bool,
    /// Keep the kernel's FS-Cache for FileSystems with localCache, where a LocalStorage's fsCache asks for it. Without this flag
    /// the mount option fsc is passed on, for a cachefilesd of the node's own.
    #[arg(long, env = "WSFS_LOCAL_CACHE")]
    pub local_cache: bool,
    /// Without the API server: no inline volumes, no node groups, no local storage, no registration with kubelet.
    #[arg(long, env = "WSFS_NO_KUBERNETES")]
    pub no_kubernetes: bool,
}

/// Flags of the controller.
#[derive(Args, Clone, Debug)]
pub struct ControllerArgs {
    /// Socket of the CSI services.
    #[arg(long, env = "WSFS_ENDPOINT", default_value = "unix:///csi/csi.sock")]
    pub endpoint: Endpoint,
    /// Socket of the CSI services of the driver local.csi.workspacefs.io.
    #[arg(long, env = "WSFS_LOCAL_ENDPOINT", default_value = "unix:///csi-local/csi.sock")]
    pub local_endpoint: Endpoint,
    /// No volumes on the nodes' disks: no driver local.csi.workspacefs.io.
    #[arg(long, env = "WSFS_NO_LOCAL_STORAGE")]
    pub no_local_storage: bool,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "WSFS_HTTP", default_value = "0.0.0.0:9810")]
    pub http: SocketAddr,
    /// Folder with ca.crt, tls.crt and tls.key for the embedded NFS server's agent. Without it managed FileSystems get no
    /// volumes.
    #[arg(long, env = "WSFS_AGENT_TLS")]
    pub agent_tls: Option<PathBuf>,
    /// How often each share of an `nfs` FileSystem is looked at: how full it is, and whether its trash is to be emptied.
    #[arg(long, env = "WSFS_LOOK_INTERVAL_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    pub look_interval_seconds: u64,
    /// How long removed folders stay in the trash of such a share.
    #[arg(long, env = "WSFS_TRASH_KEEP_SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(..=u64::from(u32::MAX)))]
    pub trash_keep_seconds: u64,
    /// How many files and folders of one share's trash are deleted per second at most.
    #[arg(long, env = "WSFS_TRASH_ENTRIES_PER_SECOND", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    pub trash_entries_per_second: u64,
}

/// Parses the command line and runs the process until it is asked to end.
///
/// # Errors
/// What the process could not do without, with its causes.
pub fn run() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Node(args) => process::run(process::node(args))?,
        Command::Controller(args) => process::run(process::controller(args))?,
        // No runtime and no logging: its words go over the socket.
        Command::ShareHelper { parent } => return Ok(share::helper::run(&share::helper::Nfs, parent)),
        Command::DiskHelper { parent } => return Ok(local::helper::run(local::kept::Kept::new, parent)),
        Command::CacheHelper { parent } => return Ok(local_cache::helper::run(parent)),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_can_come_from_the_environment() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            for arg in command.get_arguments().filter(|arg| arg.get_long().is_some_and(|long| long != "help"))
            {
                let wanted = format!("WSFS_{}", arg.get_id().as_str().to_uppercase());
                let found = arg.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(found, Some(wanted), "{} {}", command.get_name(), arg.get_id());
            }
        }
    }
}
