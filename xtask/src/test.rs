//! `cargo xtask test`: every test there is. First those of the crates, and the pages' flows before their mock gateway; then the
//! suites on the test cluster, each a run of its own that ends with its own count. The last line counts the runs.
//!
//! A suite waits more than it computes, so two work at a time, each on a cluster of its own: whichever cluster is free takes
//! the next. What they say is told line by line as it comes, each line with the cluster's name.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use workspacefs_e2e::ClusterConfig;

use crate::{conformance, e2e, images, room, shell, ui};

/// A cluster on which suites run one after the other.
struct Lane {
    /// The cluster's name.
    cluster: &'static str,
    /// Whether it is people's own, which goes on.
    keep: bool,
}

const LANES: [Lane; 2] = [Lane { cluster: "dev", keep: true }, Lane { cluster: "test", keep: false }];

/// Every issue that adds a suite adds it here: the longest first, so that both clusters end at about the same time, and last what
/// is missed least where the time does not suffice. CI's machines may be busy with other work, so what fails in a suite runs once
/// more, and is told as flaky if it then passes.
const SUITES: [&[&str]; 10] = [
    &["e2e", "shared", "--retry"],
    &["e2e", "managed", "--retry"],
    &["e2e", "local", "--retry"],
    &["e2e", "files", "--retry"],
    &["e2e", "cli", "--retry"],
    &["sanity"],
    &["disks"],
    &["mounts"],
    &["conformance", "--subset"],
    &["e2e", "cache", "--retry"],
];

/// What the crates' tests run, with Debian's packages.
const PROGRAMS: [(&str, &str); 4] =
    [("rsync", "rsync"), ("mkfs.btrfs", "btrfs-progs"), ("xfs_io", "xfsprogs"), ("mkfs.ext4", "e2fsprogs")];

/// What is left to do of [`SUITES`].
type Queue = Mutex<std::array::IntoIter<&'static [&'static str], { SUITES.len() }>>;

#[derive(clap::Args)]
pub struct Args {
    /// Only the crates' own tests and the pages' flows, without the test cluster
    #[arg(long, conflicts_with = "suites")]
    crates: bool,
    /// Only the suites on the test cluster
    #[arg(long)]
    suites: bool,
    /// No suite, and no case of one, begins after this time, in seconds of the epoch; those left out are named
    #[arg(long, env = e2e::UNTIL)]
    until: Option<u64>,
}

/// How one of them ended.
struct Run {
    name: String,
    passed: bool,
    minutes: f32,
    /// What it said of its failures, to be read again at the end: of a long log often nothing but the end is kept.
    failures: Vec<String>,
}

/// So much of it.
const FAILURES_MAX: usize = 20;

/// Runs everything that was asked for, whatever fails.
pub fn run(args: Args) -> Result<()> {
    room::make()?;
    let mut runs = Vec::new();
    let queue = Mutex::new(SUITES.into_iter());
    let until = args.until.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    if !args.suites {
        // What crates' own tests fill, break and judge with.
        for (program, package) in PROGRAMS {
            shell::ensure_program(program, package)?;
        }
        let mut cargo = shell::cargo();
        cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
        runs.push(timed("", "cargo test --workspace", |_| shell::run(&mut cargo)));
        runs.push(timed("", "pages in a browser, before the mock gateway", |_| ui::flows()));
    }
    if !args.crates {
        // Before the suites begin, not beside them: compilers would starve the machines.
        runs.push(timed("", "images and Kubernetes' suite", |_| {
            conformance::build(&ClusterConfig::from_environment(LANES[0].cluster)?)?;
            images::build_with_server().map(drop)
        }));
        let lanes = std::thread::scope(|scope| {
            let lanes = LANES.each_ref().map(|lane| scope.spawn(|| lane.run(&queue, until)));
            lanes.map(|lane| lane.join().unwrap_or_else(|_| vec![Run::lost("a lane's thread")]))
        });
        runs.extend(lanes.into_iter().flatten());
    }
    for run in &runs {
        println!("{} {:5.1} min  {}", if run.passed { "passed" } else { "failed" }, run.minutes, run.name);
        // Of one that passed too: what passed only the second time is worth knowing.
        run.failures.iter().for_each(|line| println!("                  {line}"));
    }
    let failed = runs.iter().filter(|run| !run.passed).count();
    while let Some(suite) = next_of(&queue).filter(|_| !args.crates) {
        println!("left out for want of time: {}", suite.join(" "));
    }
    println!("test: {} passed, {failed} failed", runs.len() - failed);
    if failed > 0 {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

impl Lane {
    fn run(&self, queue: &Queue, until: Option<SystemTime>) -> Vec<Run> {
        let prefix = format!("{} | ", self.cluster);
        let is_late = || until.is_some_and(|until| SystemTime::now() >= until);
        let next = || if is_late() { None } else { next_of(queue) };
        let mut runs: Vec<Run> = std::iter::from_fn(next).map(|suite| self.suite(&prefix, suite)).collect();
        if !self.keep {
            runs.push(timed(&prefix, "cluster down", |said| self.xtask(&prefix, &["cluster", "down"], said)));
        }
        runs
    }

    /// One suite; once more as a whole if it failed and repeats no single cases.
    fn suite(&self, prefix: &str, suite: &[&str]) -> Run {
        let once = || timed(prefix, &suite.join(" "), |said| self.xtask(prefix, suite, said));
        let run = once();
        if run.passed || suite.contains(&"--retry") {
            return run;
        }
        let run = once();
        if run.passed {
            println!("{prefix}flaky: {} failed, then passed when it ran again", run.name);
        }
        run
    }

    /// Runs this program on the cluster and passes on what it says; what it says of failures is kept.
    fn xtask(&self, prefix: &str, arguments: &[&str], failures: &mut Vec<String>) -> Result<()> {
        let (reader, writer) = std::io::pipe()?;
        let mut xtask = Command::new(std::env::current_exe()?);
        xtask.args(arguments).env("WSFS_CLUSTER", self.cluster).stdin(Stdio::null());
        xtask.stdout(writer.try_clone()?).stderr(writer);
        let mut child = xtask.spawn().context("cannot start it")?;
        // It holds the pipe's other end, which has to be closed for the reader to come to an end.
        drop(xtask);
        let mut is_cause = false;
        for line in BufReader::new(reader).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{prefix}{line}");
            let is_failure = tells_of_failure(&line);
            if (is_failure || is_cause) && failures.len() < FAILURES_MAX {
                failures.push(line.into_owned());
            }
            is_cause = is_failure;
        }
        let status = child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

fn next_of(queue: &Queue) -> Option<&'static [&'static str]> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

impl Run {
    /// One that did not come to an end.
    fn lost(name: &str) -> Self {
        Self { name: name.into(), passed: false, minutes: 0.0, failures: Vec::new() }
    }
}

/// Whether a suite says with this line that something failed; the next line says why.
fn tells_of_failure(line: &str) -> bool {
    ["FAILED", "failed:", "left over:", "left out", "flaky", "Error:"]
        .iter()
        .any(|word| line.starts_with(word))
}

fn timed(prefix: &str, name: &str, work: impl FnOnce(&mut Vec<String>) -> Result<()>) -> Run {
    println!("{prefix}test: {name}");
    let started = Instant::now();
    let mut failures = Vec::new();
    let result = work(&mut failures);
    let minutes = started.elapsed().as_secs_f32() / 60.0;
    match &result {
        Ok(()) => println!("{prefix}test: {name}: passed, {minutes:.1} min"),
        Err(error) => println!("{prefix}test: {name}: FAILED, {minutes:.1} min: {error:#}"),
    }
    Run { name: name.to_owned(), passed: result.is_ok(), minutes, failures }
}
