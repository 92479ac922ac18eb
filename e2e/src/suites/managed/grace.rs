//! The grace period of a server that comes back: whoever had files open goes on, whoever had not waits for its end.

use anyhow::{Context as _, Result, ensure};

use super::survival::kill_ganesha;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::node_of;
use crate::suites::pod::PodSpec;

/// As the suite installs the server: `product::values_with_server`.
const GRACE_SECONDS: i64 = 15;

/// The server needs some of the grace period until a client can reach it.
const WAIT_SECONDS_MIN: i64 = GRACE_SECONDS / 2;

/// Where the storage host mounts the embedded server's export.
const AWAY: &str = "/mnt/e2e-away";

/// The process that has a file open there.
const AWAY_PROCESS: &str = "/run/e2e-away.pid";

/// Writes the time into a file that it has open all the time, past the page cache; a second open of it would wait like
/// any other.
const OLD: &str =
    "while date +%s; do sleep 0.2; done | exec dd of=/data/old bs=11 iflag=fullblock oflag=direct";

pub fn cases() -> Vec<Case> {
    let all = cases![a_new_client_waits_while_the_grace_period_lasts_and_an_old_one_goes_on];
    all.into_iter().map(|case| case.alone().within(400)).collect()
}

async fn a_new_client_waits_while_the_grace_period_lasts_and_an_old_one_goes_on(
    context: Context,
) -> Result<()> {
    context.managed("data", "64Mi").await?;
    // To the server a client is a node. The second one has the share mounted and nothing open on it.
    let old = PodSpec::new("old").on("n1").runs(OLD).claim("data", "/data");
    context.start([old, PodSpec::new("new").on("n2").claim("data", "/data")]).await?;
    let outcome = with_a_client_away(&context).await;
    context.on("nfs", &no_client()).await?;
    outcome
}

/// Ganesha ends a grace period early once all clients it knew have reclaimed. The storage host plays one that never does:
/// it has a file open and its cable is out.
async fn with_a_client_away(context: &Context) -> Result<()> {
    let server = context.server().await?;
    let node = node_of(&server)?.to_owned();
    let address = server.status.and_then(|status| status.pod_ip).context("the server has no address")?;
    let folder = context.folder_of("data").await?;
    let file = format!("{AWAY}/{}/away", folder.trim_start_matches("export/"));
    let open = format!(
        "{} && mkdir -p {AWAY} && mount -t nfs -o vers=4.2,timeo=50 {address}:/workspacefs {AWAY} && \
         touch {file} && {{ sleep 600 >{file} 2>&1 </dev/null & echo $! >{AWAY_PROCESS}; }}",
        no_client()
    );
    context.on("nfs", &open).await?;
    let away = context.unplug("nfs")?;
    kill_ganesha(context, &node).await?;
    // What needs no state is answered at once; a file that is made is opened.
    let line = "ls /data >/dev/null && date +%s && echo x > /data/new && date +%s";
    let times = context.exec("new", line).await?;
    away.end().await?;
    let times: Vec<i64> = times.lines().map(str::parse).collect::<Result<_, _>>()?;
    let [asked, opened] = times[..] else { anyhow::bail!("no two times: {times:?}") };
    let beats = context.exec("old", "cat /data/old").await?;
    let beats: Vec<i64> = beats.lines().map(str::parse).collect::<Result<_, _>>()?;
    // By whole seconds, so those at the ends do not count.
    let meanwhile = beats.iter().filter(|beat| asked < **beat && **beat < opened).count();
    let waited = opened - asked;
    context
        .note(format!("the new client waited {waited} s, and the old one wrote {meanwhile} times meanwhile"));
    ensure!(waited >= WAIT_SECONDS_MIN, "the new client waited {waited} s only");
    ensure!(
        meanwhile >= 5,
        "the old client wrote {meanwhile} times in the {waited} s that the new one waited"
    );
    Ok(())
}

/// What this run or an earlier one left on the storage host; its server may be gone.
fn no_client() -> String {
    format!(
        "{{ [ ! -e {AWAY_PROCESS} ] || kill -KILL $(cat {AWAY_PROCESS}) || true; rm -f {AWAY_PROCESS}; \
         ! grep -q ' {AWAY} ' /proc/mounts || umount -lf {AWAY}; }}"
    )
}
