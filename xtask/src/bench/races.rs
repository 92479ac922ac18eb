//! A measuring program of this computer, in a mount namespace of its own: it is started, its reports are collected and counted.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use workspacefs_bench::goals::{Bar, Level, RaceReport, Sense};

/// Bars that were reached, and bars that were missed or never came to be measured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// What it must be, or better.
    pub passed: usize,
    /// Less, or its race failed.
    pub failed: usize,
}

impl std::ops::Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

/// Runs one of our programs, which is in one of these folders as its peers are. It works in `folder`.
pub fn run(
    program: &str,
    folder: &Path,
    programs: &[&Path],
    arguments: &[String],
) -> Result<Vec<RaceReport>> {
    let path = programs.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
    let path = path.with_context(|| format!("there is no {program}"))?;
    // Its mounts are its own and go with it, however it ends; so do the programs that it has started.
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "--fork", "--kill-child"]);
    unshare.arg(path).arg("--folder").arg(folder);
    for folder in programs {
        unshare.arg("--programs").arg(folder);
    }
    let mut child = unshare.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("it has no output")?;
    let mut races = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        races.push(serde_json::from_str(&line).with_context(|| format!("{program} says {line}"))?);
    }
    let status = child.wait()?;
    ensure!(status.success(), "{program} ended with {status}");
    if races.is_empty() {
        // A run of nothing proves nothing.
        bail!("{program} measured nothing");
    }
    Ok(races)
}

/// Says of each bar whether it was reached, and counts.
pub fn told(races: &[RaceReport]) -> Count {
    for line in races.iter().flat_map(verdicts) {
        println!("{line}");
    }
    count(races)
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
        format!("{word}  {}: {}", race.goal, bar_told(bar))
    });
    let notes = race.notes.iter().map(|note| format!("        {}: {note}", race.goal));
    failed.chain(bars).chain(notes).collect()
}

fn bar_told(bar: &Bar) -> String {
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
