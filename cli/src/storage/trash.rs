//! `wfs storage trash`: what was deleted, and the way back.

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::Place;
use super::import::{id, shown_path};
use super::list::bytes;
use super::output::{Format, json as print_json, line, table};
use crate::client::path::{RemotePath, parser};
use crate::exit::Exit;
use crate::text;

/// Lists what was deleted, and restores it
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists what was deleted
    Ls,
    /// Puts something back
    Restore {
        /// Its id, as ls shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// Where to [default: where it was]
        #[arg(value_name = "TO", value_parser = parser())]
        to: Option<RemotePath>,
    },
    /// Deletes something in the trash for good
    Rm {
        /// Its id, as ls shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
    /// Deletes all that is in the trash for good
    Empty {
        /// Yes, all of it
        #[arg(long, required = true)]
        yes: bool,
    },
}

impl Args {
    /// Does what is asked for.
    ///
    /// # Errors
    /// What the gateway says.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        match &self.command {
            Command::Ls => return list(place).await,
            Command::Restore { id, to } => {
                let entry = place.files.restore(id, to.as_ref()).await?;
                place.output.done(|| format!("restored {}", shown_path(&entry.path)), &entry)?;
            }
            Command::Rm { id } => {
                place.files.purge(Some(id)).await?;
                place.output.done(|| format!("deleted {id} for good"), &json!({"purged": id}))?;
            }
            Command::Empty { .. } => {
                place.files.purge(None).await?;
                place.output.done(|| "the trash is empty".into(), &json!({"purged": "all"}))?;
            }
        }
        Ok(Exit::Done)
    }
}

async fn list(place: &Place) -> Result<Exit> {
    let head = ["ID", "DELETED", "BY", "EXPIRES", "SIZE", "PATH"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut cursor: Option<String> = None;
    loop {
        let list = place.files.trash(cursor.as_deref()).await?;
        for one in &list.entries {
            if place.output.format == Format::Json {
                print_json(one)?;
                continue;
            }
            let slash = if one.kind == workspacefs_files_proto::types::EntryType::Dir { "/" } else { "" };
            rows.push(vec![
                text::shown(one.id.as_ref()),
                seconds(&one.deleted_at),
                text::shown(one.deleted_by.as_ref()),
                seconds(&one.expires_at),
                bytes(one.size),
                format!("{}{slash}", shown_path(&one.path)),
            ]);
        }
        match list.next {
            Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => break,
        }
    }
    if place.output.format == Format::Text {
        line(&table(&rows))?;
    }
    Ok(Exit::Done)
}

/// A time without its fractions.
fn seconds(time: &str) -> String {
    let time = time.parse::<jiff::Timestamp>();
    time.map_or_else(|_| "?".into(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
