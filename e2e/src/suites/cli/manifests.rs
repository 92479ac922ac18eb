//! What `wfs` knows of a workspace, and the manifests that it writes: valid for the API server, and one of them runs.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::FS;
use super::desk::{Desk, shop};
use crate::cluster::BUSYBOX_IMAGE;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::Shop;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    cases![
        doctor_and_get_tell_what_the_workspace_has,
        a_manifest_that_wfs_writes_is_taken_by_the_api_server_and_its_job_runs,
    ]
}

async fn doctor_and_get_tell_what_the_workspace_has(context: Context) -> Result<()> {
    let Shop { door, token, .. } = shop(&context).await?;
    let mut desk = Desk::with_token(&context, &door, &token)?;
    let healthy = || async {
        let said = desk.wfs(&["doctor"]).await?.ended(0)?;
        said.says("ok    token: you are")?.says("file system default, its files: mounted").map(drop)
    };
    until("doctor finds nothing wrong", seconds(60), healthy).await?;
    let told = desk.wfs(&["get", "fs", "-o", "json"]).await?.ended(0)?;
    let told: Value = serde_json::from_slice(&told.stdout)?;
    ensure!(told[0]["name"] == FS && told.as_array().is_some_and(|all| all.len() == 1), "it tells {told}");
    desk.wfs(&["get", "fs"]).await?.ended(0)?.says("NAME")?.says(FS)?;
    desk.wfs(&["get", "fs", FS, "-o", "yaml"]).await?.ended(0)?.says("name: default")?;
    desk.wfs(&["get", "fs", "missing"]).await?.ended(1)?.complains("there is no missing")?;
    desk.wfs(&["get", "lst"]).await?.ended(0)?.says("NODE GROUP")?;
    desk.wfs(&["get", "cache"]).await?.ended(0)?.says("SOURCE")?;
    desk.storage(&["ls-file-system"]).await?.ended(0)?.says(FS)?;
    desk.set("WFS_WORKSPACE", "e2e-there-is-none");
    desk.wfs(&["get", "fs"]).await?.ended(1)?.says_why()?;
    desk.wfs(&["doctor"]).await?.ended(1)?.says("BAD ").map(drop)
}

async fn a_manifest_that_wfs_writes_is_taken_by_the_api_server_and_its_job_runs(
    context: Context,
) -> Result<()> {
    let Shop { files, .. } = shop(&context).await?;
    files.put("content/in", "what a job reads").await?.expect(201)?;
    let desk = Desk::bare(&context)?;
    let (image, namespace) =
        (format!("--image={BUSYBOX_IMAGE}"), format!("--namespace={}", context.namespace()));
    let of = ["--mount=default:/data", image.as_str(), namespace.as_str()];
    for kind in ["pod", "job", "deployment", "endpoint", "devpod"] {
        for inline in [&[][..], &["--inline"]] {
            let words = [&["manifest", kind, "tried"], &of[..], inline].concat();
            let yaml = desk.wfs(&words).await?.ended(0)?.text();
            let tried = context.kubectl(&["apply", "--dry-run=server", "-f", "-"], &yaml).await?;
            let why = String::from_utf8_lossy(&tried.stderr);
            ensure!(tried.status.success(), "{kind} {inline:?} is refused: {why}\n{yaml}");
        }
    }
    let line = "cat /data/in > /data/out && echo ' and writes' >> /data/out";
    let words = [&["manifest", "job", "copies"], &of[..], &["--", "sh", "-c", line]].concat();
    let yaml = desk.wfs(&words).await?.ended(0)?.text();
    context.apply(&yaml).await?;
    let look = || async {
        let condition = "--output=jsonpath={.status.conditions[?(@.type==\"Complete\")].status}";
        let ended = context.kubectl(&["get", "job", "copies", condition], "").await?;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        ensure!(said == "True", "it is not complete: {said:?}");
        Ok(())
    };
    until("the job is complete", seconds(180), look).await?;
    let out = files.get("content/out").await?.expect(200)?;
    ensure!(out.body == b"what a job reads and writes\n", "the job wrote {out:?}");
    desk.wfs(&["manifest", "job", "Bad_Name", &image]).await?.ended(2)?.says_why().map(drop)
}
