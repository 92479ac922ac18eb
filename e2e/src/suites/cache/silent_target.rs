//! The server of a copy's FileSystem does not answer: new pods get the source, the FsCache says so, and a pod that has the copy waits or
//! reads what it was. When the server is back, so is the copy.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::caches::{CACHE, on_file_system};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::local::storage::GROUP;
use crate::suites::pod::PodSpec;
use crate::suites::shared::{SECOND_EXPORT, SECOND_SERVER};
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    let all = cases![a_copy_whose_server_is_silent_leaves_new_pods_the_source_until_it_answers];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

/// The target.
const NEAR: &str = "near";

/// The operator asks servers now and then.
const TOLD_TIME_MAX: Duration = seconds(300);
/// A client tries again ever more seldom.
const BACK_TIME_MAX: Duration = seconds(300);

/// A file that the pod has read before, and one that it has not: what it reads of that comes from the server, or does not come.
const PLACES: [&str; 2] = ["greeting", "unread"];

fn read(place: &str) -> String {
    format!("timeout -s KILL 8 cat /data/datasets/{place}")
}

async fn a_copy_whose_server_is_silent_leaves_new_pods_the_source_until_it_answers(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    context.source(&[("datasets/greeting", "old"), ("datasets/unread", "old")]).await?;
    let nfs = json!({ "server": SECOND_SERVER, "export": SECOND_EXPORT, "folder": context.folder(NEAR) });
    context.file_system_with(NEAR, json!({ "backend": { "nfs": nfs }, "nodeGroup": GROUP })).await?;
    context.create_cache(CACHE, on_file_system(&["/datasets"], NEAR)).await?;
    let copy = context.warm(CACHE, "n1").await?;
    for place in PLACES {
        context.write_source(&format!("datasets/{place}"), "new").await?;
    }
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("old")]).await?;
    context.has_copy("old", "/data/datasets", &copy).await?;
    context.reads("old", "/data/datasets/greeting", "old").await?;

    let silent = context.silence_second_server()?;
    only_the_copy_or_nothing(&context).await?;
    context.start([reader("next")]).await?;
    context.has_source("next", "/data/datasets").await?;
    context.reads("next", "/data/datasets/greeting", "new").await?;
    context.event(CACHE, &["TargetUnavailable", NEAR], TOLD_TIME_MAX).await?;
    context.note(context.cache_says(CACHE, "TargetAvailable", "NotReachable", &[NEAR]).await?);
    let words = ["pods read the source"];
    context.note(context.cache_says(CACHE, "Ready", "TargetUnavailable", &words).await?);
    only_the_copy_or_nothing(&context).await?;
    silent.end().await?;

    context.ready(CACHE, BACK_TIME_MAX).await?;
    let look = || async {
        for place in PLACES {
            let ran = context.try_exec("old", &read(place)).await?;
            ensure!(ran.success && ran.text.trim_end() == "old", "of {place} it reads {:?}", ran.text);
        }
        Ok(())
    };
    until("the pod that had the copy reads it again", BACK_TIME_MAX, look).await?;
    context.start([reader("again")]).await?;
    context.has_copy("again", "/data/datasets", &copy).await?;
    context.reads("again", "/data/datasets/greeting", "old").await?;
    context.on("n2", &format!("rm -rf {SECOND_EXPORT}/e2e/{}", context.namespace())).await.map(drop)
}

/// Whatever the pod with the copy reads, it is never the source's content of today.
async fn only_the_copy_or_nothing(context: &Context) -> Result<()> {
    for place in PLACES {
        let ran = context.try_exec("old", &read(place)).await?;
        let said = ran.text.trim_end();
        ensure!(
            if ran.success { said == "old" } else { !said.contains("new") },
            "of {place} it reads {said:?}"
        );
        let what = if ran.success { "comes from memory" } else { "is waited for" };
        context.note(format!("of a copy whose server is silent {place} {what}"));
    }
    Ok(())
}

impl Context {
    /// The second server hears nothing that clients ask of it.
    fn silence_second_server(&self) -> Result<Fault> {
        let machine = self.machine("n2")?;
        let rule = "INPUT -p tcp --dport 2049 -j DROP";
        let repaired = machine.clone();
        let fault = Fault::new(move || Ok(repaired.shell(&format!("iptables -D {rule}")).map(drop)?));
        machine.shell(&format!("iptables -I {rule}"))?;
        Ok(fault)
    }
}
