//! What is done now and then: what is too old goes from the trash and from the uploads, and folders in the trash are measured.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::error::Error;
use crate::pool::LONG_MAX;
use crate::{trash, uploads};

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
/// [`Error`]; the rest is done the next time.
pub async fn once(app: &App) -> Result<(), Error> {
    let (root, settings) = (Arc::clone(&app.root), app.settings.clone());
    let work = move || {
        let uploads = uploads::expire(&root, settings.upload_days);
        trash::expire(&root, settings.trash_days)?;
        trash::measure(&root)?;
        uploads
    };
    app.pool.run_for(LONG_MAX, work).await
}
