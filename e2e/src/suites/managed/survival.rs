//! The server dies: I/O waits and goes on, with no error and no wrong byte.

use anyhow::{Result, ensure};
use kube::ResourceExt;

use super::verifier::verifier;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::node_of;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

/// How soon I/O goes on after the server is back: its grace period is 15 s.
const RESUMED_TIME_MAX: std::time::Duration = seconds(180);

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_ganesha_that_is_killed_under_two_verifying_writers_costs_no_byte,
        a_server_pod_that_is_deleted_under_a_writer_comes_back_at_the_same_address,
        a_server_whose_node_loses_its_power_under_a_writer_costs_no_byte,
    ];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

/// Two verifiers on two nodes, under way.
async fn two_verifiers(context: &Context) -> Result<()> {
    context.managed("data", "256Mi").await?;
    context.start([verifier("one", "data").on("n1"), verifier("two", "data").on("n2")]).await?;
    for pod in ["one", "two"] {
        context.verifies_again(pod, seconds(60)).await?;
    }
    Ok(())
}

async fn a_ganesha_that_is_killed_under_two_verifying_writers_costs_no_byte(context: Context) -> Result<()> {
    two_verifiers(&context).await?;
    let node = node_of(&context.server().await?)?.to_owned();
    for _ in 0..2 {
        let before = context.on(&node, "pgrep -x ganesha.nfsd").await?;
        context.on(&node, &format!("kill -KILL {}", before.trim())).await?;
        let look = || async {
            let now = context.on(&node, "pgrep -x ganesha.nfsd || true").await?;
            ensure!(!now.trim().is_empty() && now != before, "its process is {now:?}, before {before:?}");
            Ok(())
        };
        until("the agent starts it again", seconds(30), look).await?;
        for pod in ["one", "two"] {
            context.verifies_again(pod, RESUMED_TIME_MAX).await?;
        }
    }
    for pod in ["one", "two"] {
        let (rounds, stop) = context.verified(pod).await?;
        context.note(format!("{pod}: {rounds} rounds, longest stop {:.1} s", stop.as_secs_f32()));
    }
    context.stop("one").await?;
    context.agrees("two", "one").await
}

async fn a_server_pod_that_is_deleted_under_a_writer_comes_back_at_the_same_address(
    context: Context,
) -> Result<()> {
    two_verifiers(&context).await?;
    let before = context.server().await?;
    context.product().delete(&before.name_any(), &Default::default()).await?;
    let look = || async {
        let now = context.server().await?;
        ensure!(now.uid() != before.uid(), "it is still the old pod");
        Ok(())
    };
    until("the server's new pod is Ready", seconds(150), look).await?;
    for pod in ["one", "two"] {
        context.verifies_again(pod, RESUMED_TIME_MAX).await?;
        let (rounds, stop) = context.verified(pod).await?;
        context.note(format!("{pod}: {rounds} rounds, longest stop {:.1} s", stop.as_secs_f32()));
    }
    Ok(())
}

async fn a_server_whose_node_loses_its_power_under_a_writer_costs_no_byte(context: Context) -> Result<()> {
    context.managed("data", "256Mi").await?;
    let server = node_of(&context.server().await?)?.to_owned();
    let other = if server == "n1" { "n2" } else { "n1" };
    context.start([verifier("one", "data").on(other)]).await?;
    context.verifies_again("one", seconds(60)).await?;
    let off = context.power_cut(&server)?;
    tokio::time::sleep(seconds(3)).await;
    off.end().await?;
    context.server().await?;
    context.verifies_again("one", seconds(400)).await?;
    let (rounds, stop) = context.verified("one").await?;
    context.note(format!("{rounds} rounds, longest stop {:.1} s", stop.as_secs_f32()));
    // It is the same share for a pod that starts now, on the node that was off.
    context.start([PodSpec::new("new").on(&server).claim("data", "/data")]).await?;
    context.stop("one").await?;
    context.agrees("new", "one").await?;
    context.stop("new").await?;
    context.driver(&server).await.map(drop)
}
