//! The process behind a FileSystem's files dies in the middle of an upload, twice: what it had stays, and the upload goes on.

use anyhow::{Context as _, Result, ensure};

use super::content::{Content, MIB};
use super::people::Shop;
use super::tus::Upload;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::wait::{seconds, until};

const CONTENT: Content = Content("a large file");
const LENGTH: u64 = 256 * MIB;
const PIECE: usize = 8 << 20;
/// After so many bytes it is killed.
const KILLED_AT: [u64; 2] = [64 * MIB, 160 * MIB];

pub fn cases() -> Vec<Case> {
    let all = cases![files_killed_twice_during_an_upload_lose_nothing_and_it_completes_with_the_right_digest];
    all.into_iter().map(|case| case.within(600)).collect()
}

async fn files_killed_twice_during_an_upload_lose_nothing_and_it_completes_with_the_right_digest(
    context: Context,
) -> Result<()> {
    let Shop { files, .. } = Shop::open(&context).await?;
    context.files_memory("data", true).await?;
    files.put("folders/in", "").await?.expect(201)?;
    let upload = Upload::begin(&files, "in/big", CONTENT, LENGTH).await?;
    let mut offset = 0;
    for kill_at in KILLED_AT {
        offset = send_until(&upload, offset, kill_at).await?;
        let pod = context.files_pod("data").await?;
        // While a piece is under way.
        let (sent, killed) = tokio::join!(upload.send(offset, 4 * PIECE), context.kill_files(&pod));
        killed?;
        context.note(match &sent {
            Ok(_) => format!("killed at {} MiB, just after a piece", offset / MIB),
            Err(error) => format!("killed at {} MiB, in a piece: {error}", offset / MIB),
        });
        context.files_again(&pod).await?;
        let before = offset;
        offset = until("the upload is there again", seconds(60), || upload.offset()).await?;
        ensure!(offset >= before, "{before} bytes were promised, {offset} are there");
        let half = files.get("stat/in/big").await?.refused(404, "NotFound");
        half.context("half of a file has its name")?;
    }
    offset = send_until(&upload, offset, LENGTH).await?;
    ensure!(offset == LENGTH, "it ended at {offset}");
    let entry = files.get("stat/in/big").await?.expect(200)?.json()?;
    ensure!(entry["size"] == LENGTH, "the file is {entry}");
    let (stored, sent) = (context.on_server("sha256sum < data/in/big").await?, CONTENT.digest(LENGTH));
    ensure!(stored.starts_with(&sent), "sent {sent}, stored {stored}");
    context.files_memory("data", false).await?;
    let left = files.get("uploads").await?.expect(200)?.json()?;
    ensure!(left.as_array().is_some_and(Vec::is_empty), "unfinished uploads are left: {left}");
    Ok(())
}

/// Sends pieces from `offset` until the server has `end` bytes at least.
async fn send_until(upload: &Upload, mut offset: u64, end: u64) -> Result<u64> {
    while offset < end {
        let now = upload.send(offset, PIECE).await?;
        ensure!(now > offset, "a piece was taken and is not there: {now} after {offset}");
        offset = now;
    }
    Ok(offset)
}
