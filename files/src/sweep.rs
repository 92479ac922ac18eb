//! What is done now and then: what is too old goes from the trash and from the uploads, and folders in the trash are measured.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::error::Error;
use crate::{facts, trash, uploads};

const EVERY: Duration = Duration::from_secs(3600);

/// Runs until it is told to stop.
pub async fn run(app: Arc<App>, shutdown: CancellationToken) {
    loop {
        if let Err(error) = once(&app).await {
            tracing::warn!(%error, "not everything that is too old could be removed");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
            () = app.sweep.notified() => {}
        }
    }
}

/// Once.
///
/// # Errors
/// The first [`Error`]; the rest is done the next time.
pub async fn once(app: &App) -> Result<(), Error> {
    once_at(app, facts::now()).await
}

/// As [`once`], as if it were `now`: nanoseconds since 1970.
///
/// # Errors
/// As [`once`].
pub async fn once_at(app: &App, now: i128) -> Result<(), Error> {
    let (root, settings, holds) = (Arc::clone(&app.root), app.settings.clone(), Arc::clone(&app.holds));
    let work = move || {
        let uploads = uploads::expire(&root, settings.upload_days, now, |id| holds.hold_free(id));
        let trash = trash::expire(&root, settings.trash_days, now);
        uploads.and(trash).and(trash::measure(&root))
    };
    app.pool.run_long(work).await
}
