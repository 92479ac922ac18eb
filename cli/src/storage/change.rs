//! What changes names: `mkdir`, `rm`, `rmdir`, `mv`, `cp`.

use anyhow::{Result, bail};
use indicatif::{HumanBytes, HumanCount};
use serde_json::json;

use super::{Place, each, not_root};
use crate::client::error::{ClientError, Refused};
use crate::client::path::{RemotePath, parser};
use crate::client::types::{Deleted, Entry};
use crate::exit::Exit;
use crate::text;

/// Makes folders, and those above them
#[derive(clap::Args)]
pub struct Mkdir {
    /// Folders
    #[arg(value_name = "PATH", value_parser = parser(), required = true)]
    paths: Vec<RemotePath>,
    /// A folder that is there is no error
    #[arg(short, long)]
    parents: bool,
}

/// Deletes files: they go to the trash
#[derive(clap::Args)]
pub struct Rm {
    /// Files
    #[arg(value_name = "PATH", value_parser = parser(), required = true)]
    paths: Vec<RemotePath>,
    /// For good, not to the trash
    #[arg(long)]
    permanent: bool,
}

/// Deletes folders: they go to the trash
#[derive(clap::Args)]
pub struct Rmdir {
    /// Folders
    #[arg(value_name = "PATH", value_parser = parser(), required = true)]
    paths: Vec<RemotePath>,
    /// With all that lies below
    #[arg(short, long)]
    recursive: bool,
    /// For good, not to the trash
    #[arg(long)]
    permanent: bool,
}

/// Moves or renames a file or a folder
#[derive(clap::Args)]
pub struct Mv {
    /// What is there
    #[arg(value_name = "FROM", value_parser = parser())]
    from: RemotePath,
    /// Its new path; a folder with a slash at its end gets it under its old name
    #[arg(value_name = "TO", value_parser = parser())]
    to: RemotePath,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
}

/// Copies a file or a folder on the server
#[derive(clap::Args)]
pub struct Cp {
    /// What is there
    #[arg(value_name = "FROM", value_parser = parser())]
    from: RemotePath,
    /// The copy's path; a folder with a slash at its end gets it under its old name
    #[arg(value_name = "TO", value_parser = parser())]
    to: RemotePath,
    /// A folder with all that lies below
    #[arg(short, long)]
    recursive: bool,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

impl Mkdir {
    /// Makes each.
    ///
    /// # Errors
    /// The gateway is gone.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        each(&self.paths, place.output.format, |path| async move {
            if !place.files.make_folder(path).await? {
                if self.parents {
                    return place
                        .output
                        .done(|| format!("{path} was there"), &json!({"there": path.encoded()}));
                }
                bail!("there is a folder of that name");
            }
            place.output.done(|| format!("made {path}"), &json!({"made": path.encoded()}))
        })
        .await
    }
}

impl Rm {
    /// What can be told before anything is sent.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self) -> Result<()> {
        self.paths.iter().try_for_each(|path| not_root(path, "deleted"))
    }

    /// Deletes each.
    ///
    /// # Errors
    /// The gateway is gone.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        each(&self.paths, place.output.format, |path| async move {
            if place.files.stat(path).await?.is_dir() {
                bail!("it is a folder: wfs storage rmdir deletes one, with -r also what is in it");
            }
            let deleted = place.files.delete(path, false, self.permanent).await?;
            told(place, path, &deleted)
        })
        .await
    }
}

impl Rmdir {
    /// What can be told before anything is sent.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self) -> Result<()> {
        self.paths.iter().try_for_each(|path| not_root(path, "deleted"))
    }

    /// Deletes each.
    ///
    /// # Errors
    /// The gateway is gone.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        each(&self.paths, place.output.format, |path| async move {
            if !place.files.stat(path).await?.is_dir() {
                bail!("it is no folder: wfs storage rm deletes a file");
            }
            match place.files.delete(path, self.recursive, self.permanent).await {
                Ok(deleted) => told(place, path, &deleted),
                Err(error) if error.code() == "NotEmpty" => {
                    bail!("it is not empty: wfs storage rmdir -r deletes it with all that is in it")
                }
                Err(error) => Err(error.into()),
            }
        })
        .await
    }
}

fn told(place: &Place, path: &RemotePath, deleted: &Deleted) -> Result<()> {
    let text = || match &deleted.trash {
        Some(id) => format!("deleted {path} (wfs storage trash restore {})", text::shown(id.as_ref())),
        None => format!("deleted {path}"),
    };
    place.output.done(text, &json!({"deleted": path.encoded(), "trash": deleted.trash}))
}

impl Mv {
    /// What can be told before anything is sent.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self) -> Result<()> {
        check(&self.from, &self.to, "moved")
    }

    /// Moves it.
    ///
    /// # Errors
    /// What the gateway says.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        let to = landing(&self.from, &self.to);
        let moved = place.files.rename(&self.from, &to, self.overwrite).await;
        let entry: Entry = moved.map_err(|error| hinted(error, &to))?;
        place.output.done(|| format!("moved {} to {to}", self.from), &entry)?;
        Ok(Exit::Done)
    }
}

impl Cp {
    /// What can be told before anything is sent.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self) -> Result<()> {
        check(&self.from, &self.to, "copied")
    }

    /// Copies it.
    ///
    /// # Errors
    /// What the gateway says.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        if !self.recursive && place.files.stat(&self.from).await?.is_dir() {
            bail!("{} is a folder: wfs storage cp -r copies it with all that is in it", self.from);
        }
        let to = landing(&self.from, &self.to);
        let show = !place.output.quiet && std::io::IsTerminal::is_terminal(&std::io::stderr());
        let bar = show.then(indicatif::ProgressBar::new_spinner);
        let copied = place.files.copy(&self.from, &to, self.overwrite, |copied| {
            if let Some(bar) = &bar {
                bar.set_message(format!("{} files, {}", HumanCount(copied.files), HumanBytes(copied.bytes)));
                bar.tick();
            }
        });
        let copied = copied.await;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let copied = copied.map_err(|error| hinted(error, &to))?;
        let text = || {
            let plural = if copied.files == 1 { "" } else { "s" };
            let (files, bytes) = (HumanCount(copied.files), HumanBytes(copied.bytes));
            format!("copied {} to {to}: {files} file{plural}, {bytes}", self.from)
        };
        place
            .output
            .done(text, &json!({"to": to.encoded(), "files": copied.files, "bytes": copied.bytes}))?;
        Ok(Exit::Done)
    }
}

fn check(from: &RemotePath, to: &RemotePath, what: &str) -> Result<()> {
    not_root(from, what)?;
    let to = landing(from, to);
    if to.is_within(from) {
        return Err(Refused::because(format!(
            "{from} cannot be {what} to {to}: that is itself, or lies in it"
        )));
    }
    Ok(())
}

/// Where it lands.
fn landing(from: &RemotePath, to: &RemotePath) -> RemotePath {
    from.name().map_or_else(|| to.clone(), |name| to.landing(name))
}

/// With what to type instead.
fn hinted(error: ClientError, to: &RemotePath) -> anyhow::Error {
    let hint = match error.code() {
        "IsDirectory" => Some(format!("{to}/ puts it into that folder")),
        "Exists" => Some(format!("--overwrite replaces a file, and {to}/ puts it into a folder")),
        _ => None,
    };
    match hint {
        Some(hint) => anyhow::anyhow!("{error} ({hint})"),
        None => error.into(),
    }
}
