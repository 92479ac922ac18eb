//! What came of a transfer: lines for people, one line of JSON for programs, an exit code.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use workspacefs_sync::Counts;

use super::meter::Meter;
use crate::exit::Exit;
use crate::progress::Phase;
use crate::render;
use crate::storage::output::Format;
use crate::text::{chain, complain};

use super::TransferError;

/// Tells it, and decides how the process ends.
///
/// # Errors
/// It cannot be printed.
pub fn tell(
    meter: &Meter,
    stopped: Option<&TransferError>,
    phase: Phase,
    format: Format,
    quiet: bool,
) -> Result<Exit> {
    let problems = meter.problems();
    let exit = exit(meter, problems.count, stopped.is_some());
    for problem in &problems.kept {
        complain(&format!("{}: {}", problem.path, problem.message));
    }
    let more = problems.count - problems.kept.len() as u64;
    if more > 0 {
        complain(&format!("{} more are not named", HumanCount(more)));
    }
    if let Some(error) = stopped {
        complain(&format!("stopped: {}", chain(error)));
    }
    let mut stdout = std::io::stdout().lock();
    match format {
        Format::Json => {
            let line = report(meter, &problems.kept, problems.count, stopped, phase, exit);
            writeln!(stdout, "{line}")
        }
        Format::Text if quiet => Ok(()),
        Format::Text => writeln!(stdout, "{}", summary(meter, phase)),
    }
    .and_then(|()| stdout.flush())
    .context("cannot print the report")?;
    Ok(exit)
}

/// Nothing arrived although something should have: total; something did not: partial.
fn exit(meter: &Meter, problems: u64, stopped: bool) -> Exit {
    let files = meter.files();
    let arrived = files.done.files + files.unchanged.files > 0;
    match (problems > 0 || stopped, arrived) {
        (false, _) => Exit::Done,
        (true, true) => Exit::Partial,
        (true, false) => Exit::Failed,
    }
}

fn summary(meter: &Meter, phase: Phase) -> String {
    let (files, elapsed) = (meter.files(), meter.elapsed());
    let word = if phase == Phase::Download { "downloaded" } else { "uploaded" };
    let plural = if files.done.files == 1 { "" } else { "s" };
    let mut line =
        format!("{} file{plural} {word} ({})", HumanCount(files.done.files), HumanBytes(files.done.bytes));
    for (counts, what) in
        [(files.unchanged, "unchanged"), (files.skipped, "left out"), (files.failed, "FAILED")]
    {
        if counts.files > 0 {
            line.push_str(&format!(", {} {what}", HumanCount(counts.files)));
        }
    }
    let rate = files.done.bytes as f64 / elapsed.as_secs_f64().max(1e-3);
    line.push_str(&format!(", in {} ({}/s)", render::duration(elapsed), HumanBytes(rate as u64)));
    line
}

fn report(
    meter: &Meter,
    problems: &[super::meter::Problem],
    count: u64,
    stopped: Option<&TransferError>,
    phase: Phase,
    exit: Exit,
) -> Value {
    let files = meter.files();
    let counts = |counts: Counts| json!({"files": counts.files, "bytes": counts.bytes});
    json!({
        "type": "report",
        "phase": phase.name(),
        "exit_code": exit.code(),
        "outcome": exit.name(),
        "elapsed": seconds(meter.elapsed()),
        "files": {
            "found": counts(files.found),
            "done": counts(files.done),
            "unchanged": counts(files.unchanged),
            "failed": counts(files.failed),
            "skipped": counts(files.skipped),
        },
        "folders": meter.folders(),
        "problems": problems,
        "problem_count": count,
        "stopped": stopped.map(|error| json!({"code": error.code(), "message": chain(error)})),
    })
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::meter::{Fate, Problem};
    use super::*;

    #[test]
    fn partial_failure_is_told_from_total_failure() {
        let problem = || Problem { path: "/a".into(), code: "Exists".into(), message: "why".into() };
        let meter = Meter::new();
        assert_eq!(exit(&meter, 0, false), Exit::Done);
        assert_eq!(exit(&meter, 0, true), Exit::Failed);
        meter.found(1);
        meter.failed(1, problem());
        assert_eq!(exit(&meter, 1, false), Exit::Failed);
        meter.found(1);
        meter.settled(Fate::Unchanged, 1);
        assert_eq!(exit(&meter, 1, false), Exit::Partial);
        assert_eq!(exit(&meter, 0, true), Exit::Partial);
        let line = summary(&meter, Phase::Upload);
        assert!(line.starts_with("0 files uploaded (0 B), 1 unchanged, 1 FAILED, in "), "{line}");
        let line = report(&meter, &meter.problems().kept, 1, None, Phase::Upload, Exit::Partial);
        assert_eq!((&line["exit_code"], &line["problems"][0]["code"]), (&json!(3), &json!("Exists")));
    }
}
