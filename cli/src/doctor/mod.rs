//! `wfs doctor`: goes the whole way from this machine to the files, step by step, and says at each what to do if it fails.

mod cluster;
mod findings;

use std::time::Instant;

use anyhow::Result;

use self::findings::Findings;
use crate::client::Gateway;
use crate::client::call::Call;
use crate::client::files::Files;
use crate::client::types::{FileSystem, Rights, Session, Storage};
use crate::connect::Connection;
use crate::exit::Exit;
use crate::manifest::name;
use crate::storage::output::Output;
use crate::text;

/// Looks for what is wrong between this machine and the files, and says what to do
///
/// Nothing is changed. Exit code 1: something is wrong. What may be as it is meant, such as some nodes without the driver, is a note
/// and no failure.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Looks, and tells.
///
/// # Errors
/// It cannot be printed.
pub fn run(args: &Args) -> Result<Exit> {
    crate::block_on(async {
        let mut findings = Findings::default();
        look(args, &mut findings).await;
        findings.print(args.output)
    })
}

async fn look(args: &Args, findings: &mut Findings) {
    let connected = match args.connection.open().await {
        Ok(connected) => connected,
        Err(error) => {
            findings.bad(
                "way to the gateway",
                text::chain(error.as_ref()),
                "set WFS_URL and WFS_TOKEN, log in with wfs login, or point KUBECONFIG to a cluster with workspacefs",
            );
            return;
        }
    };
    findings.good("way to the gateway", connected.way.clone());
    if connected.way.starts_with("pod ") {
        cluster::look(&args.connection, findings).await;
    }
    let gateway = connected.gateway;
    let before = Instant::now();
    match gateway.check().await {
        Ok(version) => findings.good(
            "gateway",
            format!(
                "version {}, answered in {} ms",
                text::shown(version.version.as_ref()),
                before.elapsed().as_millis()
            ),
        ),
        Err(error) => {
            findings.bad(
                "gateway",
                text::chain(&error),
                &format!(
                    "is it installed and running? kubectl -n {} get pods; a certificate that is not believed: --ca",
                    args.connection.gateway_namespace
                ),
            );
            return;
        }
    }
    match gateway.json::<Session>(&Call::get("/wfs/v1/session".into())).await {
        Ok(session) => findings.good("token", format!("you are {}", text::shown(session.user.as_ref()))),
        Err(error) => {
            findings.bad(
                "token",
                text::chain(&error),
                "get a new one: log in to the cluster again, or wfs login",
            );
            return;
        }
    }
    let Some(workspace) = connected.workspace.filter(|workspace| name(workspace).is_ok()) else {
        findings.bad("workspace", "none is named".into(), "name its namespace: -n NAME, or WFS_WORKSPACE");
        return;
    };
    file_systems(&gateway, &workspace, findings).await;
    storage(&gateway, &workspace, findings).await;
}

async fn file_systems(gateway: &Gateway, workspace: &str, findings: &mut Findings) {
    let call = Call::get(format!("/wfs/v1/workspaces/{workspace}/filesystems"));
    let all: Vec<FileSystem> = match gateway.json(&call).await {
        Ok(all) => all,
        Err(error) => {
            findings.bad(
                "workspace",
                text::chain(&error),
                "you need the right to list filesystems.workspacefs.io in it: ask its administrator",
            );
            return;
        }
    };
    findings.good("workspace", format!("{workspace}, with {} file systems", all.len()));
    if all.is_empty() {
        findings.odd(
            "file systems",
            "there is none".into(),
            "an administrator makes one, or labels the namespace as a workspace",
        );
    }
    for one in &all {
        file_system(gateway, workspace, one, findings).await;
    }
}

async fn file_system(gateway: &Gateway, workspace: &str, one: &FileSystem, findings: &mut Findings) {
    let what = format!("file system {}", text::shown(one.name.as_ref()));
    let message = one.message.as_deref().unwrap_or_default();
    match one.health.as_deref() {
        Some("Ready") => findings.good(&what, "Ready".into()),
        other => {
            let text = format!("{}: {}", other.unwrap_or("Unknown"), text::shown(message.as_ref()));
            findings.bad(&what, text, &format!("kubectl -n {workspace} describe filesystem {}", one.name));
        }
    }
    findings.good(&format!("{what}, your rights"), rights(&one.rights));
    let what = format!("{what}, its files");
    if !one.rights.read {
        findings.odd(
            &what,
            "you may not read them".into(),
            "a Role with get on filesystems/files (update, delete) in the workspace grants it",
        );
        return;
    }
    if one.files.as_deref() != Some("Ready") {
        findings.bad(
            &what,
            "the file API does not run".into(),
            &format!("kubectl -n {workspace} describe filesystem {}: condition FilesReady", one.name),
        );
        return;
    }
    if name(&one.name).is_err() {
        return;
    }
    // It answers only where the file system is mounted: the one mount that can be tried without a pod of one's own.
    let before = Instant::now();
    match Files::new(gateway.clone(), workspace, &one.name).usage().await {
        Ok(usage) => {
            let free = crate::storage::list::bytes(usage.available);
            findings
                .good(&what, format!("mounted, answers in {} ms, {free} free", before.elapsed().as_millis()));
            if usage.available == Some(0) {
                findings.odd(&what, "it is full".into(), "delete files, or wfs storage trash empty --yes");
            }
        }
        Err(error) => findings.bad(
            &what,
            text::chain(&error),
            &format!("kubectl -n {workspace} describe pod -l app.kubernetes.io/name=files"),
        ),
    }
}

/// What one may, and what not.
fn rights(rights: &Rights) -> String {
    let all = [(rights.read, "read"), (rights.write, "write"), (rights.delete, "delete")];
    let of = |has: bool| {
        all.iter().filter(|(is, _)| *is == has).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    };
    match (of(true), of(false)) {
        (may, not) if not.is_empty() => format!("you may {may}"),
        (may, not) if may.is_empty() => format!("you may not {not}"),
        (may, not) => format!("you may {may}, and not {not}"),
    }
}

async fn storage(gateway: &Gateway, workspace: &str, findings: &mut Findings) {
    let call = Call::get(format!("/wfs/v1/workspaces/{workspace}/storage"));
    let Ok(storage) = gateway.json::<Storage>(&call).await else { return };
    for one in &storage.local_storages {
        let what = format!("local storage {}", text::shown(one.name.as_ref()));
        match (one.health.as_deref(), one.message.as_deref()) {
            (Some("Ready"), _) => findings.good(&what, format!("{} nodes", one.nodes_ready.unwrap_or(0))),
            (health, message) => findings.odd(
                &what,
                format!(
                    "{}: {}",
                    health.unwrap_or("Unknown"),
                    text::shown(message.unwrap_or_default().as_ref())
                ),
                "its administrator sees more: kubectl describe localstorage",
            ),
        }
    }
    for one in &storage.caches {
        let what = format!("cache {}", text::shown(one.name.as_ref()));
        match (one.health.as_deref(), one.message.as_deref()) {
            (Some("Ready"), _) => findings.good(&what, one.phase.clone().unwrap_or_default()),
            (health, message) => findings.odd(
                &what,
                format!(
                    "{}: {}",
                    health.unwrap_or("Unknown"),
                    text::shown(message.unwrap_or_default().as_ref())
                ),
                &format!("wfs cache status {} -n {workspace}", one.name),
            ),
        }
    }
}
