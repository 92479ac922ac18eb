//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use thiserror::Error;

use crate::probe::Target;

/// Arguments of the operator.
#[derive(Debug, Parser)]
#[command(name = "operator", about = "Keeps the FileSystems and LocalStorages of workspacefs", version)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to do instead
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The configuration file
    #[arg(long, env = "WSFS_CONFIG", default_value = "/etc/workspacefs/config.yaml")]
    pub config: PathBuf,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, env = "WSFS_HTTP", default_value = "0.0.0.0:9811")]
    pub http: SocketAddr,
    /// The name of this replica, different from every other's; the pod's (POD_NAME) or host's by default
    #[arg(long, env = "WSFS_IDENTITY")]
    pub identity: Option<String>,
}

/// What the binary does besides.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ends the operator's work for good: refuses while pods use FileSystems or local storage, else takes its finalizers off
    Retire {
        /// To give up after this many seconds
        #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
        timeout_seconds: u64,
    },
    /// Tries again and again to reach the embedded server, and serves whether that succeeds
    IsolationProbe {
        /// The server, as HOST:PORT
        #[arg(long, value_parser = parse_target)]
        server: Target,
        /// Where /isolation, /healthz and /readyz are served
        #[arg(long, default_value = "0.0.0.0:9814", value_parser = parse_listen)]
        http: SocketAddr,
    },
}

/// Why an argument was refused.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum ArgumentError {
    /// Not a host and a port.
    #[error("it is not HOST:PORT")]
    Target,
    /// Not an address to listen on.
    #[error("it is not ADDRESS:PORT, nor :PORT")]
    Listen,
}

fn parse_target(text: &str) -> Result<Target, ArgumentError> {
    let (host, port) = text.rsplit_once(':').ok_or(ArgumentError::Target)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or(ArgumentError::Target)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host) {
        "" => Err(ArgumentError::Target),
        // An IPv6 address without brackets: its last group is not a port.
        host if bare.is_none() && host.contains(':') => Err(ArgumentError::Target),
        host => Ok(Target { server: host.into(), port, version: 4 }),
    }
}

fn parse_listen(text: &str) -> Result<SocketAddr, ArgumentError> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.into() };
    full.parse().map_err(|_| ArgumentError::Listen)
}

impl Args {
    /// The name of this replica.
    ///
    /// # Errors
    /// None was given, and the host has none.
    pub fn identity(&self) -> std::io::Result<String> {
        let given = self.identity.clone().or_else(|| std::env::var("POD_NAME").ok());
        match given {
            Some(name) => Ok(name),
            None => Ok(std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        let target = |text: &str| parse_target(text).ok().map(|target| (target.server, target.port));
        assert_eq!(target("10.0.0.1:2049"), Some(("10.0.0.1".into(), 2049)));
        assert_eq!(target("nfs.x.svc:2049"), Some(("nfs.x.svc".into(), 2049)));
        assert_eq!(target("[fd00::1]:2049"), Some(("fd00::1".into(), 2049)));
        for bad in ["10.0.0.1", ":2049", "a:0", "a:99999", "fd00::1:2049", "[]:1", ""] {
            assert_eq!(parse_target(bad).err(), Some(ArgumentError::Target), "{bad}");
        }
    }

    #[test]
    fn a_port_alone_is_every_address() {
        assert_eq!(parse_listen(":9814").unwrap().to_string(), "0.0.0.0:9814");
        assert_eq!(parse_listen("127.0.0.1:1").unwrap().to_string(), "127.0.0.1:1");
        assert!(parse_listen("9814").is_err());
    }

    #[test]
    fn without_a_subcommand_it_is_the_operator() {
        assert!(Args::parse_from(["operator", "--identity=x"]).command.is_none());
        let args = Args::parse_from(["operator", "retire", "--timeout-seconds=5"]);
        assert!(matches!(args.command, Some(Command::Retire { timeout_seconds: 5 })));
        let probe = ["operator", "isolation-probe", "--server=10.0.0.1:2049", "--http=:9814"];
        assert!(matches!(Args::parse_from(probe).command, Some(Command::IsolationProbe { .. })));
        assert!(Args::try_parse_from(["operator", "--identity=x", "retire"]).is_err());
    }
}
