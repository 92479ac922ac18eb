//! The binary `nfs-server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    workspacefs_nfs_server::cli::run().unwrap_or_else(|error| {
        // Not through `tracing`: logging itself may be what failed.
        eprintln!("nfs-server: {error:#}");
        ExitCode::FAILURE
    })
}
