//! The gateway behind a kubeconfig: the API server forwards a port of its pod, and nothing is exposed to anybody else.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rustls::pki_types::ServerName;

use super::address::Address;
use super::stream::{Connector, Way};
use super::token::{self, Source, Token};
use super::trust::Trust;
use super::{Connected, Connection};
use crate::client::Gateway;
use crate::client::error::Refused;

/// The first of the gateway's StatefulSet: so a Role can grant the port-forward to it alone.
pub const POD: &str = "workspacefs-dashboard-0";
/// Where it serves.
pub const PORT: u16 = 8443;

/// The client of the context, and its namespace.
pub struct Cluster {
    /// As the context's user.
    pub client: Client,
    /// Its settings.
    pub config: Config,
    /// How it was found, to find it again; none for a pod's own account.
    pub options: Option<KubeConfigOptions>,
}

impl Cluster {
    /// The kubeconfig is found as kubectl finds it; in a pod without one the pod's own account.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub async fn open(context: Option<&str>) -> Result<Self> {
        let options = KubeConfigOptions { context: context.map(Into::into), ..KubeConfigOptions::default() };
        let (config, options) = if context.is_some() || Kubeconfig::read().is_ok() {
            let config = Config::from_kubeconfig(&options).await.context("cannot use the kubeconfig")?;
            (config, Some(options))
        } else {
            let config = Config::infer().await.context(
                "there is no way to the gateway: neither WFS_URL, nor a login (wfs login), nor a kubeconfig",
            )?;
            (config, None)
        };
        let client = Client::try_from(config.clone()).context("cannot use the kubeconfig")?;
        Ok(Self { client, config, options })
    }
}

/// The gateway's pod behind the context. `own` is a token to show instead of the context's.
///
/// # Errors
/// There is no kubeconfig, or no token.
pub async fn open(asked: &Connection, own: Option<Source>) -> Result<Connected> {
    let cluster = Cluster::open(asked.context.as_deref()).await?;
    let workspace = asked.namespace.clone().unwrap_or_else(|| cluster.config.default_namespace.clone());
    let (token, acts_as) = token(asked, own, &cluster, &workspace).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client, &asked.gateway_namespace);
    let host = format!("workspacefs-dashboard.{}.svc", asked.gateway_namespace);
    let trust = asked.ca.as_deref().map_or(Ok(Trust::Forwarded), Trust::parse);
    let trust = trust.map_err(|error| Refused::because(error.to_string()))?;
    let name = ServerName::try_from(host.clone()).context("not the name of a namespace")?;
    let way = Way::Forward { pods: Box::new(pods), pod: POD.into(), port: PORT };
    let connector = Connector::new(way, Some((trust.config()?, name)));
    let address = Address { tls: true, host, port: PORT, prefix: String::new(), workspace: None };
    let whose = acts_as.as_ref().map(|who| format!(", {who}")).unwrap_or_default();
    let way = format!(
        "pod {}/{POD}, by {}{whose}",
        asked.gateway_namespace,
        cluster.config.cluster_url.authority().map_or("the API server", |authority| authority.as_str()),
    );
    Ok(Connected {
        gateway: Gateway::new(connector, &address, token),
        way,
        workspace: Some(workspace),
        acts_as,
    })
}

/// The token to show, and whose it is where that is not the context's user.
async fn token(
    asked: &Connection,
    own: Option<Source>,
    cluster: &Cluster,
    workspace: &str,
) -> Result<(Token, Option<String>)> {
    if let Some(source) = own {
        return Ok((Token::new(source), None));
    }
    if let Some(name) = &asked.service_account {
        let client = cluster.client.clone();
        let source = Source::Account { client, namespace: workspace.into(), name: name.clone() };
        return Ok((Token::new(source), Some(format!("as ServiceAccount {workspace}/{name}"))));
    }
    match token::of_context(&cluster.config).await? {
        Some(header) => Ok((Token::known(Source::Context(cluster.options.clone()), header), None)),
        None => Err(Refused::because(format!(
            "the context has a client certificate and no token, and the gateway takes tokens only: name a \
             ServiceAccount of {workspace} to act as, by --service-account or WFS_SERVICE_ACCOUNT"
        ))),
    }
}
