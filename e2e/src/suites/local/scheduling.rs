//! Where pods go: where a disk is ready and nowhere else, by the scheduler, by kubelet and by the driver.

use anyhow::{Context as _, Result, bail, ensure};
use tonic::{Code, Status};
use workspacefs_api::LOCAL_DRIVER;
use workspacefs_csi_proto::csi::v1::volume_capability::{
    AccessMode, AccessType, MountVolume, access_mode::Mode,
};
use workspacefs_csi_proto::csi::v1::{NodePublishVolumeRequest, VolumeCapability};

use super::set_up::GROUP_LABEL;
use super::storage::{GROUP, NAME, identity, on_disks, says};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::node::node_of;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_pod_stays_pending_with_the_schedulers_words_until_a_node_is_ready,
        pods_run_only_where_the_disk_is_ready,
        a_publish_on_a_wrong_node_is_refused_and_names_group_and_node,
        an_inline_volume_of_a_local_disk_is_refused,
    ];
    all.into_iter().map(Case::alone).collect()
}

/// The scheduler's own.
pub const NO_NODE: &str = "didn't match PersistentVolume's node affinity";

async fn a_pod_stays_pending_with_the_schedulers_words_until_a_node_is_ready(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let storage = context.local_storage(NAME, on_disks(&[], &[context.namespace()])).await?;
    context.bound(NAME).await?;
    context.create(&PodSpec::new("waits").claim(NAME, "/data")).await?;
    context.note(context.event("waits", &["FailedScheduling", NO_NODE], seconds(60)).await?);
    tokio::time::sleep(seconds(15)).await;
    let node = context.pods().get("waits").await?.spec.and_then(|spec| spec.node_name);
    ensure!(node.is_none(), "no node is ready, and the pod is on {node:?}");
    context.approve(NAME, &[identity("n2", Drive::Ssd)]).await?;
    let pod = context.running("waits").await?;
    ensure!(node_of(&pod)? == "n2", "n2 alone is ready, the pod is on {}", node_of(&pod)?);
    storage.end().await
}

async fn pods_run_only_where_the_disk_is_ready(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let spec = on_disks(&[identity("n1", Drive::Ssd)], &[context.namespace()]);
    let storage = context.local_storage(NAME, spec).await?;
    context.ready_on(NAME, "n1").await?;
    context.create(&PodSpec::new("elsewhere").on("n2").claim(NAME, "/data")).await?;
    let pods = ["a", "b", "c", "d"].map(|name| PodSpec::new(name).claim(NAME, "/data"));
    for pod in context.start(pods).await? {
        ensure!(node_of(&pod)? == "n1", "n1 alone is ready, and a pod is on {}", node_of(&pod)?);
    }
    context.event("elsewhere", &["FailedScheduling", NO_NODE], seconds(60)).await?;
    storage.end().await
}

async fn a_publish_on_a_wrong_node_is_refused_and_names_group_and_node(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let spec = on_disks(&[identity("n1", Drive::Ssd)], &[context.namespace()]);
    let storage = context.local_storage(NAME, spec).await?;
    context.ready_on(NAME, "n1").await?;
    context.bound(NAME).await?;
    // Past the scheduler: kubelet is the first who looks at the volume's affinity.
    context.create(&PodSpec::new("forced").forced_onto("n2").claim(NAME, "/data")).await?;
    context.note(context.event("forced", &["FailedMount"], seconds(90)).await?);
    ensure!(!context.runs("forced").await?, "it runs where no disk is");
    // Past kubelet: of a node in the group whose disk is not ready, and of one outside it.
    let uid = context.pods().get("forced").await?.metadata.uid.context("no uid")?;
    let status = publish(&context, &uid).await?;
    context.note(status.message().to_owned());
    ensure!(status.code() == Code::FailedPrecondition, "{status:?}");
    ensure!(says(status.message(), &[GROUP, "n2", NAME]), "not named in {:?}", status.message());
    let outside = leave_group(&context).await?;
    let look = || async {
        let status = publish(&context, &uid).await?;
        ensure!(status.code() == Code::FailedPrecondition, "{status:?}");
        let words = [GROUP, "n2", NAME, "not one of them"];
        ensure!(says(status.message(), &words), "not said in {:?}", status.message());
        Ok(())
    };
    until("n2 is refused as a node outside the group", seconds(60), look).await?;
    outside.end().await?;
    context.stop("forced").await?;
    storage.end().await
}

/// Takes n2 out of the group.
async fn leave_group(context: &Context) -> Result<Fault> {
    let cluster = context.cluster().clone();
    let back = Fault::new(move || {
        let label = format!("{GROUP_LABEL}={GROUP}");
        Ok(cluster.kubectl("admin", &["label", "--overwrite", "node", "n2", &label]).map(drop)?)
    });
    let off = format!("{GROUP_LABEL}-");
    context.blocking(move |cluster| cluster.kubectl("admin", &["label", "node", "n2", &off])).await?;
    Ok(back)
}

/// NodePublishVolume of the case's volume on n2, for a pod there, which must fail.
async fn publish(context: &Context, pod: &str) -> Result<Status> {
    let name = context.bound(NAME).await?.spec.and_then(|spec| spec.volume_name).context("no volume")?;
    let source =
        context.volumes().get(&name).await?.spec.and_then(|spec| spec.csi).context("no CSI volume")?;
    let parent = format!("/var/lib/kubelet/pods/{pod}/volumes/kubernetes.io~csi/{name}-direct");
    context.on("n2", &format!("mkdir -p {parent}")).await?;
    let capability = VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
    };
    let request = NodePublishVolumeRequest {
        volume_id: source.volume_handle,
        target_path: format!("{parent}/mount"),
        volume_capability: Some(capability),
        volume_context: source.volume_attributes.unwrap_or_default().into_iter().collect(),
        ..NodePublishVolumeRequest::default()
    };
    let mut csi = context.csi_of(LOCAL_DRIVER, "n2").await?;
    let answer = csi.client.node_publish_volume(request).await;
    context.on("n2", &format!("rm -d {parent}")).await?;
    match answer {
        Ok(_) => bail!("it was published on a node that has no disk"),
        Err(status) => Ok(status),
    }
}

async fn an_inline_volume_of_a_local_disk_is_refused(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let spec = on_disks(&[identity("n1", Drive::Ssd)], &[context.namespace()]);
    let storage = context.local_storage(NAME, spec).await?;
    context.ready_on(NAME, "n1").await?;
    let source = serde_json::json!({ "csi": {
        "driver": LOCAL_DRIVER, "volumeAttributes": { "localStorage": NAME, "mountFrom": "/" },
    } });
    let pod = PodSpec::new("asks").on("n1").volume("v", source).mount("v", "/data", serde_json::json!({}));
    context.create(&pod).await?;
    context.note(context.event("asks", &["FailedMount"], seconds(60)).await?);
    ensure!(!context.runs("asks").await?, "it runs");
    storage.end().await
}
