//! From the command line to a running gateway.

use std::sync::Arc;

use anyhow::Context;
use futures::future;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use workspacefs_api::files::{FILES_PORT, object_name, tls_name};
use workspacefs_files_proto::Signer;
use workspacefs_runtime::{CancellationToken, Readiness, http};

use crate::caller::proxied::ProxyHeaders;
use crate::caller::sessions::{SessionLimits, Sessions};
use crate::caller::{Callers, Door};
use crate::cli::Serve;
use crate::files::imports::Imports;
use crate::files::leash::LeashTimes;
use crate::files::{Locate, Upstream};
use crate::gateway::{Gateway, router};
use crate::limits::Limits;
use crate::listen::{ListenLimits, Port, tls};
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::review::Reviewer;

/// Requests to file APIs that one user may have running.
const PER_USER_MAX: usize = 64;
/// Requests to one file API that may run: half of the connections that it takes, so that no set of users has all of them, and the
/// gateway's own find one.
const PER_FILE_SYSTEM_MAX: usize = 256;

/// Serves until `stop`.
///
/// # Errors
/// A file that cannot be read, or a port that cannot be had.
pub async fn serve(args: Serve, client: Client, stop: CancellationToken) -> anyhow::Result<()> {
    let (mut registry, readiness) = (Registry::with_prefix("workspacefs"), Readiness::new());
    let metrics = Metrics::register(&mut registry);
    let gate = readiness.gate("the API server's first answer");
    let (objects, watching) = Objects::watch(&client, &args.workspace_selector);
    let gateway = gateway(&args, client, objects.clone(), metrics.clone())?;
    let ports = ports(&args, &stop).await?;
    let serving = async {
        // Before, what is there would read as if it were not.
        if stop.run_until_cancelled(objects.ready()).await != Some(true) {
            return Ok(Vec::new());
        }
        gate.open();
        let router = router(gateway);
        let serve = |port: Port| tokio::spawn(port.serve(router.clone(), metrics.clone(), stop.clone()));
        future::join_all(ports.into_iter().map(serve)).await.into_iter().collect()
    };
    // Served until the very end: a shutdown can be watched.
    let told = http::serve(args.metrics, Arc::new(registry), readiness, CancellationToken::new());
    tokio::select! {
        told = told => told.context("the port of metrics"),
        () = watching => anyhow::bail!("the watches ended"),
        ended = serving => {
            let ended: Result<Vec<()>, tokio::task::JoinError> = ended;
            ended.map(|_| ()).context("a port")
        }
    }
}

fn gateway(args: &Serve, client: Client, objects: Objects, metrics: Metrics) -> anyhow::Result<Arc<Gateway>> {
    let pem = std::fs::read_to_string(&args.signing_key)
        .with_context(|| format!("cannot read the signing key {:?}", args.signing_key))?;
    let reviewer = Arc::new(Reviewer::new(client, args.audiences.clone(), metrics.clone()));
    let callers = Callers::new(reviewer, Sessions::new(SessionLimits::default()));
    Ok(Arc::new(Gateway {
        callers: callers.map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?,
        upstream: Upstream::new(args.files_ca.clone(), by_service(objects.clone())),
        objects,
        signer: Signer::from_pem(&pem)?,
        limits: Limits::new(PER_USER_MAX, PER_FILE_SYSTEM_MAX),
        imports: Imports::default(),
        metrics,
        times: LeashTimes::default(),
        group_label: args.group_label.clone(),
    }))
}

/// A file API listens where its Service is: at the address that the operator tells, or by its name until that is told.
fn by_service(objects: Objects) -> Locate {
    Arc::new(move |name| {
        let uid = name.split('.').next().filter(|uid| tls_name(uid) == name)?;
        let fs = objects.by_uid(uid)?;
        if let Some(address) = fs.status.and_then(|status| status.files_address) {
            return Some(address);
        }
        let (fs, ws) = (fs.metadata.name?, fs.metadata.namespace?);
        Some(format!("{}.{ws}.svc:{FILES_PORT}", object_name(&fs, uid)))
    })
}

async fn ports(args: &Serve, stop: &CancellationToken) -> anyhow::Result<Vec<Port>> {
    let shown = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => {
            let files = tls::Files { certificate: certificate.clone(), key: key.clone() };
            let shown = files.shown()?;
            tokio::spawn(files.keep(shown.clone(), stop.clone()));
            shown
        }
        _ => {
            let (shown, sha256) = tls::own(&["localhost", "workspacefs-dashboard", "127.0.0.1"])?;
            tracing::info!(sha256, "no certificate is given: one was made, which browsers will warn of");
            shown
        }
    };
    let bind = async |address| {
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
    };
    let limits = ListenLimits::default();
    let tls = tls::config(shown.clone(), None)?;
    let mut ports = vec![Port { listener: bind(args.listen).await?, tls, door: Door::Main, limits }];
    if let (Some(address), Some(authority), Some(user)) =
        (args.proxy_listen, &args.proxy_client_ca, &args.proxy_user_header)
    {
        let names = ProxyHeaders { user: user.clone(), groups: args.proxy_group_header.clone() };
        let tls = tls::config(shown, Some(authority))?;
        ports.push(Port { listener: bind(address).await?, tls, door: Door::Proxy(Arc::new(names)), limits });
    }
    Ok(ports)
}
