//! The binary `rsyncd`. The daemon calls it like a shell, `rsyncd -c COMMAND`, for its `pre-xfer exec`: the image has no shell.

use std::process::ExitCode;

use workspacefs_rsyncd::{cli, prepare};

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "-c") {
        return prepare::run();
    }
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not through `tracing`: logging itself may be what failed.
            eprintln!("rsyncd: {error:#}");
            ExitCode::FAILURE
        }
    }
}
