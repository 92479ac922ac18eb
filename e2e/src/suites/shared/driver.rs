//! The driver killed, deleted, replaced, under I/O: running pods notice nothing, and everything works after it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::writer::{make_room, writer};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::Mount;
use crate::suites::pod::PodSpec;
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::suites::wait::{seconds, until};

/// The longest stop between two writes that counts as none. The machines share two cores with the restarting driver.
const STOP_MAX: Duration = seconds(5);

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_killed_driver_changes_nothing_for_running_pods,
        a_deleted_driver_pod_changes_nothing_for_running_pods,
        a_rollout_of_the_driver_changes_nothing_for_running_pods,
        a_driver_killed_in_the_middle_of_publishing_finishes_later_and_doubles_nothing,
    ];
    all.into_iter().map(|case| case.alone().within(300)).collect()
}

async fn a_killed_driver_changes_nothing_for_running_pods(context: Context) -> Result<()> {
    let before = Running::start(&context).await?;
    let driver = context.driver("n1").await?;
    kill(&context, &driver).await?;
    restarted(&context, &driver).await?;
    before.unchanged(&context).await
}

async fn a_deleted_driver_pod_changes_nothing_for_running_pods(context: Context) -> Result<()> {
    let before = Running::start(&context).await?;
    let driver = context.driver("n1").await?;
    context.logs_are_clean().await?;
    replace(&context, &driver).await?;
    before.unchanged(&context).await
}

async fn a_rollout_of_the_driver_changes_nothing_for_running_pods(context: Context) -> Result<()> {
    let before = Running::start(&context).await?;
    context.logs_are_clean().await?;
    let sets: Api<DaemonSet> = Api::namespaced(context.client(), PRODUCT_NAMESPACE);
    let now = format!("{:?}", std::time::SystemTime::now());
    let annotation = json!({ "metadata": { "annotations": { "workspacefs.io/restarted": now } } });
    let patch = json!({ "spec": { "template": annotation } });
    let patched = sets.patch("workspacefs-node", &PatchParams::default(), &Patch::Merge(patch)).await?;
    let generation = patched.metadata.generation;
    let look = || async {
        let status = sets.get("workspacefs-node").await?.status.context("no status")?;
        ensure!(status.observed_generation >= generation, "not yet seen");
        let (wanted, new) = (status.desired_number_scheduled, status.updated_number_scheduled.unwrap_or(0));
        let ready = status.number_available.unwrap_or(0);
        ensure!(new == wanted && ready == wanted, "{new} of {wanted} are new, {ready} are available");
        Ok(())
    };
    until("the rollout is done", seconds(150), look).await?;
    before.unchanged(&context).await
}

async fn a_driver_killed_in_the_middle_of_publishing_finishes_later_and_doubles_nothing(
    context: Context,
) -> Result<()> {
    context.on_server("mkdir -p data/sub && chmod -R 0777 data").await?;
    context.file_system("data").await?;
    let mut names = Vec::new();
    for round in 0..3 {
        let driver = context.driver("n1").await?;
        for number in 0..2 {
            let name = format!("pod-{round}-{number}");
            let pod = PodSpec::new(&name).on("n1").claim("data", "/claim").inline("data", "/sub", "/inline");
            context.create(&pod).await?;
            names.push(name);
        }
        kill_at_next_record(&context, &driver).await?;
        // A new pod starts without the pause that kubelet keeps before it restarts what fails often.
        replace(&context, &driver).await?;
    }
    for name in &names {
        let pod = context.running(name).await?;
        let mounts = context.mounts_of(&pod).await?;
        ensure!(mounts.len() == 2, "{name} has two volumes and the mounts {mounts:#?}");
        context.exec(name, "echo x > /claim/x && echo y > /inline/y").await?;
    }
    for name in &names {
        context.delete(name).await?;
    }
    for name in &names {
        context.gone(name, seconds(60)).await?;
    }
    context.traceless("n1").await
}

/// A writer and its mounts, before the driver is disturbed.
struct Running {
    pod: Pod,
    mounts: Vec<Mount>,
}

const WRITER: &str = "writer";

impl Running {
    async fn start(context: &Context) -> Result<Running> {
        make_room(context, "data").await?;
        context.file_system("data").await?;
        let [pod] = context.start([writer(WRITER, "data").on("n1")]).await?;
        context.beats_again(WRITER, seconds(30)).await?;
        let mounts = context.mounts_of(&pod).await?;
        ensure!(mounts.len() >= 2, "a claim and an inline volume, and the mounts {mounts:?}");
        Ok(Running { pod, mounts })
    }

    /// The driver is back: nothing changed, the new one can do all that the old one could, and nothing is left at last.
    async fn unchanged(self, context: &Context) -> Result<()> {
        context.beats_again(WRITER, seconds(20)).await?;
        let now = context.mounts_of(&self.pod).await?;
        ensure!(now == self.mounts, "the mounts changed from\n{:#?}\nto\n{now:#?}", self.mounts);
        let story = context.story(WRITER).await?;
        ensure!(
            story.longest_stop < STOP_MAX,
            "the writer stood still for {:.1} s",
            story.longest_stop.as_secs_f32()
        );
        context.note(format!(
            "{} rounds, longest stop {:.1} s",
            story.beats,
            story.longest_stop.as_secs_f32()
        ));

        let new =
            PodSpec::new("new").on("n1").claim("data", "/claim").inline("data", "/by-inline", "/inline");
        context.start([new]).await?;
        context.exec("new", "cat /claim/beats /inline/beats > /dev/null && echo x > /claim/x").await?;
        context.stop(WRITER).await?;
        let left = context.mounts_of(&self.pod).await?;
        ensure!(left.is_empty(), "mounts from before are left: {left:#?}");
        context.exec("new", "echo y > /claim/y && cat /inline/beats > /dev/null").await?;
        context.stop("new").await?;
        context.traceless("n1").await
    }
}

/// The id of a pod's first container as the runtime knows it.
pub fn container(pod: &Pod) -> Result<String> {
    let status = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref()?.first())
        .context("no container")?;
    let id = status.container_id.as_deref().context("the container has no id")?;
    Ok(id.trim_start_matches("containerd://").to_owned())
}

/// Ends a container's first process with SIGKILL, and so all of its processes.
pub async fn kill(context: &Context, pod: &Pod) -> Result<()> {
    let node = crate::suites::node::node_of(pod)?;
    let line = format!("ctr --namespace k8s.io tasks kill --signal SIGKILL {}", container(pod)?);
    context.on(node, &line).await.map(drop)
}

/// Kills the driver on n1 as soon as it begins to publish: when a record appears.
async fn kill_at_next_record(context: &Context, driver: &Pod) -> Result<()> {
    let line = format!(
        "cd /run/workspacefs/targets; before=$(echo *); tries=0; \
         while [ \"$(echo *)\" = \"$before\" ] && [ $tries -lt 20000 ]; do tries=$((tries + 1)); done; \
         [ $tries -lt 20000 ] && ctr --namespace k8s.io tasks kill --signal SIGKILL {}",
        container(driver)?
    );
    context.on("n1", &line).await.map(drop)
}

/// Waits until kubelet has started the killed container again.
async fn restarted(context: &Context, before: &Pod) -> Result<()> {
    let old = container(before)?;
    let look = || async {
        let now = context.driver("n1").await?;
        ensure!(container(&now)? != old, "it is still the killed container");
        Ok(())
    };
    until("the driver was started again", seconds(90), look).await
}

/// Deletes the driver's pod and waits for the next one.
async fn replace(context: &Context, before: &Pod) -> Result<()> {
    let name = before.metadata.name.as_deref().context("a pod without a name")?;
    context.product().delete(name, &DeleteParams::default()).await?;
    let look = || async {
        let now = context.driver("n1").await?;
        ensure!(now.metadata.uid != before.metadata.uid, "it is still the deleted pod");
        Ok(())
    };
    until("another driver's pod runs", seconds(120), look).await
}
