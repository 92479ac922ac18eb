//! The engine's acceptance tests, against the crate's public words only: what issue 6 says that bad input gets, a model with
//! rsync as judge, races, kills at each system call, destinations that end.
//!
//! Each case runs in a process of its own with its own mount namespace, so whatever it mounts, limits or gives up goes with
//! it. The same program is the copy that some cases kill, and the slow file system that one does.

// Every line here is a test.
#![allow(clippy::unwrap_used)]

mod cases;
mod judge;
mod mounts;
mod step;
mod tree;
mod words;
mod world;

mod model {
    //! Random trees, and what a run has to make of them.
    pub mod build;
    pub mod expect;
    pub mod spec;
}

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

/// The slowest case kills a copy some thousand times.
const CASE_MAX: Duration = Duration::from_secs(400);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["case", name, folder] => {
            let case = cases::ALL.iter().find(|case| case.name == *name).unwrap();
            (case.run)(&world::World::new(folder.as_ref()));
            ExitCode::SUCCESS
        }
        ["victim", what, folder] => step::run_victim(what, folder.as_ref()),
        ["slowfs", lower, mounted] => cases::gone::run_server(lower.as_ref(), mounted.as_ref()),
        _ => {
            assert!(nix::unistd::geteuid().is_root(), "these tests mount: run them as root");
            let trials = cases::ALL.iter().map(|case| Trial::test(case.name, || in_a_process(case.name)));
            libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
        }
    }
}

fn in_a_process(name: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    // For cases that are nobody.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let log = folder.path().join("log");
    let output = std::fs::File::create(&log)?;
    let mut child = Command::new("/proc/self/exe")
        .args(["case", name])
        .arg(folder.path())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()?;
    let started = Instant::now();
    let outcome = loop {
        if let Some(status) = child.try_wait()? {
            break if status.success() { Ok(()) } else { Err(format!("{status}")) };
        }
        if started.elapsed() > CASE_MAX {
            child.kill()?;
            child.wait()?;
            break Err(format!("no end after {CASE_MAX:?}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = std::fs::read(&log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    match outcome {
        // Figures: how many swaps, how many schedules.
        Ok(()) => said.lines().for_each(|line| println!("  {name}: {line}")),
        Err(how) => return Err(format!("{how}\n{said}").into()),
    }
    Ok(())
}
