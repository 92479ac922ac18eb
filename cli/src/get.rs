//! `wfs get`: FileSystems, LocalStorages and FsCaches of a workspace as the gateway lists them, in tables as kubectl prints.

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::client::call::Call;
use crate::client::types::{Cache, FileSystem, LocalStorage, Storage};
use crate::connect::Connection;
use crate::exit::Exit;
use crate::storage::list::{bytes, file_systems, or_none};
use crate::storage::output::{line, table};
use crate::text;

/// Lists file systems, local storage or caches of the workspace
#[derive(clap::Args)]
pub struct Args {
    /// What is listed
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// Only this one
    #[arg(value_name = "NAME", value_parser = crate::manifest::name)]
    name: Option<crate::manifest::Name>,
    /// How it is printed
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    /// FileSystems
    #[value(name = "fs", aliases = ["filesystem", "filesystems"])]
    FileSystem,
    /// LocalStorages
    #[value(name = "lst", aliases = ["localstorage", "localstorages"])]
    LocalStorage,
    /// FsCaches
    #[value(name = "cache", aliases = ["caches", "fscache", "fscaches"])]
    Cache,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    /// A table
    Text,
    /// One array
    Json,
    /// One array
    Yaml,
}

/// Prints them.
///
/// # Errors
/// The workspace cannot be read, or has none of that name.
pub fn run(args: &Args) -> Result<Exit> {
    crate::block_on(async {
        let (gateway, workspace) = args.connection.workspace(false).await?;
        gateway.check().await?;
        let at = |what: &str| Call::get(format!("/wfs/v1/workspaces/{workspace}/{what}"));
        match args.kind {
            Kind::FileSystem => {
                let all: Vec<FileSystem> = gateway.json(&at("filesystems")).await?;
                args.print(all, |one| &one.name, file_systems)
            }
            Kind::LocalStorage => {
                let storage: Storage = gateway.json(&at("storage")).await?;
                args.print(storage.local_storages, |one| &one.name, local_storages)
            }
            Kind::Cache => {
                let storage: Storage = gateway.json(&at("storage")).await?;
                args.print(storage.caches, |one| &one.name, caches)
            }
        }
    })
}

impl Args {
    fn print<T: Serialize>(
        &self,
        mut all: Vec<T>,
        name: impl Fn(&T) -> &String,
        as_table: impl Fn(&[T]) -> String,
    ) -> Result<Exit> {
        if let Some(wanted) = &self.name {
            all.retain(|one| name(one) == wanted.as_str());
            if all.is_empty() {
                bail!("there is no {wanted}");
            }
        }
        line(&match self.format {
            Format::Text => as_table(&all),
            Format::Json => serde_json::to_string_pretty(&all)?,
            Format::Yaml => serde_saphyr::to_string(&all)?.trim_end().to_owned(),
        })?;
        Ok(Exit::Done)
    }
}

fn local_storages(all: &[LocalStorage]) -> String {
    let head = ["NAME", "NODE GROUP", "MEDIA", "NODES", "CAPACITY", "HEALTH", "MESSAGE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|one| {
        let count = |count: Option<u64>| count.map_or_else(|| "?".into(), |count| count.to_string());
        vec![
            one.name.clone(),
            or_none(one.node_group.as_deref()),
            or_none(one.media.as_deref()),
            format!("{}/{}", count(one.nodes_ready), count(one.nodes)),
            bytes(one.capacity),
            or_none(one.health.as_deref()),
            one.message.as_deref().map(|message| text::shown(message.as_ref())).unwrap_or_default(),
        ]
    }));
    table(&rows)
}

fn caches(all: &[Cache]) -> String {
    let head = ["NAME", "SOURCE", "TARGET", "PHASE", "PROGRESS", "SIZE", "AS OF", "HEALTH"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|one| {
        vec![
            one.name.clone(),
            word(one.source.as_ref()),
            word(one.target.as_ref()),
            or_none(one.phase.as_deref()),
            word(one.progress.as_ref()),
            bytes(one.size),
            or_none(one.as_of.as_deref()),
            or_none(one.health.as_deref()),
        ]
    }));
    table(&rows)
}

/// A word as it is; of an object what it holds.
fn word(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "<none>".into(),
        Some(Value::String(text)) => or_none(Some(text)),
        Some(Value::Object(fields)) => {
            let words = fields.iter().filter(|(_, value)| !value.is_null());
            words.map(|(key, value)| format!("{key}/{}", word(Some(value)))).collect::<Vec<_>>().join(",")
        }
        Some(other) => text::shown(other.to_string().as_ref()),
    }
}
