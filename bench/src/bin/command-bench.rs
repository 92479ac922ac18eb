//! Measures the command line: `wfs storage` beside the real `lep`, rsync and a tar stream, as `command_line` lists it. Prints a
//! RaceReport a line, as JSON, as `tree-bench` does, and wants a mount namespace that is private like it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use workspacefs_bench::command_line::{COMMANDS, Counter, STARTS};
use workspacefs_bench::goals::{self, Chosen, Extent, Race, RaceReport, Shape, Task};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Where a disk is made: some 4 GiB; 1 GiB is taken of the memory
    #[arg(long)]
    folder: PathBuf,
    /// Folders of programs, looked at before the PATH
    #[arg(long = "programs")]
    programs: Vec<PathBuf>,
    /// Everything so many times smaller: to try the measuring out, not to measure
    #[arg(long, default_value_t = 1)]
    divide: u64,
    /// Files that the real client is asked for; it takes more than a second for each
    #[arg(long, default_value_t = 100)]
    lep_files: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut counter = Counter::new(&args.folder, args.programs, args.lep_files)?;
    for race in args.chosen.of(COMMANDS)? {
        let shape = race.full.divided(args.divide);
        goals::told(race, shape, || measure(&mut counter, race, shape)).print()?;
    }
    Ok(())
}

/// One race, with what else there is to say of it.
fn measure(counter: &mut Counter, race: &Race, shape: Shape) -> Result<RaceReport> {
    let mut report = goals::race(counter, race, shape, Extent::Full)?;
    report.notes.extend(counter.take_notes());
    match race.task {
        Task::Start => report.tree = format!("No file: {STARTS} starts, one after the other"),
        // What is counted there is one thing, whatever the folder holds.
        Task::List => report.files = 1,
        _ => {}
    }
    Ok(report)
}
