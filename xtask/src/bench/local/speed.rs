//! fio in one pod, on a file of the claim, and on two files of a folder that is nobody's on the same disk, which the pod has by
//! its path on the node: past the driver, without a quota. All three lie equally deep, are laid out beforehand, and take
//! turns. How the second of the two compares with the first says how much two equal things differ here.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use workspacefs_e2e::suites::Context;

use super::super::quartiles::Quartiles;
use super::ratio::Ratio;
use super::{CLAIM, OWN, POD};

/// Size of each file.
pub const MIB: u64 = 128;
/// How often each is measured in each way.
pub const ROUNDS: usize = 9;
/// How long, each time.
pub const SECONDS: u64 = 3;
/// The files in the pod: the claim's, and the two that it is compared with.
const FILES: usize = 3;

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
    /// One each.
    pub compared: Vec<Compared>,
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
    /// Two files past it against each other.
    pub control: Ratio,
}

impl Compared {
    /// Of the figures of the rounds, in bytes per second.
    fn of(pattern: Pattern, [claim, own, control]: &[Vec<f64>; FILES]) -> Option<Self> {
        let median = |figures: &[f64]| Some(Quartiles::of(figures.to_vec())?.median);
        Some(Self {
            pattern,
            claim: median(claim)?,
            own: median(own)?,
            ratio: Ratio::of(claim, own)?,
            control: Ratio::of(control, own)?,
        })
    }
}

/// Measures in the pod, which has both mounted.
pub async fn measure(context: &Context) -> Result<Report> {
    let files = [format!("{CLAIM}/one"), format!("{OWN}/one"), format!("{OWN}/other")];
    let direct = context.try_exec(POD, &words(&files[0], &PATTERNS[1], true, false)).await?.success;
    for file in &files {
        // In place from here on: where its blocks are is decided once.
        context.exec(POD, &words(file, &PATTERNS[1], direct, false)).await?;
    }
    let mut compared = Vec::new();
    for pattern in PATTERNS {
        let mut figures: [Vec<f64>; FILES] = Default::default();
        for round in 0..ROUNDS {
            // Each round begins with another: what is first after a pause may be slower.
            for turn in 0..FILES {
                let index = (round + turn) % FILES;
                let said = context.exec(POD, &words(&files[index], &pattern, direct, true)).await?;
                figures[index].push(bytes_per_second(&said)?);
            }
        }
        let one = Compared::of(pattern, &figures).context("nothing was measured")?;
        println!("{}: {one:?}", pattern.name);
        compared.push(one);
    }
    context.exec(POD, &format!("/usr/bin/busybox rm {}", files.join(" "))).await?;
    Ok(Report { direct, compared })
}

/// fio's command line: a pass over the file, or for some seconds.
fn words(file: &str, pattern: &Pattern, direct: bool, timed: bool) -> String {
    let mut words = vec![
        "/usr/bin/fio --name=bench --thread --ioengine=psync --fallocate=none --overwrite=1".to_owned(),
        // The processor's own clock cannot be trusted in these machines.
        "--clocksource=clock_gettime --output-format=json".to_owned(),
        format!("--filename={file} --size={MIB}m --rw={} --bs={}", pattern.rw, pattern.block),
        format!("--direct={}", u8::from(direct)),
    ];
    if timed {
        words.push(format!("--time_based --runtime={SECONDS}"));
    }
    if !direct {
        words.push("--end_fsync=1".into());
    }
    words.join(" ")
}

/// What fio says that it reached, of the only thing that it did.
fn bytes_per_second(said: &str) -> Result<f64> {
    let at = said.find('{').with_context(|| format!("fio says {said}"))?;
    // Warnings may stand before and after it.
    let json = said.get(at..).unwrap_or_default();
    let report = serde_json::Deserializer::from_str(json).into_iter::<Value>().next();
    let report = report.and_then(Result::ok).with_context(|| format!("fio says {said}"))?;
    let job = &report["jobs"][0];
    ensure!(job["error"] == 0, "fio met error {}", job["error"]);
    let reached = ["read", "write"].iter().filter_map(|way| job[way]["bw_bytes"].as_f64()).sum();
    ensure!(reached > 0.0, "fio did nothing: {said}");
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fio_reached_is_found_between_its_warnings() {
        let report = |error: i32, read: u64, write: u64| {
            let way = |bytes: u64| serde_json::json!({"bw": bytes / 1024, "bw_bytes": bytes});
            let job = serde_json::json!({"jobs": [{"error": error, "read": way(read), "write": way(write)}]});
            format!("fio: a warning\n{job}\nfio: another\n")
        };
        assert_eq!(bytes_per_second(&report(0, 4096, 0)).unwrap(), 4096.0);
        assert_eq!(bytes_per_second(&report(0, 0, 8192)).unwrap(), 8192.0);
        for wrong in [report(28, 4096, 0), report(0, 0, 0), "no room".into(), "{\"jobs\": [".into()] {
            assert!(bytes_per_second(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_claim_and_the_control_are_compared_with_the_same() {
        let figures = [vec![90.0; 3], vec![100.0; 3], vec![101.0; 3]];
        let compared = Compared::of(PATTERNS[0], &figures).unwrap();
        assert_eq!((compared.claim, compared.own), (90.0, 100.0));
        assert_eq!((compared.ratio.of_medians, compared.control.of_medians), (0.9, 1.01));
        assert!(Compared::of(PATTERNS[0], &Default::default()).is_none());
    }
}
