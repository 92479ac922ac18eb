//! `wfs completion`: completion scripts for shells.

use std::io::Write;

use anyhow::{Context, Result};
use clap::{CommandFactory, ValueEnum};
use clap_complete::aot;

use crate::Cli;

/// Prints a completion script for a shell
#[derive(clap::Args)]
#[command(after_help = "For example: wfs completion bash > /etc/bash_completion.d/wfs")]
pub struct Args {
    /// Shell to write for
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints it on stdout.
pub fn run(args: &Args) -> Result<()> {
    let shell = match args.shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    // Into memory first: clap_complete panics where it cannot write.
    let mut script = Vec::new();
    aot::generate(shell, &mut Cli::command(), "wfs", &mut script);
    std::io::stdout().write_all(&script).context("cannot print the script")
}
