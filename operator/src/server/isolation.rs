//! Whether pods without any right can reach the embedded server, as a pod without any right found out. Here its answer is
//! asked for and understood; [`crate::isolation_probe`] is the process that tries.

use std::time::Duration;

use axum::http::Request;
use jiff::Timestamp;
use kube::{Client, Config};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::timeout;

use super::{ServerError, address_of};

/// TCP port of the probe.
pub const PORT: u16 = 9814;
/// What it serves.
pub const PATH: &str = "/isolation";
/// For how long its answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Several times the interval at which it tries, and what clocks may differ.
const AGE_SECONDS_MAX: u64 = 300;

/// What the probe serves.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Whether it came through to the server.
    pub reached: bool,
    /// When it tried.
    pub at: Timestamp,
    /// What it met, in words.
    pub detail: String,
}

/// What is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Isolation {
    /// Nobody tries.
    NotProbed,
    /// Nothing was heard of who tries; why.
    Silent(String),
    /// The probe came through; what it met.
    Open(String),
    /// It did not.
    Closed {
        /// What it met.
        detail: String,
        /// When it tried last.
        at: Timestamp,
    },
}

impl Isolation {
    /// Whether this says the same as `other`, be it of another time.
    pub fn says_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Closed { detail: a, .. }, Self::Closed { detail: b, .. }) => a == b,
            _ => self == other,
        }
    }
}

/// Why the probe gave no answer.
#[derive(Debug, Error)]
enum AskError {
    #[error("the isolation probe's Service")]
    Service(#[source] ServerError),
    #[error("the isolation probe has a malformed address {0:?}")]
    Address(String),
    #[error("the isolation probe cannot be asked")]
    Http(#[source] kube::Error),
    #[error("the isolation probe does not answer within {PATIENCE:?}")]
    Late,
}

/// Asks the probe behind `service`.
pub async fn ask(client: &Client, namespace: &str, service: &str) -> Isolation {
    match timeout(PATIENCE, request(client, namespace, service)).await.unwrap_or(Err(AskError::Late)) {
        Ok(report) => judge(report, Timestamp::now()),
        Err(error) => Isolation::Silent(crate::error::chain(&error)),
    }
}

async fn request(client: &Client, namespace: &str, service: &str) -> Result<Report, AskError> {
    let address = address_of(client, namespace, service).await.map_err(AskError::Service)?;
    let host = if address.contains(':') { format!("[{address}]") } else { address };
    let url = format!("http://{host}:{PORT}");
    // The client of the API server is an HTTP client like any other; this one knows no token.
    let mut config = Config::new(url.parse().map_err(|_| AskError::Address(url.clone()))?);
    // No TLS, so no authorities: the image has none to load.
    config.root_cert = Some(Vec::new());
    let probe = Client::try_from(config).map_err(AskError::Http)?;
    let request = Request::get(PATH).body(Vec::new());
    let request = request.map_err(|_| AskError::Address(url))?;
    probe.request(request).await.map_err(AskError::Http)
}

fn judge(report: Report, now: Timestamp) -> Isolation {
    if now.duration_since(report.at).unsigned_abs().as_secs() > AGE_SECONDS_MAX {
        return Isolation::Silent("the isolation probe has not tried for minutes".into());
    }
    let Report { reached, at, detail } = report;
    if reached { Isolation::Open(detail) } else { Isolation::Closed { detail, at } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_report_says_nothing() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let report = |reached| Report { reached, at: at(1000), detail: "d".into() };
        assert_eq!(judge(report(true), at(1010)), Isolation::Open("d".into()));
        let closed = judge(report(false), at(1290));
        assert_eq!(closed, Isolation::Closed { detail: "d".into(), at: at(1000) });
        assert!(closed.says_as(&Isolation::Closed { detail: "d".into(), at: at(1030) }));
        assert!(!closed.says_as(&Isolation::Open("d".into())));
        assert!(matches!(judge(report(false), at(1400)), Isolation::Silent(_)));
        assert!(matches!(judge(report(false), at(500)), Isolation::Silent(_)), "from a clock far ahead");
    }
}
