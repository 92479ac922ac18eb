//! Deletes one tree by the copy engine, as the trash does: to be measured beside `rm -rf`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use rustix::fs::{CWD, Mode, OFlags, openat};
use workspacefs_sync::{Control, DeleteOptions, delete};

#[derive(Parser)]
struct Args {
    /// The tree
    tree: PathBuf,
}

fn main() -> Result<()> {
    let tree = Args::parse().tree;
    let (Some(parent), Some(name)) = (tree.parent(), tree.file_name()) else {
        bail!("{} is no name in a folder", tree.display());
    };
    let parent = if parent.as_os_str().is_empty() { ".".as_ref() } else { parent };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let folder = openat(CWD, parent, flags, Mode::empty())
        .with_context(|| format!("cannot open {}", parent.display()))?;
    let options = DeleteOptions::default();
    let report = delete(rustix::fd::AsFd::as_fd(&folder), name, &options, &Control::new())?;
    for note in &report.notes {
        eprintln!("{}: {}", note.path.display(), note.problem);
    }
    ensure!(report.is_done(), "{} is not deleted", tree.display());
    Ok(())
}
