//! The Node service on real mounts, helper processes and records. A folder on a tmpfs stands in for an NFS export: only
//! where the share's mount comes from differs (`source`).
//!
//! Each case runs in a process of its own with its own mount namespace, once on the modern and once on the legacy mount
//! path, so whatever it leaves behind goes with it. The same program is the shares' helper process, and the plugin that
//! some cases kill.

// Every line here is a test.
#![allow(clippy::unwrap_used)]

mod cases;
mod disk;
mod kill;
mod plugin;
mod source;
mod world;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use csi_driver::share::helper;
use libtest_mimic::{Arguments, Failed, Trial};
use workspacefs_sys::tree::MountApi;

/// The slowest case swaps a folder a million times.
const CASE_MAX: Duration = Duration::from_secs(240);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["share-helper", parent] => helper::run(&source::Folders, parent.parse().unwrap()),
        ["disk-helper", parent] => disk::run(parent.parse().unwrap()),
        ["nfs-helper", parent] => helper::run(&helper::Nfs, parent.parse().unwrap()),
        // On a machine with an NFS client, and the server's address in WSFS_TEST_NFS. Asks, in lines of its output, for
        // the server to be frozen and thawed.
        ["real"] => {
            let arguments = Arguments { test_threads: Some(1), ..Default::default() };
            libtest_mimic::run(&arguments, trials(cases::REAL)).exit_code()
        }
        ["killer", pid, at] => {
            kill::run_killer(pid.parse().unwrap(), at.parse().unwrap());
            ExitCode::SUCCESS
        }
        ["plugin", settings] => plugin::run(settings),
        ["case", name, api, folder] => {
            let all = [cases::ALL, cases::REAL].concat();
            let case = all.iter().find(|case| case.name == *name).unwrap();
            world::run(parse_api(api), folder.as_ref(), case.run);
            ExitCode::SUCCESS
        }
        _ => {
            assert!(nix::unistd::geteuid().is_root(), "these tests mount: run them as root");
            libtest_mimic::run(&Arguments::from_args(), trials(cases::ALL)).exit_code()
        }
    }
}

fn trials(cases: &'static [cases::Named]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for case in cases {
        for api in ["modern", "legacy"] {
            let name = format!("{}::{api}", case.name);
            trials.push(Trial::test(name, move || in_a_process(case.name, api)));
        }
    }
    trials
}

fn in_a_process(name: &str, api: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    // For helpers that are nobody.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let log = folder.path().join("log");
    let output = std::fs::File::create(&log)?;
    // On a real server, what a case prints is for whoever runs it, at once.
    let loud = std::env::var_os("WSFS_TEST_NFS").is_some();
    let stdout = if loud { Stdio::inherit() } else { output.try_clone()?.into() };
    let mut child = Command::new("/proc/self/exe")
        .args(["case", name, api])
        .arg(folder.path())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(stdout)
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
    outcome.map_err(|how| format!("{how}\n{}", std::fs::read_to_string(&log).unwrap_or_default()).into())
}

fn parse_api(text: &str) -> MountApi {
    match text {
        "modern" => MountApi::detect(false).unwrap(),
        "legacy" => MountApi::detect(true).unwrap(),
        other => panic!("no mount path {other:?}"),
    }
}
