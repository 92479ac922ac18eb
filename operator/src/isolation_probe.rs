//! The process that tries to reach the embedded server as any pod can, without a right and without a token, and tells what
//! came of it. That a server is not reached can mean that it is away: so it is said only after two tries in a row, and whoever
//! asks must know that the server is up.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use workspacefs_runtime::CancellationToken;

use crate::probe::Target;
use crate::probe::ask::ask;
use crate::server::isolation::{PATH, Report};

/// Between two tries.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// For how long one try waits, for the connection and then for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known; the text says why nothing is.
type Shared = Arc<Mutex<Result<Report, String>>>;

/// What one try met.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Met {
    /// The server, or what stands in its place.
    Server(String),
    /// Something that keeps us from it.
    Wall(String),
    /// Trouble of our own, which says nothing of the server.
    Trouble(String),
}

/// Tries every `interval` and serves what it found on `listener`, until `shutdown`.
///
/// # Errors
/// The listener fails.
pub async fn run(
    target: Target,
    listener: TcpListener,
    interval: Duration,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let shared: Shared = Arc::new(Mutex::new(Err("no try has ended yet".into())));
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route(PATH, get(report))
        .with_state(shared.clone());
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
    tokio::select! {
        served = served => served,
        () = try_for_ever(&target, &shared, interval) => Ok(()),
    }
}

async fn try_for_ever(target: &Target, shared: &Shared, interval: Duration) {
    let mut before = None;
    loop {
        let met = try_once(target).await;
        let said = said(before.as_ref(), &met, Timestamp::now());
        if before.as_ref() == Some(&met) {
            tracing::debug!(server = %target, ?met, "tried");
        } else {
            tracing::info!(server = %target, ?met, "tried");
        }
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = said;
        before = Some(met);
        sleep(interval).await;
    }
}

/// What is to be told after `met`, where the try before met `before`.
fn said(before: Option<&Met>, met: &Met, at: Timestamp) -> Result<Report, String> {
    match (before, met) {
        (_, Met::Server(detail)) => Ok(Report { reached: true, at, detail: detail.clone() }),
        (Some(Met::Wall(_)), Met::Wall(detail)) => Ok(Report { reached: false, at, detail: detail.clone() }),
        (_, Met::Wall(detail)) => Err(format!("one try was kept out, the next one counts: {detail}")),
        (_, Met::Trouble(detail)) => Err(detail.clone()),
    }
}

async fn try_once(target: &Target) -> Met {
    let addresses: Vec<SocketAddr> = match lookup_host((target.server.as_str(), target.port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Met::Trouble(format!("the name {} has no address: {error}", target.server)),
    };
    let mut met = Met::Trouble(format!("the name {} has no address", target.server));
    for address in addresses {
        met = match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Met::Server(ask(target, PATIENCE).await.message(target)),
            Ok(Err(error)) => judge(target, &error),
            Err(_) => Met::Wall(format!("{target} lets no connection come about")),
        };
    }
    met
}

/// A refusal and "no way to that host" are what a network policy makes. Whatever else keeps us is ours.
fn judge(target: &Target, error: &io::Error) -> Met {
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::TimedOut => Met::Wall(format!("{target}: {error}")),
        _ => Met::Trouble(format!("cannot try {target}: {error}")),
    }
}

async fn report(State(shared): State<Shared>) -> Response {
    match known(&shared) {
        Ok(report) => Json(report).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

/// Ready once there is something to tell.
async fn ready(State(shared): State<Shared>) -> Response {
    match known(&shared) {
        Ok(_) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

fn known(shared: &Shared) -> Result<Report, String> {
    shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(port: u16) -> Target {
        Target { server: "127.0.0.1".into(), port, version: 4 }
    }

    #[test]
    fn what_a_policy_makes_is_a_wall_and_what_is_broken_here_is_not() {
        let met = |errno| judge(&target(1), &io::Error::from_raw_os_error(errno));
        for errno in
            [libc_errno::ECONNREFUSED, libc_errno::EHOSTUNREACH, libc_errno::EACCES, libc_errno::ETIMEDOUT]
        {
            assert!(matches!(met(errno), Met::Wall(_)), "{errno}");
        }
        for errno in [libc_errno::ENETUNREACH, libc_errno::EMFILE] {
            assert!(matches!(met(errno), Met::Trouble(_)), "{errno}");
        }
    }

    /// Numbers of Linux, on every machine that we build for.
    mod libc_errno {
        pub const EACCES: i32 = 13;
        pub const EMFILE: i32 = 24;
        pub const ENETUNREACH: i32 = 101;
        pub const ETIMEDOUT: i32 = 110;
        pub const ECONNREFUSED: i32 = 111;
        pub const EHOSTUNREACH: i32 = 113;
    }

    #[test]
    fn one_refusal_is_none_and_an_entrance_counts_at_once() {
        let (server, wall) = (Met::Server("s".into()), Met::Wall("w".into()));
        let reached =
            |before, met| said(before, met, Timestamp::UNIX_EPOCH).ok().map(|report| report.reached);
        assert_eq!(reached(None, &wall), None);
        assert_eq!(reached(Some(&server), &wall), None);
        assert_eq!(reached(Some(&wall), &wall), Some(false));
        assert_eq!(reached(Some(&wall), &server), Some(true));
        assert_eq!(reached(Some(&wall), &Met::Trouble("t".into())), None);
    }

    #[tokio::test]
    async fn a_server_that_takes_the_connection_is_reached_whatever_it_says() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = target(port);
        let accept = async {
            for _ in 0..2 {
                drop(listener.accept().await.unwrap());
            }
        };
        let (met, ()) = tokio::join!(try_once(&server), accept);
        assert!(matches!(met, Met::Server(_)), "{met:?}");
        drop(listener);
        assert!(matches!(try_once(&server).await, Met::Wall(_)));
        let nameless = Target { server: "a".repeat(70), port: 2049, version: 4 };
        assert!(matches!(try_once(&nameless).await, Met::Trouble(_)));
    }
}
