//! What the gateway counts of itself. No label has a user's, a workspace's or a file's name: there are too many of them, and they
//! are nobody's business who may read metrics.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::files::leash::Cut;

/// What is reviewed.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum Review {
    /// A TokenReview.
    Token,
    /// A SubjectAccessReview.
    Access,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReviewLabels {
    kind: Review,
    answered: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    code: u16,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct CutLabels {
    reason: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct DirectionLabels {
    direction: String,
}

/// All of them. Clones count the same.
#[derive(Clone, Default)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    reviews: Family<ReviewLabels, Counter>,
    cuts: Family<CutLabels, Counter>,
    bytes: Family<DirectionLabels, Counter>,
    logins: Family<RequestLabels, Counter>,
    transfers: Gauge,
    connections: Gauge,
}

impl Metrics {
    /// Adds them to what is served.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("gateway");
        registry.register("requests", "Requests answered, by status", metrics.requests.clone());
        registry.register(
            "reviews",
            "TokenReviews and SubjectAccessReviews sent; alert on answered=\"no\": nobody can work then",
            metrics.reviews.clone(),
        );
        registry.register(
            "transfers_cut",
            "Transfers ended before their end, by reason",
            metrics.cuts.clone(),
        );
        registry.register("transfer_bytes", "Bytes of file contents, by direction", metrics.bytes.clone());
        registry.register("logins", "Logins, by status", metrics.logins.clone());
        registry.register("transfers", "Requests to file APIs that run now", metrics.transfers.clone());
        registry.register("connections", "Connections that are open now", metrics.connections.clone());
        metrics
    }

    /// A request was answered.
    pub fn answered(&self, code: u16) {
        self.requests.get_or_create(&RequestLabels { code }).inc();
    }

    /// Somebody tried to log in.
    pub fn login(&self, code: u16) {
        self.logins.get_or_create(&RequestLabels { code }).inc();
    }

    /// A review was sent.
    pub fn reviewed(&self, kind: Review, answered: bool) {
        let answered = if answered { "yes" } else { "no" }.into();
        self.reviews.get_or_create(&ReviewLabels { kind, answered }).inc();
    }

    /// A transfer was cut.
    pub fn cut(&self, reason: Cut) {
        self.cuts.get_or_create(&CutLabels { reason: format!("{reason:?}") }).inc();
    }

    /// Bytes went to (`in`) or came from (`out`) a file API.
    pub fn bytes(&self, direction: &str, bytes: u64) {
        self.bytes.get_or_create(&DirectionLabels { direction: direction.into() }).inc_by(bytes);
    }

    /// A request to a file API runs, for as long as the answer lives.
    pub fn transfer(&self) -> Running {
        Running::new(&self.transfers)
    }

    /// A connection is open, for as long as the answer lives.
    pub fn connection(&self) -> Running {
        Running::new(&self.connections)
    }
}

/// Counts one more while it lives.
pub struct Running(Gauge);

impl Running {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}
