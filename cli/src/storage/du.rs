//! `wfs storage du`: how full a file system is, or how much lies below a folder.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::Result;
use indicatif::{HumanBytes, HumanCount};
use serde_json::json;
use workspacefs_files_proto::types::Usage;

use super::list::bytes;
use super::transfer::READERS;
use super::transfer::folders::Folders;
use super::{Partly, Place, each};
use crate::client::error::ClientError;
use crate::client::files::Files;
use crate::client::path::{RemotePath, parser};
use crate::exit::Exit;
use crate::text;

/// Shows how full the file system is; with paths, how much lies below them
#[derive(clap::Args)]
pub struct Args {
    /// Folders or files, counted name by name [default: the file system, as it counts itself]
    #[arg(value_name = "PATH", value_parser = parser())]
    paths: Vec<RemotePath>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    bytes: u64,
    files: u64,
    folders: u64,
}

impl Args {
    /// Prints it.
    ///
    /// # Errors
    /// The gateway is gone.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        if self.paths.is_empty() {
            let usage = place.files.usage().await?;
            place.output.print(|| told(&usage), &usage)?;
            return Ok(Exit::Done);
        }
        each(&self.paths, place.output.format, |path| async move {
            let entry = place.files.stat(path).await?;
            let (sum, problems) = if entry.is_dir() {
                below(&place.files, path).await?
            } else {
                (Sum { bytes: entry.size, files: 1, folders: 0 }, Vec::new())
            };
            let text = || {
                let plural = |count, what: &str| format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" });
                format!("{}   {}, {}   {path}", HumanBytes(sum.bytes), plural(sum.files, "file"), plural(sum.folders, "folder"))
            };
            let value = json!({"path": path.encoded(), "bytes": sum.bytes, "files": sum.files, "folders": sum.folders});
            place.output.print(text, &value)?;
            for problem in &problems {
                text::complain(problem);
            }
            if problems.is_empty() { Ok(()) } else { Err(Partly("some of it could not be counted").into()) }
        })
        .await
    }
}

fn told(usage: &Usage) -> String {
    let inodes = match (usage.inodes_used, usage.inodes) {
        (Some(used), Some(all)) => format!("{} of {}", HumanCount(used), HumanCount(all)),
        _ => "?".into(),
    };
    format!(
        "used:      {}\navailable: {}\ncapacity:  {}\ninodes:    {inodes}\ntrash:     {} in {} deletions",
        bytes(usage.used),
        bytes(usage.available),
        bytes(usage.capacity),
        bytes(Some(usage.trash.bytes)),
        HumanCount(usage.trash.entries),
    )
}

/// What lies below a folder, and which folders could not be read.
async fn below(files: &Files, path: &RemotePath) -> Result<(Sum, Vec<String>), ClientError> {
    let folders = Arc::new(Folders::new(path.clone()));
    let state = Arc::new(Mutex::new((Sum::default(), Vec::new(), None)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        let (folders, state, files) = (Arc::clone(&folders), Arc::clone(&state), files.clone());
        tasks.spawn(async move {
            while let Some(in_hand) = folders.take().await {
                let counted = count(&files, &in_hand.folder, &folders).await;
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                match counted {
                    Ok(sum) => {
                        state.0.bytes += sum.bytes;
                        state.0.files += sum.files;
                        state.0.folders += sum.folders;
                    }
                    Err(error) if error.is_for_all() => {
                        state.2 = Some(error);
                        folders.end();
                    }
                    Err(error) => state.1.push(format!("{}: {error}", in_hand.folder)),
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    match state.2.take() {
        Some(error) => Err(error),
        None => Ok((state.0, std::mem::take(&mut state.1))),
    }
}

async fn count(files: &Files, path: &RemotePath, folders: &Folders<RemotePath>) -> Result<Sum, ClientError> {
    let (mut sum, mut cursor) = (Sum::default(), None::<String>);
    loop {
        let list = files.list(path, cursor.as_deref()).await?;
        for entry in &list.entries {
            if entry.is_dir() {
                sum.folders += 1;
                let name = super::transfer::download::name_of(entry, path)?;
                folders.put(path.join(&name));
            } else {
                sum.files += 1;
                sum.bytes += entry.size;
            }
        }
        match list.next {
            Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => return Ok(sum),
        }
    }
}
