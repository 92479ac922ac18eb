//! `wfs cache refresh`: asks for a refresh, by the annotation that the operator obeys, and waits for what comes of it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep};
use workspacefs_api::fs_cache::REFRESH_ANNOTATION;
use workspacefs_api::{FsCache, duration};

use super::Cluster;
use super::verdict::{Before, Verdict};
use crate::exit::Exit;
use crate::text::{self, complain};

/// Between two looks at the status.
const LOOK: Duration = Duration::from_secs(2);
/// The API server may be away for so long while the end is waited for: it is upgraded, or its address moves.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// Asks for a refresh of an FsCache
///
/// Needs the rights to `get` and `patch` fscaches.workspacefs.io in its namespace.
#[derive(clap::Args)]
#[command(after_long_help = EXITS)]
pub struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    cluster: Cluster,
    /// Wait until the refresh is done, or has failed
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this, such as 90s or 1h30m; the refresh goes on
    #[arg(long, value_name = "DURATION", requires = "wait", default_value = "1h", value_parser = seconds)]
    timeout: Duration,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

const EXITS: &str = "\
Exit codes:
  0    It is asked for; with --wait: done, and all paths are kept
  1    It could not be asked for; with --wait: it failed
  2    The command line is wrong
  3    With --wait: done, and some paths are not kept on all nodes
  4    With --wait: it was neither done nor had it failed in time; it goes on";

/// Asks, and waits if that is wanted.
pub async fn run(args: &Args) -> Result<Exit> {
    let (client, namespace) = args.cluster.connect().await?;
    let api: Api<FsCache> = Api::namespaced(client, &namespace);
    let name = format!("FsCache {namespace}/{}", args.name);
    let known = api.get_opt(&args.name).await.with_context(|| format!("cannot read {name}"))?;
    let Some(known) = known else { bail!("there is no {name}") };
    if known.metadata.deletion_timestamp.is_some() {
        bail!("{name} is being deleted");
    }
    let before = Before::of(&known);
    // Every new value is one refresh; to people it says when it was asked for.
    let asked = Timestamp::now().to_string();
    let patch = json!({
        // Not another one that has come to have its name.
        "metadata": {"uid": known.metadata.uid, "annotations": {(REFRESH_ANNOTATION): asked}},
    });
    let by_us = PatchParams { field_manager: Some("wfs".into()), ..PatchParams::default() };
    let patched = api.patch(&args.name, &by_us, &Patch::Merge(&patch)).await;
    patched.with_context(|| format!("cannot ask for a refresh of {name}"))?;
    if !args.wait {
        args.say(&format!("a refresh of {name} is asked for"));
        return Ok(Exit::Done);
    }
    let uid = known.metadata.uid.as_deref();
    Ok(match args.wait_for_end(&api, uid, &before).await? {
        Some(Verdict::Done(how)) => {
            args.say(&format!("{name} is refreshed: {how}"));
            Exit::Done
        }
        Some(Verdict::Partial(what)) => {
            complain(&format!("{name} is refreshed, but not all of it is kept: {what}"));
            Exit::Partial
        }
        Some(Verdict::Failed(why)) => {
            complain(&format!("the refresh of {name} failed: {why}"));
            Exit::Failed
        }
        None => {
            complain(&format!("the refresh of {name} is not done in time; it goes on"));
            Exit::Stopped
        }
    })
}

impl Args {
    /// None if there was no end in time.
    async fn wait_for_end(
        &self,
        api: &Api<FsCache>,
        uid: Option<&str>,
        before: &Before,
    ) -> Result<Option<Verdict>> {
        let until = Instant::now() + self.timeout;
        let mut answered = Instant::now();
        loop {
            match api.get_opt(&self.name).await {
                Ok(found) => {
                    answered = Instant::now();
                    let found = found.filter(|cache| cache.metadata.uid.as_deref() == uid);
                    let Some(cache) = found else { return Ok(Some(Verdict::Failed("it is gone".into()))) };
                    if let Some(verdict) = before.verdict(&cache) {
                        return Ok(Some(verdict));
                    }
                }
                // What the API server says itself stays so; that it cannot be reached may pass.
                Err(error @ kube::Error::Api(_)) => return Err(error).context("cannot read the status"),
                Err(error) if answered.elapsed() > AWAY_MAX => {
                    return Err(error).context("the API server does not answer any more");
                }
                Err(error) => complain(&format!("{}; it is asked again", text::chain(&error))),
            }
            let now = Instant::now();
            if now >= until {
                return Ok(None);
            }
            sleep(LOOK.min(until - now)).await;
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            println!("{line}");
        }
    }
}

/// A duration as Kubernetes writes it.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = duration::seconds(text).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map(Duration::from_secs).ok_or_else(|| "not a duration such as 90s or 1h30m".into())
}
