//! The command line where all of it is real: a tree into a FileSystem of the test cluster and back, by `wfs`, by `kubectl cp` and by
//! rsync, over connections that are a round trip longer. `ways` says who does what, `desk` is where they are started, `compared` is
//! the arithmetic.

pub mod compared;
mod desk;
mod ways;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use workspacefs_bench::goals::{Line, RaceReport, Sample, Shape};
use workspacefs_bench::tree::Tree;
use workspacefs_e2e::suites::{self, Context, FAR, FAR_NODE, PodSpec, Shop, with_context};
use workspacefs_e2e::{Cluster, product};

use super::machine::{self, Description};
use crate::{e2e, images, shell};
use desk::Desk;
use ways::{POD, Trip, VOLUME, Way};

/// The suite whose product and machines these are.
const SUITE: &str = "cli";
/// The one that `lep` knows, and so the harness.
const FILE_SYSTEM: &str = "default";
/// What is copied: as many files as the goal has, with which a single run of a peer takes minutes.
const SHAPE: Shape = Shape { directories: 100, files: 10_000, bytes_min: 4 << 10, bytes_max: 64 << 10 };
/// Where downloads come from.
const STORED: &str = "stored";
/// Names and contents of all that is below a folder, in two lines.
const DIGEST: &str = "names=$(find . -type f | LC_ALL=C sort) && echo \"$names\" | sha256sum && echo \"$names\" | xargs cat | sha256sum";
/// Whose memory may hold what was written, or what is to be read.
const MACHINES: [&str; 3] = ["n1", "n2", "nfs"];

/// All that is measured.
pub struct Report {
    /// Where.
    pub machine: Description,
    /// Names and versions of the peers.
    pub peers: String,
    /// Into the cluster, and out of it.
    pub races: Vec<RaceReport>,
}

/// Installs the product as the suite has it, and measures.
pub fn measure(cluster: &Cluster) -> Result<Report> {
    let machine = machine::describe(cluster)?;
    shell::ensure_program("rsync", "rsync")?;
    let binaries = images::static_binaries()?;
    let mut values = product::values();
    e2e::cli(&mut values);
    suites::clear(cluster, SUITE)?;
    product::install(cluster, &images::build()?, &values)?;
    let peers = desk::versions(cluster)?;
    let suite = suites::named(SUITE).context("there is no suite of the command line")?;
    let folder = cluster.layout().root().join("copies");
    let races = with_context(cluster, &suite, "bench_copies", async |context| {
        copies(context, &folder, &binaries).await
    });
    // Gone, whatever came of it.
    let removed = std::fs::remove_dir_all(&folder);
    let races = races?;
    removed?;
    Ok(Report { machine, peers, races })
}

async fn copies(context: Context, folder: &Path, binaries: &Path) -> Result<Vec<RaceReport>> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let source = folder.join("source");
    std::fs::create_dir_all(&source)?;
    let Shape { directories, files, bytes_min, bytes_max } = SHAPE;
    Tree { directories, files, bytes: bytes_min..=bytes_max, seed: 17 }.make(&source.join("tree"))?;
    // The pod writes where the `files` do: by the same NFS client.
    let shop = Shop::open_with(&context, FILE_SYSTEM, json!({ "nodeGroup": FAR })).await?;
    context.start([PodSpec::new(POD).claim(FILE_SYSTEM, VOLUME).on(FAR_NODE)]).await?;
    let desk = Desk::open(&context, &shop, folder, binaries).await?;
    let course = Course { context, desk, digest: digest(&source.join("tree"))?, source };
    // Until each has run once it is slower than ever after.
    course.up(Way::Forwarded, STORED).await?;
    Ok(vec![course.race(Trip::Up).await?, course.race(Trip::Down).await?])
}

/// Names and contents of a tree of this computer.
fn digest(tree: &Path) -> Result<String> {
    let digest = shell::output(std::process::Command::new("sh").args(["-c", DIGEST]).current_dir(tree))?;
    Ok(digest.trim().to_owned())
}

struct Course {
    context: Context,
    desk: Desk,
    source: PathBuf,
    /// Of the tree.
    digest: String,
}

impl Course {
    /// Each of them once.
    async fn race(&self, trip: Trip) -> Result<RaceReport> {
        let ways = trip.ways();
        let mut lines = Vec::new();
        for &way in ways {
            let sample = match trip {
                Trip::Up => self.up(way, &way.folder()).await?,
                Trip::Down => self.down(way, &way.folder()).await?,
            };
            println!("{trip:?}, {}: {:.2} s, then {:.2} s", way.name(), sample.seconds, sample.sync_seconds);
            lines.push(Line {
                name: way.name().to_owned(),
                command: way.command(trip, "FOLDER", "WORKSPACE@DAEMON"),
                ours: way == Way::Forwarded,
                samples: vec![sample],
            });
        }
        Ok(RaceReport {
            goal: format!("{trip:?}"),
            title: trip.title().to_owned(),
            tree: SHAPE.words(),
            files: SHAPE.files,
            bars: compared::bars(trip, &lines),
            notes: vec![],
            lines,
            failed: None,
        })
    }

    /// Into a folder that has nothing in it.
    async fn up(&self, way: Way, to: &str) -> Result<Sample> {
        let stored = format!("{FILE_SYSTEM}/{to}");
        self.context.on_server(&format!("mkdir {stored} && chmod 0777 {stored}")).await?;
        self.forget().await?;
        let usage = self.desk.run(way, &way.command(Trip::Up, to, self.desk.daemon()), &self.source)?;
        let sync = Instant::now();
        self.on_machines("sync").await?;
        let sync_seconds = sync.elapsed().as_secs_f64();
        let arrived = self.context.on_server(&format!("cd {stored}/tree && {DIGEST}")).await?;
        ensure!(arrived.trim() == self.digest, "by {} another tree arrived than was sent", way.name());
        if to != STORED {
            self.context.on_server(&format!("rm -r {stored}")).await?;
        }
        Ok(sample(&usage, sync_seconds))
    }

    /// Into a folder of this computer that has nothing in it.
    async fn down(&self, way: Way, to: &str) -> Result<Sample> {
        let folder = self.source.with_file_name(to);
        std::fs::create_dir(&folder)?;
        self.forget().await?;
        let usage = self.desk.run(way, &way.command(Trip::Down, STORED, self.desk.daemon()), &folder)?;
        ensure!(digest(&folder.join("tree"))? == self.digest, "by {} another tree came back", way.name());
        std::fs::remove_dir_all(&folder)?;
        Ok(sample(&usage, 0.0))
    }

    /// Nobody finds in a cache what another one has left there.
    async fn forget(&self) -> Result<()> {
        self.on_machines("sync && echo 3 > /proc/sys/vm/drop_caches").await
    }

    async fn on_machines(&self, line: &str) -> Result<()> {
        for machine in MACHINES {
            self.context.on(machine, line).await?;
        }
        Ok(())
    }
}

fn sample(usage: &workspacefs_bench::run::Usage, sync_seconds: f64) -> Sample {
    Sample {
        seconds: usage.seconds,
        sync_seconds,
        processor_seconds: usage.processor_seconds,
        memory_bytes: usage.memory_bytes,
        operations: None,
    }
}
