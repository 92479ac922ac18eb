//! The binary: parses the command line, sets up logging, runs one of the three processes.

use std::process::ExitCode;

fn main() -> ExitCode {
    match csi_driver::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not through `tracing`: logging itself may be what failed.
            eprintln!("csi-driver: {error:#}");
            ExitCode::FAILURE
        }
    }
}
