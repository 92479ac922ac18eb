//! Runs a command and prints what it took, as JSON. Small, because what starts a process counts towards its memory.

use std::process::Command;

use anyhow::{Context as _, Result};
use workspacefs_bench::run::measure;

fn main() -> Result<()> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().context("which command?")?;
    let usage = measure(Command::new(&program).args(words))
        .with_context(|| format!("cannot start {}", program.display()))?;
    println!("{}", serde_json::to_string(&usage)?);
    Ok(())
}
