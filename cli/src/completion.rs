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
    if matches!(args.shell, Shell::Fish) {
        script.extend_from_slice(third_level().as_bytes());
    }
    std::io::stdout().write_all(&script).context("cannot print the script")
}

/// clap's script for fish ends at the second level: the options of `wfs storage import s3` and the like.
fn third_level() -> String {
    let (mut root, mut text) = (Cli::command(), String::new());
    root.build();
    for (first, second, third) in deepest(&root) {
        let words = format!(
            "__fish_wfs_using_subcommand {first}; and __fish_seen_subcommand_from {second}; and __fish_seen_subcommand_from {}",
            third.get_name()
        );
        // What is global the second level has already.
        let own = third.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_long() != Some("help"));
        for arg in own {
            let Some(long) = arg.get_long() else { continue };
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('\'', "\\'");
            let value = if arg.get_action().takes_values() { " -r" } else { "" };
            text.push_str(&format!("complete -c wfs -n \"{words}\" -l {long} -d '{help}'{value}\n"));
        }
    }
    text
}

/// Commands of the third level, with the names of those above.
fn deepest(root: &clap::Command) -> impl Iterator<Item = (&str, &str, &clap::Command)> {
    root.get_subcommands().flat_map(|first| {
        first.get_subcommands().flat_map(move |second| {
            second.get_subcommands().map(move |third| (first.get_name(), second.get_name(), third))
        })
    })
}
