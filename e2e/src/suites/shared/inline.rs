//! Inline volumes: what they may name, where they may lead, and what the Event says when they may not.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

const EVENT_TIME_MAX: std::time::Duration = seconds(30);

/// What lies in the FileSystem that the refused volumes name.
const CONTENT: &str = "mkdir -p data/real && echo x > data/file && ln -s ../.. data/out && ln -s /etc data/absolute \
    && ln -s real data/inside && echo found > data/real/x";

pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = table()
        .into_iter()
        .map(|(rule, attributes, words)| {
            Case::new(rule, move |context| refused(context, attributes.clone(), words))
        })
        .collect();
    all.extend(cases![
        an_inline_volume_shows_the_folder_it_mounts_from,
        an_inline_volume_finds_no_file_system_of_another_namespace,
    ]);
    all
}

/// The rule, the volume's attributes, the words of the Event.
fn table() -> [(&'static str, Value, &'static [&'static str]); 10] {
    let from = |path: &str| json!({ "fileSystem": "data", "mountFrom": path });
    [
        (
            "a_file_system_that_does_not_exist_is_not_found_in_the_pods_namespace",
            json!({ "fileSystem": "none" }),
            &["NotFound", "none", "e2e-a-file-system-that-does-not-exist"],
        ),
        (
            "a_folder_that_does_not_exist_is_not_found",
            from("/real/missing"),
            &["NotFound", "real/missing", "does not exist"],
        ),
        (
            "a_file_cannot_be_mounted_from",
            from("/file"),
            &["FailedPrecondition", "file", "is not a directory"],
        ),
        ("a_link_that_leads_out_is_not_followed", from("/out"), &["FailedMount", "out", "leads out"]),
        (
            "an_absolute_link_is_not_followed_out",
            from("/absolute"),
            &["FailedMount", "absolute", "leads out"],
        ),
        ("a_path_that_climbs_is_refused", from("/real/../../x"), &["InvalidArgument", ".."]),
        (
            "an_inline_volume_without_a_file_system_is_refused",
            json!({ "mountFrom": "/real" }),
            &["InvalidArgument", "fileSystem"],
        ),
        (
            "an_unknown_attribute_is_refused",
            json!({ "fileSystem": "data", "server": "10.99.0.21" }),
            &["InvalidArgument", "server"],
        ),
        ("our_own_folder_cannot_be_mounted_from", from("/.workspacefs"), &["FailedMount", ".workspacefs"]),
        ("a_name_that_is_a_path_is_refused", json!({ "fileSystem": "../data" }), &["FailedMount", "../data"]),
    ]
}

async fn refused(context: Context, attributes: Value, words: &[&str]) -> Result<()> {
    context.on_server(CONTENT).await?;
    context.file_system("data").await?;
    context.create(&PodSpec::new("user").on("n1").inline_with(attributes, "/data", false)).await?;
    context.event("user", words, EVENT_TIME_MAX).await?;
    context.stop("user").await
}

async fn an_inline_volume_shows_the_folder_it_mounts_from(context: Context) -> Result<()> {
    context.on_server(CONTENT).await?;
    context.file_system("data").await?;
    let pod = PodSpec::new("user")
        .inline("data", "", "/root-of-it")
        .inline("data", "/real", "/with-slash")
        .inline("data", "real", "/without")
        .inline("data", "/inside", "/through-a-link");
    context.start([pod]).await?;
    for at in ["/root-of-it/real", "/with-slash", "/without", "/through-a-link"] {
        let found = context.exec("user", &format!("cat {at}/x")).await?;
        ensure!(found == "found", "{at} shows {found:?}");
    }
    // One folder, however it was reached.
    context.exec("user", "echo new > /without/y").await?;
    let other = context.exec("user", "cat /through-a-link/y").await?;
    ensure!(other == "new", "the same folder shows {other:?} elsewhere");
    Ok(())
}

async fn an_inline_volume_finds_no_file_system_of_another_namespace(context: Context) -> Result<()> {
    context.file_system("private").await?;
    let name = format!("{}-2", context.namespace());
    let label = json!({ "workspacefs.io/e2e": "shared" });
    let namespaces: Api<Namespace> = Api::all(context.client());
    let object = serde_json::from_value(json!({ "metadata": { "name": name, "labels": label } }))?;
    namespaces.create(&PostParams::default(), &object).await?;
    let stranger = context.in_namespace(&name);
    let outcome = async {
        stranger.create(&PodSpec::new("user").inline("private", "", "/data")).await?;
        stranger.event("user", &["NotFound", "private", &name], EVENT_TIME_MAX).await?;
        // The claim is out of reach as well.
        stranger.create(&PodSpec::new("claimer").claim("private", "/data")).await?;
        stranger.event("claimer", &["FailedScheduling", "private", "not found"], EVENT_TIME_MAX).await
    };
    let outcome = outcome.await;
    namespaces.delete(&name, &DeleteParams::default()).await?;
    outcome.map(drop)
}
