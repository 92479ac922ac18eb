//! The embedded server as it is installed: what its processes take, and the other measurements of it, one after the other.

use std::time::Duration;

use anyhow::{Result, ensure};
use workspacefs_e2e::{Cluster, Machine, product};

use super::{IDLE, claims, deletion, machine, throughput};
use crate::images;
use crate::standalone::{Place, Standalone};

/// What runs it.
const SERVER: &str = "statefulset/workspacefs-nfs";
/// What is in the trash is emptied at some thousand files a second.
const TRASH_TIME_MAX: Duration = Duration::from_secs(1800);
const LOOK: Duration = Duration::from_secs(5);

/// All that is measured.
pub struct Report {
    /// Where.
    pub machine: machine::Description,
    /// Claims made at once.
    pub claims: claims::Report,
    /// Against the kernel's server.
    pub throughput: throughput::Report,
    /// A volume with very many files.
    pub deletion: deletion::Report,
    /// After the start.
    pub memory_idle: Memory,
    /// After everything else.
    pub memory_after: Memory,
}

/// Resident memory, in KiB.
pub struct Memory {
    /// Our agent: the container's first process and its child, which does the work.
    pub agent: u64,
    /// NFS-Ganesha.
    pub ganesha: u64,
}

/// Installs the server and measures.
pub fn measure(cluster: &Cluster, claims: usize, files: usize) -> Result<Report> {
    let machine = machine::describe(cluster)?;
    let mut values = product::values_with_server();
    // What is deleted is emptied at once: that is to be measured.
    values["nfsServer"]["trashKeepSeconds"] = 0.into();
    product::install_with_server(cluster, &images::build_with_server()?, &values)?;
    wait_for_empty_trash(cluster)?;
    // The memory of a server that did nothing yet.
    for what in [&["restart"][..], &["status", "--timeout=110s"]] {
        let argv = [&["--namespace", product::NAMESPACE, "rollout"][..], what, &[SERVER]].concat();
        cluster.kubectl("admin", &argv)?;
    }
    std::thread::sleep(IDLE);
    let memory_idle = memory(cluster)?;

    let driver = Standalone::start(cluster.clone(), "bench", Place::Embedded)?;
    let binaries = images::static_binaries()?;
    let file_bench = cluster.share(&binaries.join("file-bench"))?;
    let volume_bench = cluster.share(&binaries.join("volume-bench"))?;
    let claims = claims::measure(cluster, &driver.namespace(), claims)?;
    println!("claims: p50 {:.1} s", claims.bound.took.p50_us / 1e6);
    let throughput = throughput::measure(&driver, &file_bench)?;
    println!("throughput: {throughput:?}");
    let deletion = deletion::measure(&driver, &volume_bench, &file_bench, files)?;
    println!("deletion: {deletion:?}");
    let memory_after = memory(cluster)?;
    for left in driver.stop()? {
        println!("left over: {left}");
    }
    Ok(Report { machine, claims, throughput, deletion, memory_idle, memory_after })
}

/// The machine that the server runs on.
pub fn machine_of_server(cluster: &Cluster) -> Result<Machine> {
    let pod = ["--namespace", product::NAMESPACE, "get", "pod", product::SERVER_POD];
    let node = cluster.kubectl("admin", &[&pod[..], &["--output=jsonpath={.spec.nodeName}"]].concat())?;
    Ok(cluster.machine(node.trim())?)
}

/// Runs one of our programs on a machine; what it prints, which is JSON.
pub fn ask(machine: &Machine, argv: &[&str], limit: Duration) -> Result<String> {
    let output = machine.run_within(argv, b"", limit)?;
    ensure!(output.code == 0, "{}: {output}", argv.join(" "));
    Ok(output.text())
}

fn wait_for_empty_trash(cluster: &Cluster) -> Result<()> {
    let asked = std::time::Instant::now();
    while !product::on_server_disk(cluster, "ls -A trash 2>/dev/null || true")?.is_empty() {
        ensure!(asked.elapsed() < TRASH_TIME_MAX, "the trash of an earlier run is not emptied");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn memory(cluster: &Cluster) -> Result<Memory> {
    let machine = machine_of_server(cluster)?;
    let resident = |program: &str| -> Result<u64> {
        let line =
            format!("for p in $(pgrep -x {program}); do awk '/^VmRSS/ {{print $2}}' /proc/$p/status; done");
        let found = machine.shell(&line)?;
        ensure!(!found.is_empty(), "no process {program} runs on {}", machine.name());
        found.lines().map(|kib| Ok(kib.trim().parse::<u64>()?)).sum()
    };
    Ok(Memory { agent: resident("nfs-server")?, ganesha: resident("ganesha.nfsd")? })
}
