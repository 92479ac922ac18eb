//! `cargo xtask e2e SUITE`: one suite of end-to-end cases on the test cluster, with the present build of the product.
//! Starts the cluster where it does not run. The last line counts the cases.

use anyhow::{Context, Result};
use workspacefs_e2e::suites::{self, Options, Suite, Summary};
use workspacefs_e2e::{Cluster, ClusterConfig, product};

use crate::images;

/// More failures than these are no want of time.
const TRIED_AGAIN_MAX: usize = 3;

#[derive(clap::Args)]
pub struct Args {
    /// Which suite: shared, managed
    suite: String,
    /// Only the cases whose names contain one of these
    only: Vec<String>,
    /// Which cluster
    #[arg(long, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
    /// How many cases run at a time, of those that may run beside others
    #[arg(long, default_value_t = 5)]
    parallel: usize,
    /// Failed cases keep their namespaces, until the next run
    #[arg(long)]
    keep: bool,
    /// Take the product as it is on the cluster
    #[arg(long)]
    as_installed: bool,
    /// Print the names of the cases and run none
    #[arg(long)]
    list: bool,
}

/// Runs the suite; ends this process with 1 if a case failed.
pub fn run(args: Args) -> Result<()> {
    let suite = suites::named(&args.suite).with_context(|| format!("there is no suite {:?}", args.suite))?;
    if args.list {
        list(&suite);
        return Ok(());
    }
    let cluster = Cluster::up(&ClusterConfig::from_environment(&args.name)?)?;
    if !args.as_installed {
        let with_server = suite.name == "managed";
        let mut values = if with_server { product::values_with_server() } else { product::values() };
        // What must show in no log must not show in the most talkative one.
        values["logLevel"] = "info,csi_driver=debug,operator=debug".into();
        if with_server {
            product::install_with_server(&cluster, &images::build_with_server()?, &values)?;
        } else {
            product::install(&cluster, &images::build()?, &values)?;
        }
    }
    let options = Options { only: args.only, parallel: args.parallel, keep: args.keep };
    let mut summary = suites::run(&cluster, suite, &options)?;
    if (1..=TRIED_AGAIN_MAX).contains(&summary.failed.len()) {
        summary = try_again(&cluster, &args.suite, summary, args.keep)?;
    }
    for name in &summary.failed {
        println!("failed: {name}");
    }
    println!("e2e {}: {} passed, {} failed", args.suite, summary.passed, summary.failed.len());
    // A run of nothing proves nothing.
    if !summary.failed.is_empty() || summary.passed == 0 {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

/// Runs the failed cases once more, one at a time: what then passes failed for want of time, and is said to.
fn try_again(cluster: &Cluster, suite: &str, first: Summary, keep: bool) -> Result<Summary> {
    println!("once more, one at a time: {}", first.failed.join(", "));
    let only = first.failed.iter().map(|name| (*name).to_owned()).collect();
    let suite = suites::named(suite).context("the suite is gone")?;
    let second = suites::run(cluster, suite, &Options { only, parallel: 1, keep })?;
    for name in first.failed.iter().filter(|name| !second.failed.contains(name)) {
        println!("flaky: {name} failed among others and passed alone");
    }
    Ok(Summary { passed: first.passed + second.passed, failed: second.failed })
}

fn list(suite: &Suite) {
    for case in &suite.cases {
        println!("{}{}", case.name, if case.alone { " (alone)" } else { "" });
    }
}
