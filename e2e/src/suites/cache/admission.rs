//! Where copies lie is the movers' place: nobody else gets there, whoever makes pods.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::caches::{CACHE, on_nodes};
use crate::cluster::BUSYBOX_IMAGE;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::local::storage::NAME;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    cases![nobody_but_movers_reaches_the_place_where_copies_lie]
}

async fn nobody_but_movers_reaches_the_place_where_copies_lie(context: Context) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "old")]).await?;
    context.create_cache(CACHE, on_nodes(&["/datasets"])).await?;
    let copy = context.warm(CACHE, "n1").await?;
    let filling = json!({ "fileSystem": "data", "fillCache": copy.uid });
    let plain = json!({ "fileSystem": "data" });
    for (object, words) in [
        (pod("x", &filling), "fillCache"),
        (job("x", &filling), "fillCache"),
        (pod("wsfs-cache-x", &plain), "wsfs-cache-"),
        (job("wsfs-cache-x", &plain), "wsfs-cache-"),
    ] {
        let said = context.refused(&object.to_string()).await?;
        ensure!(
            said.contains(words) && said.contains("ValidatingAdmissionPolicy"),
            "it is refused so: {said}"
        );
    }
    // Who mounts the storage itself, as root, finds them covered.
    let user = PodSpec::new("user").on("n1").claim(NAME, "/local").claim("data", "/data");
    context.start([user]).await?;
    context.has_copy("user", "/data/datasets", &copy).await?;
    for line in
        ["ls /local/.workspacefs/cache", "mkdir -p /local/.workspacefs/cache/x", "rmdir /local/.workspacefs"]
    {
        let ran = context.try_exec("user", line).await?;
        ensure!(!ran.success, "`{line}` in a pod that mounts the LocalStorage: {}", ran.text);
    }
    context.exec("user", "echo x > /local/x").await.map(drop)
}

fn pod(name: &str, attributes: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec(attributes) })
}

fn job(name: &str, attributes: &Value) -> Value {
    let template = json!({ "spec": spec(attributes) });
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name }, "spec": { "template": template },
    })
}

fn spec(attributes: &Value) -> Value {
    json!({
        "restartPolicy": "Never",
        "containers": [{ "name": "main", "image": BUSYBOX_IMAGE, "command": ["true"] }],
        "volumes": [{ "name": "v", "csi": { "driver": "csi.workspacefs.io", "volumeAttributes": attributes } }],
    })
}
