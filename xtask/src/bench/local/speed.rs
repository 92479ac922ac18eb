//! fio in one pod, on one file that the pod has twice: through its claim, and through the disk's own mount, which it has by its
//! path on the node, past the driver. The same blocks, so that nothing but the way to them differs. The ways take turns;
//! the second is measured twice in each round, and how it compares with itself says how much noise there is. Then the same by our
//! own program, call by call in turns: fio's turns of half a second leave more noise than what is to be shown.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use workspacefs_e2e::suites::Context;

use super::super::quartiles::Quartiles;
use super::super::server::ask;
use super::ratio::Ratio;
use super::{CLAIM, NODE, OWN, POD};

/// Size of the file.
pub const MIB: u64 = 128;
/// The file's name in the claim.
const FILE: &str = "one";
/// How often each way is measured. With turns as short as these a pause of the machine hits one of them, which a median
/// does not see.
pub const ROUNDS: usize = 120;
/// How long, each time.
pub const MILLISECONDS: u64 = 500;
/// Rounds of one call of fio: its turns follow one another without a pause.
const ROUNDS_AT_ONCE: usize = 20;
/// The turns of a round: through the claim, and past it, and past it again.
const TURNS: usize = 3;

/// How long the calls of a pattern are made in turns, in seconds.
pub const CALL_SECONDS: u64 = 60;
/// Calls of a batch of them, each way: few enough for some hundred batches.
fn batch(block: u64) -> u64 {
    ((8 << 20) / block).min(256)
}
/// And for the program to begin and to end.
const CALLS_TIME_MAX: Duration = Duration::from_secs(CALL_SECONDS + 120);
/// What the pod's one process is called by, when it is looked for on the node.
const IDLES: &str = "busybox sleep 1000000";

/// A way of reading or writing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pattern {
    /// For a reader.
    pub name: &'static str,
    /// fio's word.
    rw: &'static str,
    /// Bytes at a time.
    pub block: u64,
}

/// All of them.
pub const PATTERNS: [Pattern; 4] = [
    Pattern { name: "read from start to end", rw: "read", block: 1 << 20 },
    Pattern { name: "write from start to end", rw: "write", block: 1 << 20 },
    Pattern { name: "read 4 KiB anywhere", rw: "randread", block: 4 << 10 },
    Pattern { name: "write 4 KiB anywhere", rw: "randwrite", block: 4 << 10 },
];

/// All ways.
#[derive(Debug)]
pub struct Report {
    /// Past the page cache; otherwise the kernel has no such thing on this disk.
    pub direct: bool,
    /// One each, by fio.
    pub compared: Vec<Compared>,
    /// One each, call by call.
    pub by_call: Vec<Compared>,
}

/// One way.
#[derive(Debug)]
pub struct Compared {
    /// Which.
    pub pattern: Pattern,
    /// Through the claim, in bytes per second: the median.
    pub claim: f64,
    /// Past it.
    pub own: f64,
    /// The claim against what is past it.
    pub ratio: Ratio,
    /// What is past it against itself.
    pub control: Ratio,
}

impl Compared {
    /// Of the figures of the rounds, in bytes per second.
    fn of(pattern: Pattern, [claim, own, again]: &[Vec<f64>; TURNS]) -> Option<Self> {
        let median = |figures: &[f64]| Some(Quartiles::of(figures.to_vec())?.median);
        Some(Self {
            pattern,
            claim: median(claim)?,
            own: median(own)?,
            ratio: Ratio::of(claim, own)?,
            control: Ratio::of(again, own)?,
        })
    }
}

/// Measures in the pod, which has the claim, and the disk at `disk` on the node; `file_bench` is our program there.
pub async fn measure(context: &Context, disk: &str, file_bench: &str) -> Result<Report> {
    let claim = format!("{CLAIM}/{FILE}");
    let lay_out = |direct| format!("{} {}", common(direct), job(&claim, &PATTERNS[1]));
    let direct = context.try_exec(POD, &lay_out(true)).await?.success;
    if !direct {
        context.exec(POD, &lay_out(false)).await?;
    }
    let found = context.on(NODE, &format!("cd {disk} && find . -xdev -type f -name {FILE}")).await?;
    let own = format!("{OWN}/{}", found.trim());
    let same = "/usr/bin/busybox stat -c %d:%i";
    let inodes = context.exec(POD, &format!("{same} {claim} {own}")).await?;
    let mut inodes = inodes.lines();
    ensure!(inodes.next().is_some_and(|inode| inodes.next() == Some(inode)), "{own} is not {claim}");

    let mut compared = Vec::new();
    for pattern in PATTERNS {
        let mut figures: [Vec<f64>; TURNS] = Default::default();
        for first in (0..ROUNDS).step_by(ROUNDS_AT_ONCE) {
            let turns = turns(first..(first + ROUNDS_AT_ONCE).min(ROUNDS));
            let said = context.exec(POD, &timed(&turns, [&claim, &own, &own], &pattern, direct)).await?;
            let reached = bytes_per_second(&said)?;
            ensure!(reached.len() == turns.len(), "{} turns, {} figures", turns.len(), reached.len());
            turns.iter().zip(reached).for_each(|(turn, reached)| figures[*turn].push(reached));
        }
        let one = Compared::of(pattern, &figures).context("nothing was measured")?;
        println!("{}: {one:?}", pattern.name);
        compared.push(one);
    }
    let mut by_call = Vec::new();
    if direct {
        // The pod's own mount of the claim, by the namespace of its process.
        let pid = context.on(NODE, &format!("pgrep -f '^/usr/bin/{IDLES}'")).await?;
        let paths = [format!("/proc/{}/root{claim}", pid.trim()), format!("{disk}/{}", found.trim())];
        for pattern in PATTERNS {
            let one = call_by_call(context, file_bench, &paths, pattern).await?;
            println!("{}, call by call: {one:?}", pattern.name);
            by_call.push(one);
        }
    }
    context.exec(POD, &format!("/usr/bin/busybox rm {claim}")).await?;
    Ok(Report { direct, compared, by_call })
}

async fn call_by_call(
    context: &Context,
    program: &str,
    [claim, own]: &[String; 2],
    pattern: Pattern,
) -> Result<Compared> {
    let mut argv = vec![program.to_owned(), "turns".to_owned()];
    argv.extend([claim, own, own].map(|path| format!("--path={path}")));
    argv.extend([
        format!("--block={}", pattern.block),
        format!("--seconds={CALL_SECONDS}"),
        format!("--batch={}", batch(pattern.block)),
    ]);
    argv.extend(pattern.rw.contains("write").then(|| "--write".to_owned()));
    argv.extend(pattern.rw.contains("rand").then(|| "--random".to_owned()));
    let node = context.machine(NODE)?;
    let said = context
        .blocking(move |_| ask(&node, &argv.iter().map(String::as_str).collect::<Vec<_>>(), CALLS_TIME_MAX))
        .await?;
    let figures: [Vec<f64>; TURNS] = serde_json::from_str(&said)?;
    Compared::of(pattern, &figures).context("nothing was measured")
}

/// The turns of these rounds one after the other. Each round begins with another: what follows another way may be slower.
fn turns(rounds: Range<usize>) -> Vec<usize> {
    rounds.flat_map(|round| (0..TURNS).map(move |turn| (round + turn) % TURNS)).collect()
}

/// fio's command line for one turn after the other.
fn timed(turns: &[usize], files: [&str; TURNS], pattern: &Pattern, direct: bool) -> String {
    let limits = format!("--time_based --runtime={MILLISECONDS}ms");
    let jobs = turns.iter().map(|turn| format!(" {} {limits} --stonewall", job(files[*turn], pattern)));
    common(direct) + &jobs.collect::<String>()
}

/// fio, and what holds for all of its jobs.
fn common(direct: bool) -> String {
    format!(
        // The processor's own clock cannot be trusted in these machines.
        "/usr/bin/fio --clocksource=clock_gettime --output-format=json --thread --ioengine=psync \
         --fallocate=none --overwrite=1 --size={MIB}m --direct={} --end_fsync={}",
        u8::from(direct),
        u8::from(!direct)
    )
}

/// One pass over the file.
fn job(file: &str, pattern: &Pattern) -> String {
    format!("--name=bench --filename={file} --rw={} --bs={}", pattern.rw, pattern.block)
}

/// What fio says that each of its jobs reached, in their order.
fn bytes_per_second(said: &str) -> Result<Vec<f64>> {
    let at = said.find('{').with_context(|| format!("fio says {said}"))?;
    // Warnings may stand before and after it.
    let json = said.get(at..).unwrap_or_default();
    let report = serde_json::Deserializer::from_str(json).into_iter::<Value>().next();
    let report = report.and_then(Result::ok).with_context(|| format!("fio says {said}"))?;
    let jobs = report["jobs"].as_array().with_context(|| format!("fio says {said}"))?;
    let reached = jobs.iter().map(|job| {
        ensure!(job["error"] == 0, "fio met error {}", job["error"]);
        let reached = ["read", "write"].iter().filter_map(|way| job[way]["bw_bytes"].as_f64()).sum();
        ensure!(reached > 0.0, "fio did nothing: {job}");
        Ok(reached)
    });
    reached.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_job_of_fio_reached_is_found_between_its_warnings() {
        let job = |error: i32, read: u64, write: u64| {
            let way = |bytes: u64| serde_json::json!({"bw": bytes / 1024, "bw_bytes": bytes});
            serde_json::json!({"error": error, "read": way(read), "write": way(write)})
        };
        let said =
            |jobs: &[Value]| format!("fio: a warning\n{}\nfio: another\n", serde_json::json!({"jobs": jobs}));
        let (reads, writes) = (job(0, 4096, 0), job(0, 0, 8192));
        assert_eq!(bytes_per_second(&said(&[reads.clone(), writes])).unwrap(), [4096.0, 8192.0]);
        for wrong in [job(28, 4096, 0), job(0, 0, 0)] {
            assert!(bytes_per_second(&said(&[reads.clone(), wrong.clone()])).is_err(), "{wrong}");
        }
        for wrong in ["no room", "{\"jobs\": [", "{}"] {
            assert!(bytes_per_second(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_way_is_measured_once_a_round_and_first_in_a_third_of_them() {
        let turns = turns(0..6);
        assert_eq!(turns, [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2, 1, 2, 0, 2, 0, 1]);
        let words = timed(&turns[..2], ["claim", "own", "own"], &PATTERNS[0], true);
        let files: Vec<&str> = words.split(' ').filter_map(|word| word.strip_prefix("--filename=")).collect();
        assert_eq!(files, ["claim", "own"]);
        assert_eq!(words.matches("--stonewall").count(), 2);
    }

    #[test]
    fn the_claim_and_the_control_are_compared_with_the_same() {
        let figures = [vec![90.0; 3], vec![100.0; 3], vec![101.0; 3]];
        let compared = Compared::of(PATTERNS[0], &figures).unwrap();
        assert_eq!((compared.claim, compared.own), (90.0, 100.0));
        assert_eq!((compared.ratio.median, compared.control.median), (0.9, 1.01));
        assert!(Compared::of(PATTERNS[0], &Default::default()).is_none());
    }
}
