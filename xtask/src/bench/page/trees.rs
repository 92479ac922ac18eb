//! The part on trees of files.

use workspacefs_bench::goals::{Bar, Level, Line, RaceReport};

use super::super::races::sign;
use super::super::trees::Report;
use super::TREES_HEADING;

/// All of it.
pub fn render(report: &Report) -> String {
    sections(intro(report), &report.races)
}

/// A part: what is said of it, then all of its races together, then each.
pub fn sections(intro: String, races: &[RaceReport]) -> String {
    let mut sections = vec![intro, overview(races)];
    sections.extend(races.iter().map(race));
    sections.join("\n\n")
}

fn intro(report: &Report) -> String {
    let here = &report.here;
    let other_work = here.other_work().map(|said| format!("\n\n{said}")).unwrap_or_default();
    format!(
        "{TREES_HEADING}\n\n\
         Measured on {day}, on this computer itself: {processors} processors ({processor}), {memory} GiB, kernel {kernel}.\n\
         Against {peers}.\n\n\
         What is called 1 ms away is a file system that waits 1 to 1.1 ms in each operation that a server would have to answer, and counts them\n\
         (`bench/slowfs`); plain: each file's attributes cost an operation, as on SMB; plus: they come with the listing, as on NFS. Trees lie on ext4 without a journal, destinations on ext4 over a loop device with direct I/O. All run one after the\n\
         other, in two rounds of opposite order, each from cold caches; a ratio compares the peer's better run with our worse one. Where\n\
         we are to be as fast as somebody who is nearly as fast, all that is done three times, and the median of the three counts. What a tool\n\
         leaves to be written is synced after its time is taken. Each of our copies was compared with its source by rsync with checksums, and\n\
         a refresh had to find a file of each kind of change. Our copies get their names when they are whole; after its last byte a file\n\
         is looked at once more, past every cache: one operation that no peer spends, in G4's bars too. Against xcp, where attributes come with the\n\
         listing, two operations are held against three.{other_work}",
        day = here.day,
        processors = here.processors,
        processor = here.processor,
        memory = here.memory_gib,
        kernel = here.kernel,
        peers = report.peers,
    )
}

/// A row for each bar.
fn overview(races: &[RaceReport]) -> String {
    let mut lines = vec![
        "| goal | figure | measured | must | goal | reached |".to_owned(),
        "| --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    lines.extend(races.iter().flat_map(rows));
    lines.join("\n")
}

/// The overview's of one race.
pub fn rows(race: &RaceReport) -> Vec<String> {
    let row = |bar: &Bar| {
        let sign = sign(bar.sense);
        let reached = match bar.level() {
            Level::Missed => "**missed**",
            Level::Must => "must",
            Level::Goal => "goal",
        };
        let (what, value) = (&bar.what, bar.shown());
        format!(
            "| {} | {what} | {value} | {sign} {} | {sign} {} | {reached} |",
            race.goal, bar.must, bar.goal
        )
    };
    let mut rows: Vec<String> = race.bars.iter().map(row).collect();
    if let Some(why) = &race.failed {
        let why = why.lines().next().unwrap_or_default();
        rows.push(format!("| {} | {} | **failed**: {why} | | | |", race.goal, race.title));
    }
    rows
}

/// The section of one race.
pub fn race(race: &RaceReport) -> String {
    let mut lines =
        vec![format!("## {}: {}", race.goal, race.title), String::new(), format!("{}.", race.tree)];
    if race.lines.is_empty() {
        return lines.join("\n");
    }
    lines.extend([
        String::new(),
        "| command | s | then sync, s | processor, s | memory, MB | operations per file |".to_owned(),
        "| --- | --- | --- | --- | --- | --- |".to_owned(),
    ]);
    lines.extend(race.lines.iter().map(|line| row(line, race.files)));
    for note in &race.notes {
        lines.extend([String::new(), format!("Of these: {note}.")]);
    }
    lines.join("\n")
}

/// All runs of one tool, the figures of each beside those of the others.
fn row(line: &Line, files: u64) -> String {
    let all = |figures: Vec<String>| figures.join(" / ");
    let column = |figure: fn(&workspacefs_bench::goals::Sample) -> f64, decimals: usize| {
        all(line.samples.iter().map(|sample| format!("{:.decimals$}", figure(sample))).collect())
    };
    let operations = line.samples.iter().map(|sample| {
        sample.operations.map(|count| format!("{:.3}", count as f64 / files as f64)).unwrap_or_default()
    });
    let operations = match line.samples.iter().any(|sample| sample.operations.is_some()) {
        true => all(operations.collect()),
        false => String::new(),
    };
    format!(
        "| `{}` | {} | {} | {} | {} | {operations} |",
        line.command,
        column(|sample| sample.seconds, 2),
        column(|sample| sample.sync_seconds, 2),
        column(|sample| sample.processor_seconds, 2),
        column(|sample| sample.memory_bytes as f64 / 1e6, 0),
    )
}

#[cfg(test)]
mod tests {
    use workspacefs_bench::goals::{Sample, Sense};

    use super::*;

    fn report() -> RaceReport {
        let sample = |seconds, operations| Sample {
            seconds,
            sync_seconds: 0.5,
            processor_seconds: 1.0,
            memory_bytes: 20_400_000,
            operations,
        };
        let line = |name: &str, ours, samples| Line {
            name: name.into(),
            command: format!("{name} SRC DST"),
            ours,
            samples,
        };
        let bar = |value| Bar {
            what: "operations per file".into(),
            value,
            sense: Sense::AtMost,
            must: 0.05,
            goal: 0.035,
            first: None,
        };
        RaceReport {
            goal: "G2".into(),
            title: "Refresh".into(),
            tree: "10 files".into(),
            files: 10,
            lines: vec![
                line("rsync", false, vec![sample(4.0, None)]),
                line("wfs", true, vec![sample(1.25, Some(31)), sample(1.0, Some(30))]),
            ],
            bars: vec![bar(0.031), bar(0.06)],
            notes: vec![],
            failed: None,
        }
    }

    #[test]
    fn each_run_is_shown_and_no_operations_where_none_were_counted() {
        let said = race(&report());
        assert!(said.contains("| `rsync SRC DST` | 4.00 | 0.50 | 1.00 | 20 |  |"), "{said}");
        let ours = "| `wfs SRC DST` | 1.25 / 1.00 | 0.50 / 0.50 | 1.00 / 1.00 | 20 / 20 | 3.100 / 3.000 |";
        assert!(said.contains(ours), "{said}");
    }

    #[test]
    fn the_overview_tells_what_was_missed_and_what_failed() {
        let mut report = report();
        report.failed = Some("the copy differs\nand more".into());
        let said = overview(&[report]);
        assert!(said.contains("| G2 | operations per file | 0.031 | ≤ 0.05 | ≤ 0.035 | goal |"), "{said}");
        assert!(said.contains("| 0.060 | ≤ 0.05 | ≤ 0.035 | **missed** |"), "{said}");
        assert!(said.contains("| G2 | Refresh | **failed**: the copy differs | | | |"), "{said}");
    }
}
