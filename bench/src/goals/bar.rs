//! What a goal asks for and whether it is reached: arithmetic on what was measured, nothing else.

use serde::{Deserialize, Serialize};

use super::report::{Bar, Line, Sample};
use super::tool::Tool;

/// A figure that a goal is about.
#[derive(Clone, Copy, Debug)]
pub enum Figure {
    /// How many times as fast as the fastest of these we are: their best run against our worst.
    Faster(&'static [&'static Tool]),
    /// The same, where what is left to be written counts as well: not everybody writes before saying that it is done.
    FasterToDisk(&'static [&'static Tool]),
    /// How fast we are, in the speed of the slower of these: their better run against our worse.
    OfSlower(&'static [&'static Tool]),
    /// Operations that the slow file system was asked for, per file; ours, the worst run.
    OperationsPerFile,
    /// Processor time: our worst run against this one's best.
    Processor(&'static Tool),
    /// Peak memory: our worst run against this one's best.
    Memory(&'static Tool),
    /// Our peak memory in MB of 10^6 bytes, the worst run.
    MemoryMb,
    /// Our memory without work, likewise: what a run measures there is no peak.
    IdleMemoryMb,
    /// Our time in ms, the worst run.
    Milliseconds,
    /// Requests of ours, one after the other, that a server answered; the worst run.
    Requests,
}

/// What has to be reached.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Of what.
    pub figure: Figure,
    /// The gate.
    pub must: f64,
    /// What a release claims.
    pub goal: f64,
    /// How often the page measures it, an odd number; the median counts. More than once where two runs of each cannot
    /// tell who is faster.
    pub page_times: usize,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Sense {
    /// More is better.
    AtLeast,
    /// Less is better.
    AtMost,
}

/// How far a figure came.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Level {
    /// Not even what it must be.
    Missed,
    /// What it must be.
    Must,
    /// What a release claims.
    Goal,
}

impl Figure {
    /// Which way is better.
    pub fn sense(&self) -> Sense {
        match self {
            Self::Faster(_) | Self::FasterToDisk(_) | Self::OfSlower(_) => Sense::AtLeast,
            Self::OperationsPerFile
            | Self::Processor(_)
            | Self::Memory(_)
            | Self::MemoryMb
            | Self::IdleMemoryMb
            | Self::Milliseconds
            | Self::Requests => Sense::AtMost,
        }
    }

    /// Whether another run of the same may come out otherwise by chance: what is counted does not.
    pub fn is_noisy(&self) -> bool {
        matches!(
            self,
            Self::Faster(_)
                | Self::FasterToDisk(_)
                | Self::OfSlower(_)
                | Self::Processor(_)
                | Self::Milliseconds
        )
    }

    /// Whom we are compared with.
    pub fn peers(&self) -> &[&'static Tool] {
        match self {
            Self::Faster(peers) | Self::FasterToDisk(peers) | Self::OfSlower(peers) => peers,
            Self::Processor(peer) | Self::Memory(peer) => std::slice::from_ref(peer),
            Self::OperationsPerFile
            | Self::MemoryMb
            | Self::IdleMemoryMb
            | Self::Milliseconds
            | Self::Requests => &[],
        }
    }

    /// In words, for the page.
    fn words(&self) -> String {
        let names = |peers: &[&Tool]| peers.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
        match self {
            Self::Faster([peer]) => format!("times as fast as {}", peer.name),
            Self::Faster(peers) => format!("times as fast as the best of {}", names(peers)),
            Self::FasterToDisk(peers) => {
                format!("times as fast as {}, until it is on the disk", names(peers))
            }
            Self::OfSlower(peers) => format!("speed / the slower of {}", names(peers)),
            Self::OperationsPerFile => "operations per file".to_owned(),
            Self::Processor(peer) => format!("processor time / {}", peer.name),
            Self::Memory(peer) => format!("peak memory / {}", peer.name),
            Self::MemoryMb => "peak memory, MB".to_owned(),
            Self::IdleMemoryMb => "memory without work, MB".to_owned(),
            Self::Milliseconds => "ms".to_owned(),
            Self::Requests => "round trips after connecting".to_owned(),
        }
    }

    /// The figure of a race of so many files; None if one that it needs was not measured.
    fn of(&self, lines: &[Line], files: u64) -> Option<f64> {
        let ours = |figure: fn(&Sample) -> f64| worst(lines.iter().find(|line| line.ours)?, figure);
        let peer = |peer: &Tool, figure: fn(&Sample) -> f64| {
            best(lines.iter().find(|line| line.name == peer.name)?, figure)
        };
        match self {
            Self::Faster(peers) | Self::FasterToDisk(peers) | Self::OfSlower(peers) => {
                let time = if matches!(self, Self::FasterToDisk(_)) { seconds_to_disk } else { seconds };
                // One of several that was not run could have been the one that counts.
                let times: Option<Vec<f64>> = peers.iter().map(|tool| peer(tool, time)).collect();
                let which = if matches!(self, Self::OfSlower(_)) { f64::max } else { f64::min };
                Some(times?.into_iter().reduce(which)? / ours(time)?)
            }
            Self::OperationsPerFile => Some(operations(lines)? / files as f64),
            Self::Requests => operations(lines),
            Self::Processor(tool) => Some(ours(processor)? / peer(tool, processor)?),
            Self::Memory(tool) => Some(ours(memory)? / peer(tool, memory)?),
            Self::MemoryMb | Self::IdleMemoryMb => Some(ours(memory)? / 1e6),
            Self::Milliseconds => Some(ours(seconds)? * 1e3),
        }
    }
}

/// Ours, the worst run; None if one was not counted.
fn operations(lines: &[Line]) -> Option<f64> {
    let line = lines.iter().find(|line| line.ours)?;
    let counted: Option<Vec<u64>> = line.samples.iter().map(|sample| sample.operations).collect();
    Some(counted?.into_iter().max()? as f64)
}

fn seconds(sample: &Sample) -> f64 {
    sample.seconds
}

fn seconds_to_disk(sample: &Sample) -> f64 {
    sample.seconds + sample.sync_seconds
}

fn processor(sample: &Sample) -> f64 {
    sample.processor_seconds
}

fn memory(sample: &Sample) -> f64 {
    sample.memory_bytes as f64
}

/// The smallest; None of none.
fn best(line: &Line, figure: fn(&Sample) -> f64) -> Option<f64> {
    line.samples.iter().map(figure).reduce(f64::min)
}

/// The largest; None of none.
pub(super) fn worst(line: &Line, figure: fn(&Sample) -> f64) -> Option<f64> {
    line.samples.iter().map(figure).reduce(f64::max)
}

impl Demand {
    /// What became of it in a race of so many files; None if something that it needs was not measured.
    pub fn bar(&self, lines: &[Line], files: u64) -> Option<Bar> {
        Some(Bar {
            what: self.figure.words(),
            value: self.figure.of(lines, files)?,
            sense: self.figure.sense(),
            must: self.must,
            goal: self.goal,
            first: None,
        })
    }
}

impl Bar {
    /// How far it came.
    pub fn level(&self) -> Level {
        let reaches = |bar: f64| match self.sense {
            Sense::AtLeast => self.value >= bar,
            Sense::AtMost => self.value <= bar,
        };
        match (reaches(self.must), reaches(self.goal)) {
            (_, true) => Level::Goal,
            (true, false) => Level::Must,
            (false, false) => Level::Missed,
        }
    }

    /// Its value as it is written down: rounded the unfavourable way, so that what is seen never reaches more than what
    /// was measured.
    pub fn shown(&self) -> String {
        shown(self.value, self.sense)
    }
}

/// The one in the middle of an odd number of figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Three digits behind the point for figures like 0.031, two for most, none for large ones.
pub(super) fn shown(value: f64, sense: Sense) -> String {
    let decimals = match value {
        small if small < 0.1 => 3,
        large if large >= 100.0 => 0,
        _ => 2,
    };
    let scale = 10_f64.powi(decimals);
    // A figure like 1.15 has no exact form; its neighbour must not be shown in its place.
    let nudge = 1e-9;
    let rounded = match sense {
        Sense::AtLeast => (value * scale + nudge).floor() / scale,
        Sense::AtMost => (value * scale - nudge).ceil() / scale,
    };
    format!("{rounded:.*}", usize::try_from(decimals).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::tool::{CP, RSYNC, XCP};
    use super::*;

    fn line(name: &str, ours: bool, samples: &[(f64, f64, u64, u64)]) -> Line {
        let samples = samples
            .iter()
            .map(|(seconds, processor_seconds, memory_bytes, operations)| Sample {
                seconds: *seconds,
                sync_seconds: 0.0,
                processor_seconds: *processor_seconds,
                memory_bytes: *memory_bytes,
                operations: Some(*operations),
            })
            .collect();
        Line { name: name.to_owned(), command: String::new(), ours, samples }
    }

    fn lines() -> Vec<Line> {
        vec![
            line("rsync", false, &[(10.0, 4.0, 20, 900), (8.0, 5.0, 10, 800)]),
            line("wfs", true, &[(1.0, 1.0, 8_000_000, 220), (2.0, 2.0, 5, 210)]),
            line("cp", false, &[(6.0, 1.0, 1, 1)]),
        ]
    }

    #[test]
    fn our_worst_run_is_held_against_the_peers_best() {
        let of = |figure: Figure| figure.of(&lines(), 100).unwrap();
        assert_eq!(of(Figure::Faster(&[&RSYNC])), 4.0);
        assert_eq!(of(Figure::Faster(&[&RSYNC, &CP])), 3.0);
        assert_eq!((of(Figure::OperationsPerFile), of(Figure::Requests)), (2.2, 220.0));
        assert_eq!(of(Figure::Processor(&RSYNC)), 0.5);
        assert_eq!(of(Figure::Memory(&RSYNC)), 800_000.0);
        assert_eq!(of(Figure::MemoryMb), 8.0);
        assert_eq!((of(Figure::IdleMemoryMb), of(Figure::Milliseconds)), (8.0, 2000.0));
    }

    #[test]
    fn who_leaves_more_to_be_written_is_not_faster_until_it_is_on_the_disk() {
        let mut lines = lines();
        lines[0].samples[1].sync_seconds = 2.5;
        lines[1].samples[0].sync_seconds = 1.5;
        let of = |figure: Figure| figure.of(&lines, 100).unwrap();
        assert_eq!(of(Figure::Faster(&[&RSYNC])), 4.0);
        assert_eq!(of(Figure::FasterToDisk(&[&RSYNC])), 10.0 / 2.5);
    }

    #[test]
    fn there_is_no_figure_where_one_that_it_needs_was_not_measured() {
        assert_eq!(Figure::Faster(&[&RSYNC, &XCP]).of(&lines(), 1), None);
        assert_eq!(Figure::Faster(&[&RSYNC]).of(&lines()[..1], 1), None);
        let mut lines = lines();
        lines[1].samples[1].operations = None;
        assert_eq!(Figure::OperationsPerFile.of(&lines, 1), None);
        lines[1].samples.clear();
        assert_eq!(Figure::MemoryMb.of(&lines, 1), None);
    }

    #[test]
    fn a_bar_is_reached_from_its_own_side_and_exactly() {
        let level = |sense, value| {
            let (must, goal) = match sense {
                Sense::AtLeast => (2.0, 4.0),
                Sense::AtMost => (4.0, 2.0),
            };
            Bar { what: String::new(), value, sense, must, goal, first: None }.level()
        };
        let levels = |sense| [1.99, 2.0, 3.99, 4.0, 4.01].map(|value| level(sense, value));
        use Level::{Goal, Missed, Must};
        assert_eq!(levels(Sense::AtLeast), [Missed, Must, Must, Goal, Goal]);
        assert_eq!(levels(Sense::AtMost), [Goal, Goal, Must, Must, Missed]);
        assert_eq!(level(Sense::AtLeast, f64::NAN), Missed);
    }

    #[test]
    fn what_is_shown_never_reaches_more_than_what_was_measured() {
        let rows = [
            (1.499, Sense::AtLeast, "1.49"),
            (1.5, Sense::AtLeast, "1.50"),
            (1.15, Sense::AtLeast, "1.15"),
            (3.201, Sense::AtMost, "3.21"),
            (3.2, Sense::AtMost, "3.20"),
            (0.0312, Sense::AtMost, "0.032"),
            (0.035, Sense::AtMost, "0.035"),
            (128.2, Sense::AtMost, "129"),
            (120.9, Sense::AtLeast, "120"),
        ];
        for (value, sense, expected) in rows {
            assert_eq!(shown(value, sense), expected, "{value} {sense:?}");
        }
    }
}
