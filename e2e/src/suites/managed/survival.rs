//! The server dies under fio on two nodes: I/O waits and goes on, with no error and no wrong byte.

use anyhow::{Result, ensure};
use kube::ResourceExt;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fio::{Way, writer};
use crate::suites::node::node_of;
use crate::suites::wait::{seconds, until};

/// How soon I/O goes on after the server is back: its grace period is 15 s.
const RESUMED_TIME_MAX: std::time::Duration = seconds(180);

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_lost_write_and_a_wrong_byte_are_found_by_the_writers_of_the_other_cases,
        a_ganesha_that_is_killed_under_two_verifying_writers_costs_no_byte,
        a_server_pod_that_is_deleted_under_a_writer_comes_back_at_the_same_address,
        a_server_whose_node_loses_its_power_is_told_and_costs_two_writers_no_byte,
    ];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

/// How soon the user reads that the node is lost: Kubernetes gives a silent node 50 s.
const LOST_TIME_MAX: std::time::Duration = seconds(150);

/// A server that was away costs its clients at least this, in one call: what is shorter was no fault.
const AWAY_TIME_MIN: std::time::Duration = seconds(1);

const WRITERS: [&str; 2] = ["one", "two"];

/// A writer on each of the nodes, under way; one goes past the page cache, the other through it.
async fn two_writers(context: &Context, nodes: [&str; 2]) -> Result<()> {
    context.managed("data", "256Mi").await?;
    let one = writer("one", Way::Direct, "data").on(nodes[0]);
    let two = writer("two", Way::Cached, "data").on(nodes[1]);
    context.start([one, two]).await?;
    verify_again(context, seconds(120)).await
}

async fn verify_again(context: &Context, limit: std::time::Duration) -> Result<()> {
    for pod in WRITERS {
        context.verifies_again(pod, limit).await?;
    }
    Ok(())
}

/// That neither met an error or a wrong byte, that both noticed the fault, and that another node reads what they wrote.
async fn both_verified(context: &Context, readers: [&str; 2]) -> Result<()> {
    for (pod, reader) in WRITERS.into_iter().zip(readers) {
        let done = context.verified(pod).await?;
        context.note(format!("{pod}: {done}"));
        ensure!(done.longest_call >= AWAY_TIME_MIN, "{pod} noticed no fault: {done}");
        context.agrees(reader, pod, "data").await?;
    }
    Ok(())
}

/// The other cases mean something only if this one passes.
async fn a_lost_write_and_a_wrong_byte_are_found_by_the_writers_of_the_other_cases(
    context: Context,
) -> Result<()> {
    two_writers(&context, ["n1", "n2"]).await?;
    let folder = context.folder_of("data").await?;
    // What was forced to the server since the copy is lost, as by a server that says too soon that it has it: three times in a
    // pass of 8 s, as its first two seconds, of which nothing is forced yet, lose nothing.
    let lose =
        "cp two old && for _ in 1 2 3; do sleep 3; dd if=old of=two bs=1M conv=notrunc status=none; done";
    context.on_disk(&format!("cd {folder} && {lose}")).await?;
    let said = context.finds("two").await?;
    ensure!(said.contains("bad header numberio"), "two finds something else: {said}");
    context.verified("one").await?;
    context.agrees("n2", "one", "data").await?;
    context.stop("reader-of-one").await?;
    let spoil = "printf x | dd of=one bs=1 seek=1000000 conv=notrunc status=none";
    context.on_disk(&format!("cd {folder} && {spoil}")).await?;
    let reader = context.reads_again("n2", "one", "data").await?;
    let said = context.finds(&reader).await?;
    ensure!(said.contains("verify failed"), "the reader finds something else: {said}");
    Ok(())
}

/// Kills the NFS server's process on its node, and waits until the agent has started it again.
pub(super) async fn kill_ganesha(context: &Context, node: &str) -> Result<()> {
    let before = context.on(node, "pgrep -x ganesha.nfsd").await?;
    context.on(node, &format!("kill -KILL {}", before.trim())).await?;
    let look = || async {
        let now = context.on(node, "pgrep -x ganesha.nfsd || true").await?;
        ensure!(!now.trim().is_empty() && now != before, "its process is {now:?}, before {before:?}");
        Ok(())
    };
    until("the agent starts it again", seconds(30), look).await
}

async fn a_ganesha_that_is_killed_under_two_verifying_writers_costs_no_byte(context: Context) -> Result<()> {
    two_writers(&context, ["n1", "n2"]).await?;
    let node = node_of(&context.server().await?)?.to_owned();
    for _ in 0..2 {
        kill_ganesha(&context, &node).await?;
        verify_again(&context, RESUMED_TIME_MAX).await?;
    }
    both_verified(&context, ["n2", "n1"]).await
}

async fn a_server_pod_that_is_deleted_under_a_writer_comes_back_at_the_same_address(
    context: Context,
) -> Result<()> {
    two_writers(&context, ["n1", "n2"]).await?;
    let before = context.server().await?;
    context.product().delete(&before.name_any(), &Default::default()).await?;
    let look = || async {
        let now = context.server().await?;
        ensure!(now.uid() != before.uid(), "it is still the old pod");
        Ok(())
    };
    until("the server's new pod is Ready", seconds(150), look).await?;
    verify_again(&context, RESUMED_TIME_MAX).await?;
    both_verified(&context, ["n2", "n1"]).await
}

async fn a_server_whose_node_loses_its_power_is_told_and_costs_two_writers_no_byte(
    context: Context,
) -> Result<()> {
    let server = node_of(&context.server().await?)?.to_owned();
    let other = if server == "n1" { "n2" } else { "n1" };
    // A pod on the server's own node would die with it, and there is no third node.
    two_writers(&context, [other, other]).await?;
    let off = context.power_cut(&server)?;
    let lost = context.reason("data", "Reachable", "ServerNodeLost", LOST_TIME_MAX).await?;
    let message = lost.condition("Reachable").map(|condition| condition.message.as_str()).unwrap_or_default();
    ensure!(message.contains(&format!("kubectl delete node {server}")), "no remedy in {message:?}");
    off.end().await?;
    context.server().await?;
    verify_again(&context, seconds(300)).await?;
    // It is the same share for a pod that starts now, on the node that was off.
    both_verified(&context, [&server, &server]).await?;
    context.driver(&server).await.map(drop)
}
