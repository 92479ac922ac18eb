//! The flows of a real browser on the pages of the real gateway: Chromium in the cluster's network, told what to do by the programs of
//! `ui/`. Its pictures and what it says lie outside of the checkout, in the cluster's own folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::content::{Content, MIB};
use super::door::Files;
use super::imports::{form, service};
use super::people::{Shop, VIEWER};
use crate::Cluster;
use crate::host::command::{command, last_lines};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::wait::{patient, seconds, until};

/// The flows speak of a workspace's default file system.
const FILE_SYSTEM: &str = "default";
/// What one of them uploads while servers are killed.
const BIG: Content = Content("uploaded by a browser");
const BIG_LENGTH: u64 = 1024 * MIB;
/// So much of it is sent at each kill.
const KILLED_AT: [u64; 2] = [BIG_LENGTH / 4, BIG_LENGTH / 2];
/// For that one flow.
const BIG_TIME_MAX: Duration = seconds(300);
/// An object at the root of the bucket that another imports.
const OBJECT: &str = "photo.jpg";
const FLOWS_TIME_MAX: Duration = seconds(540);
/// Between the order to end and the end that nobody can refuse.
const GRACE: Duration = seconds(20);
/// What is shown of a failure.
const LINES_MAX: usize = 80;
/// The pages, each of which has a picture of each of the [`LOOKS`]: as `ui/browser/looks.flow.ts` names them.
const PAGES: [&str; 8] =
    ["login", "workspaces", "filesystems", "files", "imports", "trash", "mount-empty", "storage"];
const LOOKS: [&str; 3] = ["light", "dark", "phone"];

pub fn cases() -> Vec<Case> {
    let all =
        cases![the_pages_work_in_a_real_browser_before_the_real_gateway_and_an_upload_outlasts_two_kills];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

/// Where the browser's pictures lie after a run.
pub fn pictures(cluster: &Cluster) -> PathBuf {
    cluster.layout().root().join("pictures")
}

async fn the_pages_work_in_a_real_browser_before_the_real_gateway_and_an_upload_outlasts_two_kills(
    context: Context,
) -> Result<()> {
    let Shop { door, token, files } = Shop::open_with(&context, FILE_SYSTEM, json!({})).await?;
    files.put("content/README.txt", "What the pictures show.\n").await?.expect(201)?;
    let viewer = context.person("viewer", Some(VIEWER)).await?;
    let service = service().await?;
    service.store().put(OBJECT, "a photo");
    let mut bucket = form(&service);
    bucket["name"] = OBJECT.into();
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui");
    let packages = ui.join("node_modules");
    ensure!(packages.is_dir(), "there is no {}: cargo xtask e2e files brings it", packages.display());
    let pictures = pictures(context.cluster());
    if pictures.exists() {
        fs::remove_dir_all(&pictures)?;
    }
    fs::create_dir_all(&pictures)?;
    let (log, big) = (pictures.join("browser.log"), pictures.join("big.bin"));
    let written = big.clone();
    context.blocking(move |_| write_big(&written)).await?;

    let limit = patient(FLOWS_TIME_MAX);
    let mut flows = flows(&log, limit);
    flows.current_dir(&ui).env("WSFS_UI_URL", format!("https://{}", door.address()));
    flows.env("WSFS_UI_TOKEN", token).env("WSFS_UI_VIEWER_TOKEN", viewer);
    flows.env("WSFS_UI_WORKSPACE", context.namespace()).env("WSFS_UI_FS", FILE_SYSTEM);
    flows
        .env("WSFS_UI_BIG_FILE", &big)
        .env("WSFS_UI_BIG_SECONDS", patient(BIG_TIME_MAX).as_secs().to_string());
    flows.env("WSFS_UI_S3", bucket.to_string()).env("WSFS_UI_SHOTS", &pictures);
    let kills = AtomicUsize::new(0);
    let ran = tokio::select! {
        ran = context.blocking(move |cluster| cluster.run(&mut flows, b"", limit + 2 * GRACE)) => ran,
        () = killer(&context, &files, &kills) => bail!("who kills files has ended"),
    };
    fs::remove_file(&big)?;
    let memory = context.files_memory(FILE_SYSTEM, false).await;
    let said = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    if let Err(error) = ran {
        bail!("{error:#}\n{}", last_lines(&said, LINES_MAX));
    }
    let summary =
        summary(&said).with_context(|| format!("no flow passed:\n{}", last_lines(&said, LINES_MAX)))?;
    let taken: Vec<String> = fs::read_dir(&pictures)?
        .flatten()
        .filter_map(|file| file.file_name().to_str()?.strip_suffix(".png").map(str::to_owned))
        .collect();
    context.note(format!("{summary}; {} pictures in {}", taken.len(), pictures.display()));
    let missing = missing(&taken);
    ensure!(missing.is_empty(), "no picture was taken of {}", missing.join(", "));
    memory?;
    let kills = kills.into_inner();
    ensure!(kills == KILLED_AT.len(), "files were killed {kills} times during the upload");
    Ok(())
}

/// The pictures that each run takes and that are not there.
fn missing(taken: &[String]) -> Vec<String> {
    let wanted = PAGES.iter().flat_map(|page| LOOKS.iter().map(move |look| format!("{page}-{look}")));
    wanted.filter(|name| !taken.contains(name)).collect()
}

fn write_big(path: &Path) -> Result<()> {
    const PIECE: usize = 8 << 20;
    let mut file = File::create(path)?;
    for offset in (0..BIG_LENGTH).step_by(PIECE) {
        file.write_all(&BIG.bytes(offset, PIECE))?;
    }
    Ok(())
}

/// Kills `files` each time that so much of the large upload is there, then waits for ever.
async fn killer(context: &Context, files: &Files, kills: &AtomicUsize) {
    for sent in KILLED_AT {
        match kill_at(context, files, sent).await {
            Ok(offset) => {
                kills.fetch_add(1, Ordering::SeqCst);
                context.note(format!("killed during the browser's upload, at {} MiB", offset / MIB));
            }
            Err(error) => context.note(format!("not killed at {} MiB: {error:#}", sent / MIB)),
        }
    }
    std::future::pending().await
}

async fn kill_at(context: &Context, files: &Files, sent: u64) -> Result<u64> {
    let look = || async {
        // The browser's uploads are those of the same account.
        let uploads = files.get("uploads").await?.expect(200)?.json()?;
        let big = uploads.as_array().and_then(|all| all.iter().find(|upload| upload["size"] == BIG_LENGTH));
        let offset = big.and_then(|upload: &Value| upload["offset"].as_u64()).context("it has not begun")?;
        ensure!(offset >= sent, "{offset} bytes are there");
        Ok(offset)
    };
    let offset = until("the browser has sent so much", FLOWS_TIME_MAX, look).await?;
    let pod = context.files_pod(FILE_SYSTEM).await?;
    context.kill_files(&pod).await?;
    context.files_again(&pod).await?;
    Ok(offset)
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
    use super::{LOOKS, PAGES, missing, summary};

    #[test]
    fn a_page_without_its_picture_in_one_look_is_named() {
        let mut taken: Vec<String> =
            PAGES.iter().flat_map(|page| LOOKS.map(|look| format!("{page}-{look}"))).collect();
        taken.push("many".into());
        assert_eq!(missing(&taken), [""; 0]);
        taken.retain(|name| name != "trash-phone");
        assert_eq!(missing(&taken), ["trash-phone"]);
    }

    #[test]
    fn the_counts_of_the_flows_are_found() {
        let said =
            " Test Files  7 passed (7)\n      Tests  21 passed | 9 skipped (30)\n   Start at  00:00:00\n";
        assert_eq!(summary(said).as_deref(), Some("Tests 21 passed | 9 skipped (30)"));
        assert_eq!(summary("      Tests  9 skipped (9)\n"), None);
    }
}
