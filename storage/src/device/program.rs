//! Running the tools that know file systems: blkid, mkfs.xfs, xfs_growfs.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// A tool could not be run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It did not start.
    #[error("cannot run {program}")]
    Start {
        /// Its name.
        program: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It says no.
    #[error("{program} failed ({code}): {said}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// Its exit code.
        code: String,
        /// The end of what it said.
        said: String,
    },
}

/// Runs a tool to its end.
///
/// # Errors
/// Only if it does not start.
pub fn output<S: AsRef<OsStr>>(program: &'static str, arguments: &[S]) -> Result<Output, ProgramError> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .map_err(|source| ProgramError::Start { program, source })
}

/// Runs a tool that must succeed, and gives back what it printed.
///
/// # Errors
/// [`ProgramError`].
pub fn run<S: AsRef<OsStr>>(program: &'static str, arguments: &[S]) -> Result<String, ProgramError> {
    let output = output(program, arguments)?;
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(failed(program, &output)) }
}

/// How a tool failed.
pub fn failed(program: &'static str, output: &Output) -> ProgramError {
    let said = [text(&output.stderr), text(&output.stdout)].join(" ");
    let said: Vec<&str> = said.split_whitespace().collect();
    let code = output.status.to_string();
    ProgramError::Failed { program, code, said: said.join(" ").chars().take(300).collect() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
