//! The binary: one of three processes, as the command line says.

use std::process::ExitCode;

fn main() -> ExitCode {
    csi_driver::cli::run().unwrap_or_else(|error| {
        // Not through `tracing`: logging itself may be what failed.
        eprintln!("csi-driver: {error:#}");
        ExitCode::FAILURE
    })
}
