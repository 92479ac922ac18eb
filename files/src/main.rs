//! The binary `files`.

use std::process::ExitCode;

fn main() -> ExitCode {
    workspacefs_files::cli::run().unwrap_or_else(|error| {
        // Not through `tracing`: logging itself may be what failed.
        eprintln!("files: {error:#}");
        ExitCode::FAILURE
    })
}
