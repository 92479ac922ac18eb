//! An upload that is cut: the process behind the files dies in the middle of it, or the right goes. Nobody sees half a file.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::FS;
use super::desk::{Desk, Said, shop};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{Content, EDITOR, Files, MIB, Shop};
use crate::suites::wait::{patient, seconds, until};

const BIG: Content = Content("uploaded by wfs");
/// Takes longer than it takes to see that it is under way.
const BIG_LENGTH: u64 = 512 * MIB;
/// So much of it is there when it is cut.
const CUT_AT: u64 = 32 * MIB;
const PIECE: usize = 8 << 20;
/// How long `wfs` waits for a gateway that does not answer, where it is to outlast a restart.
const PATIENCE_SECONDS: &str = "180";
/// For the machines' pace.
const BEGIN_TIME_MAX: Duration = seconds(120);
/// What a right that was taken away takes to end what runs, and `wfs` to ask once more.
const END_TIME_MAX: Duration = seconds(30);

pub fn cases() -> Vec<Case> {
    let all = cases![
        an_upload_goes_on_over_the_death_of_files_and_half_a_file_never_has_its_name,
        an_upload_whose_right_is_taken_away_ends_with_a_sentence_and_leaves_no_file,
    ];
    all.into_iter().map(|case| case.within(600)).collect()
}

async fn an_upload_goes_on_over_the_death_of_files_and_half_a_file_never_has_its_name(
    context: Context,
) -> Result<()> {
    let Shop { door, token, files } = shop(&context).await?;
    let mut desk = Desk::with_token(&context, &door, &token)?;
    desk.set("WFS_PATIENCE_SECONDS", PATIENCE_SECONDS);
    write_big(&context, &desk).await?;
    let upload = desk.storage(&["upload", "big", "/in/big"]);
    let cut = async {
        under_way(&files).await?;
        let pod = context.files_pod(FS).await?;
        context.kill_files(&pod).await?;
        half_has_no_name(&files).await?;
        context.files_again(&pod).await?;
        half_has_no_name(&files).await
    };
    let (said, cut) = tokio::join!(upload, cut);
    cut.context("while it was uploaded")?;
    // It goes on by itself, or it says so and the same command does.
    let said = said?;
    if said.code() != Some(0) {
        context.note("the upload ended at the kill and was begun once more".to_owned());
        said.failed()?.says_why()?;
        desk.storage(&["upload", "big", "/in/big"]).await?.ended(0)?;
    }
    let stored = context.on_server("sha256sum < default/in/big").await?;
    ensure!(stored.starts_with(&BIG.digest(BIG_LENGTH)), "another file is stored: {stored}");
    let left = files.get("uploads").await?.expect(200)?.json()?;
    ensure!(left.as_array().is_some_and(Vec::is_empty), "unfinished uploads are left: {left}");
    let names = context.on_server("ls -A default/in").await?;
    ensure!(names == "big", "there is more than the file: {names}");
    Ok(())
}

async fn an_upload_whose_right_is_taken_away_ends_with_a_sentence_and_leaves_no_file(
    context: Context,
) -> Result<()> {
    let Shop { door, .. } = shop(&context).await?;
    let token = context.person("leaver", Some(EDITOR)).await?;
    let files = door.with(&token).files(context.namespace(), FS);
    let desk = Desk::with_token(&context, &door, &token)?;
    let reached = || async { files.get("uploads").await?.expect(200).map(drop) };
    until("the leaver may write", seconds(60), reached).await?;
    write_big(&context, &desk).await?;
    let upload = desk.storage(&["upload", "big", "/big"]);
    let taken = async {
        under_way(&files).await?;
        context.take_back("leaver").await?;
        anyhow::Ok(Instant::now())
    };
    let (said, taken) = tokio::join!(upload, taken);
    let (said, took): (Said, Duration) = (said?, taken?.elapsed());
    said.ended(1)?.says_why()?;
    context.note(format!("the upload ended {:.1} s after its right", took.as_secs_f32()));
    ensure!(took < patient(END_TIME_MAX), "the upload went on for {took:?}");
    ensure!(context.on_server("ls default").await?.is_empty(), "a file is there");
    desk.storage(&["upload", "big", "/again"]).await?.ended(1)?.says_why()?;
    ensure!(context.on_server("ls default").await?.is_empty(), "a file is there");
    Ok(())
}

/// Waits until an upload of [`BIG_LENGTH`] has come so far.
async fn under_way(files: &Files) -> Result<()> {
    let look = || async {
        let uploads = files.get("uploads").await?.expect(200)?.json()?;
        let all = uploads.as_array().context("no uploads")?;
        let big = all.iter().find(|upload| upload["size"] == BIG_LENGTH).context("it has not begun")?;
        let offset = big["offset"].as_u64().unwrap_or_default();
        ensure!(offset >= CUT_AT, "{offset} bytes are there");
        Ok(())
    };
    until("so much of the upload is there", BEGIN_TIME_MAX, look).await
}

/// Neither while `files` are dead nor when they are back; where they do not answer nobody sees anything.
async fn half_has_no_name(files: &Files) -> Result<()> {
    let Ok(answer) = files.get("stat/in/big").await else { return Ok(()) };
    let whole = answer.status == 200 && answer.json()?["size"] == BIG_LENGTH;
    ensure!(whole || [404, 502, 504].contains(&answer.status), "half of a file has its name: {answer:?}");
    Ok(())
}

async fn write_big(context: &Context, desk: &Desk) -> Result<()> {
    let path = desk.path("big");
    let write = move |_: &crate::Cluster| -> Result<()> {
        let mut file = std::fs::File::create(path)?;
        for offset in (0..BIG_LENGTH).step_by(PIECE) {
            std::io::Write::write_all(&mut file, &BIG.bytes(offset, PIECE))?;
        }
        Ok(())
    };
    context.blocking(write).await
}
