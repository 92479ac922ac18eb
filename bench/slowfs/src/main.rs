//! The program `slowfs`: a folder seen through a slow file system.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use workspacefs_slowfs::{Mount, serve};

/// Shows a folder as a file system far away would. Says `ready` once it is mounted; a line `counters` on stdin is answered
/// by what was asked so far; with the end of stdin, or SIGTERM, it is unmounted.
#[derive(Parser)]
struct Args {
    /// The folder
    lower: PathBuf,
    /// Where it appears
    mountpoint: PathBuf,
    /// The pause before each operation, in microseconds
    #[arg(long, default_value_t = 1000)]
    delay_us: u64,
    /// Let attributes come with the listing, always; otherwise never
    #[arg(long)]
    plus: bool,
    /// Let nothing be changed
    #[arg(long)]
    read_only: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    Ok(serve(&Mount {
        lower: args.lower,
        mountpoint: args.mountpoint,
        delay: Duration::from_micros(args.delay_us),
        plus: args.plus,
        read_only: args.read_only,
    })?)
}
