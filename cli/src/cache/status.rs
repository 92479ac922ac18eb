//! `wfs cache status`: where FsCaches stand, once or as it goes on.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use tokio::time::sleep;
use workspacefs_api::FsCache;
use workspacefs_api::fs_cache::CachePhase;

use super::Cluster;
use crate::exit::Exit;
use crate::storage::output::{line, table};
use crate::text::{self, complain};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// Failures in a row while it is watched.
const FAILURES_MAX: u32 = 30;

/// Shows where FsCaches stand
///
/// Needs the right to `get` or `list` fscaches.workspacefs.io in its namespace.
#[derive(clap::Args)]
pub struct Args {
    /// Only this one, with its paths and copies
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
    /// Go on, and print each change; with a name until nothing runs any more
    #[arg(short, long)]
    watch: bool,
}

/// Prints it.
///
/// # Errors
/// They cannot be read, or there is none of that name.
pub async fn run(args: &Args) -> Result<Exit> {
    let (client, namespace) = args.cluster.connect().await?;
    let api: Api<FsCache> = Api::namespaced(client, &namespace);
    let mut shown = String::new();
    let mut failures = 0;
    loop {
        let caches = match look(&api, args.name.as_deref()).await {
            Ok(caches) => caches,
            Err(error) if args.watch && !shown.is_empty() && failures < FAILURES_MAX => {
                failures += 1;
                complain(&format!("{}; it is asked again", text::chain(error.as_ref())));
                sleep(LOOK).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        failures = 0;
        let text = match (&args.name, caches.as_slice()) {
            (Some(name), []) => bail!("there is no FsCache {namespace}/{name}"),
            (Some(_), [cache]) => format!("{}\n{}", overview(&caches), detail(cache)).trim_end().to_owned(),
            _ => overview(&caches),
        };
        if text != shown {
            line(&text)?;
            shown = text;
        }
        let runs = args.name.is_none() || caches.iter().any(is_running);
        if !args.watch {
            return Ok(Exit::Done);
        }
        if !runs {
            let failed = caches.iter().any(|cache| phase(cache) == CachePhase::Failed);
            return Ok(if failed { Exit::Failed } else { Exit::Done });
        }
        sleep(LOOK).await;
    }
}

async fn look(api: &Api<FsCache>, name: Option<&str>) -> Result<Vec<FsCache>> {
    match name {
        Some(name) => Ok(api.get_opt(name).await.context("cannot read the FsCache")?.into_iter().collect()),
        None => Ok(api.list(&ListParams::default()).await.context("cannot list FsCaches")?.items),
    }
}

/// A fill goes on, or will begin.
fn is_running(cache: &FsCache) -> bool {
    matches!(phase(cache), CachePhase::Pending | CachePhase::Filling | CachePhase::Refreshing)
}

fn phase(cache: &FsCache) -> CachePhase {
    cache.status.as_ref().and_then(|status| status.phase).unwrap_or_default()
}

fn overview(caches: &[FsCache]) -> String {
    let head = ["NAME", "PHASE", "PROGRESS", "FILES", "RATE", "LEFT", "SIZE", "AS OF", "READY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for cache in caches {
        let status = cache.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let or_none = |word: Option<String>| word.unwrap_or_else(|| "<none>".into());
        rows.push(vec![
            cache.name_any(),
            or_none(status.phase.map(|phase| format!("{phase:?}"))),
            or_none(status.progress),
            format!("{}/{}", status.files.done, status.files.total),
            or_none(status.rate.map(|rate| format!("{}/s", indicatif::HumanBytes(rate.unsigned_abs())))),
            or_none(status.eta),
            or_none(status.size.map(|size| size.0)),
            or_none(status.as_of.map(|time| time.0.to_string())),
            or_none(ready.map(|ready| format!("{} ({})", ready.status, ready.reason))),
        ]);
    }
    table(&rows)
}

/// Its paths, its copies, and the conditions that are not as they should be.
fn detail(cache: &FsCache) -> String {
    let status = cache.status.clone().unwrap_or_default();
    let mut lines = Vec::new();
    for path in &status.paths {
        let why = if path.message.is_empty() { String::new() } else { format!(": {}", path.message) };
        lines.push(format!("path {}: {:?}{why}", text::shown(path.path.as_ref()), path.state));
    }
    for copy in &status.copies {
        let why = if copy.message.is_empty() { String::new() } else { format!(": {}", copy.message) };
        lines.push(format!("copy {}: {:?}{why}", copy.node, copy.phase));
    }
    for condition in status.conditions.iter().filter(|condition| condition.status != "True") {
        lines.push(format!("{} is {}: {}", condition.type_, condition.status, condition.message));
    }
    lines.join("\n")
}
