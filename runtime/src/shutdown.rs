//! The one way a process is asked to end: SIGTERM (Kubernetes) or SIGINT (a person) cancel a token that everything
//! long-running waits on.

use tokio::signal::unix::{SignalKind, signal as listen};
use tokio_util::sync::CancellationToken;

/// A token that SIGTERM or SIGINT cancels. A second signal ends the process at once, as it would without us: what
/// hangs in its shutdown must not need SIGKILL.
///
/// Must be called inside a tokio runtime. Errors: the signals cannot be listened to.
pub fn signal() -> std::io::Result<CancellationToken> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" };
        tracing::info!(signal = name, "shutting down");
        cancelled.cancel();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::warn!("second signal: ending at once");
        std::process::exit(130);
    });
    Ok(token)
}
