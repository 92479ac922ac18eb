//! Measures trees of files: us beside other programs, as `goals` lists it. Prints a RaceReport a line, as JSON, as each is
//! done; what it is doing, it says on stderr. Wants a mount namespace that is private: `cargo xtask bench` starts it in one.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use workspacefs_bench::goals::{
    self, Chosen, Extent, FileSystems, Goal, RACES, Race, RaceReport, Shape, flat,
};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Where disks and mount points are made: some 25 GiB for everything
    #[arg(long)]
    folder: PathBuf,
    /// Folders of programs, looked at before the PATH
    #[arg(long = "programs")]
    programs: Vec<PathBuf>,
    /// Smaller trees, fewer runs
    #[arg(long)]
    gate: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let extent = if args.gate { Extent::Gate } else { Extent::Full };
    let mut file_systems = FileSystems::new(&args.folder, args.programs)?;
    let chosen = args.chosen.of(RACES)?;
    let races: Vec<(&Race, Shape)> =
        chosen.into_iter().filter_map(|race| Some((race, race.shape(extent)?))).collect();
    ensure!(!races.is_empty(), "nothing is asked for");

    // Of one tree after the other, whose memory is compared when all have run.
    let mut of_memory: Vec<RaceReport> = Vec::new();
    for (race, shape) in races {
        let report = goals::told(race, shape, || goals::race(&mut file_systems, race, shape, extent));
        match race.goal {
            Goal::G11 => of_memory.push(report),
            _ => report.print()?,
        }
    }
    let bar = flat(&of_memory.iter().collect::<Vec<_>>());
    if let Some(last) = of_memory.last_mut() {
        match bar {
            Some(bar) => last.bars.push(bar),
            None => {
                last.failed.get_or_insert_with(|| "memory was not measured for two numbers of files".into());
            }
        }
    }
    of_memory.iter().try_for_each(RaceReport::print)
}
