//! `wfs storage`: files and folders of a FileSystem, over the gateway.

mod cat;
mod change;
mod download;
mod du;
mod import;
pub mod keys;
pub mod list;
pub mod output;
mod rsync;
pub mod transfer;
mod trash;
mod upload;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::json;

use self::output::{Format, Output};
use crate::client::error::{ClientError, Refused};
use crate::client::files::Files;
use crate::client::path::RemotePath;
use crate::connect::Connection;
use crate::exit::Exit;
use crate::manifest::{Name, name};
use crate::text;

/// Works with the files of a workspace: lists, uploads, downloads, moves, deletes
///
/// A path begins at the root of the file system; its slash may be left out. At the end of a destination a slash says: into that
/// folder. What is deleted goes to the trash and can be restored.
#[derive(clap::Args)]
#[command(after_long_help = EXITS)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// File system
    #[arg(short, long, value_name = "NAME", global = true, default_value = "default", value_parser = name)]
    file_system: Name,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// As it stands in the help.
pub const EXITS: &str = "\
Exit codes:
  0    Everything was done
  1    Nothing was done
  2    The command line is wrong; nothing was sent
  3    Some of it failed; all the rest was done
  130  Cancelled by SIGINT or SIGTERM; the next run goes on from there";

#[derive(Subcommand)]
enum Command {
    Ls(list::Ls),
    Find(list::Find),
    Stat(list::Stat),
    Cat(cat::Args),
    Du(du::Args),
    #[command(name = "ls-file-system", visible_alias = "ls-fs")]
    LsFileSystem(list::LsFileSystem),
    Upload(upload::Args),
    Download(download::Args),
    Mkdir(change::Mkdir),
    Rm(change::Rm),
    Rmdir(change::Rmdir),
    Mv(change::Mv),
    Cp(change::Cp),
    Import(import::Args),
    Trash(trash::Args),
    /// Passes standard input and output to the rsync daemon of the file system: what rsync runs
    #[command(name = rsync::TUNNEL, hide = true)]
    RsyncTunnel,
}

/// The file system, and how to print.
pub struct Place {
    /// Its files.
    pub files: Files,
    /// For whom.
    pub output: Output,
}

/// Does what is asked for.
///
/// # Errors
/// [`Refused`] before anything was sent; otherwise what the gateway says.
pub fn run(args: &Args) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            done = dispatch(args) => done,
            () = interrupted() => {
                // What was under way is dropped by now, with its bars on the terminal.
                if let Some(words) = goodbye(&args.command) {
                    text::complain(words);
                }
                Ok(Exit::Cancelled)
            }
        }
    });
    // Threads that wait for a file system that does not answer are not waited for.
    runtime.shutdown_background();
    if let Err(error) = &done
        && args.output.format == Format::Json
    {
        crate::json::print(&crate::json::Line::error(Exit::of_error(error), text::chain(error.as_ref())))
            .context("cannot print")?;
    }
    done
}

async fn dispatch(args: &Args) -> Result<Exit> {
    match &args.command {
        Command::Ls(command) => command.run(&args.open().await?).await,
        Command::Find(command) => command.run(&args.open().await?).await,
        Command::Stat(command) => command.run(&args.open().await?).await,
        Command::Cat(command) => command.run(&args.open().await?).await,
        Command::Du(command) => command.run(&args.open().await?).await,
        Command::LsFileSystem(command) => command.run(&args.connection, args.output).await,
        Command::Upload(command) => command.run(args).await,
        Command::Download(command) => command.run(args).await,
        Command::Mkdir(command) => command.run(&args.open().await?).await,
        Command::Rm(command) => {
            command.check()?;
            command.run(&args.open().await?).await
        }
        Command::Rmdir(command) => {
            command.check()?;
            command.run(&args.open().await?).await
        }
        Command::Mv(command) => {
            command.check()?;
            command.run(&args.open().await?).await
        }
        Command::Cp(command) => {
            command.check()?;
            command.run(&args.open().await?).await
        }
        Command::Import(command) => command.run(args).await,
        Command::Trash(command) => command.run(&args.open().await?).await,
        Command::RsyncTunnel => rsync::tunnel(args).await,
    }
}

impl Args {
    /// The gateway, checked, and the file system.
    async fn open(&self) -> Result<Place> {
        let (gateway, workspace) = self.connection.workspace(self.output.quiet).await?;
        gateway.check().await?;
        Ok(Place { files: Files::new(gateway, &workspace, self.file_system.as_str()), output: self.output })
    }
}

/// What is not to be touched: the root, by a verb.
///
/// # Errors
/// [`Refused`].
fn not_root(path: &RemotePath, what: &str) -> Result<()> {
    if path.is_root() {
        Err(Refused::because(format!("the root of a file system cannot be {what}")))
    } else {
        Ok(())
    }
}

/// Of a path, some was done and some was not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Partly(&'static str);

/// One path after the other; those that fail are told, programs too, and the exit code says whether any did not.
///
/// # Errors
/// Only what makes it pointless to go on.
async fn each<'a, F>(
    paths: &'a [RemotePath],
    format: Format,
    mut one: impl FnMut(&'a RemotePath) -> F,
) -> Result<Exit>
where
    F: Future<Output = Result<()>>,
{
    let (mut done, mut failed) = (0, 0);
    for path in paths {
        match one(path).await {
            Ok(()) => done += 1,
            Err(error) if error.downcast_ref::<ClientError>().is_some_and(ClientError::is_for_all) => {
                return if done > 0 {
                    fail(path, &error, format)?;
                    Ok(Exit::Partial)
                } else {
                    Err(error)
                };
            }
            Err(error) => {
                fail(path, &error, format)?;
                done += usize::from(error.is::<Partly>());
                failed += 1;
            }
        }
    }
    Ok(match (done, failed) {
        (_, 0) => Exit::Done,
        (0, _) => Exit::Failed,
        _ => Exit::Partial,
    })
}

/// Tells what is wrong with a path: people on stderr, and programs in its place among what is printed of the others.
///
/// # Errors
/// Nobody reads.
fn fail(path: &RemotePath, error: &anyhow::Error, format: Format) -> Result<()> {
    let message = text::chain(error.as_ref());
    text::complain(&format!("{path}: {message}"));
    if format == Format::Json {
        let code = error.downcast_ref::<ClientError>().map(ClientError::code).filter(|code| !code.is_empty());
        output::json(&json!({"path": path.encoded(), "error": {"code": code, "message": message}}))?;
    }
    Ok(())
}

/// What goes on where nobody looks on any more.
fn goodbye(command: &Command) -> Option<&'static str> {
    match command {
        Command::Upload(_) | Command::Download(_) => {
            Some("cancelled; the same command with --update goes on from here")
        }
        Command::Import(import) if import.runs_on() => Some(
            "an import that has begun runs on: wfs storage import ls shows it, wfs storage import cancel ID ends it",
        ),
        _ => None,
    }
}

/// Comes when the process is to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}
