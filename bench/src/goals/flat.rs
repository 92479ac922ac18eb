//! Whether our memory stays the same however many files there are.

use super::bar::{Sense, worst};
use super::report::{Bar, RaceReport};
use super::shape::thousands;

/// The performance plan asks for memory that is flat, without a figure. These are ours, in MB: nothing as long as a name
/// may be kept of each file, even of the gate's.
const MUST: f64 = 8.0;
const GOAL: f64 = 4.0;

/// What our peak memory with the most files is more than that with the fewest; None of fewer than two races that came to
/// an end.
pub fn flat(races: &[&RaceReport]) -> Option<Bar> {
    let measured: Vec<(u64, f64)> =
        races.iter().filter_map(|race| Some((race.files, memory(race)?))).collect();
    let (few, with_few) = measured.iter().min_by_key(|(files, _)| *files)?;
    let (many, with_many) = measured.iter().max_by_key(|(files, _)| *files)?;
    (few < many).then(|| Bar {
        what: format!("peak memory, MB more with {} files than with {}", thousands(*many), thousands(*few)),
        value: (with_many - with_few) / 1e6,
        sense: Sense::AtMost,
        must: MUST,
        goal: GOAL,
        first: None,
    })
}

fn memory(race: &RaceReport) -> Option<f64> {
    worst(race.lines.iter().find(|line| line.ours)?, |sample| sample.memory_bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::super::bar::Level;
    use super::super::report::{Line, Sample};
    use super::*;

    fn race(files: u64, memory: &[u64]) -> RaceReport {
        let sample = |memory_bytes: &u64| Sample {
            seconds: 1.0,
            sync_seconds: 0.0,
            processor_seconds: 1.0,
            memory_bytes: *memory_bytes,
            operations: None,
        };
        let samples = memory.iter().map(sample).collect();
        let line =
            |name: &str, ours, samples| Line { name: name.into(), command: String::new(), ours, samples };
        RaceReport {
            goal: "G11".into(),
            title: String::new(),
            tree: String::new(),
            files,
            lines: vec![line("rclone-64", false, vec![sample(&9000)]), line("wfs", true, samples)],
            bars: vec![],
            notes: vec![],
            failed: None,
        }
    }

    #[test]
    fn the_most_files_are_held_against_the_fewest() {
        let races = [
            race(200_000, &[25_000_000, 20_000_000]),
            race(10_000, &[10_000_000, 21_000_000]),
            race(1_000_000, &[28_000_000, 29_000_000]),
        ];
        let bar = flat(&races.each_ref()).unwrap();
        assert_eq!(bar.what, "peak memory, MB more with 1,000,000 files than with 10,000");
        assert_eq!((bar.value, bar.level()), (8.0, Level::Must));
        assert_eq!(flat(&[&races[0], &races[1]]).unwrap().value, 4.0);
    }

    #[test]
    fn one_race_alone_says_nothing() {
        let races = [race(10, &[1]), race(20, &[])];
        assert_eq!(flat(&races.each_ref()), None);
        assert_eq!(flat(&[]), None);
    }
}
