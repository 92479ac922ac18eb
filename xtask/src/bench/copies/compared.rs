//! What the runs say of each other: ours beside those of the peers, until all is on the disk.

use workspacefs_bench::goals::{Bar, Line, Sense};

use super::ways::{Trip, Way};

/// How many times as fast as each of these we are to be.
const GOALS: [(Way, f64); 2] = [(Way::KubectlCp, 1.0), (Way::Rsync, 2.0)];

/// A bar for each peer that was run. What is fetched nobody syncs.
pub fn bars(trip: Trip, lines: &[Line]) -> Vec<Bar> {
    let until = if trip == Trip::Up { ", until it is on the disk" } else { "" };
    let ours = lines.iter().find(|line| line.ours).and_then(seconds);
    let bar = |(peer, goal): (Way, f64)| {
        let line = lines.iter().find(|line| line.name == peer.name())?;
        Some(Bar {
            what: format!("times as fast as {}{until}", line.name),
            value: seconds(line)? / ours?,
            sense: Sense::AtLeast,
            must: goal,
            goal,
            first: None,
        })
    };
    GOALS.into_iter().filter_map(bar).collect()
}

fn seconds(line: &Line) -> Option<f64> {
    line.samples.first().map(|sample| sample.seconds + sample.sync_seconds)
}

#[cfg(test)]
mod tests {
    use workspacefs_bench::goals::{Level, Sample};

    use super::*;

    fn line(way: Way, seconds: f64) -> Line {
        let sample =
            Sample { seconds, sync_seconds: 0.5, processor_seconds: 0.0, memory_bytes: 0, operations: None };
        Line {
            name: way.name().to_owned(),
            command: String::new(),
            ours: way == Way::Forwarded,
            samples: vec![sample],
        }
    }

    #[test]
    fn the_sync_counts() {
        let lines = [line(Way::Forwarded, 1.5), line(Way::KubectlCp, 2.5), line(Way::Rsync, 3.2)];
        let bars = bars(Trip::Up, &lines);
        let seen: Vec<_> = bars.iter().map(|bar| (bar.shown(), bar.level())).collect();
        assert_eq!(seen, [("1.50".to_owned(), Level::Goal), ("1.85".to_owned(), Level::Missed)]);
        assert_eq!(bars[0].what, "times as fast as kubectl cp, until it is on the disk");
    }

    #[test]
    fn who_was_not_run_has_no_bar() {
        assert_eq!(bars(Trip::Down, &[line(Way::Forwarded, 1.0), line(Way::Straight, 1.0)]), []);
        assert_eq!(bars(Trip::Down, &[line(Way::KubectlCp, 1.0)]), []);
    }
}
