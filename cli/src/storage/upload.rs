//! `wfs storage upload`: a file, or a folder with all that is in it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::ValueHint;
use tokio::sync::OnceCell;

use super::Place;
use super::rsync::{self, Begun, Transfer};
use super::transfer::batch::Batches;
use super::transfer::meter::{Fate, Meter};
use super::transfer::send::Sender;
use super::transfer::upload::Upload;
use super::transfer::{Links, Stop, piece_bytes, shown};
use crate::client::error::Refused;
use crate::client::path::{RemotePath, parser};
use crate::exit::Exit;
use crate::progress::Phase;
use crate::text;

/// Uploads a file, or with -r a folder
///
/// A file goes to REMOTE, or with a slash at REMOTE's end into that folder. A folder LOCAL goes into REMOTE, as REMOTE/LOCAL; with a
/// slash at LOCAL's end what is in it goes into REMOTE: as with rsync. Folders that are missing are made. A file appears under its
/// name whole; modes and times of files are kept. What was cut is gone on with by the same command and --update.
///
/// For example: wfs storage upload -r --update ./datasets /
#[derive(clap::Args)]
pub struct Args {
    /// File or folder of this machine
    #[arg(value_name = "LOCAL", value_hint = ValueHint::AnyPath)]
    local: OsString,
    /// Where it goes
    #[arg(value_name = "REMOTE", value_parser = parser(), default_value = "/")]
    remote: RemotePath,
    /// A folder with all that is in it
    #[arg(short, long)]
    recursive: bool,
    /// Only files that differ in size or time from what is there
    #[arg(short, long)]
    update: bool,
    /// Show progress also where there is no terminal, as lines. (What an earlier run left is gone on with by itself)
    #[arg(short, long)]
    progress: bool,
    /// By this machine's rsync, through the gateway; symbolic links stay links. Where that cannot be, as --update, and a line says so
    #[arg(long)]
    rsync: bool,
    /// Replace no file that is there
    #[arg(long)]
    no_overwrite: bool,
    /// What is done with symbolic links
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    links: Links,
    /// Files that are sent at once
    #[arg(long, value_name = "N", default_value = "32", value_parser = workers)]
    parallel: NonZeroUsize,
}

/// What is read: a folder, and which name of it; none is the whole.
struct Source {
    root: OwnedFd,
    name: Option<Vec<u8>>,
}

impl Args {
    /// Uploads.
    ///
    /// # Errors
    /// [`Refused`] before anything is sent; it did not begin.
    pub async fn run(&self, args: &super::Args) -> Result<Exit> {
        let source = self.source()?;
        let to = self.landing()?;
        let place = args.open().await?;
        if self.rsync {
            let transfer = Transfer {
                local: &self.local,
                to: &to,
                is_folder: source.name.is_none(),
                progress: self.progress,
                keep: self.no_overwrite,
                links: self.links,
            };
            match rsync::begin(args, &place, transfer).await? {
                Begun::Ended(exit) => return Ok(exit),
                Begun::Cannot(why) => {
                    text::complain(&format!(
                        "{why}: files that differ go over the file API, as with --update"
                    ));
                }
            }
        }
        let meter = Arc::new(Meter::new());
        let is_one = source.name.is_some();
        let sender = Sender {
            files: place.files.clone(),
            root: Arc::new(source.root),
            overwrite: !self.no_overwrite,
            piece: piece_bytes(if is_one { 1 } else { self.parallel.get() }),
            meter: Arc::clone(&meter),
            unfinished: OnceCell::new(),
        };
        match source.name {
            Some(name) => self.file(&place, sender, meter, name, to).await,
            None => self.folder(&place, sender, meter, to).await,
        }
    }

    async fn file(
        &self,
        place: &Place,
        sender: Sender,
        meter: Arc<Meter>,
        name: Vec<u8>,
        to: RemotePath,
    ) -> Result<Exit> {
        let stop = Arc::new(Stop::default());
        let names = vec![name];
        let is_same = self.is_update() && self.is_there(place, &sender, &names, &to).await?;
        let transfer = async {
            let size = fs_size(&sender, &names);
            meter.found(size);
            meter.listed();
            if is_same {
                meter.settled(Fate::Unchanged, size);
                return;
            }
            match sender.send(&names, &to).await {
                Ok(sent) => meter.settled(Fate::Done, sent),
                Err(error) => {
                    let mut problem = error.problem(to.to_string());
                    if matches!(error.code(), "IsDirectory") {
                        problem.message.push_str(&format!(" ({to}/ puts it into that folder)"));
                    }
                    meter.failed(size, problem);
                }
            }
        };
        shown(Arc::clone(&meter), stop, Phase::Upload, place.output, self.progress, transfer).await
    }

    async fn folder(&self, place: &Place, sender: Sender, meter: Arc<Meter>, to: RemotePath) -> Result<Exit> {
        if !to.is_root() && place.files.find(&to).await?.is_some_and(|entry| !entry.is_dir()) {
            bail!("{to} is a file, and a folder cannot replace it: wfs storage rm deletes it");
        }
        let stop = Arc::new(Stop::default());
        let upload = Upload {
            sender,
            to,
            update: self.is_update(),
            links: self.links,
            workers: self.parallel.get(),
            batches: Batches::new(self.parallel.get()),
            stop: Arc::clone(&stop),
        };
        shown(meter, stop, Phase::Upload, place.output, self.progress, upload.run()).await
    }

    fn is_update(&self) -> bool {
        self.update || self.rsync
    }

    async fn is_there(
        &self,
        place: &Place,
        sender: &Sender,
        names: &[Vec<u8>],
        to: &RemotePath,
    ) -> Result<bool> {
        let Some(entry) = place.files.find(to).await? else { return Ok(false) };
        Ok(sender.is_same(names, &entry))
    }

    /// The local side, opened: what is missing or may not be read is told before anything is sent.
    fn source(&self) -> Result<Source> {
        let path = Path::new(&self.local);
        if self.local.is_empty() {
            return Err(Refused::because("an empty path: name a file or a folder of this machine"));
        }
        let name = text::shown(path);
        // A link that was typed is followed: it was meant.
        let real = fs::canonicalize(path).with_context(|| format!("cannot open {name}"))?;
        let found = fs::metadata(&real).with_context(|| format!("cannot look at {name}"))?;
        if found.is_dir() {
            if !self.recursive {
                return Err(Refused::because(format!(
                    "{name} is a folder: -r uploads it with all that is in it"
                )));
            }
            let root = File::open(&real).with_context(|| format!("cannot open {name}"))?;
            return Ok(Source { root: root.into(), name: None });
        }
        if !found.is_file() {
            return Err(Refused::because(format!("{name} is neither a file nor a folder")));
        }
        if self.local.as_bytes().ends_with(b"/") {
            return Err(Refused::because(format!("{name} is a file, not a folder")));
        }
        File::open(&real).with_context(|| format!("cannot open {name}"))?;
        let (Some(above), Some(last)) = (real.parent(), real.file_name()) else {
            bail!("{name} has no name");
        };
        let root = rustix::fs::open(
            above,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        );
        let root = root.with_context(|| format!("cannot open the folder of {name}"))?;
        Ok(Source { root, name: Some(last.as_bytes().to_vec()) })
    }

    /// Where it goes.
    fn landing(&self) -> Result<RemotePath> {
        let path = PathBuf::from(&self.local);
        let is_dir = fs::metadata(&path).is_ok_and(|found| found.is_dir());
        let name = last_name(&self.local);
        if is_dir {
            return Ok(name.map_or_else(|| self.remote.clone(), |name| self.remote.join(name)));
        }
        let name = name.ok_or_else(|| Refused::because("a file without a name"))?;
        Ok(self.remote.landing(name))
    }
}

/// The name under which a local path goes elsewhere; none where only its contents do: `dir/`, `.`, `..`, `/`.
fn last_name(local: &OsStr) -> Option<&[u8]> {
    let last = local.as_bytes().rsplit(|byte| *byte == b'/').next()?;
    Some(last).filter(|name| !matches!(*name, b"" | b"." | b".."))
}

fn fs_size(sender: &Sender, names: &[Vec<u8>]) -> u64 {
    sender.size(names).unwrap_or(0)
}

/// For clap.
///
/// # Errors
/// A sentence.
pub fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse::<NonZeroUsize>().ok().filter(|number| number.get() <= 256);
    number.ok_or_else(|| "a number from 1 to 256".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_of_a_folder_means_what_is_in_it() {
        for (local, name) in [
            ("a", Some("a")),
            ("a/b", Some("b")),
            ("/a/b", Some("b")),
            ("a/", None),
            (".", None),
            ("./", None),
            ("a/..", None),
            ("/", None),
        ] {
            assert_eq!(last_name(OsStr::new(local)), name.map(str::as_bytes), "{local}");
        }
    }
}
