//! What came of one path, from what the engine says of it.

use std::path::Path;

use rustix::io::Errno;
use workspacefs_api::PathState;
use workspacefs_api::mover::{Failure, FailureReason, PathOutcome};
use workspacefs_runtime::chain;
use workspacefs_sync::{Counts, Note, Problem, Report, VerifyReport, Wrong};

use crate::meter::sum;

/// What is in the copy.
pub(crate) fn copied(report: &Report) -> Counts {
    sum(report.files.done, report.files.unchanged)
}

/// Why the copy is not what the source was. None: it is.
pub(crate) fn flaw(report: &Report) -> Option<String> {
    let first = report.notes.iter().min_by(|one, other| one.path.cmp(&other.path));
    match (first, report.owners_not_kept) {
        (Some(note), _) => Some(several(report.notes.len(), &note.path, &chain(&note.problem))),
        (None, 0) if report.is_complete() && left_out(report) == 0 => None,
        (None, 0) => Some("it was not copied to its end".to_owned()),
        (None, owners) => Some(format!("the owner of {owners} files cannot be kept")),
    }
}

/// Whether another try may help: the source was changed meanwhile, or what was read back is not what was written.
pub(crate) fn is_passing(report: &Report) -> bool {
    let passes = |note: &Note| {
        matches!(note.problem, Problem::Vanished | Problem::Changing | Problem::NotAsWritten(_))
    };
    !report.notes.is_empty() && report.notes.iter().all(passes)
}

/// Which files are not as they were copied. None: all are.
pub(crate) fn difference(report: &VerifyReport) -> Option<String> {
    differences(&report.wrong)
}

/// The same of what was read back. None: all are.
pub(crate) fn differences(wrong: &[Wrong]) -> Option<String> {
    let first = wrong.iter().min_by(|one, other| one.path.cmp(&other.path))?;
    Some(several(wrong.len(), &first.path, &chain(&first.what)))
}

pub(crate) fn whole(counts: Counts) -> PathOutcome {
    outcome(PathState::Whole, counts, String::new())
}

/// Whole, with something to know about it.
pub(crate) fn remarked(counts: Counts, remark: String) -> PathOutcome {
    outcome(PathState::Whole, counts, remark)
}

pub(crate) fn partial(counts: Counts, message: String) -> PathOutcome {
    outcome(PathState::Partial, counts, message)
}

pub(crate) fn missing() -> PathOutcome {
    outcome(PathState::Missing, Counts::default(), "the source has nothing there".to_owned())
}

pub(crate) fn not_a_folder() -> PathOutcome {
    let message = "it is a file or a link, or lies behind one: only folders can be kept";
    outcome(PathState::NotAFolder, Counts::default(), message.to_owned())
}

/// It does not fit into what the limit leaves.
pub(crate) fn over_capacity(bytes: u64, capacity: u64) -> PathOutcome {
    let message =
        format!("its {bytes} bytes do not fit beside the paths before it: the limit is {capacity} bytes");
    outcome(PathState::Evicted, Counts::default(), message)
}

/// The target took no more of it. `free` is what is left there without it.
pub(crate) fn does_not_fit(errno: Errno, bytes: u64, free: Option<u64>) -> PathOutcome {
    let free = free.map_or(String::new(), |free| format!("; without it {free} bytes are free"));
    let message =
        format!("it had {bytes} bytes when it was measured, and the target takes no more: {errno}{free}");
    outcome(PathState::Evicted, Counts::default(), message)
}

/// Why a generation is none, if no path of it is whole.
pub(crate) fn nothing_whole(paths: &[PathOutcome]) -> Option<Failure> {
    let has = |state| paths.iter().any(|path| path.state == state);
    if has(PathState::Whole) {
        return None;
    }
    let reason = match has(PathState::Evicted) && !has(PathState::Partial) {
        true => FailureReason::TargetFull,
        false => FailureReason::NothingWhole,
    };
    let first = paths.iter().find(|path| !path.message.is_empty());
    let why = first.map_or("", |path| path.message.as_str());
    Some(Failure { reason, message: format!("none of {} paths is whole: {why}", paths.len()) })
}

fn outcome(state: PathState, counts: Counts, message: String) -> PathOutcome {
    PathOutcome { state, files: counts.files, bytes: counts.bytes, message }
}

fn left_out(report: &Report) -> u64 {
    report.files.skipped.files + report.directories.skipped.files
}

fn several(count: usize, path: &Path, what: &str) -> String {
    let files = if count == 1 { "file" } else { "files" };
    format!("{count} {files}, first {}: {what}", readable(path))
}

/// Whatever bytes it has, in one line; the root of the path is ".".
fn readable(path: &Path) -> String {
    let quoted = format!("{:?}", if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(&quoted).to_owned()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use workspacefs_sync::{Difference, Stop};

    use super::*;

    fn note(path: &[u8], problem: Problem) -> Note {
        Note { path: OsStr::from_bytes(path).into(), problem }
    }

    fn noted(notes: Vec<Note>) -> Report {
        Report { notes, ..Report::default() }
    }

    #[test]
    fn the_first_file_and_the_kernels_word_are_named() {
        let failed =
            |path| note(path, Problem::Failed { step: "open the source file", errno: Errno::ACCESS });
        let report = noted(vec![failed(b"b"), failed(b"a/\xff\n"), failed(b"c")]);
        let said = flaw(&report).unwrap();
        assert!(
            said.starts_with(r"3 files, first a/\xFF\n: cannot open the source file: Permission"),
            "{said}"
        );
        let root = flaw(&noted(vec![failed(b"")])).unwrap();
        assert!(root.starts_with("1 file, first .: "), "{root}");
        let wrong = Wrong { path: "x".into(), what: Difference::Content };
        let report = VerifyReport { wrong: vec![wrong], ..VerifyReport::default() };
        assert_eq!(difference(&report).as_deref(), Some("1 file, first x: has other content"));
    }

    #[test]
    fn whatever_is_not_copied_is_a_flaw() {
        assert_eq!(flaw(&Report::default()), None);
        let mut skipped = Report::default();
        skipped.files.skipped.files = 1;
        let mut failed = Report::default();
        failed.directories.failed.files = 1;
        let flawed = [
            noted(vec![note(b"fifo", Problem::Special("FIFO"))]),
            noted(vec![note(b"gone", Problem::Vanished)]),
            Report { owners_not_kept: 1, ..Report::default() },
            Report { stopped: Some(Stop::Cancelled), ..Report::default() },
            skipped,
            failed,
        ];
        for report in flawed {
            assert!(flaw(&report).is_some(), "{report:?}");
        }
    }

    #[test]
    fn what_the_source_did_meanwhile_and_what_was_written_wrongly_is_worth_another_try() {
        let of = |problems: &[Problem]| {
            is_passing(&noted(problems.iter().map(|problem| note(b"a", problem.clone())).collect()))
        };
        let written = Problem::NotAsWritten(Difference::Content);
        assert!(of(&[Problem::Vanished, Problem::Changing, written]));
        assert!(!of(&[]) && !of(&[Problem::Vanished, Problem::Special("socket")]));
    }

    #[test]
    fn a_generation_without_a_whole_path_is_none_and_says_why() {
        let counts = Counts { files: 1, bytes: 1 };
        let (whole, partial) = (whole(counts), partial(counts, "p".to_owned()));
        let evicted = over_capacity(5, 4);
        for (paths, expected) in [
            (vec![partial.clone(), whole], None),
            (vec![partial.clone(), evicted.clone()], Some(FailureReason::NothingWhole)),
            (vec![evicted, missing()], Some(FailureReason::TargetFull)),
            (vec![missing(), not_a_folder()], Some(FailureReason::NothingWhole)),
        ] {
            assert_eq!(nothing_whole(&paths).map(|failure| failure.reason), expected, "{paths:?}");
        }
    }
}
