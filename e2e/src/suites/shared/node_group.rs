//! Dedicated file systems: only the nodes of one group mount them, whoever asks.

use anyhow::Result;
use serde_json::json;

use super::set_up::NODE_GROUP;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    cases![
        a_pod_outside_the_node_group_is_not_scheduled_and_says_why,
        an_inline_volume_outside_the_node_group_is_refused_and_names_the_selector,
        a_node_that_joins_the_group_may_mount_at_once,
    ]
}

async fn a_pod_outside_the_node_group_is_not_scheduled_and_says_why(context: Context) -> Result<()> {
    let spec = json!({ "backend": context.shared("data"), "nodeGroup": NODE_GROUP });
    context.file_system_with("data", spec).await?;
    context.create(&PodSpec::new("outside").on("n2").claim("data", "/data")).await?;
    context.create(&PodSpec::new("inside").on("n1").claim("data", "/data")).await?;
    context.event("outside", &["FailedScheduling", "node affinity"], seconds(30)).await?;
    context.running("inside").await?;
    Ok(())
}

async fn an_inline_volume_outside_the_node_group_is_refused_and_names_the_selector(
    context: Context,
) -> Result<()> {
    let spec = json!({ "backend": context.shared("data"), "nodeGroup": NODE_GROUP });
    context.file_system_with("data", spec).await?;
    // The scheduler does not know what an inline volume names.
    context.create(&PodSpec::new("outside").on("n2").inline("data", "", "/data")).await?;
    context.create(&PodSpec::new("inside").on("n1").inline("data", "", "/data")).await?;
    let words = ["FailedPrecondition", "nodeSelector", "workspacefs.io/node-group", NODE_GROUP];
    context.event("outside", &words, seconds(30)).await?;
    context.running("inside").await?;
    context.stop("outside").await
}

async fn a_node_that_joins_the_group_may_mount_at_once(context: Context) -> Result<()> {
    // A group of its own: n2 stays outside the other cases' one.
    let spec = json!({ "backend": context.shared("data"), "nodeGroup": "late" });
    context.file_system_with("data", spec).await?;
    context.create(&PodSpec::new("claimer").claim("data", "/data")).await?;
    context.create(&PodSpec::new("inliner").on("n2").inline("data", "", "/data")).await?;
    context.event("claimer", &["FailedScheduling", "node affinity"], seconds(30)).await?;
    context.event("inliner", &["FailedPrecondition", "late"], seconds(30)).await?;
    let label = |value: &'static str| {
        context
            .blocking(move |cluster| cluster.kubectl("admin", &["label", "--overwrite", "node", "n2", value]))
    };
    label("workspacefs.io/node-group=late").await?;
    let ran = async {
        context.running("claimer").await?;
        // kubelet asks again after a pause that doubles each time.
        context.running("inliner").await
    };
    let ran = ran.await;
    label("workspacefs.io/node-group-").await?;
    ran.map(drop)
}
