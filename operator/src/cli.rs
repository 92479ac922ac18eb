//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// Arguments of the operator.
#[derive(Debug, Parser)]
#[command(name = "operator", about = "Keeps the FileSystems of workspacefs", version)]
pub struct Args {
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
