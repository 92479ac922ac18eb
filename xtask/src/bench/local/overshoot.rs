//! How much more than `perWorkspaceQuota` lies on the disk when somebody has written until he was stopped: past the page cache,
//! and into it, where the disk's blocks are taken later than the bytes are.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use workspacefs_e2e::suites::Context;

use super::{CLAIM, POD, QUOTA_BYTES};

/// How often each.
pub const ROUNDS: usize = 3;
/// What a stopped writer has at least: a quarter less is another reason.
const STOPPED_AT_MIN: u64 = QUOTA_BYTES / 4 * 3;
/// What is removed is given back a little later.
const SETTLE: Duration = Duration::from_secs(2);

/// What lay there at the end of each round, in bytes.
#[derive(Debug)]
pub struct Report {
    /// The limit.
    pub quota: u64,
    /// Past the page cache.
    pub direct: Vec<u64>,
    /// Into it.
    pub buffered: Vec<u64>,
}

/// The most of some ends that is above a limit.
pub fn above(quota: u64, ends: &[u64]) -> u64 {
    ends.iter().map(|end| end.saturating_sub(quota)).max().unwrap_or_default()
}

/// Measures in the pod, whose claim has nothing in it.
pub async fn measure(context: &Context) -> Result<Report> {
    let (mut direct, mut buffered) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        direct.push(write_until_stopped(context, "--direct=1").await?);
        buffered.push(write_until_stopped(context, "--direct=0 --end_fsync=1").await?);
    }
    Ok(Report { quota: QUOTA_BYTES, direct, buffered })
}

/// Bytes on the disk after one writer was stopped; they are removed again.
async fn write_until_stopped(context: &Context, way: &str) -> Result<u64> {
    let file = format!("{CLAIM}/over");
    let line = format!(
        "/usr/bin/fio --name=over --thread --ioengine=psync --fallocate=none --clocksource=clock_gettime \
         --filename={file} --rw=write --bs=1m --size={} {way}",
        2 * QUOTA_BYTES
    );
    let ran = context.try_exec(POD, &line).await?;
    ensure!(!ran.success, "twice the quota was written ({way})");
    ensure!(
        ran.text.contains("No space left"),
        "the writer ({way}) was stopped by something else: {}",
        ran.text
    );
    // What is still on its way counts too.
    let counted =
        context.exec(POD, &format!("/usr/bin/busybox sync && /usr/bin/busybox du -sk {CLAIM}")).await?;
    let kib = counted.split_whitespace().next().context("du says nothing")?;
    let bytes = kib.parse::<u64>().with_context(|| format!("du says {counted}"))? << 10;
    ensure!(bytes >= STOPPED_AT_MIN, "the writer ({way}) was stopped at {bytes} bytes of {QUOTA_BYTES}");
    context.exec(POD, &format!("/usr/bin/busybox rm {file} && /usr/bin/busybox sync")).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_round_counts_and_one_below_the_limit_is_not_above_it() {
        assert_eq!(above(100, &[90, 107, 101]), 7);
        assert_eq!(above(100, &[90, 100]), 0);
        assert_eq!(above(100, &[]), 0);
    }
}
