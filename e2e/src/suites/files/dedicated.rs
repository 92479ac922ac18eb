//! Dedicated FileSystems: their `files` run in the node group, past its taint; without its node, its own files are away and no others.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::people::{Shop, reached};
use super::set_up::{FAR, FAR_NODE, GATEWAY_NODE, NEAR, open, reserve};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::node::node_of;
use crate::suites::wait::{seconds, until};

/// An answer that says that there is none. A connection that was open before holds until the gateway gives it up.
const GIVEN_UP_TIME_MAX: Duration = seconds(120);
/// What others' files may take meanwhile.
const OTHERS_TIME_MAX: Duration = seconds(10);

pub fn cases() -> Vec<Case> {
    let all = cases![files_of_a_node_group_run_there_past_its_taint_and_without_its_node_only_they_are_away];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

async fn files_of_a_node_group_run_there_past_its_taint_and_without_its_node_only_they_are_away(
    context: Context,
) -> Result<()> {
    let opened = Fault::new({
        let cluster = context.cluster().clone();
        move || open(&cluster)
    });
    context.blocking(reserve).await?;
    let Shop { files: far, token, door } =
        Shop::open_with(&context, "far", json!({ "nodeGroup": FAR })).await?;
    context.on_server("mkdir -p near && chmod 0777 near").await?;
    let spec = json!({ "backend": context.shared("near"), "nodeGroup": NEAR });
    context.file_system_with("near", spec).await?;
    context.files_run("near").await?;
    let near = door.with(&token).files(context.namespace(), "near");
    reached(&near).await?;
    for (name, node) in [("far", FAR_NODE), ("near", GATEWAY_NODE)] {
        let pod = context.files_pod(name).await?;
        ensure!(node_of(&pod)? == node, "files of {name} run on {}", node_of(&pod)?);
    }
    far.put("content/there", "there").await?.expect(201)?;
    near.put("content/here", "here").await?.expect(201)?;

    let frozen = context.freeze(FAR_NODE)?;
    let began = Instant::now();
    let look = || async {
        let answer = tokio::time::timeout(seconds(15), far.get("content/there")).await?;
        answer?.refused(502, "Unreachable")
    };
    let (said, others) =
        tokio::join!(until("its files are said to be away", GIVEN_UP_TIME_MAX, look), async {
            let mut longest = Duration::ZERO;
            for _ in 0..20 {
                let asked = Instant::now();
                let body = near.get("content/here").await?.expect(200)?.body;
                ensure!(body == b"here", "the other reads {body:?}");
                longest = longest.max(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Ok(longest)
        });
    let (said, longest) = (said?, others?);
    context.note(format!(
        "after {:.0} s: {said}; others' longest wait {longest:?}",
        began.elapsed().as_secs_f32()
    ));
    ensure!(longest < OTHERS_TIME_MAX, "others' files waited for {longest:?}");
    frozen.end().await?;
    let look = || async { far.get("content/there").await?.expect(200).map(drop) };
    until("its files are there again", seconds(240), look).await?;
    opened.end().await
}
