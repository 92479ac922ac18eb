//! A size is a size: whoever writes, the file system ends there, and only there.

use anyhow::{Context as _, Result, ensure};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

const MIB: u64 = 1 << 20;

/// What may be written beyond the limit.
const OVERSHOOT_MAX: u64 = 64 * MIB;

pub fn cases() -> Vec<Case> {
    cases![
        root_over_the_limit_is_stopped_there_and_its_neighbours_go_on,
        a_user_over_the_limit_is_stopped_there_and_goes_on_after_deleting,
        files_count_against_the_limit_of_files,
        a_full_file_system_is_said_to_be_full_by_an_event,
    ]
}

async fn root_over_the_limit_is_stopped_there_and_its_neighbours_go_on(context: Context) -> Result<()> {
    stopped_there(&context, PodSpec::new("greedy").on("n2")).await
}

async fn a_user_over_the_limit_is_stopped_there_and_goes_on_after_deleting(context: Context) -> Result<()> {
    stopped_there(&context, PodSpec::new("greedy").on("n2").with_user(1000)).await?;
    context.exec("greedy", "rm /data/big && echo again > /data/y && sync -d /data/y").await?;
    Ok(())
}

/// Two FileSystems of 128 MiB; the pod writes 400 MiB into one of them.
async fn stopped_there(context: &Context, greedy: PodSpec) -> Result<()> {
    for name in ["data", "neighbour"] {
        context.managed(name, "128Mi").await?;
    }
    let modest = PodSpec::new("modest").on("n2").claim("neighbour", "/data");
    context.start([greedy.claim("data", "/data"), modest]).await?;
    let ran = context
        .try_exec("greedy", "dd if=/dev/zero of=/data/big bs=1M count=400 conv=fsync 2>&1; echo code $?")
        .await?;
    let said = ran.text.to_lowercase();
    ensure!(!said.contains("code 0"), "400 MiB went into 128: {said}");
    ensure!(said.contains("no space left") || said.contains("quota exceeded"), "it says {said}");
    let folder = context.folder_of("data").await?;
    let kib: u64 = context.on_disk(&format!("du -sk {folder} | cut -f1")).await?.trim().parse()?;
    let (used, limit) = (kib * 1024, 128 * MIB);
    context.note(format!("{} MiB lie in 128", used / MIB));
    ensure!(used <= limit + OVERSHOOT_MAX, "{used} bytes are in {limit}");
    ensure!(used >= limit / 2, "it ended at {used} bytes of {limit}");
    let neighbour = "dd if=/dev/zero of=/data/some bs=1M count=64 conv=fsync 2>&1";
    context.exec("modest", neighbour).await.context("the neighbour suffers")?;
    Ok(())
}

async fn files_count_against_the_limit_of_files(context: Context) -> Result<()> {
    let object = context.managed("data", "64Mi").await?;
    let look = || async {
        let object = context.file_systems().get("data").await?;
        object.status.and_then(|status| status.usage).context("no usage yet")
    };
    let usage = until("the usage is known", seconds(60), look).await?;
    drop(object);
    ensure!(usage.inodes > 0, "there may be {} files", usage.inodes);
    context.note(format!("64 MiB may hold {} files", usage.inodes));
    context.start([PodSpec::new("user").on("n2").claim("data", "/data")]).await?;
    // A little more than the hundredth that is worth an update of the status.
    let make =
        format!("mkdir /data/d && cd /data/d && for i in $(seq {}); do : > $i; done", usage.inodes / 80);
    context.exec("user", &make).await?;
    let before = usage.inodes_used;
    let look = || async {
        let object = context.file_systems().get("data").await?;
        let now = object.status.and_then(|status| status.usage).context("no usage")?.inodes_used;
        ensure!(now >= before + usage.inodes / 100, "{before} files before, {now} now");
        Ok(())
    };
    until("the status counts the files", seconds(150), look).await
}

async fn a_full_file_system_is_said_to_be_full_by_an_event(context: Context) -> Result<()> {
    context.managed("data", "128Mi").await?;
    context.start([PodSpec::new("user").on("n2").claim("data", "/data")]).await?;
    // 120 MiB, in files so small that XFS takes hardly more for them in advance.
    let most = "for i in $(seq 30); do dd if=/dev/zero of=/data/$i bs=1M count=4 conv=fsync 2>&1; done";
    context.exec("user", most).await?;
    context.note(context.event("data", &["NearlyFull", "128Mi"], seconds(120)).await?);
    context.try_exec("user", "dd if=/dev/zero of=/data/rest bs=1M count=100 conv=fsync 2>&1").await?;
    context.note(context.event("data", &["Full", "is used up", "128Mi"], seconds(120)).await?);
    Ok(())
}
