//! `wfs storage download`: a file, or a folder with all that is in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use clap::ValueHint;

use super::Place;
use super::transfer::batch::Batches;
use super::transfer::download::Download;
use super::transfer::meter::Meter;
use super::transfer::receive::Receiver;
use super::transfer::{Links, Stop, shown};
use super::upload::workers;
use crate::client::error::Refused;
use crate::client::path::{RemotePath, parser};
use crate::client::types::{Entry, Kind};
use crate::exit::Exit;
use crate::progress::Phase;
use crate::text;

/// Downloads a file, or with -r a folder
///
/// A file goes to LOCAL, or into it if LOCAL is a folder. A folder REMOTE goes into LOCAL, as LOCAL/REMOTE; with a slash at REMOTE's end what
/// is in it goes into LOCAL: as with rsync. A file appears under its name whole; modes and times are kept. What was cut is gone
/// on with by the same command and --update.
///
/// For example: wfs storage download -r --update /datasets .
#[derive(clap::Args)]
pub struct Args {
    /// File or folder
    #[arg(value_name = "REMOTE", value_parser = parser())]
    remote: RemotePath,
    /// Where it goes
    #[arg(value_name = "LOCAL", value_hint = ValueHint::AnyPath, default_value = ".")]
    local: PathBuf,
    /// A folder with all that is in it
    #[arg(short, long)]
    recursive: bool,
    /// Only files that differ in size or time from what is here
    #[arg(short, long)]
    update: bool,
    /// Show progress also where there is no terminal, as lines
    #[arg(short, long)]
    progress: bool,
    /// What is done with symbolic links
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    links: Links,
    /// Files that are fetched at once
    #[arg(long, value_name = "N", default_value = "32", value_parser = workers)]
    parallel: NonZeroUsize,
}

impl Args {
    /// Downloads.
    ///
    /// # Errors
    /// [`Refused`] before anything is sent; it did not begin.
    pub async fn run(&self, args: &super::Args) -> Result<Exit> {
        if self.local.as_os_str().is_empty() {
            return Err(Refused::because("an empty path: name a file or a folder of this machine"));
        }
        if self.remote.is_root() && !self.recursive {
            return Err(Refused::because("/ is a folder: -r downloads it with all that is in it"));
        }
        let place = args.open().await?;
        let entry = place.files.stat(&self.remote).await.with_context(|| self.remote.to_string())?;
        match entry.kind {
            Kind::Dir if self.recursive => self.folder(&place, entry).await,
            Kind::Dir => bail!("{} is a folder: -r downloads it with all that is in it", self.remote),
            Kind::File if self.remote.is_into() => bail!("{} is a file, not a folder", self.remote),
            Kind::File => self.file(&place, entry).await,
            Kind::Symlink | Kind::Other => bail!("{} is neither a file nor a folder", self.remote),
        }
    }

    async fn file(&self, place: &Place, entry: Entry) -> Result<Exit> {
        let (folder, name) = self.landing()?;
        let receiver = self.receiver(place, open(&folder)?);
        let (meter, stop) = (Arc::clone(&receiver.meter), Arc::new(Stop::default()));
        meter.found(entry.size);
        meter.listed();
        let transfer = async {
            match receiver.receive(&self.remote, &entry, &[name]).await {
                Ok((size, fate)) => meter.settled(fate, size),
                Err(error) => meter.failed(entry.size, error.problem(self.remote.to_string())),
            }
        };
        shown(Arc::clone(&meter), stop, Phase::Download, place.output, self.progress, transfer).await
    }

    async fn folder(&self, place: &Place, entry: Entry) -> Result<Exit> {
        let name = self.remote.name().filter(|_| !self.remote.is_into());
        let local = name.map_or_else(|| self.local.clone(), |name| self.local.join(OsStr::from_bytes(name)));
        let shown_local = text::shown(&local);
        fs::create_dir_all(&local).with_context(|| format!("cannot make the folder {shown_local}"))?;
        let receiver = self.receiver(place, open(&local)?);
        let (meter, stop) = (Arc::clone(&receiver.meter), Arc::new(Stop::default()));
        let made = if name.is_some() { vec![(Vec::new(), entry)] } else { Vec::new() };
        let download = Download {
            receiver,
            from: self.remote.clone(),
            links: self.links,
            workers: self.parallel.get(),
            batches: Batches::new(self.parallel.get()),
            stop: Arc::clone(&stop),
            made: Mutex::new(made),
        };
        shown(meter, stop, Phase::Download, place.output, self.progress, download.run()).await
    }

    fn receiver(&self, place: &Place, root: OwnedFd) -> Receiver {
        Receiver {
            files: place.files.clone(),
            root: Arc::new(root),
            update: self.update,
            meter: Arc::new(Meter::new()),
        }
    }

    /// The local folder and the file's name in it.
    fn landing(&self) -> Result<(PathBuf, Vec<u8>)> {
        let is_into = self.local.as_os_str().as_bytes().ends_with(b"/") || self.local.is_dir();
        if is_into {
            let name = self.remote.name().context("a file without a name")?;
            return Ok((self.local.clone(), name.to_vec()));
        }
        let name =
            self.local.file_name().with_context(|| format!("{} is no name", text::shown(&self.local)))?;
        let folder = match self.local.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        Ok((folder.to_owned(), name.as_bytes().to_vec()))
    }
}

fn open(folder: &Path) -> Result<OwnedFd> {
    let name = text::shown(folder);
    let file = File::open(folder).with_context(|| format!("cannot open the folder {name}"))?;
    if !file.metadata().with_context(|| format!("cannot look at {name}"))?.is_dir() {
        bail!("{name} is no folder");
    }
    Ok(file.into())
}
