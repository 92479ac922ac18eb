//! Read-only volumes, of every kind: nothing is written through them, and the same file system elsewhere is not touched.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    cases![
        nothing_is_written_through_a_read_only_volume,
        a_file_system_that_must_be_created_can_be_mounted_read_only_first,
    ]
}

async fn nothing_is_written_through_a_read_only_volume(context: Context) -> Result<()> {
    context
        .on_server("mkdir -p data/sub && echo x > data/x && echo x > data/sub/x && chmod -R a+rwX data")
        .await?;
    context.file_system("data").await?;
    let claim = json!({ "persistentVolumeClaim": { "claimName": "data", "readOnly": true } });
    let inline = json!({ "fileSystem": "data", "mountFrom": "/sub" });
    // One claim is one mount in a pod, whatever its volumes are called: the read-only claim has a pod of its own.
    let reader = PodSpec::new("reader")
        .on("n1")
        .volume("claim", claim)
        .mount("claim", "/claim", json!({}))
        .mount("claim", "/sub-path", json!({ "subPath": "sub" }))
        .inline_with(inline, "/inline", true);
    let writer = PodSpec::new("writer")
        .on("n1")
        .claim_with("data", "/ro-mount", json!({ "readOnly": true }))
        .claim_with("data", "/rw-mount", json!({}));
    let [reader, _] = context.start([reader, writer]).await?;
    let places =
        [("reader", "/claim"), ("reader", "/sub-path"), ("reader", "/inline"), ("writer", "/ro-mount")];
    for (pod, at) in places {
        // Each line says what was changed all the same.
        let changes = "cat AT/x >/dev/null || echo cannot read; (echo new > AT/new) && echo made; \
            (echo more >> AT/x) && echo written; rm AT/x && echo removed; chmod 0 AT/x && echo changed; \
            mkdir AT/d && echo folder";
        let told = context.try_exec(pod, &changes.replace("AT", at)).await?.text;
        let refusals = told.lines().filter(|line| line.contains("Read-only file system")).count();
        ensure!(refusals == 5 && told.lines().count() == 5, "{pod}, {at}: {told}");
    }
    // The driver's own mounts are read-only: it does not rely on the container runtime.
    for mount in context.mounts_of(&reader).await? {
        ensure!(mount.is_read_only(), "{} has the options {}", mount.at, mount.options);
    }
    context.exec("writer", "echo new > /rw-mount/new && cat /ro-mount/new").await?;
    context.exec("reader", "cat /claim/new").await?;
    Ok(())
}

async fn a_file_system_that_must_be_created_can_be_mounted_read_only_first(context: Context) -> Result<()> {
    context.file_system("data").await?;
    let inline = json!({ "fileSystem": "data" });
    context.start([PodSpec::new("reader").inline_with(inline, "/data", true)]).await?;
    let ran = context.try_exec("reader", "ls /data && echo x > /data/x").await?;
    ensure!(!ran.success && ran.text.contains("Read-only file system"), "{}", ran.text);
    context.start([PodSpec::new("writer").claim("data", "/data")]).await?;
    context.exec("writer", "echo x > /data/x").await?;
    Ok(())
}
