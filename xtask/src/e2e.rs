//! `cargo xtask e2e SUITE`: one suite of end-to-end cases on the test cluster, with the present build of the product.
//! Starts the cluster where it does not run. The last line counts the cases. With `--retry`, cases that failed run a second
//! time; what passes only then is printed as flaky and counts as passed.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use workspacefs_e2e::suites::{self, Choice, Options, Suite, Summary};
use workspacefs_e2e::{Cluster, ClusterConfig, product};

use crate::{images, shell, ui};

/// The variable that says until when cases begin: for a machine that ends a run after so many minutes.
pub const UNTIL: &str = "WSFS_UNTIL";

/// More failures than these are not the computer's.
const RETRIED_MAX: usize = 12;

/// How long after the end of the time cases still run once more: nothing is told of those that do not.
const RETRY_TIME: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub struct Args {
    /// Which suite: shared, managed, cache, local, files, cli
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
    /// Up to twelve failed cases run once more, one at a time: for a machine with too much else to do
    #[arg(long)]
    retry: bool,
    /// No case begins after this time, in seconds of the epoch; those left out are named
    #[arg(long, env = UNTIL)]
    until: Option<u64>,
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
        install(&cluster, suite.name)?;
    }
    for image in images::of_suite(suite.name)? {
        cluster.import_image(&image)?;
    }
    if matches!(suite.name, "cache" | "cli") {
        // Of the present build, where the suite finds it.
        cluster.share(&images::static_binaries()?.join("wfs"))?;
    }
    if suite.name == "cli" {
        programs_of_cli()?;
    }
    let alone: Vec<_> = suite.cases.iter().filter(|case| case.alone).map(|case| case.name).collect();
    let parallel = args.parallel;
    let until = args.until.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    let options = Options { only: Choice::Containing(args.only), parallel, keep: args.keep, until };
    let mut summary = suites::run(&cluster, suite, &options)?;
    let mut flaky = Vec::new();
    if args.retry && (1..=RETRIED_MAX).contains(&summary.failed.len()) {
        println!("once more, one at a time: {}", summary.failed.join(", "));
        let suite = suites::named(&args.suite).context("the suite is gone")?;
        let only = Choice::Named(summary.failed.clone());
        let until = until.map(|until| until + RETRY_TIME);
        let options = Options { only, parallel: 1, keep: args.keep, until };
        (summary, flaky) = settle(summary, suites::run(&cluster, suite, &options)?);
    }
    for name in &flaky {
        println!("flaky: {name} {}", what_flaky_means(parallel == 1 || alone.contains(name)));
    }
    for name in &summary.failed {
        println!("failed: {name}");
    }
    if !summary.left_out.is_empty() {
        println!("left out for want of time: {}", summary.left_out.join(", "));
    }
    if !flaky.is_empty() {
        println!("flaky: {}", flaky.len());
    }
    println!("e2e {}: {} passed, {} failed", args.suite, summary.passed.len(), summary.failed.len());
    // A run of nothing proves nothing.
    if !summary.failed.is_empty() || summary.passed.is_empty() && summary.left_out.is_empty() {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

/// The product with the values that a suite wants, on a cluster from which what other suites left is gone.
fn install(cluster: &Cluster, suite: &str) -> Result<()> {
    let with_server = suite == "managed";
    let mut values = if with_server { product::values_with_server() } else { product::values() };
    // What must show in no log must not show in the most talkative one.
    values["logLevel"] = "info,csi_driver=debug,operator=debug".into();
    // Cases wait for what a look at a share finds.
    values["controller"]["lookIntervalSeconds"] = 15.into();
    if suite == "cache" {
        values["caches"]["enabled"] = true.into();
        values["caches"]["localCache"] = true.into();
    }
    if suite == "files" {
        files(&mut values)?;
    }
    if suite == "cli" {
        cli(&mut values);
    }
    if suite == "local" {
        values["localStorage"]["directories"] = suites::LOCAL_DIRECTORIES.to_vec().into();
    }
    if let Err(error) = suites::clear(cluster, suite) {
        println!("not removed yet, and tried again with the product installed: {error:#}");
    }
    if with_server {
        product::install_with_server(cluster, &images::build_with_server()?, &values)?;
    } else {
        product::install(cluster, &images::build()?, &values)?;
    }
    Ok(())
}

/// What the suite `files` finds: no FileSystem that no case has made, the gateway on the node that stays, and the harness as a place
/// to import from. And the packages of the browser's flows, and the browser.
fn files(values: &mut Value) -> Result<()> {
    product::add_files(values);
    values["defaultFileSystem"] = false.into();
    values["dashboard"]["nodeSelector"]["kubernetes.io/hostname"] = suites::GATEWAY_NODE.into();
    values["files"]["allowEndpoints"] = json!([suites::IMPORTS_FROM]);
    shell::ensure_program("chromium", "chromium")?;
    ui::packages().map(drop)
}

/// What the suite `cli` finds: as of `files`, rsync beside each, exposed for the real `lep`, and the harness as a place to import from.
pub fn cli(values: &mut Value) {
    product::add_files(values);
    values["defaultFileSystem"] = false.into();
    values["dashboard"]["nodeSelector"]["kubernetes.io/hostname"] = suites::GATEWAY_NODE.into();
    values["files"]["allowEndpoints"] = json!([suites::IMPORTS_FROM]);
    values["files"]["rsync"] = json!({ "enabled": true, "expose": { "enabled": true } });
}

/// rsync and the real clients on this machine.
fn programs_of_cli() -> Result<()> {
    shell::ensure_program("rsync", "rsync")?;
    suites::install_lep_clients();
    Ok(())
}

/// Both runs as one, and the names of those that passed only the second time. A failure goes away by passing, not by not
/// being there any more: the runner's own has no case that could run again.
fn settle(first: Summary, second: Summary) -> (Summary, Vec<&'static str>) {
    let (flaky, mut failed): (Vec<_>, Vec<_>) =
        first.failed.into_iter().partition(|name| second.passed.contains(name));
    failed.extend(second.failed.into_iter().filter(|name| !failed.contains(name)).collect::<Vec<_>>());
    let mut passed = first.passed;
    passed.extend(&flaky);
    (Summary { passed, failed, left_out: first.left_out }, flaky)
}

/// A case that had the cluster to itself the first time failed under the same conditions under which it then passed.
fn what_flaky_means(was_alone: bool) -> &'static str {
    if was_alone {
        "failed, then passed when it ran again"
    } else {
        "failed beside other cases, then passed when it ran again by itself"
    }
}

fn list(suite: &Suite) {
    for case in &suite.cases {
        println!("{}{}", case.name, if case.alone { " (alone)" } else { "" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(passed: &[&'static str], failed: &[&'static str]) -> Summary {
        Summary { passed: passed.to_vec(), failed: failed.to_vec(), left_out: Vec::new() }
    }

    #[test]
    fn what_passes_the_second_time_is_flaky_and_counts_once() {
        let (both, flaky) = settle(summary(&["a"], &["b", "c"]), summary(&["b"], &["c"]));
        assert_eq!(both.passed, ["a", "b"]);
        assert_eq!(both.failed, ["c"]);
        assert_eq!(flaky, ["b"]);
    }

    #[test]
    fn a_failure_that_did_not_run_again_stays_one() {
        let (both, flaky) = settle(summary(&["a"], &["the runner"]), summary(&[], &[]));
        assert_eq!(both.failed, ["the runner"]);
        assert!(flaky.is_empty());
        let (both, _) = settle(summary(&["a"], &["b"]), summary(&["b"], &["the runner"]));
        assert_eq!(both.failed, ["the runner"]);
    }
}
