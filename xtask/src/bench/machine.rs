//! What the figures were measured on, in words that name no place.

use std::fs;
use std::process::Command;

use anyhow::Result;
use workspacefs_e2e::Cluster;

use crate::shell;

/// The computer, the worker in it, and the day.
pub struct Description {
    /// The computer.
    pub here: Here,
    /// Kernel of the worker.
    pub worker_kernel: String,
    /// Memory of the worker, in MiB.
    pub worker_memory_mib: u32,
    /// Its disks are files in this computer's memory.
    pub disks_in_memory: bool,
}

/// This computer, now.
pub struct Here {
    /// Model name of the processor.
    pub processor: String,
    /// Processors that this computer has.
    pub processors: usize,
    /// Memory, in GiB.
    pub memory_gib: u64,
    /// Its kernel.
    pub kernel: String,
    /// The day, as year-month-day.
    pub day: String,
    /// Load average of this computer's last minute, before anything was measured.
    pub load: f64,
}

impl Here {
    /// A sentence on other work, if there was any: an idle test cluster keeps less than one processor busy.
    pub fn other_work(&self) -> Option<String> {
        (self.load > 1.5).then(|| {
            format!(
                "**The machine was busy with other work:** its load average was {:.1} on {} processors before the first figure.",
                self.load, self.processors
            )
        })
    }
}

/// Looks at this computer and at n1.
pub fn describe(cluster: &Cluster) -> Result<Description> {
    let node = cluster.machine("n1")?;
    Ok(Description {
        here: here()?,
        worker_kernel: node.run(&["uname", "-r"])?,
        worker_memory_mib: node.plan().memory_mib,
        disks_in_memory: shell::output(
            Command::new("stat").args(["--file-system", "--format=%T"]).arg(cluster.layout().root()),
        )?
        .trim()
            == "tmpfs",
    })
}

/// Looks at this computer.
pub fn here() -> Result<Here> {
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory = field(&fs::read_to_string("/proc/meminfo")?, "MemTotal");
    let load = fs::read_to_string("/proc/loadavg")?;
    let kib: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or_default();
    Ok(Here {
        processor: field(&fs::read_to_string("/proc/cpuinfo")?, "model name"),
        processors: std::thread::available_parallelism()?.get(),
        memory_gib: (kib + (1 << 19)) >> 20,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        day: shell::output(Command::new("date").arg("+%Y-%m-%d"))?.trim().to_owned(),
        load: load.split_whitespace().next().unwrap_or_default().parse()?,
    })
}
