//! `cargo xtask test`: every test there is. First those of the crates, then the suites on the test cluster, each a run of
//! its own that ends with its own count. The last line counts the runs.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::shell;

/// A suite on the cluster.
struct Suite {
    /// As arguments of `cargo xtask`.
    arguments: &'static [&'static str],
    /// Whether its failure is the run's. Where not, docs/status.md says what it waits for.
    decides: bool,
}

/// Every issue that adds a suite adds it here. CI's machines may be busy with other work, so what fails in a suite runs once
/// more, and is told as flaky if it then passes.
const SUITES: [Suite; 5] = [
    Suite { arguments: &["mounts"], decides: true },
    Suite { arguments: &["disks"], decides: true },
    Suite { arguments: &["e2e", "shared", "--retry"], decides: true },
    Suite { arguments: &["sanity"], decides: true },
    Suite { arguments: &["e2e", "managed", "--retry"], decides: false },
];

#[derive(clap::Args)]
pub struct Args {
    /// Only the crates' own tests, without the test cluster
    #[arg(long, conflicts_with = "suites")]
    crates: bool,
    /// Only the suites on the test cluster
    #[arg(long)]
    suites: bool,
}

/// Runs everything that was asked for, whatever fails.
pub fn run(args: Args) -> Result<()> {
    let mut runs = Vec::new();
    if !args.suites {
        let mut cargo = shell::cargo();
        cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
        runs.push(("cargo test --workspace".to_owned(), cargo, true));
    }
    for suite in SUITES.iter().filter(|_| !args.crates) {
        let mut xtask = Command::new(std::env::current_exe()?);
        xtask.args(suite.arguments);
        runs.push((suite.arguments.join(" "), xtask, suite.decides));
    }
    let mut failed = Vec::new();
    let total = runs.iter().filter(|(.., decides)| *decides).count();
    for (name, mut command, decides) in runs {
        println!("\ntest: {name}");
        let started = Instant::now();
        let result = shell::run(&mut command);
        let minutes = started.elapsed().as_secs_f32() / 60.0;
        match result {
            Ok(()) => println!("test: {name}: passed, {minutes:.1} min"),
            Err(error) => {
                println!("test: {name}: FAILED, {minutes:.1} min: {error:#}");
                if decides {
                    failed.push(name);
                } else {
                    println!("test: {name} does not decide yet: docs/status.md says what it waits for");
                }
            }
        }
    }
    for name in &failed {
        println!("failed: {name}");
    }
    println!("test: {} passed, {} failed", total - failed.len(), failed.len());
    if !failed.is_empty() {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}
