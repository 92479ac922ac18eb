//! A volume with very many files on the embedded server: what asking for its usage costs, what deleting it costs, and what the
//! emptying of the trash costs those who write meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use workspacefs_bench::{Summary, VolumeReport};
use workspacefs_e2e::product;

use super::mounted::{Mounted, Share};
use super::server::{ask, machine_of_server};
use super::throughput::CLIENT;
use crate::standalone::Standalone;

const NAME: &str = "many-files";
/// A file for each 16 KiB is allowed.
const BYTES_PER_FILE: usize = 17 << 10;
/// Of which each directory is one more.
const BYTES_MIN: usize = 256 << 20;
const FILL_TIME_MAX: Duration = Duration::from_secs(3600);
const DELETE_TIME_MAX: Duration = Duration::from_secs(120);
/// How long writes are measured, each time.
const WRITES: Duration = Duration::from_secs(60);
/// The agent looks into the trash each 30 s.
const EMPTYING_TIME_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(1);
/// So many inodes less are files being deleted.
const EMPTYING_INODES: u64 = 1000;

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// Making it and asking for usage.
    pub volume: VolumeReport,
    /// The call DeleteVolume.
    pub delete_s: f64,
    /// Synced writes of somebody else, before.
    pub writes_before: Summary,
    /// The same while the trash is emptied.
    pub writes_while_emptying: Summary,
    /// Files and directories that went meanwhile.
    pub emptied_per_second: f64,
}

/// Measures with `files` files, by our programs on the server's machine and on the client.
pub fn measure(driver: &Standalone, volume_bench: &str, file_bench: &str, files: usize) -> Result<Report> {
    let cluster = driver.cluster();
    let server = machine_of_server(cluster)?;
    let client = cluster.machine(CLIENT)?;
    // What the container sees, through its first process.
    let container = format!("/proc/{}/root", server.shell("pgrep -o -x nfs-server")?);
    let controller = format!("--controller={}", driver.controller_endpoint());

    let fill = [
        format!("--namespace={}", driver.namespace()),
        format!("--name={NAME}"),
        format!("--bytes={}", BYTES_MIN + files * BYTES_PER_FILE),
        format!("--folder={container}/srv/workspacefs/export/claims/{}/{NAME}", driver.file_system_uid()?),
        format!("--files={files}"),
        format!("--agent=unix://{container}/run/workspacefs/agent.sock"),
    ];
    let mut argv = vec![volume_bench, &controller, "fill"];
    argv.extend(fill.iter().map(String::as_str));
    println!("making {files} files on {}", server.name());
    let volume: VolumeReport = serde_json::from_str(&ask(&server, &argv, FILL_TIME_MAX)?)?;
    // Their making is over only when they are on the disk.
    server.run_within(&["sync"], b"", FILL_TIME_MAX)?;

    let share = Mounted::new(&client, &Share::of(driver)?.source(), "writes")?;
    let folder = format!("--folder={}", share.path());
    let seconds = format!("--seconds={}", WRITES.as_secs());
    let writes = || -> Result<Summary> {
        let argv = [file_bench, "synced-writes", &folder, &seconds];
        Ok(serde_json::from_str(&ask(&client, &argv, 3 * WRITES)?)?)
    };
    let inodes = || -> Result<u64> {
        let counted = product::on_server_disk(cluster, "stat -f -c '%c %d' .")?;
        let (total, free) = counted.split_once(' ').context("stat -f says something else")?;
        Ok(total.trim().parse::<u64>()?.saturating_sub(free.trim().parse()?))
    };

    let writes_before = writes()?;
    let volume_id = format!("--volume-id={}", volume.volume_id);
    let before = inodes()?;
    let argv = [volume_bench, &controller, "delete", &volume_id];
    let delete_s = serde_json::from_str(&ask(&server, &argv, DELETE_TIME_MAX)?)?;
    let asked = Instant::now();
    while inodes()? + EMPTYING_INODES > before {
        ensure!(asked.elapsed() < EMPTYING_TIME_MAX, "nobody empties the trash");
        std::thread::sleep(LOOK);
    }
    let (left, started) = (inodes()?, Instant::now());
    let writes_while_emptying = writes()?;
    let gone = left.saturating_sub(inodes()?);
    let emptied_per_second = gone as f64 / started.elapsed().as_secs_f64();
    Ok(Report { volume, delete_s, writes_before, writes_while_emptying, emptied_per_second })
}
