//! `cargo xtask mounts`: the node plugin's cases on real NFS mounts (`csi-driver/tests/node/cases/real.rs`), inside worker n1,
//! with the test cluster's storage host as the server. The cases ask for that host to be frozen and thawed; this does it.

use std::time::Duration;

use anyhow::Result;
use workspacefs_e2e::Machine;

use crate::{cases, standalone};

/// They take about two minutes.
const TIME_MAX: Duration = Duration::from_secs(900);
/// What a case prints when it is ready for the server to hang, and to come back.
const FREEZE: &str = "waiting until the server is frozen";
const THAW: &str = "waiting until the server answers";
/// Where the test program is on n1: a copy, since the shared one changes with the next build.
const PROGRAM: &str = "/tmp/node-test";
/// Folders that the cases make on the server.
const FOLDERS: &str = "/export/*/test-*";

/// Arguments of `cargo xtask mounts`.
#[derive(clap::Args)]
pub struct Args {
    /// Which cluster; started if it does not run
    #[arg(long, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
}

/// Runs them. The last line is `mounts: N passed, N failed`.
pub fn run(args: Args) -> Result<()> {
    let program = cases::program("node")?;
    let cluster = standalone::cluster(&args.name)?;
    let (node, server) = (cluster.machine("n1")?, cluster.machine("nfs")?);
    node.run(&["cp", &cluster.share(&program)?, PROGRAM])?;
    let ran = run_cases(&node, &server);
    // It may have ended between the two.
    server.thaw()?;
    node.run(&["rm", "-f", PROGRAM])?;
    server.shell(&format!("rm -rf {FOLDERS}"))?;

    let (passed, failed) = ran?;
    println!("mounts: {passed} passed, {failed} failed");
    // A run of nothing proves nothing.
    if failed > 0 || passed == 0 {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

/// How many passed and failed.
fn run_cases(node: &Machine, server: &Machine) -> Result<(usize, usize)> {
    let line = format!("WSFS_TEST_NFS={} exec {PROGRAM} real", standalone::SERVER);
    cases::run(node, &line, TIME_MAX, |line| {
        // The first line of a case follows its name.
        match line {
            _ if line.ends_with(FREEZE) => Ok(server.freeze()?),
            _ if line.ends_with(THAW) => Ok(server.thaw()?),
            _ => Ok(()),
        }
    })
}
