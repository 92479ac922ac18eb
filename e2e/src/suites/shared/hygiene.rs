//! After everything: no trace of a volume, no secret in a log, no panic, and figures that name nobody.

use anyhow::{Result, ensure};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::hygiene::{Figures, NODES};
use crate::suites::pod::PodSpec;

/// The processes of the product without the embedded server.
const COMPONENTS: [&str; 3] = ["node", "operator", "controller"];

pub fn cases() -> Vec<Case> {
    let all = cases![
        no_secret_reaches_logs_events_or_figures,
        figures_are_served_and_name_no_object,
        nothing_is_left_when_no_pod_uses_a_volume,
    ];
    all.into_iter().map(Case::alone).collect()
}

async fn no_secret_reaches_logs_events_or_figures(context: Context) -> Result<()> {
    context.file_system("data").await?;
    context.publish_with_a_secret().await?;
    context.logs_are_clean().await?;
    context.secret_is_told_nowhere(&COMPONENTS).await
}

async fn figures_are_served_and_name_no_object(context: Context) -> Result<()> {
    // A driver that has just started has counted no call yet: each publishes a volume first.
    context.file_system("data").await?;
    let pod = |node| PodSpec::new(&format!("on-{node}")).on(node).inline("data", "", "/data");
    context.start(NODES.map(pod)).await?;
    let mut of_operators = String::new();
    for Figures { component, pod, text } in context.figures_that_name_nobody(&COMPONENTS, &[]).await? {
        match component.as_str() {
            "node" => ensure!(text.contains("NodePublishVolume"), "no figure of the calls of {pod}:\n{text}"),
            "operator" => of_operators.push_str(&text),
            _ => {}
        }
    }
    // Only the replica that leads has something to count.
    let has = |start: &str| of_operators.lines().any(|line| line.starts_with(start));
    ensure!(
        has("workspacefs_reconciles_total{kind=\"FileSystem\""),
        "no pass over a FileSystem was counted:\n{of_operators}"
    );
    ensure!(has("workspacefs_leader 1"), "no operator leads:\n{of_operators}");
    Ok(())
}

async fn nothing_is_left_when_no_pod_uses_a_volume(context: Context) -> Result<()> {
    context.nothing_is_left().await?;
    context.logs_are_clean().await
}
