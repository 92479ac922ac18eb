//! What programs read: one JSON object per line on stdout. `progress` lines come while it runs; exactly one line of type
//! `report` or `error` is the last one.
//!
//! Durations are seconds, sizes bytes, rates bytes per second. A path is a string where it is UTF-8, otherwise
//! `{"bytes": "<hexadecimal>"}`. Fields may be added in later versions.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use serde::{Serialize, Serializer};
use workspacefs_sync::{
    Counts, Difference, Errno, Note, Problem, Report, Snapshot, Stop, Tally, VerifyError, VerifyReport, Wrong,
};

use crate::exit::Exit;
use crate::progress::Phase;
use crate::text::chain;

/// One line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line<'a> {
    Progress(Progress<'a>),
    Report(Box<Whole<'a>>),
    /// It did not begin, and nothing was changed.
    Error {
        exit_code: u8,
        message: String,
    },
}

#[derive(Serialize)]
pub struct Progress<'a> {
    phase: &'static str,
    elapsed: f64,
    files: Tallied,
    directories: TalliedDirectories,
    deleted: u64,
    bytes_read: u64,
    rate: f64,
    listed: bool,
    /// Null where it is not known.
    eta: Option<f64>,
    current: Vec<PathName<'a>>,
}

#[derive(Serialize)]
pub struct Whole<'a> {
    exit_code: u8,
    outcome: &'static str,
    dry_run: bool,
    elapsed: f64,
    files: Tallied,
    directories: TalliedDirectories,
    deleted: u64,
    owners_not_kept: u64,
    leftovers: u64,
    notes: Vec<PathProblem<'a>>,
    /// Null if it came to its end.
    stopped: Option<Stopped<'a>>,
    /// Null if none was asked for or the run was stopped before.
    verify: Option<VerifyLine<'a>>,
}

#[derive(Serialize)]
struct Tallied {
    found: CountsLine,
    done: CountsLine,
    unchanged: CountsLine,
    failed: CountsLine,
    skipped: CountsLine,
}

#[derive(Serialize)]
struct CountsLine {
    files: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct TalliedDirectories {
    found: u64,
    done: u64,
    unchanged: u64,
    failed: u64,
    skipped: u64,
}

/// Something about one path: `problem` is a word for programs, `message` for people.
#[derive(Serialize)]
struct PathProblem<'a> {
    path: PathName<'a>,
    problem: &'static str,
    message: String,
    /// Where the kernel said so.
    errno: Option<i32>,
}

#[derive(Serialize)]
struct Stopped<'a> {
    reason: &'static str,
    message: String,
    path: Option<PathName<'a>>,
    errno: Option<i32>,
}

#[derive(Serialize)]
struct VerifyLine<'a> {
    checked: CountsLine,
    elapsed: f64,
    wrong: Vec<PathProblem<'a>>,
    stopped: Option<Stopped<'a>>,
    /// Why nothing could be said; null otherwise.
    error: Option<String>,
}

struct PathName<'a>(&'a Path);

impl Serialize for PathName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Bytes {
            bytes: String,
        }
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => {
                let bytes = self.0.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                Bytes { bytes }.serialize(serializer)
            }
        }
    }
}

impl<'a> Line<'a> {
    /// How far it is.
    pub fn progress(snapshot: &'a Snapshot, phase: Phase) -> Self {
        Self::Progress(Progress {
            phase: phase.name(),
            elapsed: snapshot.elapsed.as_secs_f64(),
            files: (&snapshot.files).into(),
            directories: (&snapshot.directories).into(),
            deleted: snapshot.deleted,
            bytes_read: snapshot.bytes_read,
            rate: snapshot.rate,
            listed: snapshot.listed,
            eta: snapshot.eta.as_ref().map(Duration::as_secs_f64),
            current: snapshot.current.iter().map(|path| PathName(path)).collect(),
        })
    }

    /// What came of it.
    pub fn report(
        exit: Exit,
        dry_run: bool,
        report: &'a Report,
        verified: Option<&'a Result<VerifyReport, VerifyError>>,
    ) -> Self {
        Self::Report(Box::new(Whole {
            exit_code: exit.code(),
            outcome: exit.name(),
            dry_run,
            elapsed: report.elapsed.as_secs_f64(),
            files: (&report.files).into(),
            directories: (&report.directories).into(),
            deleted: report.deleted,
            owners_not_kept: report.owners_not_kept,
            leftovers: report.leftovers,
            notes: report.notes.iter().map(PathProblem::from).collect(),
            stopped: report.stopped.as_ref().map(Stopped::from),
            verify: verified.map(VerifyLine::from),
        }))
    }

    /// Why it did not begin.
    pub fn error(exit: Exit, message: String) -> Self {
        Self::Error { exit_code: exit.code(), message }
    }
}

/// Prints it, whole or not at all as far as that is ours to say.
pub fn print(line: &Line<'_>) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()
}

impl From<Counts> for CountsLine {
    fn from(counts: Counts) -> Self {
        Self { files: counts.files, bytes: counts.bytes }
    }
}

impl From<&Tally> for Tallied {
    fn from(tally: &Tally) -> Self {
        Self {
            found: tally.found.into(),
            done: tally.done.into(),
            unchanged: tally.unchanged.into(),
            failed: tally.failed.into(),
            skipped: tally.skipped.into(),
        }
    }
}

impl From<&Tally> for TalliedDirectories {
    fn from(tally: &Tally) -> Self {
        Self {
            found: tally.found.files,
            done: tally.done.files,
            unchanged: tally.unchanged.files,
            failed: tally.failed.files,
            skipped: tally.skipped.files,
        }
    }
}

impl<'a> From<&'a Note> for PathProblem<'a> {
    fn from(note: &'a Note) -> Self {
        let (problem, errno) = match &note.problem {
            Problem::Failed { errno, .. } => ("failed", Some(*errno)),
            Problem::Special(_) => ("special", None),
            Problem::Vanished => ("vanished", None),
            Problem::Changing => ("changing", None),
            // Of what is read back at once, which `wfs sync` does not do.
            Problem::NotAsWritten(_) => ("not_as_written", None),
            Problem::InTheWay => ("in_the_way", None),
            Problem::DeleteLimit => ("delete_limit", None),
        };
        let errno = errno.map(Errno::raw_os_error);
        Self { path: PathName(&note.path), problem, message: chain(&note.problem), errno }
    }
}

impl<'a> From<&'a Wrong> for PathProblem<'a> {
    fn from(wrong: &'a Wrong) -> Self {
        let (problem, errno) = match &wrong.what {
            Difference::Missing => ("missing", None),
            Difference::NotAFile => ("not_a_file", None),
            Difference::Size { .. } => ("size", None),
            Difference::Content => ("content", None),
            Difference::NoDigest => ("no_digest", None),
            Difference::Failed { errno, .. } => ("failed", Some(*errno)),
        };
        let errno = errno.map(Errno::raw_os_error);
        Self { path: PathName(&wrong.path), problem, message: chain(&wrong.what), errno }
    }
}

impl<'a> From<&'a Stop> for Stopped<'a> {
    fn from(stop: &'a Stop) -> Self {
        let (reason, path, errno) = match stop {
            Stop::Cancelled => ("cancelled", None, None),
            Stop::Limit => ("limit", None, None),
            // A comparison ends so, which `wfs` has none of.
            Stop::Different => ("different", None, None),
            Stop::Destination { path, errno } => ("destination", Some(path), Some(*errno)),
            Stop::Source { path, errno } => ("source", Some(path), Some(*errno)),
            Stop::Manifest(errno) => ("manifest", None, Some(*errno)),
        };
        let path = path.map(|path| PathName(path));
        Self { reason, message: chain(stop), path, errno: errno.map(Errno::raw_os_error) }
    }
}

impl<'a> From<&'a Result<VerifyReport, VerifyError>> for VerifyLine<'a> {
    fn from(verified: &'a Result<VerifyReport, VerifyError>) -> Self {
        match verified {
            Ok(report) => Self {
                checked: report.checked.into(),
                elapsed: report.elapsed.as_secs_f64(),
                wrong: report.wrong.iter().map(PathProblem::from).collect(),
                stopped: report.stopped.as_ref().map(Stopped::from),
                error: None,
            },
            Err(error) => Self {
                checked: Counts::default().into(),
                elapsed: 0.0,
                wrong: Vec::new(),
                stopped: None,
                error: Some(chain(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_that_is_not_text_is_told_in_bytes() {
        for (path, told) in [
            (&b"a/\xc3\xbc"[..], json!("a/ü")),
            (b"a\n\"", json!("a\n\"")),
            (b"a\xff", json!({"bytes": "61ff"})),
        ] {
            let name = PathName(Path::new(OsStr::from_bytes(path)));
            assert_eq!(serde_json::to_value(name).unwrap(), told);
        }
    }

    #[test]
    fn a_report_holds_the_figures_and_each_problem_with_its_errno() {
        let problem = Problem::Failed { step: "open the source file", errno: Errno::ACCESS };
        let mut report = Report {
            notes: vec![Note { path: PathBuf::from("a"), problem }],
            deleted: 3,
            ..Report::default()
        };
        report.files.done = Counts { files: 2, bytes: 5 };
        report.stopped = Some(Stop::Destination { path: PathBuf::from("b"), errno: Errno::NOSPC });
        let verified = Ok(VerifyReport {
            wrong: vec![Wrong { path: PathBuf::from("c"), what: Difference::Content }],
            ..VerifyReport::default()
        });
        let line = Line::report(Exit::Stopped, false, &report, Some(&verified));
        let line = serde_json::to_value(&line).unwrap();
        assert_eq!(
            (&line["type"], &line["exit_code"], &line["outcome"]),
            (&json!("report"), &json!(4), &json!("stopped"))
        );
        assert_eq!((&line["files"]["done"], &line["deleted"]), (&json!({"files": 2, "bytes": 5}), &json!(3)));
        assert_eq!(
            line["notes"],
            json!([{
                "path": "a", "problem": "failed", "errno": 13,
                "message": "cannot open the source file: Permission denied (os error 13)",
            }])
        );
        assert_eq!(
            (&line["stopped"]["reason"], &line["stopped"]["errno"]),
            (&json!("destination"), &json!(28))
        );
        assert_eq!(line["verify"]["wrong"][0]["problem"], json!("content"));
    }

    #[test]
    fn progress_says_null_where_the_end_is_not_known() {
        let snapshot = Snapshot { current: vec![PathBuf::from("a")], ..Snapshot::default() };
        let line = serde_json::to_value(Line::progress(&snapshot, Phase::Verify)).unwrap();
        assert_eq!(
            (&line["type"], &line["phase"], &line["eta"]),
            (&json!("progress"), &json!("verify"), &json!(null))
        );
        assert_eq!(line["current"], json!(["a"]));
    }
}
