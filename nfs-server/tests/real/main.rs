//! The agent on real XFS with project quota, on real block devices, and (mode `ganesha`) with a real NFS-Ganesha and a
//! kernel that has an NFS client. The computer that runs `cargo test` may have none of these, so there it has no cases;
//! inside a test machine, as root:
//!
//! - `PROGRAM real` needs a kernel with XFS quota and loop devices, mkfs.xfs, mkfs.ext4, blkid, losetup, xfs_io;
//! - `PROGRAM ganesha` also needs ganesha.nfsd and a kernel with an NFS client, and the port 2049 for itself.
//!
//! Further arguments select cases, as with `cargo test`. Images are made in `$WSFS_TEST_DIR` (default /var/tmp; a file
//! system that is not tmpfs, with 2 GB free). The same program is the agent (`serve`), and what some cases kill (`step`).

// Every line here is a test.
#![allow(clippy::unwrap_used)]

mod cases;
mod kill;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mode, rest) = match arguments.split_first() {
        Some((mode, rest)) => (mode.as_str(), rest),
        None => ("", &arguments[..]),
    };
    match mode {
        "real" => run(cases::REAL, rest),
        "ganesha" => run(cases::GANESHA, rest),
        "serve" | "removed" | "restore" | "discard" => match workspacefs_nfs_server::cli::run() {
            Ok(code) => code,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        },
        "step" => {
            cases::kills::step(rest);
            ExitCode::SUCCESS
        }
        // What cargo gives.
        _ => libtest_mimic::run(&Arguments::from_args(), Vec::new()).exit_code(),
    }
}

fn run(cases: &'static [cases::Named], arguments: &[String]) -> ExitCode {
    let program = std::iter::once("real".to_string());
    let mut arguments = Arguments::from_iter(program.chain(arguments.iter().cloned()));
    // Loop devices, port 2049 and the machine's one processor are shared.
    arguments.test_threads = Some(1);
    let trial = |case: &'static cases::Named| Trial::test(case.name, || run_case(case.run));
    libtest_mimic::run(&arguments, cases.iter().map(trial).collect()).exit_code()
}

fn run_case(case: fn()) -> Result<(), Failed> {
    let started = std::time::Instant::now();
    case();
    eprintln!("  {:.1} s", started.elapsed().as_secs_f32());
    Ok(())
}
