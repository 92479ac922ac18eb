//! What every long-running process of workspacefs does alike: structured logs, the shutdown signal, and the HTTP port
//! with `/healthz`, `/readyz` and `/metrics`. Nothing here knows Kubernetes or CSI, and nothing is global but the log
//! subscriber.

mod chain;
pub mod http;
pub mod logging;
pub mod readiness;
pub mod shutdown;

pub use chain::chain;
pub use readiness::{Gate, Readiness};
pub use tokio_util::sync::CancellationToken;
