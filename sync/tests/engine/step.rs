//! A copy in a process of its own, killed at the n-th border of its system calls.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitCode};

use workspacefs_sync::{Control, DeleteOptions};
use workspacefs_testkit::step;

use crate::cases::kills::{options, paths};
use crate::world::open;

/// Starts a victim and kills it at border number `at`. False if it was done before.
pub fn killed_at(what: &str, folder: &Path, at: usize) -> bool {
    step::killed_at(Command::new("/proc/self/exe").args(["victim", what]).arg(folder), at)
}

/// The victim's own process.
pub fn run_victim(what: &str, folder: &Path) -> ExitCode {
    let paths = paths(folder);
    let (source, destination) = (open(&paths.source), open(&paths.destination));
    let above = open(folder);
    println!("ready");
    std::io::stdin().read_exact(&mut [0]).unwrap();
    let control = Control::new();
    let ended_well = if what == "delete" {
        let options = DeleteOptions { workers: std::num::NonZeroUsize::new(2), ..DeleteOptions::default() };
        let report = workspacefs_sync::delete(above.as_fd(), "destination".as_ref(), &options, &control);
        report.is_ok_and(|report| report.stopped.is_none() && report.notes.is_empty())
    } else {
        let report =
            workspacefs_sync::sync(source.as_fd(), destination.as_fd(), &options(what, &paths), &control);
        report.is_ok_and(|report| report.is_complete())
    };
    if ended_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
