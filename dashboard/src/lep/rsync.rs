//! Where the client's `upload --rsync` goes: it asks for a deployment of a fixed name, takes port and password from it, the host from its
//! only replica, and starts rsync against that, in clear. Who gets the password can write and delete until it changes, so it takes both
//! rights, and is written down. Without an exposure there is no such deployment.

use std::sync::Arc;

use serde_json::{Value, json};
use workspacefs_api::FileSystem;

use super::paths::RSYNC;
use super::refused::Refused;
use super::{Of, Session};
use crate::audit::Change;
use crate::error::ApiError;
use crate::files::{self, Place};
use crate::review::Right;
use crate::secret::Token;

/// The port that the client looks for in the deployment; what it connects to is the host's.
const CONTAINER_PORT: u16 = 8873;
/// The client ignores `-fs` with `--rsync`.
const FILE_SYSTEM: &str = "default";

/// An rsync daemon that can be reached from outside.
#[derive(Clone, Debug)]
pub struct RsyncExposure {
    /// Name or address.
    pub host: String,
    /// At that host.
    pub port: u16,
    /// The password that is good now.
    pub secret: Token,
}

/// Where a FileSystem's daemon is reached from outside; None: it is not.
pub type Expose = Arc<dyn Fn(&FileSystem) -> Option<RsyncExposure> + Send + Sync>;

/// The deployment: port and password.
pub async fn deployment(session: &Session) -> Of<Value> {
    let mut change = Change::new(&session.caller.identity.user, "GET", &session.ws, FILE_SYSTEM, "rsync");
    let found = exposure(session).await;
    change.answered(found.as_ref().map_or_else(|refused| refused.code().status(), |_| 200));
    let RsyncExposure { port, secret, .. } = found?;
    let ports = json!([{"container_port": CONTAINER_PORT, "host_port": port}]);
    let envs = json!([{"name": "PASSWORD", "value": secret.as_str()}]);
    Ok(json!({"metadata": {}, "spec": {"container": {"ports": ports}, "envs": envs}}))
}

/// Its only replica: the host.
pub async fn replicas(session: &Session) -> Of<Value> {
    let RsyncExposure { host, .. } = exposure(session).await?;
    Ok(json!([{"metadata": {}, "id": RSYNC, "status": {"public_ip": host}}]))
}

async fn exposure(session: &Session) -> Of<RsyncExposure> {
    let (gateway, who, ws) = (&session.gateway, &session.caller.identity, &session.ws);
    let place = Place { ws: ws.clone(), fs: FILE_SYSTEM.into(), rest: String::new() };
    let uid = files::allowed(gateway, who, &place, &[Right::Write, Right::Delete]).await?;
    let fs = gateway.objects.by_uid(&uid).ok_or(ApiError::NotFound)?;
    gateway.rsync.as_ref().and_then(|expose| expose(&fs)).ok_or(Refused::NoRsync)
}
