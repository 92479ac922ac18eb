//! Where the client's `upload --rsync` goes: it asks for a deployment of a fixed name, takes port and password from it, the host from its
//! only replica, and starts rsync against that, in clear. Who gets the password can write and delete until it changes, so it takes both
//! rights, and is written down. Without an exposure there is no such deployment.

use serde_json::{Value, json};

use super::paths::RSYNC;
use super::refused::Refused;
use super::{Of, Session};
use crate::audit::Change;
use crate::files::{Exposed, exposed};

/// The port that the client looks for in the deployment; what it connects to is the host's.
const CONTAINER_PORT: u16 = 8873;
/// The client ignores `-fs` with `--rsync`.
const FILE_SYSTEM: &str = "default";

/// The deployment: port and password.
pub async fn deployment(session: &Session) -> Of<Value> {
    let mut change = Change::new(&session.caller.identity.user, "GET", &session.ws, FILE_SYSTEM, "rsync");
    let found = exposure(session).await;
    change.answered(found.as_ref().map_or_else(|refused| refused.code().status(), |_| 200));
    let login = found?.login;
    let ports = json!([{"container_port": CONTAINER_PORT, "host_port": login.port}]);
    let envs = json!([{"name": "PASSWORD", "value": login.password.as_str()}]);
    Ok(json!({"metadata": {}, "spec": {"container": {"ports": ports}, "envs": envs}}))
}

/// Its only replica: the host.
pub async fn replicas(session: &Session) -> Of<Value> {
    let host = exposure(session).await?.host;
    Ok(json!([{"metadata": {}, "id": RSYNC, "status": {"public_ip": host}}]))
}

async fn exposure(session: &Session) -> Of<Exposed> {
    let who = &session.caller.identity;
    exposed(&session.gateway, who, &session.ws, FILE_SYSTEM).await?.ok_or(Refused::NoRsync)
}
