//! The command line. Every flag can be given by an environment variable `WSFS_<FLAG>` too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::ganesha::config::GRACE_SECONDS;
use crate::storage::Source;
use crate::{command, init, serve};

#[derive(Parser)]
#[command(name = "nfs-server", version, about = "The embedded NFS server of workspacefs, and its agent")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a disk: the container's process.
    Serve(Box<ServeArgs>),
    /// Lists the folders in trash and archive, retained ones that no FileSystem has, and claims whose FileSystem is gone.
    Removed(CommandArgs),
    /// Puts a folder of trash or archive back where it was. Of a claim it prints the manifest that mounts it again.
    Restore {
        /// Which one, as `removed` lists it.
        id: String,
        #[command(flatten)]
        args: CommandArgs,
    },
    /// Moves a folder that is archived, retained, or of a claim whose FileSystem is gone, into the trash.
    Discard {
        /// Which one, as `removed` lists it.
        id: String,
        #[command(flatten)]
        args: CommandArgs,
    },
}

/// Flags of the process.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// A block device for us alone. Formatted if it is blank, refused if it holds anything that is not ours.
    #[arg(long, env = "WSFS_DEVICE", required_unless_present = "directory", conflicts_with = "directory")]
    pub device: Option<PathBuf>,
    /// A directory on an XFS that is mounted with the option prjquota.
    #[arg(long, env = "WSFS_DIRECTORY")]
    pub directory: Option<PathBuf>,
    /// Where the device is mounted.
    #[arg(long, env = "WSFS_MOUNT_POINT", default_value = "/srv/workspacefs")]
    pub mount_point: PathBuf,
    /// Folder with ca.crt, tls.crt and tls.key; waited for, and read again when they change.
    #[arg(long, env = "WSFS_TLS", default_value = "/etc/workspacefs/tls")]
    pub tls: PathBuf,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "WSFS_HTTP", default_value = "0.0.0.0:9813")]
    pub http: SocketAddr,
    /// Port for operator and CSI controller.
    #[arg(long, env = "WSFS_AGENT_PORT", default_value_t = workspacefs_agent_proto::PORT)]
    pub agent_port: u16,
    /// How long clients may reclaim their locks after a restart; it is over sooner if all have.
    #[arg(long, env = "WSFS_GRACE_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(*GRACE_SECONDS.start()..=*GRACE_SECONDS.end()))]
    pub grace_seconds: u64,
    /// How long removed folders stay in the trash.
    #[arg(long, env = "WSFS_TRASH_KEEP_SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(..=u64::from(u32::MAX)))]
    pub trash_keep_seconds: u64,
    /// How many files and folders of the trash are deleted per second at most.
    #[arg(long, env = "WSFS_TRASH_ENTRIES_PER_SECOND", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    pub trash_entries_per_second: u64,
    /// The NFS server's program.
    #[arg(long, env = "WSFS_GANESHA", default_value = "/usr/bin/ganesha.nfsd")]
    pub ganesha: PathBuf,
    /// What the commands need, too.
    #[command(flatten)]
    pub common: CommandArgs,
}

/// Flags of everything.
#[derive(Args, Clone, Debug)]
pub struct CommandArgs {
    /// Folder for what lasts as long as the process: the command line's socket, the NFS server's configuration.
    #[arg(long, env = "WSFS_RUN_DIR", default_value = "/run/workspacefs")]
    pub run_dir: PathBuf,
}

impl CommandArgs {
    /// The socket of the command line.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("agent.sock")
    }
}

impl ServeArgs {
    /// The storage that was given; clap makes sure that it is one.
    pub fn source(&self) -> Option<Source> {
        match (&self.device, &self.directory) {
            (Some(device), _) => Some(Source::Device(device.clone())),
            (None, Some(directory)) => Some(Source::Directory(directory.clone())),
            (None, None) => None,
        }
    }
}

/// Parses the command line and does what it says.
///
/// # Errors
/// What the process could not do without, with its causes.
pub fn run() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Serve(_) if init::is_first() => init::run(),
        Command::Serve(args) => serve::run(*args),
        Command::Removed(args) => command::removed(&args.socket()),
        Command::Restore { id, args } => command::restore(&args.socket(), id),
        Command::Discard { id, args } => command::discard(&args.socket(), id),
    }
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

    #[test]
    fn a_device_or_a_directory_is_given_and_not_both() {
        let parse = |words: &str| {
            let words = format!("nfs-server serve {words}");
            match Cli::try_parse_from(words.split_whitespace()).map(|cli| cli.command) {
                Ok(Command::Serve(args)) => Ok(args.source()),
                Ok(_) => Err("another command".to_string()),
                Err(error) => Err(error.to_string()),
            }
        };
        assert_eq!(parse("--device /dev/x"), Ok(Some(Source::Device("/dev/x".into()))));
        assert_eq!(parse("--directory /d"), Ok(Some(Source::Directory("/d".into()))));
        assert!(parse("").is_err() && parse("--device /dev/x --directory /d").is_err());
        assert!(parse("--device /dev/x --grace-seconds 200").is_err());
    }
}
