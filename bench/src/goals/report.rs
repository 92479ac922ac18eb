//! What the measuring program prints, one race a line, as JSON.

use serde::{Deserialize, Serialize};

use super::bar::Sense;
use super::race::Race;
use super::shape::Shape;

/// One tree and one setting, and all that was run there side by side.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RaceReport {
    /// Which goal it is of, as PERFORMANCE.md numbers them, and in which mode of the source: plain or plus.
    pub goal: String,
    /// What is done, where.
    pub title: String,
    /// The tree, in words.
    pub tree: String,
    /// Its files.
    pub files: u64,
    /// In the order in which they were started first.
    pub lines: Vec<Line>,
    /// What was asked for.
    pub bars: Vec<Bar>,
    /// What else was seen: a figure that was measured a second time.
    pub notes: Vec<String>,
    /// Why it did not come to an end, if so.
    pub failed: Option<String>,
}

/// One tool's runs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Line {
    /// What it is called in comparisons.
    pub name: String,
    /// The command line, with SRC and DST for the trees.
    pub command: String,
    /// Whether it is ours.
    pub ours: bool,
    /// One per run.
    pub samples: Vec<Sample>,
}

/// One run.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Sample {
    /// From start to end.
    pub seconds: f64,
    /// Until all of it was on the destination's disk, after that.
    pub sync_seconds: f64,
    /// Of user and system, its children included.
    pub processor_seconds: f64,
    /// The largest resident memory of the largest of its processes.
    pub memory_bytes: u64,
    /// What the slow file system had to answer, where there is one.
    pub operations: Option<u64>,
}

/// A figure and what it is held against.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Bar {
    /// In words.
    pub what: String,
    /// As measured.
    pub value: f64,
    /// Which way is better.
    pub sense: Sense,
    /// The gate.
    pub must: f64,
    /// What a release claims.
    pub goal: f64,
    /// What was measured first, if that missed the gate and it was measured again.
    pub first: Option<f64>,
}

impl RaceReport {
    /// Before anything was run.
    pub fn new(race: &Race, shape: Shape) -> Self {
        Self {
            goal: race.name(),
            title: race.title.to_owned(),
            tree: shape.words(),
            files: shape.files,
            lines: Vec::new(),
            bars: Vec::new(),
            notes: Vec::new(),
            failed: None,
        }
    }
}
