//! The program `slowfs`: a folder seen through a slow file system.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
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

/// Each thread has a buffer of 16 MiB, of which it uses the first page: from the kernel such memory comes when it is used,
/// from the C library's own stock it is filled with zeros before. Blocks of that size are to come from the kernel, and
/// where they come from can only be said to a program that starts.
const LARGE_BLOCKS: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "4194304");

fn main() -> Result<()> {
    let args = Args::parse();
    let (variable, value) = LARGE_BLOCKS;
    if std::env::var_os(variable).is_none() {
        let mut again = Command::new(std::env::current_exe()?);
        return Err(again.args(std::env::args_os().skip(1)).env(variable, value).exec().into());
    }
    Ok(serve(&Mount {
        lower: args.lower,
        mountpoint: args.mountpoint,
        delay: Duration::from_micros(args.delay_us),
        plus: args.plus,
        read_only: args.read_only,
    })?)
}
