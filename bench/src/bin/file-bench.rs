//! Reads and writes a file in mounted folders and measures. Runs on the client, as root: it empties the client's caches.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use workspacefs_bench::turns::{self, Calls};
use workspacefs_bench::{FilesReport, Summary};

const MIB: usize = 1 << 20;
const BLOCK: usize = 4096;
/// Writes that one call of `synced-writes` is known by, at least.
const SYNCED_WRITES_MIN: usize = 20;

#[derive(Parser)]
enum Args {
    /// The same in several folders, in rounds of one after the other; prints a list of FilesReports
    Compare {
        /// Folders to compare
        #[arg(long = "folder", required = true)]
        folders: Vec<PathBuf>,
        /// Size of the file
        #[arg(long)]
        mib: usize,
        /// Rounds: a slow moment of the machine does not fall on one folder only
        #[arg(long)]
        rounds: usize,
        /// Reads and writes of 4 KiB in each round
        #[arg(long)]
        blocks: usize,
    },
    /// The same calls on one file by several paths, in turns, past the page cache; prints bytes per second of each batch, a list for each path
    Turns {
        /// Paths to compare
        #[arg(long = "path", required = true)]
        paths: Vec<PathBuf>,
        /// Bytes of a call
        #[arg(long)]
        block: usize,
        /// Writes instead of reads
        #[arg(long)]
        write: bool,
        /// All over the file instead of from start to end
        #[arg(long)]
        random: bool,
        /// How long
        #[arg(long)]
        seconds: u64,
        /// Rounds of a batch
        #[arg(long)]
        batch: usize,
    },
    /// Writes 4 KiB and syncs, again and again; prints a Summary
    SyncedWrites {
        #[arg(long)]
        folder: PathBuf,
        /// How long
        #[arg(long)]
        seconds: u64,
    },
}

fn main() -> Result<()> {
    let printed = match Args::parse() {
        Args::Compare { folders, mib, rounds, blocks } => {
            serde_json::to_string(&compare(&folders, mib, rounds, blocks)?)?
        }
        Args::Turns { paths, block, write, random, seconds, batch } => {
            let calls = Calls { block, write, random };
            serde_json::to_string(&turns::measure(&paths, calls, Duration::from_secs(seconds), batch)?)?
        }
        Args::SyncedWrites { folder, seconds } => {
            serde_json::to_string(&synced_writes(&folder, Duration::from_secs(seconds))?)?
        }
    };
    println!("{printed}");
    Ok(())
}

/// What was measured in one folder so far.
#[derive(Default)]
struct Samples {
    write_mib_s: Vec<f64>,
    read_mib_s: Vec<f64>,
    write_4k: Vec<Duration>,
    read_4k: Vec<Duration>,
}

fn compare(folders: &[PathBuf], mib: usize, rounds: usize, blocks: usize) -> Result<Vec<FilesReport>> {
    let mut samples: Vec<Samples> = folders.iter().map(|_| Samples::default()).collect();
    for round in 0..rounds {
        // Each round begins with another folder: what is first after a pause may be slower.
        for turn in 0..folders.len() {
            let index = (round + turn) % folders.len();
            // The folders may be one and the same, by two servers.
            let path = folders[index].join(format!("file-bench-{index}"));
            measure(&path, mib, blocks, &mut samples[index])?;
        }
    }
    let report = |samples: Samples| {
        Some(FilesReport {
            write_mib_s: median(samples.write_mib_s)?,
            read_mib_s: median(samples.read_mib_s)?,
            write_4k: Summary::of(samples.write_4k)?,
            read_4k: Summary::of(samples.read_4k)?,
        })
    };
    samples.into_iter().map(|samples| report(samples).context("nothing was measured")).collect()
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied()
}

fn measure(path: &Path, mib: usize, blocks: usize, samples: &mut Samples) -> Result<()> {
    let mut buffer = vec![7; MIB];
    let per_second = |started: Instant| mib as f64 / started.elapsed().as_secs_f64();

    let mut file = File::create(path).with_context(|| format!("{}", path.display()))?;
    let started = Instant::now();
    for _ in 0..mib {
        file.write_all(&buffer)?;
    }
    file.sync_all()?;
    samples.write_mib_s.push(per_second(started));
    drop(file);

    fs::write("/proc/sys/vm/drop_caches", "3").context("cannot empty the caches")?;
    let mut file = File::open(path)?;
    let started = Instant::now();
    for _ in 0..mib {
        file.read_exact(&mut buffer)?;
    }
    samples.read_mib_s.push(per_second(started));
    drop(file);

    let places = (0..blocks).map(|number| place(number, mib * MIB / BLOCK));
    let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(direct).open(path)?;
    for place in places.clone() {
        let started = Instant::now();
        file.read_exact_at(&mut buffer[..BLOCK], place)?;
        samples.read_4k.push(started.elapsed());
    }
    let file = OpenOptions::new().write(true).open(path)?;
    for place in places {
        samples.write_4k.push(synced_write(&file, place)?);
    }
    drop(file);
    fs::remove_file(path)?;
    Ok(())
}

/// The `number`th place of a file of so many blocks: all over it, and the same in each folder.
fn place(number: usize, blocks: usize) -> u64 {
    // A large prime: neighbours in time are none in the file.
    ((number * 7_368_787) % blocks * BLOCK) as u64
}

fn synced_write(file: &File, place: u64) -> Result<Duration> {
    let started = Instant::now();
    file.write_all_at(&[7; BLOCK], place)?;
    file.sync_data()?;
    Ok(started.elapsed())
}

fn synced_writes(folder: &Path, time: Duration) -> Result<Summary> {
    let path = folder.join("synced-writes");
    let file = File::create(&path).with_context(|| format!("{}", path.display()))?;
    let began = Instant::now();
    let mut took = Vec::new();
    while began.elapsed() < time || took.len() < SYNCED_WRITES_MIN {
        took.push(synced_write(&file, place(took.len(), MIB / BLOCK))?);
    }
    drop(file);
    fs::remove_file(&path)?;
    Summary::of(took).context("nothing was measured")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn places_are_all_over_the_file_and_none_is_met_twice() {
        let places: HashSet<u64> = (0..256).map(|number| place(number, 256)).collect();
        assert_eq!(places, (0..256).map(|block| block * BLOCK as u64).collect());
    }

    #[test]
    fn the_median_is_a_figure_that_was_measured() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(1.0));
        assert_eq!(median(vec![]), None);
    }
}
