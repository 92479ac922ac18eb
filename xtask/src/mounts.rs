//! `cargo xtask mounts`: the node plugin's cases on real NFS mounts (`csi-driver/tests/node/cases/real.rs`), inside worker n1,
//! with the test cluster's storage host as the server. The cases ask for that host to be frozen and thawed; this does it.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use workspacefs_e2e::Machine;
use workspacefs_e2e::machine::Stream;

use crate::{shell, standalone};

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
    let program = test_program()?;
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

/// Builds the test program and finds it.
fn test_program() -> Result<PathBuf> {
    let mut cargo = shell::cargo();
    cargo.args(["test", "--locked", "--package=csi-driver", "--test=node", "--no-run"]);
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = shell::output(&mut cargo)?;
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        // The driver itself is built beside it.
        .filter(|message| message["target"]["kind"][0] == "test")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.context("cargo built no test program")
}

/// How many passed and failed.
fn run_cases(node: &Machine, server: &Machine) -> Result<(usize, usize)> {
    let line = format!("WSFS_TEST_NFS={} exec {PROGRAM} real", standalone::SERVER);
    let mut output = String::new();
    let mut seen = 0;
    let mut fault = Ok(());
    let code = node.stream(&["sh", "-c", &line], std::io::empty(), TIME_MAX, |stream, bytes| {
        standalone::show(stream, bytes);
        if let Stream::Stdout = stream {
            output.push_str(&String::from_utf8_lossy(bytes));
        }
        while let Some(length) = output[seen..].find('\n') {
            // The first line of a case follows its name.
            let line = output[seen..seen + length].trim_end();
            let result = match line {
                _ if line.ends_with(FREEZE) => server.freeze(),
                _ if line.ends_with(THAW) => server.thaw(),
                _ => Ok(()),
            };
            if fault.is_ok() {
                fault = result;
            }
            seen += length + 1;
        }
    })?;
    std::io::stdout().flush()?;
    fault?;
    let summary = output.lines().rfind(|line| line.starts_with("test result:"));
    let Some(summary) = summary else {
        bail!("the cases ended with code {code} and without a summary");
    };
    let count = |what: &str| -> Result<usize> {
        let words: Vec<&str> = summary.split([' ', ';']).collect();
        let at = words.iter().position(|word| *word == what).context("a summary without counts")?;
        Ok(words[at - 1].parse()?)
    };
    let (passed, failed) = (count("passed")?, count("failed")?);
    if code != 0 && failed == 0 {
        bail!("the cases ended with code {code} and report no failure");
    }
    Ok((passed, failed))
}
