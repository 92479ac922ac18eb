//! The command line of `dashboard`, as ADR 18 fixes it.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::HeaderName;
use clap::{Parser, Subcommand};

/// The gateway: the only door to the files of workspaces, for browsers and programs
#[derive(Debug, Parser)]
#[command(name = "dashboard", version)]
pub struct Cli {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves until it is asked to end
    Serve(Box<Serve>),
}

/// Settings of `dashboard serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// Where browsers and programs come in
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Where /metrics, /healthz and /readyz are, in clear
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080")]
    pub metrics: SocketAddr,
    /// Certificate, PEM, its chain after it [default: one is made, and its SHA-256 logged]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The key that assertions are signed with: Ed25519, PKCS#8, PEM
    #[arg(long, value_name = "FILE")]
    pub signing_key: PathBuf,
    /// Authorities of the file APIs' certificates, PEM
    #[arg(long, value_name = "FILE")]
    pub files_ca: PathBuf,
    /// Which namespaces are workspaces
    #[arg(long, value_name = "LABELS", default_value = "workspacefs.io/workspace=true")]
    pub workspace_selector: String,
    /// Key of the label that names a node's group
    #[arg(long, value_name = "KEY", default_value = workspacefs_api::NODE_GROUP_LABEL)]
    pub group_label: String,
    /// Tokens must be for one of these audiences [default: the API server's own, or workspacefs.io]
    #[arg(long = "audience", value_name = "AUDIENCE")]
    pub audiences: Vec<String>,
    /// Where only a proxy comes in, by its client certificate; it says by headers who calls
    #[arg(long, value_name = "ADDR", requires_all = ["proxy_client_ca", "proxy_user_header"])]
    pub proxy_listen: Option<SocketAddr>,
    /// Authority of the proxy's certificate, PEM
    #[arg(long, value_name = "FILE", requires = "proxy_listen")]
    pub proxy_client_ca: Option<PathBuf>,
    /// The header with the user's name
    #[arg(long, value_name = "HEADER", requires = "proxy_listen")]
    pub proxy_user_header: Option<HeaderName>,
    /// The header with the groups
    #[arg(long, value_name = "HEADER", requires = "proxy_listen")]
    pub proxy_group_header: Option<HeaderName>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_a_proxy_port_needs_the_proxys_authority() {
        Cli::command().debug_assert();
        let read = |more: &[&str]| {
            let base = ["dashboard", "serve", "--signing-key=k", "--files-ca=c"];
            Cli::try_parse_from(base.iter().chain(more))
        };
        assert!(read(&[]).is_ok());
        assert!(read(&["--proxy-listen=127.0.0.1:1"]).is_err());
        assert!(read(&["--proxy-user-header=x-user"]).is_err());
        assert!(read(&["--tls-cert=x"]).is_err());
        let proxy = ["--proxy-listen=127.0.0.1:1", "--proxy-client-ca=c", "--proxy-user-header=X-User"];
        assert!(read(&proxy).is_ok());
    }
}
