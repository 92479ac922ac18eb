//! How small files of all archives that come at once get to the disk: by one sync for all who wait for it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::app::App;
use crate::error::Error;
use crate::root::Root;
use crate::settling::{Begun, Settling};
use crate::watched::Watched;

/// Groups of one archive come a few milliseconds apart, and each sync takes some of them.
const GATHER: Duration = Duration::from_millis(10);

/// See the module. It lives while something is unpacked: what was lost before is nobody's any more.
#[derive(Debug)]
pub(crate) struct Together {
    settling: Settling,
    watched: Watched,
}

impl Together {
    /// The one that is in use, or a new one.
    ///
    /// # Errors
    /// [`Error`].
    pub fn of(root: &Root, in_use: &Mutex<Weak<Self>>) -> Result<Arc<Self>, Error> {
        // Opened without the lock: a server that does not answer holds up nobody else.
        let new = Arc::new(Self { settling: Settling::gathering(GATHER), watched: Watched::new(root)? });
        let mut in_use = in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(this) = in_use.upgrade() {
            return Ok(this);
        }
        *in_use = Arc::downgrade(&new);
        Ok(new)
    }

    /// Before the first of so many bytes is written.
    pub fn begin(&self, bytes: u64) -> Begun {
        self.settling.begin(bytes)
    }

    /// Once everything that was written since `begun` is on the disk.
    ///
    /// # Errors
    /// [`Error`]: something is lost, nobody knows whose; `MadeRoom` where it is worth another try.
    pub async fn settle(self: &Arc<Self>, app: &App, begun: &Begun) -> Result<(), Error> {
        let sync = async |bytes| {
            let (this, root) = (Arc::clone(self), Arc::clone(&app.root));
            app.pool.run_sync(move || this.watched.settle(&root, bytes)).await
        };
        self.settling.settle(begun, sync).await
    }
}
