//! What every RPC has in common, in one layer around all services: it is logged once, counted and timed, a panic in it
//! becomes INTERNAL, and it runs to its end even when the caller hangs up.
//!
//! The last is what makes handlers simple: kubelet giving up never cuts one in the middle, between a mount and its
//! record. Each handler bounds its own time.
//!
//! Logged are the RPC's name, its duration, code and message, and what the handler put into the span with [`note`]
//! (volume id, target): never attributes, never secrets.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;
use tracing::field::Empty;

/// Puts a volume's id, or where it is mounted, into the log line of the RPC being handled.
pub fn note(volume_id: &str, target_path: Option<&str>) {
    let span = tracing::Span::current();
    span.record("volume_id", volume_id);
    if let Some(path) = target_path {
        span.record("target_path", path);
    }
}

/// The RPCs that change something: worth a line in the log each time, while the questions that kubelet repeats all day
/// are not.
const CHANGES: [&str; 6] = [
    "ControllerExpandVolume",
    "CreateVolume",
    "DeleteVolume",
    "NodePublishVolume",
    "NodeUnpublishVolume",
    "NotifyRegistrationStatus",
];

/// Every other RPC we answer. Names a caller invents do not become labels.
const QUESTIONS: [&str; 11] = [
    "ControllerGetCapabilities",
    "GetCapacity",
    "GetInfo",
    "GetPluginCapabilities",
    "GetPluginInfo",
    "NodeGetCapabilities",
    "NodeGetInfo",
    "NodeGetVolumeHealth",
    "NodeGetVolumeStats",
    "Probe",
    "ValidateVolumeCapabilities",
];

/// The last part of a gRPC path (`/csi.v1.Node/NodeGetInfo`) if we know it, else `unknown`.
fn rpc_name(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    CHANGES.iter().chain(&QUESTIONS).find(|known| **known == name).copied().unwrap_or("unknown")
}

/// The name that gRPC gives a code.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct Labels {
    rpc: &'static str,
    code: &'static str,
}

/// From a bare bind mount (0.1 ms) to kubelet's own patience (two minutes), in seconds.
const BUCKETS: [f64; 12] = [0.0002, 0.0005, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0, 20.0, 120.0];

/// Wraps a server's services; clones share metrics and the list of RPCs under way.
#[derive(Clone, Debug)]
pub struct RpcLayer {
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    tasks: TaskTracker,
}

impl RpcLayer {
    /// A layer whose metrics are in `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let seconds = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let in_flight = Gauge::default();
        registry.register_with_unit(
            "rpc",
            "Time to answer an RPC; alert on codes INTERNAL and UNAVAILABLE",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register(
            "rpcs_in_flight",
            "RPCs being answered; a number that stays up is a hang",
            in_flight.clone(),
        );
        Self { seconds, in_flight, tasks: TaskTracker::new() }
    }

    /// Waits until no RPC is under way, those included whose callers have gone. Call it when none can come any more.
    pub async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn observe<F>(self, rpc: &'static str, answer: F) -> Response<Body>
    where
        F: Future<Output = Result<Response<Body>, Infallible>>,
    {
        self.in_flight.inc();
        let started = Instant::now();
        // A panic must reach the caller as an answer, or kubelet would wait out its time. What the handler shared are
        // guards and tables whose locks ignore poisoning.
        let response = match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => Status::internal("the driver panicked; its log has the place").into_http(),
        };
        let took = started.elapsed();
        // A failed unary call carries its status in the headers; a good one in the trailers, after the message.
        let status = Status::from_header_map(response.headers()).unwrap_or_else(|| Status::ok(""));
        let labels = Labels { rpc, code: code_name(status.code()) };
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.in_flight.dec();
        log(rpc, &status, took);
        response
    }
}

fn log(rpc: &'static str, status: &Status, took: Duration) {
    let (code, milliseconds) = (code_name(status.code()), took.as_secs_f64() * 1e3);
    if status.code() != Code::Ok {
        tracing::warn!(code, milliseconds, cause = status.message(), "failed");
    } else if CHANGES.contains(&rpc) {
        tracing::info!(code, milliseconds, "done");
    } else {
        tracing::debug!(code, milliseconds, "answered");
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, layer: self.clone() }
    }
}

/// A service inside the layer.
#[derive(Clone, Debug)]
pub struct Observed<S> {
    inner: S,
    layer: RpcLayer,
}

impl<S> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let rpc = rpc_name(request.uri().path());
        let span = tracing::info_span!("rpc", rpc, volume_id = Empty, target_path = Empty);
        let answer = self.layer.clone().observe(rpc, self.inner.call(request)).instrument(span);
        // A task of its own: dropping the connection drops only the waiting.
        let task = self.layer.tasks.spawn(answer);
        async move {
            Ok(task.await.unwrap_or_else(|_| Status::internal("the driver is shutting down").into_http()))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rpcs_that_we_answer_become_labels() {
        assert_eq!(rpc_name("/csi.v1.Node/NodePublishVolume"), "NodePublishVolume");
        assert_eq!(rpc_name("/pluginregistration.Registration/GetInfo"), "GetInfo");
        for invented in ["/csi.v1.Node/Nonsense", "", "/", "NodeGetInfo/"] {
            assert_eq!(rpc_name(invented), "unknown", "{invented}");
        }
    }
}
