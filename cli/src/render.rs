//! What people read: how far a run is, and what came of it.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use workspacefs_sync::{Note, Problem, Report, Snapshot, Tally, VerifyReport};

use crate::progress::Phase;
use crate::text::{chain, shown};

/// What a small file costs beside its bytes, to compare it with large ones.
const FILE_COST_BYTES: u64 = 16 * 1024;

/// One line, at any moment of a run.
pub fn progress(snapshot: &Snapshot, phase: Phase) -> String {
    let files = &snapshot.files;
    let found = if snapshot.listed { "" } else { "+" };
    let what = match phase {
        Phase::Copy | Phase::Upload | Phase::Download => "",
        Phase::Verify => "verified ",
    };
    let mut line = format!(
        "{what}{} of {}{found} files, {} of {}{found}, {}/s",
        HumanCount(settled(files)),
        HumanCount(files.found.files),
        HumanBytes(bytes_behind(snapshot)),
        HumanBytes(files.found.bytes),
        HumanBytes(snapshot.rate as u64),
    );
    if files.failed.files > 0 {
        line.push_str(&format!(", {} failed", HumanCount(files.failed.files)));
    }
    if let Some(eta) = snapshot.eta {
        line.push_str(&format!(", {} left", duration(eta)));
    }
    line
}

/// How much of what has been found is behind us, from 0 to 1.
pub fn fraction(snapshot: &Snapshot) -> f64 {
    let files = &snapshot.files;
    let cost = |files: u64, bytes: u64| bytes as f64 + files as f64 * FILE_COST_BYTES as f64;
    let all = cost(files.found.files, files.found.bytes);
    if all == 0.0 {
        return 0.0;
    }
    (cost(settled(files), bytes_behind(snapshot)) / all).clamp(0.0, 1.0)
}

fn settled(tally: &Tally) -> u64 {
    tally.done.files + tally.unchanged.files + tally.failed.files + tally.skipped.files
}

/// Of large files, what has been read counts before they are done.
fn bytes_behind(snapshot: &Snapshot) -> u64 {
    let files = &snapshot.files;
    let settled = files.unchanged.bytes + files.failed.bytes + files.skipped.bytes;
    (settled + snapshot.bytes_read.max(files.done.bytes)).min(files.found.bytes)
}

/// What came of a run.
pub fn summary(report: &Report, dry_run: bool) -> Vec<String> {
    let (files, directories) = (&report.files, &report.directories);
    let (copied, deleted) = if dry_run { ("to copy", "to delete") } else { ("copied", "deleted") };
    let mut line =
        format!("{} {copied} ({})", counted(files.done.files, "file"), HumanBytes(files.done.bytes));
    let mut more = |count: u64, what: String| {
        if count > 0 {
            line.push_str(&format!(", {} {what}", HumanCount(count)));
        }
    };
    more(files.unchanged.files, "unchanged".to_owned());
    more(files.skipped.files, "left out".to_owned());
    more(files.failed.files, "FAILED".to_owned());
    let some = |count: u64| if count == 1 { "directory" } else { "directories" };
    let changed = if dry_run { "to change" } else { "changed" };
    more(directories.done.files, format!("{} {changed}", some(directories.done.files)));
    more(directories.failed.files, format!("{} FAILED", some(directories.failed.files)));
    more(report.deleted, deleted.to_owned());
    line.push_str(&format!(", in {}", duration(report.elapsed)));
    if !dry_run {
        line.push_str(&format!(" ({}/s)", HumanBytes(rate(files.done.bytes, report.elapsed))));
    }
    let mut lines = vec![line];
    if report.owners_not_kept > 0 {
        lines.push(format!("the owner of {} could not be kept", counted(report.owners_not_kept, "file")));
    }
    if report.leftovers > 0 {
        lines.push(format!("{} of an earlier run removed", counted(report.leftovers, "temporary file")));
    }
    let remarks = report.notes.iter().filter(|note| !is_failure(&note.problem)).count() as u64;
    if remarks > 0 {
        lines.push(format!("{} about what was left out (-v shows them)", counted(remarks, "note")));
    }
    if dry_run {
        lines.push("dry run: nothing was written".to_owned());
    }
    lines
}

/// What came of a verification.
pub fn verified(report: &VerifyReport) -> String {
    let wrong = match report.wrong.len() as u64 {
        0 => "none differs".to_owned(),
        1 => "1 DIFFERS".to_owned(),
        wrong => format!("{} DIFFER", HumanCount(wrong)),
    };
    let checked = counted(report.checked.files, "file");
    format!(
        "{checked} verified ({}), {wrong}, in {}",
        HumanBytes(report.checked.bytes),
        duration(report.elapsed)
    )
}

/// A line for each thing that is wrong with a path, and with `remarks` also for what is only worth a remark; by path.
pub fn notes(notes: &[Note], remarks: bool) -> Vec<String> {
    let mut notes: Vec<_> = notes.iter().filter(|note| remarks || is_failure(&note.problem)).collect();
    notes.sort_by(|a, b| a.path.cmp(&b.path));
    notes.into_iter().map(|note| format!("{}: {}", shown(&note.path), chain(&note.problem))).collect()
}

/// A line for each file that differs, by path.
pub fn differences(report: &VerifyReport) -> Vec<String> {
    let mut wrong: Vec<_> = report.wrong.iter().collect();
    wrong.sort_by(|a, b| a.path.cmp(&b.path));
    wrong.into_iter().map(|wrong| format!("{}: {}", shown(&wrong.path), chain(&wrong.what))).collect()
}

/// Whether the destination is not what was asked for.
fn is_failure(problem: &Problem) -> bool {
    match problem {
        Problem::Special(_) | Problem::Vanished => false,
        Problem::Failed { .. }
        | Problem::Changing
        | Problem::NotAsWritten(_)
        | Problem::InTheWay
        | Problem::DeleteLimit => true,
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

fn rate(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(1e-9)) as u64
}

/// "0.25 s", "12 s", "3:05", "1:00:00".
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0..10) => format!("{:.2} s", duration.as_secs_f64()),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use workspacefs_sync::{Counts, Errno};

    use super::*;

    fn counts(files: u64, bytes: u64) -> Counts {
        Counts { files, bytes }
    }

    #[test]
    fn a_line_says_how_far_it_is_and_a_plus_that_more_may_be_found() {
        let mut snapshot = Snapshot { bytes_read: 1 << 20, rate: 2048.0, ..Snapshot::default() };
        snapshot.files.found = counts(1234, 4 << 20);
        snapshot.files.unchanged = counts(30, 1 << 20);
        assert_eq!(progress(&snapshot, Phase::Copy), "30 of 1,234+ files, 2.00 MiB of 4.00 MiB+, 2.00 KiB/s");
        (snapshot.listed, snapshot.eta) = (true, Some(Duration::from_secs(125)));
        snapshot.files.failed = counts(1, 0);
        assert_eq!(
            progress(&snapshot, Phase::Verify),
            "verified 31 of 1,234 files, 2.00 MiB of 4.00 MiB, 2.00 KiB/s, 1 failed, 2:05 left"
        );
    }

    #[test]
    fn the_bar_is_full_when_all_is_settled_and_moves_with_empty_files_too() {
        let mut snapshot = Snapshot::default();
        assert_eq!(fraction(&snapshot), 0.0);
        snapshot.files.found = counts(4, 0);
        snapshot.files.done = counts(1, 0);
        assert_eq!(fraction(&snapshot), 0.25);
        snapshot.files.failed = counts(3, 0);
        assert_eq!(fraction(&snapshot), 1.0);
        // One that was read twice does not overshoot.
        snapshot.bytes_read = 1 << 40;
        assert_eq!(fraction(&snapshot), 1.0);
    }

    #[test]
    fn the_summary_names_what_there_is_and_nothing_else() {
        let mut report = Report { elapsed: Duration::from_millis(250), ..Report::default() };
        assert_eq!(summary(&report, false), ["0 files copied (0 B), in 0.25 s (0 B/s)"]);
        report.files.done = counts(1, 1024);
        report.files.failed = counts(2, 0);
        report.directories.done = counts(1, 0);
        (report.deleted, report.owners_not_kept, report.leftovers) = (1500, 1, 2);
        assert_eq!(
            summary(&report, false),
            [
                "1 file copied (1.00 KiB), 2 FAILED, 1 directory changed, 1,500 deleted, in 0.25 s (4.00 KiB/s)",
                "the owner of 1 file could not be kept",
                "2 temporary files of an earlier run removed",
            ]
        );
        let dry = summary(&report, true);
        assert!(dry[0].contains("1 file to copy") && dry[0].contains("1,500 to delete"), "{dry:?}");
        assert_eq!(dry.last().unwrap(), "dry run: nothing was written");
    }

    #[test]
    fn errors_are_always_told_and_remarks_when_asked() {
        let note = |path: &str, problem| Note { path: PathBuf::from(path), problem };
        let all = [
            note("b", Problem::Failed { step: "read the source file", errno: Errno::IO }),
            note("a", Problem::Special("socket")),
            note("", Problem::DeleteLimit),
        ];
        let errors = [
            ".: not deleted: the limit is reached",
            "b: cannot read the source file: Input/output error (os error 5)",
        ];
        assert_eq!(notes(&all, false), errors);
        assert_eq!(notes(&all, true), [errors[0], "a: a socket is not copied", errors[1]]);
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(0.25, "0.25 s"), (12.7, "12 s"), (185.0, "3:05"), (3600.0, "1:00:00")] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }
}
