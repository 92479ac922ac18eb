//! Pods whose one process is fio, which writes blocks and verifies them all the time: each block has a sum, its place and
//! the number of its write, so that a wrong byte, a lost write and an older version of a block are all found. Its exit
//! code is the pod's, and what it reports, in JSON, is the pod's log.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::LogParams;
use serde::Deserialize;

use super::context::Context;
use super::pod::PodSpec;
use super::wait::{seconds, until};

/// fio with a shell; `xtask::images::fio` makes it.
pub const FIO_IMAGE: &str = "workspacefs.io/fio:dev";

/// Small: a machine has one slow processor, and a pass over the file is to take seconds.
const SIZE: u64 = 2 << 20;
const BLOCK: u64 = 32 << 10;
const BYTES_PER_SECOND: u64 = 256 << 10;

/// Where a volume is mounted.
const AT: &str = "/data";

/// Its appearance tells a writer to end: after this signal, and no other, fio ends with 0.
const END: &str = "/tmp/end";

/// Time for a writer to end that was told so.
const END_TIME_MAX: Duration = seconds(90);

/// Time for a reader, from its pod's start, and for a writer's pass.
const READ_TIME_MAX: Duration = seconds(180);

/// How a writer writes.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Each block past the page cache, and every eight read back.
    Direct,
    /// Into the page cache, forced to the server every 16 blocks; all blocks are read back, past the cache, once all are
    /// written: fio drops it.
    Cached,
}

/// A writer on a claim: it writes and verifies until it is told to end.
pub fn writer(name: &str, way: Way, claim: &str) -> PodSpec {
    writing(name, way).claim(claim, AT)
}

/// A writer on an inline volume.
pub fn inline_writer(name: &str, way: Way, file_system: &str) -> PodSpec {
    writing(name, way).inline(file_system, "", AT)
}

fn writing(name: &str, way: Way) -> PodSpec {
    let mut words = words(name, "randwrite");
    let more: &[&str] = match way {
        Way::Direct => &["--direct=1", "--verify_backlog=8"],
        Way::Cached => &["--fdatasync=16"],
    };
    words.extend(more.iter().map(|word| (*word).to_owned()));
    words.extend([
        format!("--rate={BYTES_PER_SECOND}"),
        // By passes, not by time: the numbers of writes are only looked at so.
        "--loops=1000000".into(),
        "--status-interval=2".into(),
        format!("--trigger-file={END}"),
        // It leaves its state when it is told to end.
        "--aux-path=/tmp".into(),
    ]);
    PodSpec::new(name).program(FIO_IMAGE, &words)
}

/// A pod that reads what a writer wrote, once, past the cache, and looks at every block.
fn reader(name: &str, writer: &str, claim: &str) -> PodSpec {
    let mut words = words(writer, "read");
    words.push("--direct=1".into());
    PodSpec::new(name).program(FIO_IMAGE, &words).claim(claim, AT)
}

fn words(file: &str, pattern: &str) -> Vec<String> {
    [
        "/usr/bin/fio",
        "--name=verifier",
        // One process, with no memory shared between several.
        "--thread",
        "--ioengine=psync",
        &format!("--filename={AT}/{file}"),
        &format!("--size={SIZE}"),
        &format!("--bs={BLOCK}"),
        &format!("--rw={pattern}"),
        "--fallocate=none",
        "--verify=crc32c",
        "--verify_fatal=1",
        // The processor's own clock cannot be trusted in these machines.
        "--clocksource=clock_gettime",
        "--output-format=json",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// One of fio's reports: what it did since its start.
#[derive(Debug, Deserialize)]
struct Report {
    jobs: [Job; 1],
}

#[derive(Debug, Deserialize)]
struct Job {
    error: i32,
    read: Direction,
    write: Direction,
    sync: Sync,
}

#[derive(Debug, Deserialize)]
struct Direction {
    io_bytes: u64,
    clat_ns: Times,
}

#[derive(Debug, Deserialize)]
struct Sync {
    lat_ns: Times,
}

#[derive(Debug, Deserialize)]
struct Times {
    max: u64,
}

/// What a writer did until now, as far as it has said so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// How many reports there are.
    reports: usize,
    /// What went wrong, as an errno; fio ends with the first error.
    error: i32,
    /// Bytes.
    pub written: u64,
    /// Bytes that were read back and are what was written.
    pub verified: u64,
    /// The longest that one call took.
    pub longest_call: Duration,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (written, verified, longest) =
            (self.written >> 10, self.verified >> 10, self.longest_call.as_secs_f32());
        write!(formatter, "{written} KiB written, {verified} KiB verified, longest call {longest:.1} s")
    }
}

impl Progress {
    /// From a pod's log. A report that is not written to its end does not count; anything else in it is an error that fio met.
    fn read(log: &str) -> Result<Progress> {
        let mut reports = serde_json::Deserializer::from_str(log).into_iter::<Report>();
        let mut progress = Progress::default();
        loop {
            let read = reports.byte_offset();
            match reports.next() {
                None => return Ok(progress),
                Some(Ok(Report { jobs: [job] })) => progress = progress.with(&job),
                Some(Err(error)) if error.is_eof() => return Ok(progress),
                Some(Err(error)) => {
                    let rest: Vec<&str> = log.get(read..).unwrap_or(log).trim().lines().take(12).collect();
                    bail!("fio says ({error}):\n{}", rest.join("\n"))
                }
            }
        }
    }

    fn with(self, job: &Job) -> Progress {
        let longest = [&job.read.clat_ns, &job.write.clat_ns, &job.sync.lat_ns].map(|times| times.max);
        Progress {
            reports: self.reports + 1,
            error: job.error,
            written: job.write.io_bytes,
            verified: job.read.io_bytes,
            longest_call: Duration::from_nanos(longest.into_iter().max().unwrap_or_default()),
        }
    }
}

impl Context {
    /// Waits until a writer has written and verified more than it had when this was called.
    pub async fn verifies_again(&self, pod: &str, limit: Duration) -> Result<()> {
        let called = self.progress(pod).await?;
        let look = || async {
            let now = self.progress(pod).await?;
            // What happened before the call stands in the next report at the latest.
            ensure!(now.reports > called.reports, "it reports nothing since {now}");
            Ok(now)
        };
        let before = until(&format!("the writer {pod} reports"), limit, look).await?;
        let look = || async {
            let now = self.progress(pod).await?;
            let goes_on = now.written > before.written && now.verified > before.verified;
            ensure!(goes_on, "{before} before; {now} now");
            Ok(())
        };
        until(&format!("the writer {pod} goes on"), limit, look).await
    }

    /// Tells a writer to end. That it met no error and no wrong byte, and has been over its whole file.
    pub async fn verified(&self, pod: &str) -> Result<Progress> {
        let goes = self.pods().get(pod).await?.status.and_then(|status| status.phase);
        // One that met an error is no longer there to be told.
        if goes.as_deref() == Some("Running") {
            self.exec(pod, &format!(": > {END}")).await?;
        }
        let done = self.ended(pod, END_TIME_MAX).await?;
        ensure!(done.written >= SIZE && done.verified >= SIZE, "not its whole file: {done}");
        Ok(done)
    }

    /// That the file of a writer, which has ended, is whole when it is read on a node.
    pub async fn agrees(&self, node: &str, writer: &str, claim: &str) -> Result<()> {
        let reader = self.reads_again(node, writer, claim).await?;
        let read = self.ended(&reader, READ_TIME_MAX).await?;
        ensure!(read.verified == SIZE && read.written == 0, "it read something else: {read}");
        Ok(())
    }

    /// Starts a pod that reads a writer's file; gives its name.
    pub async fn reads_again(&self, node: &str, writer: &str, claim: &str) -> Result<String> {
        let name = format!("reader-of-{writer}");
        self.create(&reader(&name, writer, claim).on(node)).await?;
        Ok(name)
    }

    /// Waits for the end of a writer or reader that finds something wrong, and gives what it says of it.
    pub async fn finds(&self, pod: &str) -> Result<String> {
        let ended = self.succeeded(pod, READ_TIME_MAX).await;
        ensure!(ended.is_err(), "{pod} found nothing wrong");
        match self.progress(pod).await {
            Err(said) => Ok(format!("{said:#}")),
            Ok(progress) => bail!("{pod} found nothing wrong: {progress}"),
        }
    }

    /// Waits for fio's end; its exit code and its report both say that all went well.
    async fn ended(&self, pod: &str, limit: Duration) -> Result<Progress> {
        let ended = self.succeeded(pod, limit).await;
        // First what fio has to say.
        let done = self.progress(pod).await?;
        ended?;
        ensure!(done.error == 0, "fio ended with 0 and reports error {}", done.error);
        Ok(done)
    }

    async fn progress(&self, pod: &str) -> Result<Progress> {
        let log = self.pods().logs(pod, &LogParams::default()).await?;
        Progress::read(&log).with_context(|| format!("the writer or reader {pod}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(error: i32, written: u64, verified: u64, sync: u64) -> String {
        let times = |max: u64| serde_json::json!({ "min": 1, "max": max });
        serde_json::json!({ "fio version": "fio-3.33", "jobs": [{
            "error": error,
            "read": { "io_bytes": verified, "clat_ns": times(3) },
            "write": { "io_bytes": written, "clat_ns": times(2) },
            "sync": { "lat_ns": times(sync) },
        }] })
        .to_string()
    }

    #[test]
    fn the_last_whole_report_counts() {
        let (first, second) = (report(0, 10, 5, 4), report(0, 30, 20, 2_000_000_000));
        assert_eq!(Progress::read("").unwrap(), Progress::default());
        let progress = Progress::read(&format!("{first}\n{second}\n{}", &first[..60])).unwrap();
        assert_eq!((progress.reports, progress.written, progress.verified), (2, 30, 20));
        assert_eq!(progress.longest_call, Duration::from_secs(2));
    }

    #[test]
    fn whatever_is_no_report_is_an_error_that_is_told() {
        let said = "verify: bad header numberio 14, wanted 78 at file /data/one offset 1703936";
        for log in [format!("{}\n{said}\n", report(0, 10, 5, 4)), format!("{said}\n{}", report(84, 10, 5, 4))]
        {
            let error = Progress::read(&log).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
        assert_eq!(Progress::read(&report(84, 10, 5, 4)).unwrap().error, 84);
    }
}
