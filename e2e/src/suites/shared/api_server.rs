//! The API server hangs for a minute: what runs goes on, containers of claims restart, and afterwards everything works.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::driver::kill;
use super::writer::{make_room, writer};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    let all = cases![while_the_api_server_hangs_pods_go_on_and_containers_restart];
    all.into_iter().map(|case| case.alone().within(360)).collect()
}

async fn while_the_api_server_hangs_pods_go_on_and_containers_restart(context: Context) -> Result<()> {
    make_room(&context, "data").await?;
    context.file_system("data").await?;
    let starts = "echo started >> /data/starts; trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";
    let restarting = PodSpec::new("restarting").on("n1").restarting().claim("data", "/data").runs(starts);
    let [_, restarting] = context.start([writer("writer", "data").on("n1"), restarting]).await?;
    let count = async || -> Result<usize> { Ok(context.on_server("cat data/starts").await?.lines().count()) };
    ensure!(count().await? == 1, "the container did not start once");

    let hang = context.hang("kube-apiserver")?;
    let since = Instant::now();
    kill(&context, &restarting).await?;
    let look = || async {
        ensure!(count().await? >= 2, "it was not started again");
        Ok(())
    };
    until("kubelet restarts the container by itself", seconds(60), look).await?;
    tokio::time::sleep(seconds(60).saturating_sub(since.elapsed())).await;
    hang.end().await?;

    // The operators lost their lease meanwhile; the driver never needed the API server.
    context.beats_again("writer", seconds(60)).await?;
    let story = context.story("writer").await?;
    ensure!(story.longest_stop < seconds(10), "the writer stood still for {:?}", story.longest_stop);
    context.file_system("later").await?;
    context
        .start([PodSpec::new("later").on("n1").claim("later", "/data").inline("data", "", "/more")])
        .await?;
    context.exec("later", "echo x > /data/x && cat /more/starts").await?;
    for pod in ["writer", "restarting", "later"] {
        context.stop(pod).await?;
    }
    context.traceless("n1").await
}
