//! Servers: found by their names; and those that cannot or will not, where the pod's Event says the cause in words, within
//! 30 s, and nothing else suffers.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::set_up::{BLACK_HOLE, NOTHING_LISTENS, SECOND_EXPORT, SECOND_SERVER};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

/// How soon the user reads why.
const EVENT_TIME_MAX: std::time::Duration = seconds(30);

pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = table()
        .into_iter()
        .map(|(rule, backend, words)| Case::new(rule, move |context| told(context, backend.clone(), words)))
        .collect();
    all.extend(cases![
        a_server_is_found_by_its_name,
        volumes_of_other_servers_mount_while_one_server_swallows_packets,
        a_squashed_roots_user_is_told_both_remedies_and_the_second_works,
        a_server_that_comes_back_needs_no_help_from_the_user,
        a_managed_file_system_without_an_embedded_server_names_the_charts_value,
    ]);
    all
}

/// The rule, an nfs backend, the words of the Event.
fn table() -> [(&'static str, Value, &'static [&'static str]); 7] {
    let nfs = |server: &str, export: &str| json!({ "server": server, "export": export });
    let version = |mut backend: Value, version: &str| {
        backend["version"] = version.into();
        backend
    };
    [
        (
            "a_server_where_nothing_listens_is_named_unreachable",
            nfs(NOTHING_LISTENS, "/export/shared"),
            &["FailedMount", NOTHING_LISTENS, "unreachable"],
        ),
        (
            "a_name_without_an_address_is_named",
            nfs("nowhere.invalid", "/export/shared"),
            &["FailedMount", "nowhere.invalid", "cannot be resolved"],
        ),
        (
            "a_missing_export_is_named",
            nfs("10.99.0.21", "/export/missing"),
            &["FailedMount", "/export/missing", "does not exist on the server, or is not exported"],
        ),
        (
            // NFSv4 does not tell a client from which an export is hidden that it exists.
            "an_export_that_is_closed_to_this_node_is_named",
            nfs("10.99.0.21", "/export/closed"),
            &["FailedMount", "/export/closed", "not exported to this node"],
        ),
        (
            "an_nfs3_server_that_denies_the_mount_is_quoted",
            version(nfs("10.99.0.21", "/export/closed"), "3"),
            &["FailedMount", "/export/closed", "denies this node the mount"],
        ),
        (
            "a_version_that_the_server_refuses_is_named",
            version(nfs(SECOND_SERVER, SECOND_EXPORT), "4.2"),
            &["FailedMount", SECOND_SERVER, "does not speak NFS 4.2"],
        ),
        (
            "a_port_where_nothing_listens_is_named",
            json!({ "server": "10.99.0.21", "export": "/export/shared", "port": 2050 }),
            &["FailedMount", "10.99.0.21", "2050", "unreachable"],
        ),
    ]
}

async fn told(context: Context, nfs: Value, words: &[&str]) -> Result<()> {
    context.create_file_system("bad", json!({ "backend": { "nfs": nfs } })).await?;
    context.create(&PodSpec::new("user").on("n1").inline("bad", "", "/data")).await?;
    context.event("user", words, EVENT_TIME_MAX).await?;
    // A pod that never had its volume goes without a fuss, and leaves nothing.
    context.stop("user").await
}

async fn a_server_is_found_by_its_name(context: Context) -> Result<()> {
    // /etc/hosts of the machines has it. The operator, which is in no machine's network, cannot know it.
    let nfs = json!({ "server": "nfs", "export": "/export/shared", "folder": context.folder("data") });
    context.file_system_with("data", json!({ "backend": { "nfs": nfs } })).await?;
    let pods = [
        PodSpec::new("one").on("n1").claim("data", "/data"),
        PodSpec::new("two").on("n2").inline("data", "", "/data"),
    ];
    let pods = context.start(pods).await?;
    for pod in &pods {
        let mount = context.mount_of(pod).await?;
        ensure!(mount.has("addr=10.99.0.21"), "the address of `nfs` is not in {}", mount.super_options);
    }
    context.exec("one", "echo by-name > /data/file").await?;
    let read = context.exec("two", "cat /data/file").await?;
    let kept = context.on_server("cat data/file").await?;
    ensure!(read == "by-name" && kept == "by-name", "n2 reads {read:?}, the server {kept:?}");
    Ok(())
}

async fn volumes_of_other_servers_mount_while_one_server_swallows_packets(context: Context) -> Result<()> {
    context.file_system("good").await?;
    let dead = json!({ "backend": { "nfs": { "server": BLACK_HOLE, "export": "/export/shared" } } });
    context.create_file_system("dead", dead).await?;
    context.create(&PodSpec::new("stuck").on("n1").inline("dead", "", "/data")).await?;
    context
        .create(&PodSpec::new("lucky").on("n1").claim("good", "/data").inline("good", "", "/more"))
        .await?;
    let (lucky, told) = tokio::join!(
        context.running("lucky"),
        context.event("stuck", &["FailedMount", BLACK_HOLE, "NFS server"], EVENT_TIME_MAX),
    );
    lucky?;
    let message = told?;
    ensure!(message.contains("unreachable") || message.contains("did not answer"), "no cause in: {message}");
    context.exec("lucky", "echo alive > /data/x && cat /more/x").await?;
    context.condition("dead", "Reachable", "False", seconds(60)).await?;
    context.stop("stuck").await
}

async fn a_squashed_roots_user_is_told_both_remedies_and_the_second_works(context: Context) -> Result<()> {
    let folder = context.folder("team");
    let backend =
        json!({ "nfs": { "server": "10.99.0.21", "export": "/export/squashed", "folder": folder } });
    context.create_file_system("squashed", json!({ "backend": backend })).await?;
    context.create(&PodSpec::new("user").on("n1").with_user(1000).inline("squashed", "", "/data")).await?;
    let words = ["FailedMount", "root_squash", "no_root_squash", "create the folder on the server by hand"];
    context.event("user", &words, EVENT_TIME_MAX).await?;
    let by_hand = format!(
        "cd /export/squashed && mkdir -p {folder} && chown 1000:1000 {folder} && chmod 0700 {folder}"
    );
    context.on("nfs", &by_hand).await?;
    context.running("user").await?;
    context.exec("user", "echo mine > /data/x").await?;
    Ok(())
}

async fn a_managed_file_system_without_an_embedded_server_names_the_charts_value(
    context: Context,
) -> Result<()> {
    let spec = json!({ "backend": { "managed": { "capacity": "1Gi" } } });
    context.create_file_system("data", spec).await?;
    let object = context.condition("data", "Ready", "False", seconds(30)).await?;
    let message = object.condition("Ready").map(|condition| condition.message.clone()).unwrap_or_default();
    ensure!(message.contains("nfsServer.storage"), "it says {message:?}");
    Ok(())
}

async fn a_server_that_comes_back_needs_no_help_from_the_user(context: Context) -> Result<()> {
    // Its export appears only after the pod has failed.
    let export = format!("/export/{}", context.namespace());
    context
        .create_file_system(
            "late",
            json!({ "backend": { "nfs": { "server": SECOND_SERVER, "export": export } } }),
        )
        .await?;
    context.create(&PodSpec::new("user").on("n1").inline("late", "", "/data")).await?;
    context.event("user", &["FailedMount", &export], EVENT_TIME_MAX).await?;
    let open = format!("mkdir -p {export} && exportfs -o rw,no_root_squash,no_subtree_check '*:{export}'");
    context.on("n2", &open).await?;
    let started = context.running("user").await;
    let written = match started {
        Ok(_) => context.exec("user", "echo here > /data/x").await.map(drop),
        Err(error) => Err(error),
    };
    let stopped = context.stop("user").await;
    context.on("n2", &format!("exportfs -u '*:{export}'; rm -rf {export}")).await?;
    written.and(stopped)
}
