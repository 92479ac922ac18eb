//! Who may do what, and for how long: by roles of the chart in one namespace, reviewed while a transfer runs.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::authentication::v1::TokenReview;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use reqwest::{Method, Response};
use serde_json::json;

use super::people::{DATA, EDITOR, Shop, VIEWER, reached};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::wait::{patient, seconds, until};

/// What the API server takes to hear of a changed right, and the gateway to ask again.
const CHANGE_TIME_MAX: Duration = seconds(5);
/// How long a deleted account's token may be taken after the API server itself refuses it.
const TOKEN_TIME_MAX: Duration = seconds(20);
/// Between two pieces, while the machines have better things to do. What has piled up meanwhile is read at full speed.
const UNHURRIED: Duration = Duration::from_millis(5);
/// Larger than what goes through here in any of these times. It takes no room.
const ENDLESS: &str = "truncate -s 64G data/endless";

pub fn cases() -> Vec<Case> {
    cases![
        a_viewer_reads_and_changes_nothing_and_a_stranger_cannot_tell_a_workspace_from_none,
        a_right_that_is_taken_away_ends_a_running_download_within_seconds,
        a_deleted_accounts_token_and_session_end,
    ]
}

async fn a_viewer_reads_and_changes_nothing_and_a_stranger_cannot_tell_a_workspace_from_none(
    context: Context,
) -> Result<()> {
    let Shop { door, files, .. } = Shop::open(&context).await?;
    files.put("content/kept", "kept").await?.expect(201)?;
    let viewer = door.with(&context.person("viewer", Some(VIEWER)).await?);
    let read_only = viewer.files(context.namespace(), DATA);
    reached(&read_only).await?;
    ensure!(
        read_only.get("content/kept").await?.expect(200)?.body == b"kept",
        "the viewer reads another file"
    );
    let path = format!("workspaces/{}/filesystems", context.namespace());
    let seen = viewer.get(&path).await?.expect(200)?.json()?;
    let rights = json!({ "read": true, "write": false, "delete": false });
    ensure!(seen[0]["rights"] == rights, "the viewer's rights are {seen}");
    let transfer = json!({ "from": "kept", "to": "taken" });
    let import = json!({ "provider": "s3", "bucket": "bucket", "accessKeyId": "a", "secretAccessKey": "b",
        "destination": "" });
    for refused in [
        read_only.put("content/kept", "changed").await?,
        read_only.put("folders/new", "").await?,
        read_only.delete("content/kept").await?,
        read_only.delete("trash").await?,
        read_only.post("move", &transfer).await?,
        read_only.post("copy", &transfer).await?,
        read_only.post("imports", &import).await?,
        read_only.post("uploads", &json!({})).await?,
    ] {
        refused.refused(403, "Forbidden")?;
    }
    ensure!(
        context.on_server("cat data/kept && ls data").await? == "keptkept",
        "the viewer changed something"
    );

    let stranger = door.with(&context.person("stranger", None).await?);
    let workspaces = stranger.get("workspaces").await?.expect(200)?.json()?;
    ensure!(workspaces == json!([]), "a stranger sees {workspaces}");
    let of = |namespace: &str, rest: &str| format!("workspaces/{namespace}/{rest}");
    for rest in ["filesystems", "storage", "filesystems/data/api/list/", "filesystems/data/api/content/kept"]
    {
        let there = stranger.get(&of(context.namespace(), rest)).await?;
        let nowhere = stranger.get(&of("e2e-there-is-none", rest)).await?;
        let same = there.status == 404 && there.body == nowhere.body && nowhere.status == 404;
        ensure!(same, "{rest} of a workspace tells a stranger that it is there: {there:?} {nowhere:?}");
    }
    // Of a FileSystem that is not there a member hears the same as of a file that is not there.
    let missing = viewer.files(context.namespace(), "missing").get("list/").await?;
    missing.refused(404, "NotFound").map(drop)
}

async fn a_right_that_is_taken_away_ends_a_running_download_within_seconds(context: Context) -> Result<()> {
    let Shop { door, files, .. } = Shop::open(&context).await?;
    context.on_server(ENDLESS).await?;
    let leaver = door.with(&context.person("leaver", Some(VIEWER)).await?).files(context.namespace(), DATA);
    reached(&leaver).await?;
    let mut leaving = leaver.ask(Method::GET, "content/endless").send().await?;
    let mut staying = files.ask(Method::GET, "content/endless").send().await?;
    ensure!(leaving.status() == 200 && staying.status() == 200, "{} {}", leaving.status(), staying.status());
    watched(&mut leaving, seconds(6), UNHURRIED)
        .await?
        .ok_or_else(|| anyhow::anyhow!("it broke before its time"))?;
    context.take_back("leaver").await?;
    let began = Instant::now();
    let ended = watched(&mut leaving, patient(CHANGE_TIME_MAX + seconds(10)), Duration::ZERO).await?;
    ensure!(ended.is_none(), "the download goes on");
    let took = began.elapsed();
    context.note(format!("the running download ended {:.1} s after its right", took.as_secs_f32()));
    ensure!(took <= patient(CHANGE_TIME_MAX), "the download went on for {took:?}");
    leaver.get("content/endless").await?.refused(404, "NotFound")?;
    // Others' go on.
    let goes_on = watched(&mut staying, seconds(2), UNHURRIED).await?;
    ensure!(goes_on.is_some(), "somebody else's download broke");

    context.give("leaver", EDITOR).await?;
    reached(&leaver).await?;
    leaver.put("content/back", "again").await?.expect(201).map(drop)
}

/// Reads what comes for so long, with a pause after each piece: None if it broke off. To its end it never comes.
async fn watched(response: &mut Response, time: Duration, pause: Duration) -> Result<Option<()>> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        match tokio::time::timeout(patient(seconds(30)), response.chunk()).await {
            Err(_) => bail!("nothing comes any more, and it is not broken off"),
            Ok(Err(_)) => return Ok(None),
            Ok(Ok(None)) => bail!("it ended as if it were whole"),
            Ok(Ok(Some(_))) => tokio::time::sleep(pause).await,
        }
    }
    Ok(Some(()))
}

async fn a_deleted_accounts_token_and_session_end(context: Context) -> Result<()> {
    let Shop { door, .. } = Shop::open(&context).await?;
    let token = context.person("leaver", Some(VIEWER)).await?;
    let by_token = door.with(&token).files(context.namespace(), DATA);
    reached(&by_token).await?;
    let (_, session) = door.log_in(&token).await?;
    session.get("session").await?.expect(200)?;
    context.accounts().delete("leaver", &DeleteParams::default()).await?;
    let reviews: Api<TokenReview> = Api::all(context.client());
    let review: TokenReview = serde_json::from_value(json!({ "spec": { "token": token } }))?;
    let look = || async {
        let status = reviews.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
        ensure!(status.authenticated != Some(true), "it still takes it");
        Ok(())
    };
    until("the API server refuses the token", seconds(60), look).await?;
    let began = Instant::now();
    let look = || async {
        by_token.get("usage").await?.refused(401, "Unauthenticated")?;
        session.get("session").await?.refused(401, "Unauthenticated").map(drop)
    };
    until("the gateway refuses token and session", TOKEN_TIME_MAX, look).await?;
    context.note(format!("refused {:.1} s after the API server did", began.elapsed().as_secs_f32()));
    door.try_log_in(&token).await?.refused(401, "Unauthenticated").map(drop)
}
