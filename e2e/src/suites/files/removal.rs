//! What ends with a FileSystem, and what a namespace may refuse: its pod of `files`, but never its files.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ResourceQuota, Secret, Service};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::people::{DATA, EDITOR, FILES_TIME_MAX, Shop, reached};
use super::pods::FILES;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::wait::{seconds, until};

/// The Secret of a workspace with the certificates of its `files`.
const SECRET: &str = "workspacefs-files";
/// What is refused is asked for again, at longer and longer intervals.
const ASKED_AGAIN_TIME_MAX: Duration = seconds(300);

pub fn cases() -> Vec<Case> {
    cases![
        a_deleted_file_system_takes_its_files_pod_along_and_keeps_its_files,
        a_quota_that_refuses_the_pod_is_told_by_files_ready_and_by_the_gateway_and_nothing_else_suffers,
    ]
}

async fn a_deleted_file_system_takes_its_files_pod_along_and_keeps_its_files(context: Context) -> Result<()> {
    let Shop { door, token, files } = Shop::open(&context).await?;
    files.put("content/precious", "precious").await?.expect(201)?;
    let uid = context.file_systems().get(DATA).await?.uid().context("no uid")?;
    let secrets: Api<Secret> = Api::namespaced(context.client(), context.namespace());
    let certificate = format!("{uid}.crt");
    let before = secrets.get(SECRET).await?.data.unwrap_or_default();
    ensure!(before.contains_key(&certificate), "the Secret has {:?}", before.keys());

    context.remove_file_system(DATA).await?;
    let deployments: Api<Deployment> = Api::namespaced(context.client(), context.namespace());
    let services: Api<Service> = Api::namespaced(context.client(), context.namespace());
    let ours = ListParams::default().labels(FILES);
    let look = || async {
        let mut left: Vec<String> =
            context.pods().list(&ours).await?.iter().map(ResourceExt::name_any).collect();
        left.extend(deployments.list(&ours).await?.iter().map(ResourceExt::name_any));
        left.extend(services.list(&ours).await?.iter().map(ResourceExt::name_any));
        let secret = secrets.get_opt(SECRET).await?;
        let entries = secret.and_then(|secret| secret.data).unwrap_or_default();
        left.extend(entries.into_keys().filter(|entry| entry.starts_with(&uid)));
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    };
    until("nothing is left of its files pod", seconds(120), look).await?;
    let kept = context.on_server("cat data/precious").await?;
    ensure!(kept == "precious", "the file reads {kept:?}");
    let look = || async { files.get("list/").await?.refused(404, "NotFound").map(drop) };
    until("the gateway knows of it no longer", seconds(30), look).await?;

    // A new one of that name is another, with another certificate; of the same folder it shows the same files.
    context.file_system(DATA).await?;
    context.files_run(DATA).await?;
    let again = door.with(&token).files(context.namespace(), DATA);
    reached(&again).await?;
    let body = again.get("content/precious").await?.expect(200)?.body;
    ensure!(body == b"precious", "it reads {body:?}");
    Ok(())
}

async fn a_quota_that_refuses_the_pod_is_told_by_files_ready_and_by_the_gateway_and_nothing_else_suffers(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let quotas: Api<ResourceQuota> = Api::namespaced(context.client(), context.namespace());
    let quota = json!({ "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } } });
    quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
    let look = || async {
        let status = quotas.get("none").await?.status.unwrap_or_default();
        ensure!(status.hard.is_some(), "the quota is not in force");
        Ok(())
    };
    until("the quota is in force", seconds(60), look).await?;
    // Its claim and all else are there.
    context.file_system(DATA).await?;
    context.reason(DATA, "FilesReady", "QuotaExceeded", FILES_TIME_MAX).await?;
    let message = context.files_message(DATA).await?;
    ensure!(message.contains("pods"), "it does not quote the quota: {message}");
    context.note(message);
    let token = context.person("editor", Some(EDITOR)).await?;
    let door = super::door::Door::of(&context).await?;
    let files = door.with(&token).files(context.namespace(), DATA);
    let look = || async {
        let said = files.get("list/").await?.refused(502, "Unreachable")?;
        ensure!(said.contains("quota"), "the gateway says {said}");
        Ok(())
    };
    until("the gateway says why", seconds(60), look).await?;
    quotas.delete("none", &DeleteParams::default()).await?;
    context.reason(DATA, "FilesReady", "Running", ASKED_AGAIN_TIME_MAX).await?;
    reached(&files).await
}
