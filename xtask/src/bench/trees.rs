//! Trees of files: `wfs sync` and the deletion of trees beside the peers, on this computer, no cluster involved. The program
//! `tree-bench` measures in a mount namespace of its own; here it is started and its reports are collected.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use workspacefs_bench::goals::{Bar, Level, RaceReport, Sense};
use workspacefs_e2e::ClusterConfig;

use super::machine::{self, Here};
use super::page::{self, Rendered};
use super::peers;
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
    /// Caches.
    G16,
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

/// Bars that were reached, and bars that were missed or never came to be measured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// What it must be, or better.
    pub passed: usize,
    /// Less, or its race failed.
    pub failed: usize,
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
    for line in report.races.iter().flat_map(verdicts) {
        println!("{line}");
    }
    Ok(count(&report.races))
}

impl Wanted {
    fn of(words: &[Word]) -> Self {
        let is_goal = |word: &&Word| !matches!(word, Word::Sync | Word::Gate);
        let goals = match words.contains(&Word::Sync) {
            true => Vec::new(),
            false => words.iter().filter(is_goal).map(|word| format!("{word:?}").to_lowercase()).collect(),
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

    // Its mounts are its own and go with it, however it ends; so do the programs that it has started.
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "--fork", "--kill-child"]);
    unshare.arg(binaries.join("tree-bench")).arg("--folder").arg(cache.join("bench"));
    for folder in std::iter::once(&binaries).chain(&peers.folders) {
        unshare.arg("--programs").arg(folder);
    }
    if wanted.gate {
        unshare.arg("--gate");
    }
    let mut child = unshare.args(&wanted.goals).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("it has no output")?;
    let mut races = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        races.push(serde_json::from_str(&line).with_context(|| format!("tree-bench says {line}"))?);
    }
    let status = child.wait()?;
    ensure!(status.success(), "tree-bench ended with {status}");
    if races.is_empty() {
        // A run of nothing proves nothing.
        bail!("tree-bench measured nothing");
    }
    println!("bench: measured in {:.0} s", started.elapsed().as_secs_f32());
    Ok(Report { here, peers: peers.versions, races })
}

fn count(races: &[RaceReport]) -> Count {
    let mut count = Count::default();
    for race in races {
        count.failed += usize::from(race.failed.is_some());
        for bar in &race.bars {
            match bar.level() {
                Level::Missed => count.failed += 1,
                Level::Must | Level::Goal => count.passed += 1,
            }
        }
    }
    count
}

/// A line for each bar.
fn verdicts(race: &RaceReport) -> Vec<String> {
    let failed = race.failed.iter().map(|why| format!("FAILED  {}: {}: {why}", race.goal, race.title));
    let bars = race.bars.iter().map(|bar| {
        let word = if bar.level() == Level::Missed { "FAILED" } else { "passed" };
        format!("{word}  {}: {}", race.goal, told(bar))
    });
    let notes = race.notes.iter().map(|note| format!("        {}: {note}", race.goal));
    failed.chain(bars).chain(notes).collect()
}

fn told(bar: &Bar) -> String {
    let sign = sign(bar.sense);
    format!("{}: {} (must {sign} {}, goal {sign} {})", bar.what, bar.shown(), bar.must, bar.goal)
}

/// How a figure stands to its bar.
pub fn sign(sense: Sense) -> &'static str {
    match sense {
        Sense::AtLeast => "≥",
        Sense::AtMost => "≤",
    }
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

    #[test]
    fn a_race_that_failed_counts_beside_its_bars() {
        let bar =
            |value| Bar { what: "x".into(), value, sense: Sense::AtLeast, must: 2.0, goal: 3.0, first: None };
        let race = RaceReport {
            goal: "G1".into(),
            title: "t".into(),
            tree: String::new(),
            files: 1,
            lines: vec![],
            bars: vec![bar(1.999), bar(2.0), bar(5.0)],
            notes: vec!["n".into()],
            failed: Some("why".into()),
        };
        assert_eq!(count(std::slice::from_ref(&race)), Count { passed: 2, failed: 2 });
        assert_eq!(
            verdicts(&race),
            [
                "FAILED  G1: t: why",
                "FAILED  G1: x: 1.99 (must ≥ 2, goal ≥ 3)",
                "passed  G1: x: 2.00 (must ≥ 2, goal ≥ 3)",
                "passed  G1: x: 5.00 (must ≥ 2, goal ≥ 3)",
                "        G1: n",
            ]
        );
    }
}
