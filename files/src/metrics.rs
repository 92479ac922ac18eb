//! What the process counts, under `/metrics` of its own port.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// A request's route and what came of it.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct Request {
    /// `GET /v1/list/{*path}`: never what a caller wrote.
    pub route: String,
    /// HTTP status.
    pub status: u16,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Answers begun.
    pub requests: Family<Request, Counter>,
    /// Requests without an assertion that is believed.
    pub refused: Counter,
    /// Bytes of contents sent.
    pub sent: Counter,
    /// Bytes of contents received.
    pub received: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Imports that are running.
    pub imports: Gauge,
    /// Bytes that came from buckets.
    pub imported: Counter,
}

impl Metrics {
    /// Made and registered.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register("refused", "Requests that nobody vouched for", metrics.refused.clone());
        registry.register_with_unit("sent", "Contents sent", Unit::Bytes, metrics.sent.clone());
        registry.register_with_unit("received", "Contents received", Unit::Bytes, metrics.received.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register("imports", "Imports that are running", metrics.imports.clone());
        registry.register_with_unit(
            "imported",
            "Contents that came from buckets",
            Unit::Bytes,
            metrics.imported.clone(),
        );
        metrics
    }
}
