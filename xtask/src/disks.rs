//! `cargo xtask disks`: the embedded server's agent on real XFS with real quotas, and with a real Ganesha, inside worker n2
//! (`nfs-server/tests/real`). No Kubernetes is in the way: what fails here is the agent's.

use std::time::Duration;

use anyhow::Result;

use crate::{cases, standalone};

/// They take some minutes.
const TIME_MAX: Duration = Duration::from_secs(1800);

/// Where the test program is on the machine: a copy, since the shared one changes with the next build.
const PROGRAM: &str = "/var/tmp/disks-test";

/// What of the program is run, one after the other.
const MODES: [&str; 2] = ["real", "ganesha"];

/// Arguments of `cargo xtask disks`.
#[derive(clap::Args)]
pub struct Args {
    /// Only cases whose names contain this
    #[arg(default_value = "")]
    only: String,
    /// Which cluster; started if it does not run
    #[arg(long, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
}

/// Runs them. The last line is `disks: N passed, N failed`.
pub fn run(args: Args) -> Result<()> {
    let program = cases::program("real")?;
    let cluster = standalone::cluster(&args.name)?;
    let machine = cluster.machine("n2")?;
    machine.run(&["cp", &cluster.share(&program)?, PROGRAM])?;
    let (mut passed, mut failed) = (0, 0);
    for mode in MODES {
        println!("disks: {mode}");
        let line = format!("exec {PROGRAM} {mode} {}", args.only);
        let counts = cases::run(&machine, &line, TIME_MAX, |_| Ok(()))?;
        passed += counts.0;
        failed += counts.1;
    }
    machine.run(&["rm", "-f", PROGRAM])?;
    println!("disks: {passed} passed, {failed} failed");
    // A run of nothing proves nothing.
    if failed > 0 || passed == 0 {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}
