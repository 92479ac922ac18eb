//! The rsync daemon beside `files`, a second container of its pod (ADR 19): they share the file system and a folder in memory, in
//! which the daemon listens. It has nothing else: no certificate, no key, no port but that of its metrics, unless one is exposed.

use serde_json::{Value, json};
use workspacefs_api::Owner;
use workspacefs_api::files::{RSYNC_FOLDER, RSYNC_METRICS_PORT, RSYNC_PORT};

use super::{ROOT, unprivileged};
use crate::files::config::{FilesConfig, RsyncConfig};
use crate::filesystem::objects::Identity;

const NAME: &str = "rsync";
/// Sockets, a pipe and a few hundred bytes.
const FOLDER_SIZE: &str = "1Mi";

/// The daemon, where it is reached past the gateway.
pub fn exposed(config: &FilesConfig) -> Option<&RsyncConfig> {
    config.rsync.as_ref().filter(|rsync| rsync.expose)
}

/// Of the Service.
pub fn port() -> Value {
    json!({"name": NAME, "protocol": "TCP", "port": RSYNC_PORT, "targetPort": NAME})
}

/// Of the NetworkPolicy, beside what `files` need: metrics, and whoever knows the secret.
pub fn ingress(config: &FilesConfig) -> Vec<Value> {
    let from_all = |port: u16| json!({"ports": [{"protocol": "TCP", "port": port}]});
    let metrics = config.rsync.iter().map(|_| from_all(RSYNC_METRICS_PORT));
    metrics.chain(exposed(config).map(|_| from_all(RSYNC_PORT))).collect()
}

/// The folder that both share.
pub fn volume() -> Value {
    json!({"name": NAME, "emptyDir": {"medium": "Memory", "sizeLimit": FOLDER_SIZE}})
}

/// Tells the container of `files` of it. It writes nothing there: to connect is not to write.
pub fn join(files: &mut Value) {
    let push =
        |list: &mut Value, value: Value| list.as_array_mut().expect("a list, as it was made").push(value);
    push(&mut files["args"], json!(format!("--rsync={RSYNC_FOLDER}")));
    push(&mut files["volumeMounts"], json!({"name": NAME, "mountPath": RSYNC_FOLDER, "readOnly": true}));
}

/// Its container.
pub fn container(config: &FilesConfig, rsync: &RsyncConfig, fs: &Identity, owner: &Owner) -> Value {
    let mut ports =
        vec![json!({"name": "rsync-metrics", "protocol": "TCP", "containerPort": RSYNC_METRICS_PORT})];
    if rsync.expose {
        ports.push(json!({"name": NAME, "protocol": "TCP", "containerPort": RSYNC_PORT}));
    }
    json!({
        "name": NAME,
        "image": rsync.image,
        "imagePullPolicy": config.pull_policy,
        "command": ["/rsyncd"],
        "args": arguments(rsync, fs, owner),
        "ports": ports,
        // None for readiness: that uploads by rsync wait is no reason for the file API to.
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "rsync-metrics", "scheme": "HTTP"},
            "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6,
        },
        "resources": rsync.resources,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": unprivileged(),
        "volumeMounts": [
            {"name": "data", "mountPath": ROOT},
            {"name": NAME, "mountPath": RSYNC_FOLDER},
        ],
    })
}

fn arguments(rsync: &RsyncConfig, fs: &Identity, owner: &Owner) -> Vec<String> {
    let mut arguments = vec!["serve".to_string()];
    // Kubelet makes $(NAME) what that variable is, and $$ a $.
    let mut say = |name: &str, value: &str| arguments.push(format!("--{name}={}", value.replace('$', "$$")));
    say("root", ROOT);
    say("run", RSYNC_FOLDER);
    say("metrics", &format!("0.0.0.0:{RSYNC_METRICS_PORT}"));
    say("mode", &owner.mode);
    say("connections", &rsync.connections.to_string());
    if rsync.expose {
        say("expose", &format!("0.0.0.0:{RSYNC_PORT}"));
        say("user", &fs.namespace);
    }
    arguments
}
