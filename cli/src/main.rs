//! The command `wfs`: files of workspaces over the gateway; trees of files on this machine; manifests that mount them; and what
//! is asked of FsCaches. This file only parses and turns what came of it into an exit code; there is one file per command.

mod cache;
mod client;
mod completion;
mod connect;
mod doctor;
mod exit;
mod get;
mod interrupt;
mod json;
mod login;
mod man;
mod manifest;
mod places;
mod progress;
mod rate;
mod reference;
mod render;
mod storage;
mod sync;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use workspacefs_sys::allocator;

use crate::exit::Exit;

/// Files of Kubernetes workspaces: lists, uploads and downloads them; copies and verifies trees; writes manifests that mount file systems
#[derive(Parser)]
#[command(name = "wfs", version, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Storage(storage::Args),
    Login(login::Args),
    Logout(login::Logout),
    Whoami(login::WhoAmI),
    Doctor(doctor::Args),
    Get(get::Args),
    Sync(sync::Args),
    Cache(cache::Args),
    Manifest(manifest::Args),
    Completion(completion::Args),
    Man(man::Args),
}

/// Runs what asks the gateway.
fn block_on(command: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    // Many files are in memory at once, and none of them for long.
    allocator::give_back_large_blocks();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let done = runtime.block_on(command);
    // Threads that wait for what does not answer are not waited for.
    runtime.shutdown_background();
    done
}

/// As a plugin of kubectl it is called kubectl-wfs, and speaks of itself as it was called.
fn parse() -> Cli {
    let called = std::env::args_os().next().map(PathBuf::from);
    let is_plugin = called.is_some_and(|called| called.file_name().is_some_and(|name| name == "kubectl-wfs"));
    let command = Cli::command();
    let command = if is_plugin { command.bin_name("kubectl wfs") } else { command };
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

fn main() -> ExitCode {
    let exit = match parse().command {
        Command::Storage(args) => storage::run(&args),
        Command::Login(args) => login::run(&args),
        Command::Logout(args) => login::logout(&args),
        Command::Whoami(args) => login::who_am_i(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Sync(args) => sync::run(&args),
        Command::Cache(args) => cache::run(&args),
        Command::Manifest(args) => manifest::run(&args),
        Command::Completion(args) => completion::run(&args).map(|()| Exit::Done),
        Command::Man(args) => man::run(&args).map(|()| Exit::Done),
    };
    exit.unwrap_or_else(|error| {
        text::complain(&text::chain(error.as_ref()));
        Exit::of_error(&error)
    })
    .into()
}
