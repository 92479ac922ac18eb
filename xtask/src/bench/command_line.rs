//! The command line: the goal that the program `command-bench` measures, and the page's part on it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use workspacefs_e2e::ClusterConfig;

use super::machine;
use super::page::{self, Rendered};
use super::peers;
use super::races::{self, Count};
use super::trees::{Report, Word};
use crate::images;

/// Measures, and writes the page. There is one goal: the words say no more than that it is wanted.
pub fn run(_words: &[Word]) -> Result<Count> {
    let cache = ClusterConfig::from_environment("bench")?.cache().to_path_buf();
    // Before we keep it busy ourselves.
    let here = machine::here()?;
    let binaries = images::static_binaries()?;
    let peers = peers::install_of_command_line()?;
    let started = Instant::now();
    let folders: Vec<&Path> =
        std::iter::once(&binaries).chain(&peers.folders).map(PathBuf::as_path).collect();
    let races = races::run("command-bench", &cache.join("bench"), &folders, &[])?;
    println!("bench: measured in {:.0} s", started.elapsed().as_secs_f32());
    let report = Report { here, peers: peers.versions, races };
    super::write_page(Rendered::CommandLine(page::command_line_part(&report)))?;
    Ok(races::told(&report.races))
}
