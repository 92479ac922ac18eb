//! Measures transfers: `files` beside nginx, s5cmd and rclone, as `transfers` lists it. Prints a RaceReport a line, as JSON, as
//! `tree-bench` does, and wants a mount namespace that is private like it.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use workspacefs_bench::goals::{self, Chosen, Extent, Race, RaceReport, Shape};
use workspacefs_bench::transfers::{Servers, TRANSFERS};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Where a disk is made: some 4 GiB; as much again is taken of the memory
    #[arg(long)]
    folder: PathBuf,
    /// Folders of programs, looked at before the PATH
    #[arg(long = "programs")]
    programs: Vec<PathBuf>,
    /// Everything so many times smaller: to try the measuring out, not to measure
    #[arg(long, default_value_t = 1)]
    divide: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut servers = Servers::new(&args.folder, args.programs)?;
    for race in args.chosen.of(TRANSFERS)? {
        let shape = race.full.divided(args.divide);
        goals::told(race, shape, || measure(&mut servers, race, shape)).print()?;
    }
    Ok(())
}

/// One race; where there is a stub, whether it was measured instead of its clients.
fn measure(servers: &mut Servers, race: &Race, shape: Shape) -> Result<RaceReport> {
    let mut report = goals::race(servers, race, shape, Extent::Full)?;
    if let Some(alone) = servers.stub_alone()? {
        let alone = alone.as_secs_f64();
        let runs = report.lines.iter().flat_map(|line| &line.samples);
        let fastest = runs.map(|sample| sample.seconds).fold(f64::INFINITY, f64::min);
        ensure!(
            alone < fastest,
            "the stub alone takes {alone:.2} s, the fastest client {fastest:.2} s: it was measured"
        );
        report
            .notes
            .push(format!("the stub alone gives everything to a reader that keeps nothing in {alone:.2} s"));
    }
    Ok(report)
}
