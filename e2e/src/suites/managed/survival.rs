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
        a_server_whose_node_loses_its_power_is_told_and_costs_two_writers_no_byte,
    ];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

/// How soon the user reads that the node is lost: Kubernetes gives a silent node 50 s.
const LOST_TIME_MAX: std::time::Duration = seconds(150);

const VERIFIERS: [&str; 2] = ["one", "two"];

/// A verifier on each of the nodes, under way.
async fn two_verifiers(context: &Context, nodes: [&str; 2]) -> Result<()> {
    context.managed("data", "256Mi").await?;
    context.start([verifier("one", "data").on(nodes[0]), verifier("two", "data").on(nodes[1])]).await?;
    verify_again(context, seconds(60)).await
}

async fn verify_again(context: &Context, limit: std::time::Duration) -> Result<()> {
    for pod in VERIFIERS {
        context.verifies_again(pod, limit).await?;
    }
    Ok(())
}

/// That neither met an error or a wrong byte.
async fn both_verified(context: &Context) -> Result<()> {
    for pod in VERIFIERS {
        let (rounds, stop) = context.verified(pod).await?;
        context.note(format!("{pod}: {rounds} rounds, longest stop {:.1} s", stop.as_secs_f32()));
    }
    Ok(())
}

async fn a_ganesha_that_is_killed_under_two_verifying_writers_costs_no_byte(context: Context) -> Result<()> {
    two_verifiers(&context, ["n1", "n2"]).await?;
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
        verify_again(&context, RESUMED_TIME_MAX).await?;
    }
    both_verified(&context).await?;
    context.stop("one").await?;
    context.agrees("two", "one").await
}

async fn a_server_pod_that_is_deleted_under_a_writer_comes_back_at_the_same_address(
    context: Context,
) -> Result<()> {
    two_verifiers(&context, ["n1", "n2"]).await?;
    let before = context.server().await?;
    context.product().delete(&before.name_any(), &Default::default()).await?;
    let look = || async {
        let now = context.server().await?;
        ensure!(now.uid() != before.uid(), "it is still the old pod");
        Ok(())
    };
    until("the server's new pod is Ready", seconds(150), look).await?;
    verify_again(&context, RESUMED_TIME_MAX).await?;
    both_verified(&context).await
}

async fn a_server_whose_node_loses_its_power_is_told_and_costs_two_writers_no_byte(
    context: Context,
) -> Result<()> {
    let server = node_of(&context.server().await?)?.to_owned();
    let other = if server == "n1" { "n2" } else { "n1" };
    // A pod on the server's own node would die with it.
    two_verifiers(&context, [other, other]).await?;
    let off = context.power_cut(&server)?;
    let message = context.reason("data", "Reachable", "ServerNodeLost", LOST_TIME_MAX).await?;
    ensure!(message.contains(&format!("kubectl delete node {server}")), "no remedy in {message:?}");
    off.end().await?;
    context.server().await?;
    verify_again(&context, seconds(300)).await?;
    both_verified(&context).await?;
    // It is the same share for a pod that starts now, on the node that was off.
    context.start([PodSpec::new("new").on(&server).claim("data", "/data")]).await?;
    for pod in VERIFIERS {
        context.stop(pod).await?;
        context.agrees("new", pod).await?;
    }
    context.stop("new").await?;
    context.driver(&server).await.map(drop)
}
