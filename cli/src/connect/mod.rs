//! The way to the gateway: an address and a token, or a context of the kubeconfig and the API server's port-forward.

pub mod address;
pub mod choice;
pub mod forward;
pub mod saved;
pub mod stream;
pub mod token;
pub mod trust;

use std::path::PathBuf;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;

use self::address::Address;
use self::choice::{Choice, Environment};
use self::saved::Saved;
use self::stream::{Connector, Way};
use self::token::{Source, Token};
use self::trust::Trust;
use crate::client::Gateway;
use crate::client::error::Refused;

/// Where the gateway is, and as whom it is asked
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Workspace: its namespace [default: that of the login or of the context]
    #[arg(
        short,
        long,
        value_name = "NAME",
        env = "WFS_WORKSPACE",
        global = true,
        visible_alias = "workspace"
    )]
    pub namespace: Option<String>,
    /// Context of the kubeconfig, whatever the environment says [default: its current one]
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
    /// The gateway's address, such as https://files.example.com, instead of the kubeconfig
    #[arg(long, value_name = "URL", env = "WFS_URL", global = true)]
    pub url: Option<String>,
    /// Authorities to believe, a file in PEM; or sha256:HEX, the hash of the gateway's certificate as it prints it
    #[arg(long, value_name = "FILE", env = "WFS_CA", global = true)]
    pub ca: Option<String>,
    /// File with the token; otherwise it comes from WFS_TOKEN, the login or the context
    #[arg(long, value_name = "FILE", env = "WFS_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// ServiceAccount of the workspace to act as, where the context has a client certificate and no token
    #[arg(long, value_name = "NAME", env = "WFS_SERVICE_ACCOUNT", global = true)]
    pub service_account: Option<String>,
    /// Namespace of the gateway, where the kubeconfig leads to it
    #[arg(
        long,
        value_name = "NAME",
        env = "WFS_GATEWAY_NAMESPACE",
        global = true,
        default_value = "workspacefs-system",
        hide_default_value = false
    )]
    pub gateway_namespace: String,
}

/// A gateway, and what of the way to it people want to know.
pub struct Connected {
    /// To be asked.
    pub gateway: Gateway,
    /// Where it is, by which way, in words.
    pub way: String,
    /// The namespace; none where nothing names it.
    pub workspace: Option<String>,
    /// As whom it is asked, if that is another than the context's user; to be said.
    pub acts_as: Option<String>,
}

impl Connection {
    /// The gateway; nothing is sent to it yet. A port-forward is made when there is something to send.
    ///
    /// # Errors
    /// Nothing says where it is, or there is no token.
    pub async fn open(&self) -> Result<Connected> {
        match choice::choose(self, &Environment::read(), saved::load()?)? {
            Choice::Direct(direct) => {
                let way = direct.address.authority();
                let gateway = gateway_at(&direct.address, &direct.trust, Token::new(direct.token))?;
                Ok(Connected { gateway, way, workspace: direct.workspace, acts_as: None })
            }
            Choice::Context { token } => forward::open(self, token).await,
        }
    }

    /// The gateway and the workspace. As whom it acts is said, if that is not the context's user, unless `quiet`.
    ///
    /// # Errors
    /// As [`Self::open`]; nothing names a workspace.
    pub async fn workspace(&self, quiet: bool) -> Result<(Gateway, String)> {
        let connected = self.open().await?;
        if let Some(who) = connected.acts_as.filter(|_| !quiet) {
            crate::text::complain(&who);
        }
        let workspace = connected.workspace;
        let workspace = workspace.ok_or_else(|| {
            Refused::because("which workspace? name its namespace by -n, WFS_WORKSPACE or in the login")
        })?;
        crate::manifest::name(&workspace).map_err(Refused::because)?;
        Ok((connected.gateway, workspace))
    }
}

/// A gateway at an address.
///
/// # Errors
/// The authorities cannot be read.
pub fn gateway_at(address: &Address, trust: &Trust, token: Token) -> Result<Gateway> {
    let tls = if address.tls {
        let name = ServerName::try_from(address.host.clone()).context("not the name of a host")?;
        Some((trust.config()?, name))
    } else {
        None
    };
    let way = Way::Tcp { host: address.host.clone(), port: address.port };
    Ok(Gateway::new(Connector::new(way, tls), address, token))
}

/// What a login keeps, as a way.
fn token_of(saved: &Saved) -> Source {
    Source::Fixed(saved.token.clone())
}
