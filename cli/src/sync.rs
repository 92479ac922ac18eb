//! `wfs sync`: makes one directory what another is.

use std::io::Write;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{ValueEnum, ValueHint};
use workspacefs_sync::{
    Control, DeleteLimit, Filter, FilterError, Keep, Options, Report, Verify, VerifyError, VerifyReport,
};

use crate::exit::{self, Exit};
use crate::interrupt::Interrupt;
use crate::places::{self, Places};
use crate::progress::{Phase, Show, Watch};
use crate::rate::Rate;
use crate::{json, render, text};

/// Makes the directory DST what the directory SRC is
///
/// Copies what is new or different, and with --delete deletes what SRC does not have. Files appear in DST whole, under
/// their names: whoever reads there sees the old one or the new one. A run that was ended anywhere is completed by the
/// next one. Modes, times, symbolic links, hard links within the set and holes are kept; sockets, FIFOs and devices are
/// left out.
#[derive(clap::Args)]
#[command(after_long_help = exit::help())]
pub struct Args {
    /// Directory to copy from
    #[arg(value_name = "SRC", value_hint = ValueHint::DirPath)]
    source: PathBuf,
    /// Directory to copy to; made if it does not exist and its parent does
    #[arg(value_name = "DST", value_hint = ValueHint::DirPath)]
    destination: PathBuf,
    /// Only these files and trees, relative to SRC
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Delete in DST what SRC does not have; what is excluded stays
    #[arg(long)]
    delete: bool,
    /// Delete no more than N files and directories; what goes beyond stays and is reported
    #[arg(long, value_name = "N", requires = "delete")]
    max_delete: Option<u64>,
    /// Leave out what matches, as a line of a .gitignore; `!PATTERN` takes in again; the last match decides
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    exclude: Vec<String>,
    /// Of the files take only those that match one of these, or lie in a directory that does
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    include: Vec<String>,
    /// Hash each file with blake3 while it is copied, for the manifest
    #[arg(long, requires = "manifest")]
    checksum: bool,
    /// Write what lies in DST to this file, outside of SRC and DST: for --verify, and to go on from
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    manifest: Option<PathBuf>,
    /// Compare DST with the manifest after copying; `checksum` implies --checksum
    #[arg(long, value_name = "WHAT", requires = "manifest", conflicts_with = "dry_run")]
    verify: Option<What>,
    /// Link what is unchanged since an earlier copy, in the directory DIR of DST's file system, instead of copying it
    ///
    /// A relative path is one from the current directory, as all others here. DIR's files are never changed; DST must
    /// neither be it nor lie in it. With --checksum what is linked is read from SRC for its hash.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    link_dest: Option<PathBuf>,
    /// Read at most so much per second: a number with B, K, M, G or T (powers of 1024; K if there is none); 0 is no limit
    #[arg(long, value_name = "RATE")]
    bwlimit: Option<Rate>,
    /// Use at most N threads [default: 64 over a network, otherwise twice the processors]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Do not keep owner and group
    #[arg(long)]
    no_owner: bool,
    /// Keep extended attributes
    #[arg(long)]
    xattrs: bool,
    /// Keep access control lists: POSIX ones, and those of NFSv4 that say more than a mode. A file whose list DST cannot take fails
    #[arg(long)]
    acls: bool,
    /// Only count what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON on stdout: progress once a second, and one line of type "report" or "error" at the end
    ///
    /// One object per line. Durations are seconds, sizes bytes, rates bytes per second. A path is a string where it is
    /// UTF-8, otherwise {"bytes": "<hexadecimal>"}.
    #[arg(long)]
    json: bool,
    /// Show no progress and no summary; errors are shown
    #[arg(short, long)]
    quiet: bool,
    /// Name also what was left out for what it is: sockets, FIFOs, devices, files that vanished
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum What {
    /// Whether each file is there with its size
    Size,
    /// Its content, too: read again
    Checksum,
}

/// What was asked for has been done as far as possible.
struct Outcome {
    report: Report,
    verified: Option<Result<VerifyReport, VerifyError>>,
}

/// Copies, verifies, and tells what came of it.
pub fn run(args: &Args) -> Result<Exit> {
    let outcome = match copy_and_verify(args) {
        Ok(outcome) => outcome,
        Err(error) if args.json => {
            // People read stderr, programs the last line on stdout.
            json::print(&json::Line::error(Exit::Failed, text::chain(error.as_ref())))
                .context("cannot print")?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let verified = outcome.verified.as_ref();
    let exit = Exit::of(&outcome.report, verified.map(|verified| verified.as_ref().map_err(|_| ())));
    complain(args, &outcome);
    if args.json {
        json::print(&json::Line::report(exit, args.dry_run, &outcome.report, verified))
    } else {
        summarize(args, &outcome)
    }
    .context("cannot print the report")?;
    Ok(exit)
}

fn copy_and_verify(args: &Args) -> Result<Outcome> {
    let interrupt = Interrupt::new()?;
    let options = args.options()?;
    let earlier = args.link_dest.as_deref().map(places::open_earlier).transpose()?;
    let options = Options { earlier, ..options };
    let mut places = Places::open(&args.source, &args.destination, args.dry_run)?;
    if let Some(manifest) = args.manifest.as_ref().filter(|_| !args.dry_run) {
        places::check_manifest(manifest, &args.source, &args.destination)?;
    }
    let show = Show::choose(args.json, args.quiet);
    let report = {
        let control = Control::new();
        interrupt.cancels(&control);
        let _watch = Watch::new(&control, show, Phase::Copy)?;
        workspacefs_sync::sync(places.source.as_fd(), places.destination.as_fd(), &options, &control)?
    };
    places.keep();
    let verified = match (args.verify, &args.manifest) {
        (Some(what), Some(manifest)) if report.stopped.is_none() => {
            let control = Control::new();
            interrupt.cancels(&control);
            let _watch = Watch::new(&control, show, Phase::Verify)?;
            Some(verify(&places, manifest, what, args.workers, &control))
        }
        _ => None,
    };
    Ok(Outcome { report, verified })
}

fn verify(
    places: &Places,
    manifest: &Path,
    what: What,
    workers: Option<NonZeroUsize>,
    control: &Control,
) -> Result<VerifyReport, VerifyError> {
    let mode = match what {
        What::Size => Verify::Size,
        What::Checksum => Verify::Checksum,
    };
    workspacefs_sync::verify(places.destination.as_fd(), manifest, mode, workers, control)
}

/// What is wrong, on stderr whatever else is asked for.
fn complain(args: &Args, outcome: &Outcome) {
    for note in render::notes(&outcome.report.notes, args.verbose) {
        text::complain(&note);
    }
    if let Some(stop) = &outcome.report.stopped {
        text::complain(&format!("stopped: {}", text::chain(stop)));
    }
    match &outcome.verified {
        Some(Ok(report)) => {
            for difference in render::differences(report) {
                text::complain(&format!("verify: {difference}"));
            }
            if let Some(stop) = &report.stopped {
                text::complain(&format!("verify: stopped: {}", text::chain(stop)));
            }
        }
        Some(Err(error)) => text::complain(&format!("verify: {}", text::chain(error))),
        None => {}
    }
}

fn summarize(args: &Args, outcome: &Outcome) -> std::io::Result<()> {
    if args.quiet {
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    for line in render::summary(&outcome.report, args.dry_run) {
        writeln!(stdout, "{line}")?;
    }
    if let Some(Ok(report)) = &outcome.verified {
        writeln!(stdout, "{}", render::verified(report))?;
    }
    stdout.flush()
}

impl Args {
    fn options(&self) -> Result<Options, FilterError> {
        let entries_max = self.max_delete.unwrap_or(DeleteLimit::NONE.entries_max);
        Ok(Options {
            paths: self.paths.clone(),
            filter: Filter::new(&self.exclude, &self.include)?,
            delete: self.delete.then_some(DeleteLimit { entries_max }),
            keep: Keep { owner: !self.no_owner, xattrs: self.xattrs, acls: self.acls },
            checksum: self.checksum || self.verify == Some(What::Checksum),
            manifest: self.manifest.clone(),
            earlier: None,
            bandwidth: self.bwlimit.and_then(|rate| rate.0),
            workers: self.workers,
            dry_run: self.dry_run,
        })
    }
}

/// Tells a wrong pattern before anything is begun, as clap tells all that is wrong with the command line.
fn pattern(text: &str) -> Result<String, FilterError> {
    Filter::new([text], [""; 0])?;
    Ok(text.to_owned())
}
