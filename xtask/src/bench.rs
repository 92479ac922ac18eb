//! `cargo xtask bench`: measures, on the test cluster and (trees of files, files over HTTP, the command line) on this
//! computer, and writes docs/performance.md.
//! Figures are what this run measured; ratios come first, because machines differ.

mod claims;
mod client;
mod command_line;
mod copies;
mod deletion;
mod local;
mod machine;
mod memory;
mod mounted;
mod page;
mod peers;
mod pods;
mod quartiles;
mod races;
mod server;
mod throughput;
mod transfers;
mod trees;

use std::time::Duration;

use anyhow::{Context, Result};
use workspacefs_bench::DriverReport;
use workspacefs_e2e::{Cluster, product};

use crate::standalone::{self, Place, Standalone};
use crate::{images, room, shell};
use memory::Memory;
use page::Rendered;
use races::Count;
use trees::{Subject, Word};

const PAGE: &str = "docs/performance.md";
/// The client's 2,000 RPCs of each kind and 1,000 volumes take a few minutes on a slow machine.
const TIME_MAX: Duration = Duration::from_secs(900);
/// How long a process has nothing to do before its memory is looked at.
const IDLE: Duration = Duration::from_secs(30);

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// What is measured on this computer: single goals by number, all that are about trees of files (sync), or what CI runs of
    /// them (gate). Without any word: all of them, and all that is measured on the cluster
    words: Vec<Word>,
    /// Which cluster; started if it does not run
    #[arg(long, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
    /// Pods of each kind
    #[arg(long, default_value_t = 10)]
    pods: usize,
    /// Claims made at once
    #[arg(long, default_value_t = 100)]
    claims: usize,
    /// Files of the volume that is deleted, and of the local disk's: some thousands at least, or nothing is seen
    #[arg(long, default_value_t = 1_000_000)]
    files: usize,
    /// Measure one part; the others' figures on the page stay
    #[arg(long, conflicts_with = "words")]
    only: Option<Part>,
}

/// What is measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Part {
    /// The node plugin, on an NFS server of one's own.
    Plugin,
    /// The embedded server.
    Server,
    /// Local disks.
    Local,
    /// The command line, beside `kubectl cp` and rsync.
    Copies,
}

/// All that is measured of the node plugin.
struct Measured {
    machine: machine::Description,
    driver: DriverReport,
    memory: Memory,
    pods: pods::Report,
}

/// Measures and writes the page. Where goals are measured, the last line is `bench: N passed, N failed`.
pub fn run(args: Args) -> Result<()> {
    room::make()?;
    let mut count = None;
    if args.only.is_none() {
        // Before the cluster's machines run.
        count = Some(on_this_computer(&args.words)?);
    }
    if args.words.is_empty() {
        on_cluster(&args)?;
    }
    let Some(Count { passed, failed }) = count else { return Ok(()) };
    println!("bench: {passed} passed, {failed} failed");
    if failed > 0 {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

/// Trees of files, transfers, the command line; of each all, if no word is about any.
fn on_this_computer(words: &[Word]) -> Result<Count> {
    type Measure = fn(&[Word]) -> Result<Count>;
    let measures: [(Subject, Measure); 3] = [
        (Subject::Trees, trees::run),
        (Subject::Transfers, transfers::run),
        (Subject::CommandLine, command_line::run),
    ];
    let mut count = Count::default();
    for (subject, run) in measures {
        let of_it: Vec<Word> = words.iter().copied().filter(|word| word.subject() == subject).collect();
        if words.is_empty() || !of_it.is_empty() {
            count = count + run(&of_it)?;
        }
    }
    Ok(count)
}

/// The page is written after each part: a long run that fails late has not measured for nothing.
fn write_page(part: Rendered) -> Result<()> {
    let path = shell::root().join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, page::update(&page, part))?;
    println!("bench: {PAGE} is written");
    Ok(())
}

fn on_cluster(args: &Args) -> Result<()> {
    let cluster = standalone::cluster(&args.name)?;
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if wanted(Part::Plugin) {
        write_page(Rendered::Plugin(page::plugin_part(&plugin(&cluster, args.pods)?)))?;
    }
    if wanted(Part::Server) {
        let report = server::measure(&cluster, args.claims, args.files)?;
        write_page(Rendered::Server(page::server_part(&report)))?;
    }
    if wanted(Part::Local) {
        let part = page::local_part(&local::measure(&cluster, args.files)?);
        println!("{part}");
        write_page(Rendered::Local(part))?;
    }
    if wanted(Part::Copies) {
        let report = copies::measure(&cluster)?;
        write_page(Rendered::Copies(page::copies_part(&report)))?;
        races::told(&report.races);
    }
    Ok(())
}

fn plugin(cluster: &Cluster, pods: usize) -> Result<Measured> {
    let machine = machine::describe(cluster)?;
    let driver = driver(cluster.clone())?;
    println!("driver: {}", serde_json::to_string(&driver)?);

    product::install(cluster, &images::build()?, &product::values())?;
    let (pods, memory) = pods::with_pods(cluster, pods, || {
        // While a pod there uses a share.
        memory::idle(&cluster.machine("n1")?, memory::INSTALLED, "share-helper")
    })?;
    Ok(Measured { machine, driver, memory, pods })
}

fn driver(cluster: Cluster) -> Result<DriverReport> {
    let binaries = images::static_binaries()?;
    let driver = Standalone::start(cluster, "bench", Place::Export)?;
    let node = driver.node()?;
    let program = driver.cluster().share(&binaries.join("csi-bench"))?;
    let targets = format!("{}/pods/bench", driver.kubelet_folder());
    node.run(&["mkdir", "-p", &targets])?;
    let argv = [
        program,
        format!("--node={}", driver.node_endpoint()),
        format!("--controller={}", driver.controller_endpoint()),
        format!("--namespace={}", driver.namespace()),
        format!("--targets={targets}"),
    ];
    println!("measuring RPCs on {}", node.name());
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let output = node.run_within(&argv, b"", TIME_MAX)?;
    if output.code != 0 {
        anyhow::bail!("csi-bench: {output}\nnode:\n{}", driver.log("node", 20)?);
    }
    let report = serde_json::from_str(&output.text()).context("csi-bench says something else")?;
    for left in driver.stop()? {
        println!("left over: {left}");
    }
    Ok(report)
}
