//! `wfs login`, `wfs logout`, `wfs whoami`: who one is at the gateway, and how it is reached.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use zeroize::Zeroizing;

use crate::client::call::Call;
use crate::client::error::Refused;
use crate::client::types::Session;
use crate::connect::address::Address;
use crate::connect::saved::{self, Saved};
use crate::connect::token::{Source, Token};
use crate::connect::trust::Trust;
use crate::connect::{Connection, gateway_at};
use crate::exit::Exit;
use crate::storage::keys;
use crate::storage::output::Output;
use crate::text;

/// Keeps an address and a token, to be used from now on
///
/// The token comes from --token-file, from WFS_TOKEN or from a prompt: any that the API server takes, such as that of a
/// ServiceAccount (kubectl create token). Who has a kubeconfig needs no login.
#[derive(clap::Args)]
pub struct Args {
    /// The gateway's address, such as https://files.example.com
    #[arg(value_name = "URL")]
    address: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Forgets the login
#[derive(clap::Args)]
pub struct Logout {}

/// Shows who one is at the gateway
#[derive(clap::Args)]
pub struct WhoAmI {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Tries the token, and keeps it if it is taken.
///
/// # Errors
/// It is not; or it cannot be kept.
pub fn run(args: &Args) -> Result<Exit> {
    super::block_on(login(args))
}

async fn login(args: &Args) -> Result<Exit> {
    let connection = &args.connection;
    let url = args.address.as_ref().or(connection.url.as_ref());
    let url =
        url.ok_or_else(|| Refused::because("where is the gateway? wfs login https://files.example.com"))?;
    let address = Address::parse(url).map_err(|error| Refused::because(error.to_string()))?;
    let trust = connection.ca.as_deref().map_or(Ok(Trust::System), Trust::parse);
    let trust = trust.map_err(|error| Refused::because(error.to_string()))?;
    let workspace = connection.namespace.clone().or_else(|| address.workspace.clone());
    if let Some(workspace) = &workspace {
        crate::manifest::name(workspace).map_err(Refused::because)?;
    }
    let token = token(connection.token_file.as_deref())?;
    let gateway = gateway_at(&address, &trust, Token::new(Source::Fixed(token.clone())))?;
    gateway.check().await?;
    let session: Session = gateway.json(&Call::get("/wfs/v1/session".into())).await?;
    // The file is found from everywhere, so what it names has to be.
    let ca = connection.ca.as_deref().map(absolute).transpose()?;
    let path = saved::store(&Saved { url: url.clone(), token, ca, workspace })?;
    let text =
        || format!("logged in as {}; kept in {}", text::shown(session.user.as_ref()), text::shown(&path));
    args.output.done(text, &session)?;
    Ok(Exit::Done)
}

fn absolute(ca: &str) -> Result<String> {
    if ca.starts_with("sha256:") {
        return Ok(ca.to_owned());
    }
    let path = std::fs::canonicalize(ca).with_context(|| format!("cannot find {ca}"))?;
    path.into_os_string()
        .into_string()
        .ok()
        .context("the file of the authorities has a name that cannot be kept")
}

fn token(file: Option<&Path>) -> Result<Zeroizing<String>> {
    if let Some(path) = file {
        let token = std::fs::read_to_string(path).map(Zeroizing::new);
        let token = token.with_context(|| format!("cannot read the token in {}", text::shown(path)))?;
        return Ok(Zeroizing::new(token.trim().to_owned()));
    }
    match std::env::var("WFS_TOKEN") {
        Ok(token) if !token.trim().is_empty() => Ok(Zeroizing::new(token.trim().to_owned())),
        _ => keys::ask("Token: ", true),
    }
}

/// Forgets it.
///
/// # Errors
/// It cannot be removed.
pub fn logout(_: &Logout) -> Result<Exit> {
    println!("{}", if saved::forget()? { "logged out" } else { "there was no login" });
    Ok(Exit::Done)
}

/// Asks the gateway.
///
/// # Errors
/// It cannot be reached, or does not know the token.
pub fn who_am_i(args: &WhoAmI) -> Result<Exit> {
    super::block_on(async {
        let connected = args.connection.open().await?;
        let version = connected.gateway.check().await?;
        let session: Session = connected.gateway.json(&Call::get("/wfs/v1/session".into())).await?;
        let workspace = connected.workspace;
        let text = || {
            format!(
                "user:      {}\ngroups:    {}\nworkspace: {}\ngateway:   {} (version {})",
                text::shown(session.user.as_ref()),
                text::shown(session.groups.join(", ").as_ref()),
                workspace.as_deref().unwrap_or("<none>"),
                connected.way,
                text::shown(version.version.as_ref()),
            )
        };
        let value = json!({
            "user": session.user, "groups": session.groups, "workspace": workspace,
            "gateway": connected.way, "version": version.version,
        });
        args.output.print(text, &value)?;
        Ok(Exit::Done)
    })
}
