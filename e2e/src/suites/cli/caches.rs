//! `wfs cache` and `wfs get cache`: an FsCache of the cluster as people look at it, wait for it and ask for its refresh.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::FS;
use super::desk::{Desk, shop};
use super::kubeconfig::kubeconfig;
use crate::suites::cache::Generation;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{NEAR, Shop};
use crate::suites::wait::{seconds, until};

const CACHE: &str = "c";
/// The FileSystem that holds the copies, and its folder.
const TARGET: &str = "near";
/// Of the group of [`NEAR`].
const NODE: &str = "n1";

pub fn cases() -> Vec<Case> {
    let all = cases![a_cache_is_watched_until_it_is_filled_and_refreshed_by_who_may];
    all.into_iter().map(|case| case.within(700)).collect()
}

async fn a_cache_is_watched_until_it_is_filled_and_refreshed_by_who_may(context: Context) -> Result<()> {
    let Shop { door, token, .. } = shop(&context).await?;
    let fill = format!("mkdir -p {FS}/datasets && printf old > {FS}/datasets/greeting && chmod -R 0777 {FS}");
    context.on_server(&fill).await?;
    let target = json!({ "backend": context.shared(TARGET), "nodeGroup": NEAR });
    context.file_system_with(TARGET, target).await?;
    let spec = json!({
        "source": { "fileSystem": FS, "paths": ["/datasets"] }, "target": { "fileSystem": TARGET },
    });
    context.create_cache(CACHE, spec).await?;

    // By the API server: an administrator, and somebody who may look and not ask.
    let mut admin = Desk::bare(&context)?;
    admin.set("KUBECONFIG", context.cluster().kubeconfig("admin"));
    let here = ["-n", context.namespace()];
    let of = |words: &[&'static str]| [words, &here].concat();
    let watched = admin.wfs(&of(&["cache", "status", CACHE, "--watch"])).await?.ended(0)?;
    watched.says("path /datasets: Whole")?.says("copy *: Ready")?;
    admin.wfs(&of(&["cache", "status"])).await?.ended(0)?.says("AS OF")?.says("True (Ready)")?;
    admin.wfs(&of(&["cache", "status", "none"])).await?.ended(1)?.complains("there is no FsCache")?;
    let first = context.warm(CACHE, NODE).await?;
    holds(&context, &first, "old").await?;

    let mut editor = Desk::bare(&context)?;
    editor.keeps_secret(&token);
    editor.write("home/.kube/config", kubeconfig(&context, json!({ "token": token }))?)?;
    editor.wfs(&["cache", "status", CACHE]).await?.ended(0)?.says("path /datasets: Whole")?;
    editor.wfs(&["cache", "refresh", CACHE]).await?.ended(1)?.complains("cannot ask for a refresh")?;
    shown(&Desk::with_token(&context, &door, &token)?).await?;

    context.on_server(&format!("printf newer > {FS}/datasets/greeting")).await?;
    let words = of(&["cache", "refresh", CACHE, "--wait", "--timeout", "200s"]);
    admin.wfs(&words).await?.ended(0)?.says("is refreshed: as of 20")?;
    let second = context.warm_after(CACHE, NODE, first.number).await?;
    holds(&context, &second, "newer").await
}

/// By the gateway: as a table, and as JSON.
async fn shown(desk: &Desk) -> Result<()> {
    // It hears of objects as anybody does.
    let look = || async {
        let told = desk.wfs(&["get", "cache", CACHE, "-o", "json"]).await?.ended(0)?;
        let told: Value = serde_json::from_slice(&told.stdout)?;
        let cache = told.get(0).context("an empty list")?;
        let said = ["source", "target", "phase", "health"].map(|field| cache[field].as_str());
        let fits = said == [Some(FS), Some(TARGET), Some("Ready"), Some("Ready")];
        ensure!(fits && cache["paths"] == json!(["/datasets"]), "it tells {told}");
        Ok(())
    };
    until("the gateway tells of the cache", seconds(60), look).await?;
    let table = desk.wfs(&["get", "cache"]).await?.ended(0)?;
    table.says("AS OF")?.says(TARGET)?;
    desk.wfs(&["doctor"]).await?.says(&format!("ok    cache {CACHE}: Ready")).map(drop)
}

/// A generation has this in its file, on the target's server.
async fn holds(context: &Context, of: &Generation, content: &str) -> Result<()> {
    let Generation { uid, number } = of;
    let file = format!("{TARGET}/.workspacefs/cache/{uid}/{number}/data/datasets/greeting");
    let kept = context.on_server(&format!("cat {file}")).await?;
    ensure!(kept == content, "generation {number} holds {kept:?}, not {content:?}");
    Ok(())
}
