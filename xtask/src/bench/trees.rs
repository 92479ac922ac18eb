//! Trees of files: `wfs sync` and the deletion of trees beside the peers, on this computer, no cluster involved: what is asked
//! for, and the page's part on it. The program `tree-bench` measures.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use workspacefs_bench::goals::RaceReport;
use workspacefs_e2e::ClusterConfig;

use super::machine::{self, Here};
use super::page::{self, Rendered};
use super::peers;
use super::races::{self, Count};
use crate::images;

/// A word of the command line: a goal of PERFORMANCE, or several.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Word {
    /// All goals that are about trees. (Single ones replace what the page says of them.)
    Sync,
    /// Smaller trees and fewer runs, some minutes in all: what CI runs. By itself, of all goals.
    Gate,
    /// Refresh, plain.
    G1,
    /// Refresh, attributes with the listing.
    G2,
    /// Refresh of one flat directory.
    G3,
    /// First copy.
    G4,
    /// Local copy.
    G5,
    /// Large files.
    G6,
    /// A large file from far away.
    G7,
    /// Into a slow destination.
    G8,
    /// Deletion.
    G9,
    /// Memory.
    G11,
    /// Files over HTTP.
    G13,
    /// Imports from buckets.
    G14,
    /// Caches.
    G16,
    /// The command line.
    G17,
}

impl Word {
    /// Which program measures it.
    pub fn subject(self) -> Subject {
        match self {
            Self::G13 | Self::G14 => Subject::Transfers,
            Self::G17 => Subject::CommandLine,
            _ => Subject::Trees,
        }
    }

    /// As the measuring programs know it.
    pub fn goal(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// What a goal is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// Trees of files.
    Trees,
    /// Files over HTTP, and from buckets.
    Transfers,
    /// The command line.
    CommandLine,
}

/// What the words ask for.
#[derive(Debug, Eq, PartialEq)]
struct Wanted {
    gate: bool,
    /// As `tree-bench` knows them; empty for all.
    goals: Vec<String>,
}

/// All that was measured.
pub struct Report {
    /// Where.
    pub here: Here,
    /// Names and versions of the peers.
    pub peers: String,
    /// One race after the other.
    pub races: Vec<RaceReport>,
}

/// Measures what the words ask for, and writes the page unless it was the gate.
pub fn run(words: &[Word]) -> Result<Count> {
    let wanted = Wanted::of(words);
    let report = measure(&wanted)?;
    match wanted.gate {
        true => println!("\n{}", page::trees_part(&report)),
        false if wanted.goals.is_empty() => super::write_page(Rendered::Trees(page::trees_part(&report)))?,
        false => super::write_page(Rendered::Goals(page::goals(&report)))?,
    }
    Ok(races::told(&report.races))
}

impl Wanted {
    fn of(words: &[Word]) -> Self {
        let is_goal = |word: &&Word| !matches!(word, Word::Sync | Word::Gate);
        let goals = match words.contains(&Word::Sync) {
            true => Vec::new(),
            false => words.iter().filter(is_goal).map(|word| word.goal()).collect(),
        };
        Self { gate: words.contains(&Word::Gate), goals }
    }
}

fn measure(wanted: &Wanted) -> Result<Report> {
    let cache = ClusterConfig::from_environment("bench")?.cache().to_path_buf();
    // Before we keep it busy ourselves.
    let here = machine::here()?;
    let binaries = images::static_binaries()?;
    let peers = peers::install(&cache)?;
    let started = Instant::now();

    let mut arguments = wanted.goals.clone();
    if wanted.gate {
        arguments.push("--gate".to_owned());
    }
    let folders: Vec<&Path> =
        std::iter::once(&binaries).chain(&peers.folders).map(PathBuf::as_path).collect();
    let races = races::run("tree-bench", &cache.join("bench"), &folders, &arguments)?;
    println!("bench: measured in {:.0} s", started.elapsed().as_secs_f32());
    Ok(Report { here, peers: peers.versions, races })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_sync_means_all_goals_whatever_stands_beside_it() {
        let wanted = |words: &[Word]| Wanted::of(words);
        let is_all = |words: &[Word]| wanted(words).goals.is_empty();
        assert!(is_all(&[Word::Sync]));
        assert!(is_all(&[Word::Sync, Word::G1]));
        assert!(!is_all(&[Word::G1]) && wanted(&[Word::Gate]).gate);
        assert_eq!(wanted(&[Word::Gate]), Wanted { gate: true, goals: vec![] });
        assert_eq!(
            wanted(&[Word::G4, Word::Gate, Word::G11]),
            Wanted { gate: true, goals: vec!["g4".into(), "g11".into()] }
        );
    }
}
