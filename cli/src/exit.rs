//! The exit codes: they tell a script what to do next without reading any text.

use std::fmt::Write;
use std::process::ExitCode;

use workspacefs_sync::{Report, Stop, VerifyReport};

/// What came of it all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    Done,
    Failed,
    /// Of what clap cannot tell; for the rest it ends the process.
    Usage,
    Partial,
    Stopped,
    Different,
    Cancelled,
}

/// Code, name in the JSON report, and meaning.
const TABLE: [(Exit, u8, &str, &str); 7] = [
    (
        Exit::Done,
        0,
        "done",
        "Everything was done. What was left out on purpose, and special files, do not count",
    ),
    (Exit::Failed, 1, "failed", "Nothing was begun, or everything failed"),
    (Exit::Usage, 2, "usage", "The command line is wrong"),
    (
        Exit::Partial,
        3,
        "partial",
        "Some paths failed, or were not deleted because of a limit; all others were done",
    ),
    (
        Exit::Stopped,
        4,
        "stopped",
        "Stopped early: the destination is full or gone, the source is gone, or the manifest cannot be written",
    ),
    (Exit::Different, 5, "different", "The verification found differences, or could not be done"),
    (Exit::Cancelled, 130, "cancelled", "Cancelled by SIGINT or SIGTERM; the next run goes on from there"),
];

/// A verification that was asked for: its report, or why there is none.
pub type Verified<'a> = Option<Result<&'a VerifyReport, ()>>;

impl Exit {
    /// What a run and its verification come to: the first of these that holds.
    pub fn of(report: &Report, verified: Verified<'_>) -> Self {
        let stopped = report.stopped.as_ref().or(match verified {
            Some(Ok(verified)) => verified.stopped.as_ref(),
            _ => None,
        });
        match (stopped, verified) {
            (Some(Stop::Cancelled), _) => Self::Cancelled,
            (Some(_), _) => Self::Stopped,
            (None, Some(Err(()))) => Self::Different,
            (None, Some(Ok(verified))) if !verified.wrong.is_empty() => Self::Different,
            (None, _) if report.is_complete() => Self::Done,
            (None, _) if nothing_arrived(report) => Self::Failed,
            (None, _) => Self::Partial,
        }
    }

    /// What an error that ends a command comes to.
    pub fn of_error(error: &anyhow::Error) -> Self {
        if error.is::<crate::client::error::Refused>() { Self::Usage } else { Self::Failed }
    }

    /// The number.
    pub fn code(self) -> u8 {
        self.row().0
    }

    /// The word in the JSON report.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (u8, &'static str) {
        let row = TABLE.iter().find(|(exit, ..)| *exit == self);
        row.map_or((1, "failed"), |(_, code, name, _)| (*code, name))
    }
}

/// Of the files, or of the directories where there are no files.
fn nothing_arrived(report: &Report) -> bool {
    let tally = if report.files.found.files > 0 { &report.files } else { &report.directories };
    tally.done.files + tally.unchanged.files == 0
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as it stands in `--help`.
pub fn help() -> String {
    let mut help = String::from("Exit codes:");
    for (_, code, _, meaning) in TABLE {
        // Writing to a String does not fail.
        let _ = write!(help, "\n  {code:<4} {meaning}");
    }
    help
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use workspacefs_sync::{Counts, Errno, Note, Problem, Tally, Wrong};

    use super::*;

    fn tally(done: u64, failed: u64) -> Tally {
        let counts = |files| Counts { files, bytes: 0 };
        Tally { found: counts(done + failed), done: counts(done), failed: counts(failed), ..Tally::default() }
    }

    fn report(files: (u64, u64), directories: (u64, u64)) -> Report {
        Report {
            files: tally(files.0, files.1),
            directories: tally(directories.0, directories.1),
            ..Report::default()
        }
    }

    fn with_note(problem: Problem) -> Report {
        Report { notes: vec![Note { path: PathBuf::new(), problem }], ..report((1, 0), (0, 0)) }
    }

    #[test]
    fn the_exit_code_tells_partial_from_total_failure() {
        let failed = Problem::Failed { step: "read", errno: Errno::IO };
        for (report, exit) in [
            (report((0, 0), (0, 0)), Exit::Done),
            (report((3, 0), (1, 0)), Exit::Done),
            (report((3, 1), (1, 0)), Exit::Partial),
            (report((0, 1), (1, 0)), Exit::Failed),
            (report((1, 0), (0, 1)), Exit::Partial),
            (report((0, 0), (1, 1)), Exit::Partial),
            (report((0, 0), (0, 1)), Exit::Failed),
            (with_note(Problem::Special("socket")), Exit::Done),
            (with_note(Problem::DeleteLimit), Exit::Partial),
            (with_note(failed.clone()), Exit::Partial),
            (
                Report { notes: vec![Note { path: PathBuf::new(), problem: failed }], ..Report::default() },
                Exit::Failed,
            ),
        ] {
            assert_eq!(Exit::of(&report, None), exit, "{report:?}");
        }
    }

    #[test]
    fn a_stop_comes_before_a_difference_and_that_before_a_failure() {
        let good = VerifyReport::default();
        let bad = VerifyReport {
            wrong: vec![Wrong { path: PathBuf::from("a"), what: workspacefs_sync::Difference::Missing }],
            ..VerifyReport::default()
        };
        let cancelled = VerifyReport { stopped: Some(Stop::Cancelled), ..VerifyReport::default() };
        let full = || Stop::Destination { path: PathBuf::new(), errno: Errno::NOSPC };
        for (stopped, failed, verified, exit) in [
            (None, 0, Some(Ok(&good)), Exit::Done),
            (None, 1, Some(Ok(&good)), Exit::Partial),
            (None, 1, Some(Ok(&bad)), Exit::Different),
            (None, 0, Some(Err(())), Exit::Different),
            (None, 0, Some(Ok(&cancelled)), Exit::Cancelled),
            (Some(full()), 1, None, Exit::Stopped),
            (Some(Stop::Cancelled), 1, None, Exit::Cancelled),
            (Some(Stop::Manifest(Errno::IO)), 0, None, Exit::Stopped),
        ] {
            let report = Report { stopped, ..report((1, failed), (0, 0)) };
            assert_eq!(Exit::of(&report, verified), exit, "{report:?} {verified:?}");
        }
    }

    #[test]
    fn each_outcome_has_its_own_code_and_the_help_names_them_all() {
        let mut codes: Vec<_> = TABLE.iter().map(|(exit, code, ..)| (exit.code(), *code)).collect();
        assert!(codes.iter().all(|(found, told)| found == told));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
        for (_, code, _, meaning) in TABLE {
            assert!(help().contains(&format!("{code} ")) && help().contains(meaning));
        }
    }
}
