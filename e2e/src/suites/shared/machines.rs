//! Cables, links and power: I/O waits and goes on, pods come back with their volumes, and what was synced is there.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tonic::Code;

use super::frozen::{PUBLISH_TIME_MAX, Volume};
use super::set_up::{SECOND_EXPORT, SECOND_SERVER};
use super::writer::{make_room, writer};
use crate::suites::case::{Case, cases};
use crate::suites::context::{Context, is_ready};
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

/// What a link across an ocean adds to each answer.
const DELAY: Duration = Duration::from_millis(200);

/// Eight new files, each on the server before the next begins, and what that took by the node's clock.
const WRITES: &str = "read from _ < /proc/uptime; \
                      for i in 1 2 3 4 5 6 7 8; do echo $i > /data/$i && sync -d /data/$i || exit 1; done; \
                      read to _ < /proc/uptime; echo $from $to";
const FILES: u32 = 8;

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_far_server_is_mounted_and_used_and_volumes_of_another_do_not_wait_with_it,
        a_pulled_cable_makes_io_wait_and_nothing_fail,
        a_server_that_loses_its_power_is_waited_for_and_keeps_what_was_synced,
        a_node_that_loses_its_power_brings_its_pods_back_with_their_volumes,
    ];
    all.into_iter().map(|case| case.alone().within(360)).collect()
}

async fn a_far_server_is_mounted_and_used_and_volumes_of_another_do_not_wait_with_it(
    context: Context,
) -> Result<()> {
    context.on_server("mkdir -p far && chmod 0777 far && echo there > far/there").await?;
    // An option that no other case has: the share is mounted while the link is slow, not before.
    let far = json!({ "backend": context.shared("far"), "mountOptions": ["acregmax=58"] });
    context.file_system_with("far", far).await?;
    let near = json!({ "server": SECOND_SERVER, "export": SECOND_EXPORT, "folder": context.folder("near") });
    context.file_system_with("near", json!({ "backend": { "nfs": near } })).await?;

    let slow = context.slow_down("nfs", DELAY)?;
    let trip = shortest_trip(&context).await?;
    ensure!(trip >= DELAY, "the link is not slow: an answer takes {trip:?}");
    let pod = |name: &str| PodSpec::new(name).on("n1").claim(name, "/data");
    let [far_pod, _] = context.start([pod("far"), pod("near")]).await.context("while the link is slow")?;
    let read = context.exec("far", "cat /data/there").await?;
    ensure!(read == "there", "the far file says {read:?}");
    let (far, near) = tokio::join!(context.exec("far", WRITES), context.exec("near", WRITES));
    let (far, near) = (elapsed(&far?)?, elapsed(&near?)?);
    let written = context.on_server("cat far/[1-8] | tr -d '\\n'").await?;
    ensure!(written == "12345678", "the server has {written:?}");
    // Side by side, on the same busy node: what one waits for, the other does not.
    ensure!(far >= DELAY * FILES, "{FILES} files in {far:?}: they did not go over the slow link");
    ensure!(near < far, "the near server's volume took {near:?}, the far one's {far:?}");
    context.note(format!("an answer takes {trip:?}; {FILES} synced files: far {far:?}, near {near:?}"));

    let csi = context.csi("n1").await?;
    let uid = far_pod.metadata.uid.as_deref().context("no uid")?;
    for claim in ["far", "near"] {
        let volume = Volume::of(&context, claim, uid).await?;
        let (code, took) = volume.publish_again(&context, &csi, PUBLISH_TIME_MAX).await?;
        ensure!(code == Code::Ok, "NodePublishVolume of {claim}: {code:?}");
        context.note(format!("NodePublishVolume of {claim}: {:.2} s", took.as_secs_f32()));
        volume.unpublish_again(&context, &csi).await?;
    }
    slow.end().await?;
    let look = || async {
        let trip = shortest_trip(&context).await?;
        ensure!(trip < DELAY, "an answer takes {trip:?}");
        Ok(())
    };
    until("the link is as fast as before", seconds(30), look).await?;
    for pod in ["far", "near"] {
        context.stop(pod).await?;
    }
    context.on("n2", &format!("rm -rf {SECOND_EXPORT}/e2e/{}", context.namespace())).await?;
    context.traceless("n1").await
}

/// The fastest of a few answers that the storage host gives n1.
pub async fn shortest_trip(context: &Context) -> Result<Duration> {
    let said = context.on("n1", "ping -c 5 -i 0.2 -q 10.99.0.21").await?;
    shortest(&said).with_context(|| format!("ping says {said}"))
}

/// From ping(8)'s last line, `rtt min/avg/max/mdev = 150.2/150.9/152.0/0.4 ms`.
fn shortest(said: &str) -> Option<Duration> {
    let figures = said.lines().last()?.split_once(" = ")?.1;
    let milliseconds: f64 = figures.split('/').next()?.parse().ok()?;
    Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
}

/// Between the two times that [`WRITES`] prints.
fn elapsed(said: &str) -> Result<Duration> {
    let times = said.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>();
    match times.as_deref() {
        Ok([from, to]) => Ok(Duration::try_from_secs_f64(to - from)?),
        _ => anyhow::bail!("these are no two times: {said:?}"),
    }
}

async fn a_pulled_cable_makes_io_wait_and_nothing_fail(context: Context) -> Result<()> {
    make_room(&context, "data").await?;
    context.file_system("data").await?;
    context.start([writer("writer", "data").on("n1")]).await?;
    context.beats_again("writer", seconds(30)).await?;
    let pulled = context.unplug("nfs")?;
    // A server that talks meanwhile must be as well afterwards as one that kept silent.
    context.on("nfs", "ping -c 2 -W 1 10.99.0.1 && exit 1; true").await.context("the cable is still in")?;
    tokio::time::sleep(seconds(15)).await;
    pulled.end().await?;
    context.beats_again("writer", seconds(120)).await?;
    let story = context.story("writer").await?;
    ensure!(story.longest_stop > seconds(10), "the writer never stood still: the cable was not pulled");
    context.note(format!("longest stop {:.1} s", story.longest_stop.as_secs_f32()));
    context.stop("writer").await
}

async fn a_server_that_loses_its_power_is_waited_for_and_keeps_what_was_synced(
    context: Context,
) -> Result<()> {
    make_room(&context, "data").await?;
    context.file_system("data").await?;
    context.start([writer("writer", "data").on("n1")]).await?;
    context.beats_again("writer", seconds(30)).await?;
    let off = context.power_cut("nfs")?;
    tokio::time::sleep(seconds(3)).await;
    off.end().await?;
    context.beats_again("writer", seconds(150)).await?;
    // Every line is whole and in order: `story` reads them all.
    let story = context.story("writer").await?;
    context.note(format!("longest stop {:.1} s", story.longest_stop.as_secs_f32()));
    // It is the same share: a pod that starts now sees the same files.
    context.start([PodSpec::new("new").on("n1").claim("data", "/data")]).await?;
    context.exec("new", "test -s /data/beats").await?;
    for pod in ["writer", "new"] {
        context.stop(pod).await?;
    }
    context.traceless("n1").await
}

async fn a_node_that_loses_its_power_brings_its_pods_back_with_their_volumes(context: Context) -> Result<()> {
    context.on_server("mkdir -p data/sub && chmod -R 0777 data").await?;
    context.file_system("data").await?;
    let script = "trap 'exit 0' TERM; echo started >> /claim/starts; echo started >> /inline/starts; sync; \
                  while :; do sleep 3600 & wait $!; done";
    let pod = PodSpec::new("user")
        .on("n1")
        .restarting()
        .runs(script)
        .claim("data", "/claim")
        .sub_path("data", "sub", "/sub-path")
        .inline("data", "/sub", "/inline");
    let [before] = context.start([pod]).await?;
    let off = context.power_cut("n1")?;
    tokio::time::sleep(seconds(2)).await;
    off.end().await.context("the node boots")?;
    let look = || async {
        let now = context.pods().get("user").await?;
        let restarts: i32 = now
            .status
            .iter()
            .flat_map(|s| s.container_statuses.iter().flatten())
            .map(|s| s.restart_count)
            .sum();
        ensure!(
            restarts > 0 && is_ready(&now),
            "{restarts} restarts, {}",
            if is_ready(&now) { "Ready" } else { "not Ready" }
        );
        Ok(now)
    };
    let after = until("the pod runs again", seconds(180), look).await?;
    ensure!(after.metadata.uid == before.metadata.uid, "it is another pod");
    let mounts = context.mounts_of(&after).await?;
    ensure!(mounts.len() >= 2, "its mounts are {mounts:?}");
    // Without a readiness probe a pod is Ready before its script's first line has run.
    let each_place_shows_both_starts = || async {
        let lines = "wc -l < /claim/starts && wc -l < /inline/starts && wc -l < /sub-path/starts";
        let starts = context.exec("user", lines).await?;
        let counts: Vec<usize> = starts.lines().map(|line| line.trim().parse().unwrap_or(0)).collect();
        ensure!(
            counts.len() == 3 && counts.iter().all(|count| *count >= 2),
            "the files show {counts:?} starts"
        );
        Ok(())
    };
    until("the script runs again on the same files", seconds(60), each_place_shows_both_starts).await?;
    context.stop("user").await?;
    context.driver("n1").await?;
    context.traceless("n1").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_ping_and_of_the_writer_are_understood() {
        let said = "--- 10.99.0.21 ping statistics ---\n\
                    5 packets transmitted, 5 received, 0% packet loss, time 805ms\n\
                    rtt min/avg/max/mdev = 150.250/150.9/152.0/0.4 ms";
        assert_eq!(shortest(said), Some(Duration::from_micros(150_250)));
        assert_eq!(shortest("5 packets transmitted, 0 received, 100% packet loss"), None);
        assert_eq!(elapsed("100.25 101.75").unwrap(), Duration::from_millis(1500));
        assert!(elapsed("100.25").is_err() && elapsed("101 100").is_err());
    }
}
