//! The command `wfs`: what workspacefs does with files, without Kubernetes; manifests that mount them; and what is asked of
//! FsCaches. This file only parses and turns what came of it into an exit code; there is one file per command.

mod cache;
mod completion;
mod exit;
mod interrupt;
mod json;
mod man;
mod manifest;
mod places;
mod progress;
mod rate;
mod render;
mod sync;
mod text;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Exit;

/// Copies and verifies trees of files; writes manifests that mount file systems; refreshes their caches
#[derive(Parser)]
#[command(name = "wfs", version, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Sync(sync::Args),
    Cache(cache::Args),
    Manifest(manifest::Args),
    Completion(completion::Args),
    Man(man::Args),
}

fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Sync(args) => sync::run(&args),
        Command::Cache(args) => cache::run(&args),
        Command::Manifest(args) => manifest::run(&args),
        Command::Completion(args) => completion::run(&args).map(|()| Exit::Done),
        Command::Man(args) => man::run(&args).map(|()| Exit::Done),
    };
    exit.unwrap_or_else(|error| {
        text::complain(&text::chain(error.as_ref()));
        Exit::Failed
    })
    .into()
}
