//! Files in the browser on the embedded server, whose `df` shows its whole disk: a size is a size there too, and what was deleted
//! gives way to what comes.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::release::{current_values, install};
use crate::product;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{Door, EDITOR, Visitor};
use crate::suites::wait::{seconds, until};

const FS: &str = "data";
const MIB: u64 = 1 << 20;
const CAPACITY: u64 = 128 * MIB;
/// Two of them do not fit.
const LARGE: u64 = 80 * MIB;
/// What may be written beyond the limit.
const OVERSHOOT_MAX: u64 = 64 * MIB;

pub fn cases() -> Vec<Case> {
    let all = cases![an_upload_past_the_capacity_takes_the_trash_and_then_is_told_in_words];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

async fn an_upload_past_the_capacity_takes_the_trash_and_then_is_told_in_words(
    context: Context,
) -> Result<()> {
    let values = current_values(&context).await?;
    let outcome = with_files(&context, values.clone()).await;
    // The next case finds the release as it was, whatever became of this one.
    let removed = context.remove_file_system(FS).await;
    install(&context, product::chart().as_path(), values).await?;
    outcome?;
    removed
}

async fn with_files(context: &Context, mut values: Value) -> Result<()> {
    product::add_files(&mut values);
    values["defaultFileSystem"] = false.into();
    install(context, product::chart().as_path(), values).await.context("the chart with files")?;
    context.become_workspace().await?;
    context.managed(FS, "128Mi").await?;
    context.files_run(FS).await?;
    let token = context.person("editor", Some(EDITOR)).await?;
    let person = Door::of(context).await?.with(&token);
    let files = person.files(context.namespace(), FS);
    let look = || async { files.get("usage").await?.expect(200).map(drop) };
    until("the gateway reaches the files", seconds(60), look).await?;

    let large = || vec![7; usize::try_from(LARGE).unwrap_or_default()];
    files.put("content/old", large()).await?.expect(201)?;
    files.delete("content/old").await?.expect(200)?;
    // The server refuses what does not fit; what was deleted gives way then, and the next try finds room.
    let first = files.put("content/new", large()).await?;
    if first.status != 201 {
        let said = first.refused(507, "QuotaExceeded")?;
        ensure!(said.contains("try again"), "it says {said}");
        context.note(said);
        files.put("content/new", large()).await?.expect(201)?;
    }
    let trash = files.get("trash").await?.expect(200)?.json()?;
    ensure!(trash["entries"].as_array().is_some_and(Vec::is_empty), "in the trash is {trash}");
    let said = files.put("content/more", large()).await?.refused(507, "QuotaExceeded")?;
    ensure!(said.contains("full"), "it says {said}");
    context.note(said);
    files.get("stat/more").await?.refused(404, "NotFound")?;
    ensure!(
        files.get("stat/new").await?.expect(200)?.json()?["size"] == LARGE,
        "the file that fits is another"
    );

    let disk = files.get("usage").await?.expect(200)?.json()?;
    let whole = disk["capacity"].as_u64().context("the disk's size is not told")?;
    ensure!(whole > 4 * CAPACITY, "the disk has {whole} bytes");
    until("the list tells what is used", seconds(150), || own_figures(context, &person)).await
}

/// Those of the list are the FileSystem's, not the disk's.
async fn own_figures(context: &Context, person: &Visitor) -> Result<()> {
    let path = format!("workspaces/{}/filesystems", context.namespace());
    let all = person.get(&path).await?.expect(200)?.json()?;
    let (capacity, used) = (&all[0]["capacity"], all[0]["used"].as_u64().unwrap_or_default());
    ensure!(*capacity == CAPACITY, "the list says {all}");
    ensure!((LARGE..=CAPACITY + OVERSHOOT_MAX).contains(&used), "the list says {all}");
    Ok(())
}
