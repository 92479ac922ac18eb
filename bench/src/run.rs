//! Running a command and measuring what it takes. A small program, `measured`, starts it: the kernel counts the memory of
//! whoever starts a process towards that process's peak, so it should be nobody large.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one run took.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Usage {
    /// From start to end.
    pub seconds: f64,
    /// User and system time of it and all that it has started.
    pub processor_seconds: f64,
    /// The largest resident memory of the largest of its processes.
    pub memory_bytes: u64,
    /// Its exit code; None if a signal ended it.
    pub code: Option<i32>,
}

/// Why there is nothing measured.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The measuring program.
    #[error("cannot run {program}")]
    Program {
        /// Its path.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It could not start the command.
    #[error("{command} was not measured: {said}")]
    NotStarted {
        /// The command's program.
        command: String,
        /// What was said.
        said: String,
    },
    /// The command failed: there is nothing to compare.
    #[error("{command} failed with {code:?}: {said}")]
    Failed {
        /// The command's program.
        command: String,
        /// Its exit code; None if a signal ended it.
        code: Option<i32>,
        /// The end of what it said on stderr.
        said: String,
    },
}

/// Runs the command through the program `measured` and waits for its end. What the command prints goes nowhere, what it
/// complains of into the error.
///
/// # Errors
/// It could not be started, or failed.
pub fn run(measured: &Path, command: &Command) -> Result<Usage, RunError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut wrapped = Command::new(measured);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(variable, value),
            None => wrapped.env_remove(variable),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    let output = wrapped
        .stdin(Stdio::null())
        .output()
        .map_err(|source| RunError::Program { program: measured.display().to_string(), source })?;
    let said = end_of(&output.stderr);
    match serde_json::from_slice::<Usage>(&output.stdout) {
        Ok(usage) if usage.code == Some(0) => Ok(usage),
        Ok(usage) => Err(RunError::Failed { command: name, code: usage.code, said }),
        Err(_) => Err(RunError::NotStarted { command: name, said }),
    }
}

/// What the program `measured` does: starts the command, waits, and says what it took.
///
/// # Errors
/// The command could not be started.
pub fn measure(command: &mut Command) -> io::Result<Usage> {
    use nix::sys::resource::{UsageWho, getrusage};

    let started = std::time::Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    let seconds = started.elapsed().as_secs_f64();
    // Of all children that were waited for, by us or by them: that is this one and its own.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs())
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    Ok(Usage {
        seconds,
        processor_seconds: (time(usage.user_time()) + time(usage.system_time())).as_secs_f64(),
        memory_bytes: usage.max_rss().unsigned_abs() * 1024,
        code: status.code(),
    })
}

/// The last lines: the first complaints of a tool that goes on are many and alike.
fn end_of(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
