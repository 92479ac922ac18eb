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
    let inline = |from: &str| json!({ "fileSystem": "data", "mountFrom": from });
    let reader = PodSpec::new("reader")
        .on("n1")
        .volume("ro-claim", claim)
        .mount("ro-claim", "/claim", json!({}))
        .mount("ro-claim", "/sub-path", json!({ "subPath": "sub" }))
        .claim_with("data", "/ro-mount", json!({ "readOnly": true }))
        .claim_with("data", "/rw-mount", json!({}))
        .inline_with(inline("/sub"), "/inline", true);
    let writer = PodSpec::new("writer").on("n1").claim("data", "/data");
    let [reader, _] = context.start([reader, writer]).await?;
    for at in ["/claim", "/sub-path", "/ro-mount", "/inline"] {
        context.exec("reader", &format!("cat {at}/x")).await?;
        for change in ["echo new > AT/new", "echo more >> AT/x", "rm AT/x", "chmod 0 AT/x", "mkdir AT/d"] {
            let change = change.replace("AT", at);
            let ran = context.try_exec("reader", &change).await?;
            ensure!(!ran.success && ran.text.contains("Read-only file system"), "`{change}`: {}", ran.text);
        }
    }
    // The driver's own mounts are read-only: it does not rely on the container runtime.
    let mounts = context.mounts_of(&reader).await?;
    let read_only: Vec<_> = mounts.iter().map(|mount| (mount.is_read_only(), mount.at.as_str())).collect();
    for (part, expected) in [("ro-claim", true), ("inline-inline", true)] {
        // The claim's folder is called after its PersistentVolume, so the two kinds are told apart by it.
        let inline = part.starts_with("inline");
        let found =
            read_only.iter().any(|(ro, at)| *ro == expected && at.contains("inline-inline") == inline);
        ensure!(found, "no read-only mount for {part} among {read_only:?}");
    }
    context.exec("reader", "echo new > /rw-mount/by-reader").await?;
    context.exec("writer", "cat /data/by-reader && echo more > /data/x").await?;
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
