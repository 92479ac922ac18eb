//! What the figures were measured on, in words that name no place.

use anyhow::Result;
use workspacefs_e2e::Cluster;

/// The computer and the worker in it.
pub struct Description {
    /// Model name of the processor.
    pub processor: String,
    /// Processors that this computer has.
    pub processors: usize,
    /// Memory, in GiB.
    pub memory_gib: u64,
    /// Kernel of the worker.
    pub worker_kernel: String,
    /// Memory of the worker, in MiB.
    pub worker_memory_mib: u32,
    /// The day, as year-month-day.
    pub day: String,
    /// Load average of this computer's last minute, before anything was measured.
    pub load: f64,
}

impl Description {
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
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory = field(&std::fs::read_to_string("/proc/meminfo")?, "MemTotal");
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let kib: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or_default();
    Ok(Description {
        processor: field(&std::fs::read_to_string("/proc/cpuinfo")?, "model name"),
        processors: std::thread::available_parallelism()?.get(),
        memory_gib: (kib + (1 << 19)) >> 20,
        worker_kernel: node.run(&["uname", "-r"])?,
        worker_memory_mib: node.plan().memory_mib,
        day: node.run(&["date", "+%Y-%m-%d"])?,
        load: load.split_whitespace().next().unwrap_or_default().parse()?,
    })
}
