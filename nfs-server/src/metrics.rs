//! What /metrics tells: the disk, the folders, the NFS server, and the calls.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tonic::Code;
use workspacefs_storage::folders::types::Overview;

type Number = Gauge<u64, AtomicU64>;

/// From a question to a slow disk, in seconds.
const BUCKETS: [f64; 9] = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0];

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct Labels {
    call: &'static str,
    code: String,
}

/// Of the calls of operator and controller.
#[derive(Clone, Debug)]
pub struct CallMetrics(Family<Labels, Histogram, fn() -> Histogram>);

impl CallMetrics {
    pub(crate) fn observe(&self, call: &'static str, code: Code, took: Duration) {
        let labels = Labels { call, code: format!("{code:?}") };
        self.0.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// Everything that this process measures.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Of the calls.
    pub calls: CallMetrics,
    total: Number,
    free: Number,
    unpromised: Number,
    removed: Number,
    file_systems: Number,
    claims: Number,
    trash: Number,
    serving: Number,
    /// How often the NFS server ended by itself and was started again.
    pub restarts: Counter,
}

impl Metrics {
    /// Registers all of it.
    pub fn register(registry: &mut Registry) -> Self {
        let calls = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        registry.register_with_unit(
            "agent_call",
            "Time to answer a call; alert on code Internal",
            Unit::Seconds,
            calls.clone(),
        );
        let mut bytes = |name: &str, help: &str| {
            let gauge = Number::default();
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
            gauge
        };
        let total = bytes("disk_total", "Size of the disk's file system");
        let free = bytes("disk_free", "Free on the disk; alert below a tenth of it");
        let unpromised = bytes("disk_unpromised", "What another FileSystem could be promised");
        let removed = bytes("removed", "In trash, archive and retained folders");
        let mut number = |name: &str, help: &str| {
            let gauge = Number::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let file_systems = number("file_systems", "FileSystems with a folder here");
        let claims = number("claims", "Claims with a folder here");
        let trash = number("trash_folders", "Folders in the trash");
        let serving = number("nfs_serving", "1 while the NFS server answers; alert on 0 for minutes");
        let restarts = Counter::default();
        registry.register(
            "nfs_restarts",
            "How often the NFS server ended by itself and was started again; alert on more than a few",
            restarts.clone(),
        );
        let calls = CallMetrics(calls);
        Self { calls, total, free, unpromised, removed, file_systems, claims, trash, serving, restarts }
    }

    /// Shows the disk and the folders as they are.
    pub fn show(&self, overview: &Overview) {
        self.total.set(overview.bytes_total);
        self.free.set(overview.bytes_free);
        self.unpromised.set(overview.bytes_unpromised);
        self.removed.set(overview.bytes_removed);
        self.file_systems.set(overview.file_systems);
        self.claims.set(overview.claims);
        self.trash.set(overview.trash_folders);
    }

    /// Shows whether the NFS server answers.
    pub fn show_serving(&self, serving: bool) {
        self.serving.set(serving.into());
    }
}
