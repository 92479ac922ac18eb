//! `cargo xtask`: everything the Makefile's thin targets do, in Rust. One file per command; this one only parses.

mod bench;
mod cases;
mod chart;
mod cluster;
mod conformance;
mod demo;
mod disks;
mod e2e;
mod generate;
mod images;
mod lint;
mod mounts;
mod room;
mod sanity;
mod shell;
mod standalone;
mod test;
mod tidy;
mod ui;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, generates, checks and tests workspacefs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start, stop and enter the test cluster
    Cluster(cluster::Args),
    /// Build the static binaries and the container images
    Images(images::Args),
    /// Write the generated files: CRDs, kustomize base
    Generate(generate::Args),
    /// Formatting, clippy, tidy, licences, chart and manifests
    Lint(lint::Args),
    /// Our own rules for the source tree
    Tidy(tidy::Args),
    /// The whole path, shown on the test cluster
    Demo(demo::Args),
    /// One end-to-end suite on the test cluster
    E2e(e2e::Args),
    /// The node plugin's cases on real NFS mounts, inside a node
    Mounts(mounts::Args),
    /// The embedded server's agent on real XFS, with real Ganesha, inside a node
    Disks(disks::Args),
    /// csi-sanity, inside a node, on the embedded server
    Sanity(sanity::Args),
    /// Kubernetes' own storage suite
    Conformance(conformance::Args),
    /// Measure and write docs/performance.md
    Bench(bench::Args),
    /// Every test there is
    Test(test::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Cluster(args) => cluster::run(args),
        Command::Images(args) => images::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Lint(args) => lint::run(args),
        Command::Tidy(args) => tidy::run(args),
        Command::Demo(args) => demo::run(args),
        Command::E2e(args) => e2e::run(args),
        Command::Mounts(args) => mounts::run(args),
        Command::Disks(args) => disks::run(args),
        Command::Sanity(args) => sanity::run(args),
        Command::Conformance(args) => conformance::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Test(args) => test::run(args),
    }
}
