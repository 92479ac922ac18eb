//! What the operator counts. Labels are kinds and outcomes, never names: their number is bounded by this source.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use workspacefs_api::{CacheCopy, FsCacheStatus, PathState};

/// Shared by everything that counts; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `reconciles_total{kind,outcome}`.
    pub reconciles: Family<PassLabels, Counter>,
    /// `reconcile_duration_seconds{kind}`.
    pub duration: Family<KindLabels, Histogram>,
    /// `probes_total{outcome}`.
    pub probes: Family<ProbeLabels, Counter>,
    /// `leader`: 1 on the replica that works.
    pub leader: Gauge,
    /// `agent_calls_total{call,outcome}`.
    pub agent_calls: Family<CallLabels, Counter>,
    /// `certificate_not_after_timestamp_seconds{certificate}`.
    pub certificates: Family<CertificateLabels, Gauge>,
    /// `managed_file_systems`.
    pub managed_file_systems: Gauge,
    /// `managed_capacity_bytes`.
    pub managed_capacity: Gauge,
    /// `managed_available_bytes`.
    pub managed_available: Gauge,
    caches: CacheGauges,
}

/// Of each FsCache: as many series as there are objects.
#[derive(Clone, Debug, Default)]
struct CacheGauges {
    ready: Family<CacheLabels, Gauge>,
    bytes: Family<CacheLabels, Gauge>,
    as_of: Family<CacheLabels, Gauge>,
    failures: Family<CacheLabels, Gauge>,
}

/// Labels of an FsCache.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct CacheLabels {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is told of an FsCache.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheFigures {
    /// Whether it is Ready.
    pub is_ready: bool,
    /// Of what is whole in a copy.
    pub bytes: i64,
    /// As of when its oldest copy is: seconds since 1970. None: there is none.
    pub as_of: Option<i64>,
    /// Runs of one kind that failed in a row, of the copy with the most.
    pub failures: i64,
}

impl CacheFigures {
    /// From its status.
    pub fn of(status: &FsCacheStatus) -> Self {
        let is_ready = status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        let whole = status.paths.iter().filter(|path| path.state == PathState::Whole);
        Self {
            is_ready,
            bytes: whole.map(|path| path.bytes).fold(0, i64::saturating_add),
            as_of: status.as_of.as_ref().map(|time| time.0.as_second()),
            failures: status.copies.iter().flat_map(failures).max().unwrap_or(0),
        }
    }
}

/// How often in a row each kind of run failed.
fn failures(copy: &CacheCopy) -> impl Iterator<Item = i64> {
    let upkeep = copy.upkeep.iter().map(|failed| failed.failures);
    upkeep.chain([copy.failures]).map(i64::from)
}

/// Labels of a call to the embedded server's agent.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct CallLabels {
    /// What was asked.
    pub call: &'static str,
    /// What came of it.
    pub outcome: &'static str,
}

/// Label of a certificate.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct CertificateLabels {
    /// The Secret that holds it.
    pub certificate: &'static str,
}

/// Labels of a pass.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct PassLabels {
    /// The kind of object.
    pub kind: &'static str,
    /// How it ended.
    pub outcome: &'static str,
}

/// Label of a kind of object.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct KindLabels {
    /// The kind of object.
    pub kind: &'static str,
}

/// Label of a probe.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct ProbeLabels {
    /// The reason that goes into condition Reachable.
    pub outcome: &'static str,
}

/// A pass that only looks takes well below a millisecond; one that writes, some; one that waits for a sick API server, seconds.
const BUCKETS: [f64; 10] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            probes: Family::default(),
            leader: Gauge::default(),
            agent_calls: Family::default(),
            certificates: Family::default(),
            managed_file_systems: Gauge::default(),
            managed_capacity: Gauge::default(),
            managed_available: Gauge::default(),
            caches: CacheGauges::default(),
        };
        registry.register(
            "reconciles",
            "Passes over objects by outcome: done, waiting, conflict (tried again at once), refused, away, abandoned. \
             Alert when refused or away keep growing",
            metrics.reconciles.clone(),
        );
        registry.register("reconcile_duration_seconds", "Time that passes took", metrics.duration.clone());
        registry.register(
            "probes",
            "NFS servers asked, by answer; all but Answered mean that workloads cannot reach theirs",
            metrics.probes.clone(),
        );
        registry.register(
            "leader",
            "1 on the replica that works. Alert when the sum over all is not 1",
            metrics.leader.clone(),
        );
        metrics.register_server(registry);
        metrics.register_caches(registry);
        metrics
    }

    /// Tells of an FsCache.
    pub fn cache(&self, namespace: &str, name: &str, figures: &CacheFigures) {
        let labels = CacheLabels { namespace: namespace.into(), name: name.into() };
        self.caches.ready.get_or_create(&labels).set(i64::from(figures.is_ready));
        self.caches.bytes.get_or_create(&labels).set(figures.bytes);
        self.caches.failures.get_or_create(&labels).set(figures.failures);
        match figures.as_of {
            Some(second) => drop(self.caches.as_of.get_or_create(&labels).set(second)),
            None => drop(self.caches.as_of.remove(&labels)),
        }
    }

    /// Tells no more of an FsCache that is gone.
    pub fn forget_cache(&self, namespace: &str, name: &str) {
        let labels = CacheLabels { namespace: namespace.into(), name: name.into() };
        for family in [&self.caches.ready, &self.caches.bytes, &self.caches.as_of, &self.caches.failures] {
            family.remove(&labels);
        }
    }

    /// What concerns caches.
    fn register_caches(&self, registry: &mut Registry) {
        let gauges = &self.caches;
        registry.register(
            "cache_ready",
            "1 where an FsCache is Ready. Alert when it stays 0: its pods read the source",
            gauges.ready.clone(),
        );
        registry.register("cache_bytes", "What a copy of an FsCache holds and shows", gauges.bytes.clone());
        registry.register(
            "cache_as_of_timestamp_seconds",
            "As of when the oldest copy of an FsCache is. Alert when it is older than what its users can bear",
            gauges.as_of.clone(),
        );
        registry.register(
            "cache_failures",
            "Runs of movers that failed in a row. Alert when it keeps growing",
            gauges.failures.clone(),
        );
    }

    /// What concerns the embedded server.
    fn register_server(&self, registry: &mut Registry) {
        registry.register(
            "agent_calls",
            "Questions to the embedded server's agent, by answer. Alert when unavailable or failed keep growing",
            self.agent_calls.clone(),
        );
        registry.register(
            "certificate_not_after_timestamp_seconds",
            "When the embedded server's certificates end. Alert when less than 60 days are left: they are renewed long before",
            self.certificates.clone(),
        );
        registry.register(
            "managed_file_systems",
            "FileSystems on the embedded server",
            self.managed_file_systems.clone(),
        );
        registry.register(
            "managed_capacity_bytes",
            "The capacities of all FileSystems on the embedded server together",
            self.managed_capacity.clone(),
        );
        registry.register(
            "managed_available_bytes",
            "What is left of the capacities of all FileSystems on the embedded server together",
            self.managed_available.clone(),
        );
    }
}
