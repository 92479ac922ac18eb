//! The NFS host hangs: it keeps its connections and answers nothing. Other volumes work, every RPC ends, pods can go, and
//! when it comes back nothing is stuck.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tonic::Code;
use workspacefs_csi_proto::csi::v1::volume_capability::{
    AccessMode, AccessType, MountVolume, access_mode::Mode,
};
use workspacefs_csi_proto::csi::v1::{
    NodeGetVolumeStatsRequest, NodePublishVolumeRequest, NodeUnpublishVolumeRequest, VolumeCapability,
};

use super::set_up::{SECOND_EXPORT, SECOND_SERVER};
use super::writer::{make_room, writer};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::Csi;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

/// The driver's own deadline is 20 s; what a busy test machine adds.
pub const PUBLISH_TIME_MAX: Duration = seconds(25);

/// What another server's volume may take meanwhile: no wait of the hanging one's is in it.
const OTHER_PUBLISH_TIME_MAX: Duration = seconds(10);

/// Statistics never wait for a server.
const STATS_TIME_MAX: Duration = seconds(1);

/// Every pod of a dead server is gone within this.
const DELETION_TIME_MAX: Duration = seconds(60);

pub fn cases() -> Vec<Case> {
    let all = cases![
        while_a_server_hangs_other_volumes_mount_and_every_call_ends,
        pods_of_a_hanging_server_are_deleted_and_nothing_is_stuck_afterwards,
    ];
    all.into_iter().map(|case| case.alone().within(360)).collect()
}

async fn while_a_server_hangs_other_volumes_mount_and_every_call_ends(context: Context) -> Result<()> {
    make_room(&context, "data").await?;
    context.file_system("data").await?;
    // On the same server, but mounted by nobody yet.
    let fresh = json!({ "backend": context.shared("fresh"), "mountOptions": ["acregmax=59"] });
    context.file_system_with("fresh", fresh).await?;
    let second =
        json!({ "server": SECOND_SERVER, "export": SECOND_EXPORT, "folder": context.folder("alive") });
    context.file_system_with("alive", json!({ "backend": { "nfs": second } })).await?;
    let [pod] = context.start([writer("writer", "data").on("n1")]).await?;
    let restarts = restarts(&context.driver("n1").await?);
    let csi = context.csi("n1").await?;
    let uid = pod.metadata.uid.as_deref().context("no uid")?;
    let volume = Volume::of(&context, "data", uid).await?;
    let other = Volume::of(&context, "alive", uid).await?;
    let known = || async { volume.stats(&csi, STATS_TIME_MAX).await?.context("no figures") };
    until("there are statistics while the server is well", seconds(30), known).await?;
    context.beats_again("writer", seconds(30)).await?;

    let hang = context.freeze("nfs")?;
    context.create(&PodSpec::new("stuck").on("n1").claim("fresh", "/data")).await?;
    context
        .create(&PodSpec::new("lucky").on("n1").claim("alive", "/claim").inline("alive", "", "/inline"))
        .await?;
    let (lucky, published, other_published, stats, told) = tokio::join!(
        context.running("lucky"),
        volume.publish_again(&context, &csi, PUBLISH_TIME_MAX),
        other.publish_again(&context, &csi, OTHER_PUBLISH_TIME_MAX),
        volume.keeps_answering(&csi, seconds(35)),
        context.event("stuck", &["FailedMount", "10.99.0.21"], seconds(30)),
    );
    lucky.context("a pod with another server's volumes")?;
    let (code, took) = published.context("NodePublishVolume of the hanging share")?;
    context
        .note(format!("NodePublishVolume: {code:?} after {:.1} s on the hanging share", took.as_secs_f32()));
    let (code, took) = other_published.context("NodePublishVolume of another server's share")?;
    ensure!(code == Code::Ok, "NodePublishVolume of another server's share: {code:?}");
    context.note(format!("NodePublishVolume: Ok after {:.1} s on the other one", took.as_secs_f32()));
    stats.context("NodeGetVolumeStats")?;
    let message = told.context("a share that was never mounted")?;
    ensure!(message.contains("did not answer") || message.contains("unreachable"), "no cause in: {message}");
    context.exec("lucky", "echo x > /claim/x && cat /inline/x").await?;
    other.unpublish_again(&context, &csi).await?;
    context.stop("lucky").await.context("a pod of the other server is deleted")?;

    hang.end().await?;
    context.beats_again("writer", seconds(90)).await?;
    let story = context.story("writer").await?;
    ensure!(story.longest_stop > seconds(20), "the writer never stood still: the server was not frozen");
    context.running("stuck").await.context("a pod that waited for the server")?;
    let after = self::restarts(&context.driver("n1").await?);
    ensure!(after == restarts, "the driver was restarted: {restarts} restarts before, {after} after");
    volume.unpublish_again(&context, &csi).await?;
    for name in ["writer", "stuck"] {
        context.stop(name).await?;
    }
    context.on("n2", &format!("rm -rf {SECOND_EXPORT}/e2e/{}", context.namespace())).await?;
    context.traceless("n1").await
}

async fn pods_of_a_hanging_server_are_deleted_and_nothing_is_stuck_afterwards(
    context: Context,
) -> Result<()> {
    context.on_server("mkdir -p data/sub && chmod -R 0777 data").await?;
    context.file_system("data").await?;
    let busy = |file: &str| {
        let path = format!("/data/{file}");
        format!("trap 'exit 0' TERM; while :; do echo x >> {path}; sync -d {path}; sleep 0.1; done")
    };
    let pods = [
        PodSpec::new("idle-inline").on("n1").inline("data", "/sub", "/data"),
        PodSpec::new("idle-claim").on("n1").claim("data", "/data"),
        PodSpec::new("busy-inline").on("n1").inline("data", "/sub", "/data").runs(&busy("inline")),
        PodSpec::new("busy-claim").on("n1").claim("data", "/data").runs(&busy("claim")),
        PodSpec::new("idle-sub-path").on("n1").sub_path("data", "sub", "/data"),
    ];
    context.start(pods).await?;
    tokio::time::sleep(seconds(2)).await;

    let hang = context.freeze("nfs")?;
    // Long enough for the writers to wait for the server.
    tokio::time::sleep(seconds(3)).await;
    let deleted = Instant::now();
    let must = ["idle-inline", "idle-claim", "busy-inline", "busy-claim"];
    for name in must.into_iter().chain(["idle-sub-path"]) {
        context.delete(name).await?;
    }
    let mut late = Vec::new();
    for name in must {
        let left = DELETION_TIME_MAX.saturating_sub(deleted.elapsed());
        match context.gone(name, left).await {
            Ok(()) => context.note(format!("{name}: gone within {:.0} s", deleted.elapsed().as_secs_f32())),
            Err(error) => late.push(format!("{error:#}")),
        }
    }
    // kubelet itself looks at a subPath before it unmounts it; we can only say what happens.
    let left = DELETION_TIME_MAX.saturating_sub(deleted.elapsed());
    context.note(match context.gone("idle-sub-path", left).await {
        Ok(()) => format!("idle-sub-path: gone within {:.0} s", deleted.elapsed().as_secs_f32()),
        Err(_) => "idle-sub-path: stayed as long as the server hung (kubelet waits for it)".into(),
    });
    hang.end().await?;
    for name in must.into_iter().chain(["idle-sub-path"]) {
        context.gone(name, seconds(90)).await.context("after the server came back")?;
    }
    ensure!(late.is_empty(), "while the server hung:\n{}", late.join("\n"));
    context.traceless("n1").await?;
    // The same file system works again at once.
    context
        .start([PodSpec::new("after").on("n1").claim("data", "/data").inline("data", "/sub", "/sub")])
        .await?;
    context.exec("after", "cat /data/claim > /dev/null && echo x > /sub/x").await.map(drop)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).sum()
}

/// A claim's volume on n1, as kubelet names it to the driver.
pub struct Volume {
    id: String,
    path: String,
    second_path: String,
    attributes: HashMap<String, String>,
}

impl Volume {
    /// The volume of a claim, for the pod of that uid. The second path is below the same pod, under a name that kubelet does
    /// not know: below a pod that it does not know it would remove the folder at once.
    pub async fn of(context: &Context, claim: &str, uid: &str) -> Result<Volume> {
        let name = context.bound(claim).await?.spec.and_then(|spec| spec.volume_name).context("no volume")?;
        let source =
            context.volumes().get(&name).await?.spec.and_then(|spec| spec.csi).context("no CSI volume")?;
        let path = |name: &str| format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/{name}/mount");
        Ok(Volume {
            id: source.volume_handle,
            path: path(&name),
            second_path: path(&format!("{name}-again")),
            attributes: source.volume_attributes.unwrap_or_default().into_iter().collect(),
        })
    }

    /// The total size that NodeGetVolumeStats says, if it says one; it must answer in time, whatever it says.
    async fn stats(&self, csi: &Csi, limit: Duration) -> Result<Option<i64>> {
        let request = NodeGetVolumeStatsRequest {
            volume_id: self.id.clone(),
            volume_path: self.path.clone(),
            ..NodeGetVolumeStatsRequest::default()
        };
        let mut client = csi.client.clone();
        let answer = tokio::time::timeout(limit, client.node_get_volume_stats(request)).await;
        let answer = answer.with_context(|| format!("no answer within {} s", limit.as_secs()))?;
        Ok(answer.ok().and_then(|answer| answer.into_inner().usage.first().map(|usage| usage.total)))
    }

    /// Asks for statistics all the time.
    async fn keeps_answering(&self, csi: &Csi, how_long: Duration) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < how_long {
            self.stats(csi, STATS_TIME_MAX)
                .await
                .with_context(|| format!("{} s later", started.elapsed().as_secs()))?;
            tokio::time::sleep(seconds(1)).await;
        }
        Ok(())
    }

    /// Publishes the volume at a second place, which must end within `limit`; gives the code, in gRPC's words, and the time.
    pub async fn publish_again(
        &self,
        context: &Context,
        csi: &Csi,
        limit: Duration,
    ) -> Result<(Code, Duration)> {
        let parent = self.second_path.trim_end_matches("/mount");
        context.on("n1", &format!("mkdir -p {parent}")).await?;
        let capability = VolumeCapability {
            access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
            access_type: Some(AccessType::Mount(MountVolume::default())),
        };
        let request = NodePublishVolumeRequest {
            volume_id: self.id.clone(),
            target_path: self.second_path.clone(),
            volume_capability: Some(capability),
            volume_context: self.attributes.clone(),
            ..NodePublishVolumeRequest::default()
        };
        let mut client = csi.client.clone();
        let started = Instant::now();
        let answer = tokio::time::timeout(limit, client.node_publish_volume(request)).await;
        let answer = answer.with_context(|| format!("no answer within {} s", limit.as_secs()))?;
        Ok((answer.map_or_else(|status| status.code(), |_| Code::Ok), started.elapsed()))
    }

    /// Undoes it.
    pub async fn unpublish_again(&self, context: &Context, csi: &Csi) -> Result<()> {
        let request =
            NodeUnpublishVolumeRequest { volume_id: self.id.clone(), target_path: self.second_path.clone() };
        csi.client.clone().node_unpublish_volume(request).await?;
        context.on("n1", &format!("rmdir {}", self.second_path.trim_end_matches("/mount"))).await.map(drop)
    }
}
