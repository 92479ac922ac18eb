//! One race from beginning to end: who runs when, and what comes of it. Nothing in here knows a file system, so that the
//! order and the second try are tested without any.

use anyhow::Result;

use super::bar::{Demand, Level, median, shown};
use super::race::{Extent, Race, Task};
use super::report::{Line, RaceReport, Sample};
use super::shape::Shape;
use super::tool::Tool;

/// Where races are run.
pub trait Course {
    /// Makes what the race needs.
    ///
    /// # Errors
    /// What could not be made.
    fn prepare(&mut self, race: &Race, shape: Shape) -> Result<()>;

    /// One run from a cold start; what one of ours made is judged.
    ///
    /// # Errors
    /// It failed, or made something else than it was to make.
    fn run(&mut self, race: &Race, tool: &Tool, ours: bool) -> Result<Sample>;

    /// Whether a refresh of ours notices what changed; not measured.
    ///
    /// # Errors
    /// It does not.
    fn notices_changes(&mut self, race: &Race) -> Result<()>;
}

/// How often the gate measures a figure again that came out too low, perhaps by chance: computers that are shared have bad
/// moments, and where a must is to be as fast as somebody, our worse run may fall into one and his better run not. The
/// page shows what was measured.
fn retries(extent: Extent) -> usize {
    match extent {
        Extent::Gate => 4,
        Extent::Full => 0,
    }
}

/// Runs it.
///
/// # Errors
/// A run failed or made something wrong.
pub fn race(course: &mut impl Course, race: &Race, shape: Shape, extent: Extent) -> Result<RaceReport> {
    course.prepare(race, shape)?;
    let mut lines = run_all(course, race, &entrants(race, extent, None))?;
    let mut notes = Vec::new();
    let bars = |lines: &[Line], demands: &[Demand]| {
        demands.iter().map(|demand| demand.bar(lines, shape.files)).collect::<Option<Vec<_>>>()
    };
    let not_run = || anyhow::anyhow!("something that the goal needs was not measured");
    let mut reached = bars(&lines, race.demands).ok_or_else(not_run)?;

    let more_times = |demand: &Demand| if extent == Extent::Full { demand.page_times - 1 } else { 0 };
    for (demand, bar) in race.demands.iter().zip(&mut reached).filter(|(demand, _)| more_times(demand) > 0) {
        let mut figures = vec![bar.value];
        for _ in 0..more_times(demand) {
            let again = run_all(course, race, &entrants(race, extent, Some(std::slice::from_ref(demand))))?;
            figures.push(demand.bar(&again, shape.files).ok_or_else(not_run)?.value);
            add(&mut lines, again);
        }
        let shown: Vec<String> = figures.iter().map(|figure| shown(*figure, bar.sense)).collect();
        notes.push(format!("{} was measured so often: {}; the median counts", bar.what, shown.join(", ")));
        bar.value = median(figures);
    }
    for _ in 0..retries(extent) {
        let is_missed = |index: &usize| {
            reached[*index].level() == Level::Missed && race.demands[*index].figure.is_noisy()
        };
        let missed: Vec<usize> = (0..reached.len()).filter(is_missed).collect();
        if missed.is_empty() {
            break;
        }
        let demands: Vec<Demand> = missed.iter().map(|index| race.demands[*index]).collect();
        let again = run_all(course, race, &entrants(race, extent, Some(&demands)))?;
        let second = bars(&again, &demands).ok_or_else(not_run)?;
        for (index, mut bar) in missed.into_iter().zip(second) {
            let before = &reached[index];
            notes.push(format!("{} was {} and was measured again", before.what, before.shown()));
            bar.first = before.first.or(Some(before.value));
            reached[index] = bar;
        }
        add(&mut lines, again);
    }
    if race.task == Task::Refresh {
        course.notices_changes(race)?;
    }
    Ok(RaceReport { lines, bars: reached, notes, ..RaceReport::new(race, shape) })
}

/// More samples of some.
fn add(lines: &mut [Line], again: Vec<Line>) {
    for other in again {
        if let Some(line) = lines.iter_mut().find(|line| line.name == other.name) {
            line.samples.extend(other.samples);
        }
    }
}

/// Who runs how many times: all, or those whom these demands are about; we are the second to start, among the others.
fn entrants(race: &Race, extent: Extent, only: Option<&[Demand]>) -> Vec<(&'static Tool, usize)> {
    let takes_part = |tool: &Tool| match only {
        None => true,
        Some(demands) => {
            demands.iter().any(|demand| demand.figure.peers().iter().any(|peer| peer.name == tool.name))
        }
    };
    let peers = race.peers.iter().filter(|peer| takes_part(peer.tool));
    let mut entrants: Vec<_> =
        peers.map(|peer| (peer.tool, peer.runs(extent))).filter(|(_, runs)| *runs > 0).collect();
    entrants.insert(entrants.len().min(1), (race.ours, 2));
    entrants
}

/// In rounds, one after the other, the second round from the end: what is first after a pause may be slower.
fn run_all(course: &mut impl Course, race: &Race, entrants: &[(&'static Tool, usize)]) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = entrants
        .iter()
        .map(|(tool, _)| Line {
            name: tool.name.to_owned(),
            command: tool.shown(),
            ours: *tool == race.ours,
            samples: Vec::new(),
        })
        .collect();
    let rounds = entrants.iter().map(|(_, runs)| *runs).max().unwrap_or(0);
    for round in 0..rounds {
        for turn in 0..entrants.len() {
            let index = if round % 2 == 0 { turn } else { entrants.len() - 1 - turn };
            let (tool, runs) = entrants[index];
            if round < runs {
                let sample = course.run(race, tool, lines[index].ours)?;
                lines[index].samples.push(sample);
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::super::bar::{Figure, Sense};
    use super::super::race::{Goal, Peer, Slow};
    use super::super::tool::{CP, RSYNC, WFS, XCP};
    use super::*;

    /// Answers with what it was told that each run takes; the last answer stays.
    #[derive(Default)]
    struct Told {
        seconds: Vec<(&'static str, Vec<f64>)>,
        order: Vec<String>,
        changes_noticed: usize,
    }

    impl Course for Told {
        fn prepare(&mut self, _race: &Race, _shape: Shape) -> Result<()> {
            Ok(())
        }

        fn run(&mut self, _race: &Race, tool: &Tool, _ours: bool) -> Result<Sample> {
            let (_, times) = self.seconds.iter().find(|(name, _)| *name == tool.name).unwrap();
            let before = self.order.iter().filter(|name| *name == tool.name).count();
            self.order.push(tool.name.to_owned());
            Ok(Sample {
                seconds: times[before.min(times.len() - 1)],
                sync_seconds: 0.0,
                processor_seconds: 1.0,
                memory_bytes: 1,
                operations: None,
            })
        }

        fn notices_changes(&mut self, _race: &Race) -> Result<()> {
            self.changes_noticed += 1;
            Ok(())
        }
    }

    const SHAPE: Shape = Shape { directories: 1, files: 10, bytes_min: 0, bytes_max: 0 };

    const RACE: Race = Race {
        goal: Goal::G4,
        title: "",
        full: SHAPE,
        gate: Some(SHAPE),
        slow: Slow::Nothing,
        task: Task::Copy,
        ours: &WFS,
        peers: &[
            Peer { tool: &RSYNC, gate_runs: 1 },
            Peer { tool: &CP, gate_runs: 2 },
            Peer { tool: &XCP, gate_runs: 0 },
        ],
        demands: &[
            Demand { figure: Figure::Faster(&[&RSYNC]), must: 3.0, goal: 4.0, page_times: 1 },
            Demand { figure: Figure::Faster(&[&CP]), must: 2.0, goal: 4.0, page_times: 1 },
        ],
    };

    fn told(ours: &[f64]) -> Told {
        let seconds =
            vec![("wfs", ours.to_vec()), ("rsync", vec![9.0]), ("cp", vec![4.0]), ("xcp", vec![4.0])];
        Told { seconds, ..Told::default() }
    }

    #[test]
    fn everybody_runs_twice_for_the_page_and_the_second_round_goes_backwards() {
        let mut course = told(&[1.0]);
        let report = race(&mut course, &RACE, SHAPE, Extent::Full).unwrap();
        assert_eq!(course.order, ["rsync", "wfs", "cp", "xcp", "xcp", "cp", "wfs", "rsync"]);
        assert_eq!(report.lines.iter().map(|line| line.samples.len()).collect::<Vec<_>>(), [2, 2, 2, 2]);
        assert_eq!(report.bars.iter().map(|bar| bar.value).collect::<Vec<_>>(), [9.0, 4.0]);
        assert_eq!(course.changes_noticed, 0, "a copy is no refresh");
    }

    #[test]
    fn the_gate_runs_slow_peers_once_and_those_that_nothing_is_held_against_never() {
        let mut course = told(&[1.0]);
        race(&mut course, &RACE, SHAPE, Extent::Gate).unwrap();
        assert_eq!(course.order, ["rsync", "wfs", "cp", "cp", "wfs"]);
    }

    #[test]
    fn a_ratio_that_the_gate_misses_is_measured_once_more_with_those_whom_it_is_about() {
        // cp / ours is 4 / 3, then 4 / 2; rsync / ours is 3 at first.
        let mut course = told(&[3.0, 3.0, 2.0, 2.0]);
        let report = race(&mut course, &RACE, SHAPE, Extent::Gate).unwrap();
        assert_eq!(course.order[5..], ["cp", "wfs", "wfs", "cp"]);
        let bar = &report.bars[1];
        assert_eq!((bar.value, bar.level(), bar.sense), (2.0, Level::Must, Sense::AtLeast));
        assert_eq!(bar.first, Some(4.0 / 3.0));
        assert_eq!(report.bars[0].first, None);
        assert_eq!(report.notes, ["times as fast as cp was 1.33 and was measured again"]);
        assert_eq!(report.lines[1].samples.len(), 4);
    }

    #[test]
    fn a_fifth_miss_stays_one_and_the_page_tries_nothing_twice() {
        let mut course = told(&[3.0]);
        let report = race(&mut course, &RACE, SHAPE, Extent::Gate).unwrap();
        assert_eq!(report.bars[1].level(), Level::Missed);
        assert_eq!(course.order.len(), 21);
        let mut course = told(&[3.0]);
        let report = race(&mut course, &RACE, SHAPE, Extent::Full).unwrap();
        assert_eq!((report.bars[1].first, course.order.len()), (None, 8));
    }

    #[test]
    fn the_page_measures_a_close_figure_as_often_as_was_fixed_and_the_median_counts() {
        const CLOSE: Race = Race {
            demands: &[Demand { figure: Figure::Faster(&[&CP]), must: 1.0, goal: 2.0, page_times: 3 }],
            ..RACE
        };
        // cp takes 4: 0.5, 4 and 2 times as fast.
        let ours = [8.0, 8.0, 1.0, 1.0, 2.0, 2.0];
        let mut course = told(&ours);
        let report = race(&mut course, &CLOSE, SHAPE, Extent::Full).unwrap();
        assert_eq!(course.order[8..], ["cp", "wfs", "wfs", "cp", "cp", "wfs", "wfs", "cp"]);
        assert_eq!((report.bars[0].value, report.bars[0].first), (2.0, None));
        let note = "times as fast as cp was measured so often: 0.50, 4.00, 2.00; the median counts";
        assert_eq!(report.notes, [note]);
        let mut course = told(&ours);
        race(&mut course, &CLOSE, SHAPE, Extent::Gate).unwrap();
        assert_eq!(course.order[5..], ["cp", "wfs", "wfs", "cp"], "the gate only tries again");
    }

    #[test]
    fn a_refresh_has_to_notice_what_changed() {
        let mut course = told(&[1.0]);
        race(&mut course, &Race { task: Task::Refresh, ..RACE }, SHAPE, Extent::Full).unwrap();
        assert_eq!(course.changes_noticed, 1);
    }
}
