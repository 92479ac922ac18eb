//! The flows of a real browser on the pages of the real gateway: Chromium in the cluster's network, told what to do by the programs of
//! `ui/`. Its pictures and what it says lie outside of the checkout, in the cluster's own folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::people::Shop;
use crate::Cluster;
use crate::host::command::{command, last_lines};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::wait::{patient, seconds};

/// The flows speak of a workspace's default file system.
const FILE_SYSTEM: &str = "default";
const FLOWS_TIME_MAX: Duration = seconds(900);
/// Between the order to end and the end that nobody can refuse.
const GRACE: Duration = seconds(20);
/// What is shown of a failure.
const LINES_MAX: usize = 80;
/// Each page has one.
const PICTURES_MIN: usize = 5;

pub fn cases() -> Vec<Case> {
    let all = cases![the_pages_work_in_a_real_browser_before_the_real_gateway];
    all.into_iter().map(|case| case.alone().within(1100)).collect()
}

/// Where the browser's pictures lie after a run.
pub fn pictures(cluster: &Cluster) -> PathBuf {
    cluster.layout().root().join("pictures")
}

async fn the_pages_work_in_a_real_browser_before_the_real_gateway(context: Context) -> Result<()> {
    let Shop { door, token, files } = Shop::open_with(&context, FILE_SYSTEM, json!({})).await?;
    files.put("content/README.txt", "What the pictures show.\n").await?.expect(201)?;
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui");
    ensure!(
        ui.join("node_modules").is_dir(),
        "{} has no packages: cargo xtask e2e files brings them",
        ui.display()
    );
    let pictures = pictures(context.cluster());
    if pictures.exists() {
        fs::remove_dir_all(&pictures)?;
    }
    fs::create_dir_all(&pictures)?;
    let log = pictures.join("browser.log");
    let limit = patient(FLOWS_TIME_MAX);
    let mut flows = flows(&log, limit);
    flows.current_dir(&ui).env("WSFS_UI_URL", format!("https://{}", door.address()));
    flows.env("WSFS_UI_TOKEN", token).env("WSFS_UI_WORKSPACE", context.namespace());
    flows.env("WSFS_UI_FS", FILE_SYSTEM).env("WSFS_UI_SHOTS", &pictures);
    let ran = context.blocking(move |cluster| cluster.run(&mut flows, b"", limit + 2 * GRACE)).await;
    let said = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    if let Err(error) = ran {
        bail!("{error:#}\n{}", last_lines(&said, LINES_MAX));
    }
    let summary =
        summary(&said).with_context(|| format!("no flow passed:\n{}", last_lines(&said, LINES_MAX)))?;
    let is_picture = |path: &Path| path.extension().is_some_and(|extension| extension == "png");
    let taken = fs::read_dir(&pictures)?.flatten().filter(|file| is_picture(&file.path())).count();
    context.note(format!("{summary}; {taken} pictures in {}", pictures.display()));
    ensure!(taken >= PICTURES_MIN, "only {taken} pictures were taken");
    Ok(())
}

/// The flows, which end with all the processes that they have started. The token is in the environment, not in the command line.
fn flows(log: &Path, limit: Duration) -> Command {
    let (limit, grace) = (limit.as_secs(), GRACE.as_secs());
    let line = format!(
        "exec timeout --kill-after={grace} {limit} npm run --silent browser > \"$WSFS_LOG_FILE\" 2>&1"
    );
    let mut flows = command(&["sh", "-c", &line]);
    flows.env("WSFS_LOG_FILE", log).env("NO_COLOR", "1").env("CI", "1");
    flows
}

/// vitest's line of counts, `Tests  21 passed | 9 skipped (30)`, if some passed.
fn summary(said: &str) -> Option<String> {
    let line =
        said.lines().map(str::trim).rfind(|line| line.starts_with("Tests ") && line.contains(" passed"))?;
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn the_counts_of_the_flows_are_found() {
        let said =
            " Test Files  7 passed (7)\n      Tests  21 passed | 9 skipped (30)\n   Start at  00:00:00\n";
        assert_eq!(summary(said).as_deref(), Some("Tests 21 passed | 9 skipped (30)"));
        assert_eq!(summary("      Tests  9 skipped (9)\n"), None);
    }
}
