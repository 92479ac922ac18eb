//! One request at a time writes an upload. A later one of the same upload takes over: after a lost connection the earlier one
//! waits for a caller who is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// How long the later one waits for the earlier one to let go.
const WAIT_MAX: Duration = Duration::from_secs(20);

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Who holds which upload.
#[derive(Debug, Default)]
pub struct Holds(Mutex<HashMap<String, (Lock, CancellationToken)>>);

/// An upload that is held; let go when dropped.
#[derive(Debug)]
pub struct Held {
    /// Somebody else wants it.
    pub wanted: CancellationToken,
    _guard: OwnedMutexGuard<()>,
}

impl Holds {
    /// Waits until nobody else holds it, telling who does that it is wanted.
    ///
    /// # Errors
    /// `Conflict`: who holds it does not let go.
    pub async fn hold(&self, id: &str) -> Result<Held, Error> {
        let (lock, wanted) = {
            let mut holds = self.known();
            let (lock, current) = holds.entry(id.to_owned()).or_default();
            current.cancel();
            *current = CancellationToken::new();
            (Arc::clone(lock), current.clone())
        };
        match tokio::time::timeout(WAIT_MAX, lock.lock_owned()).await {
            Ok(guard) => Ok(Held { wanted, _guard: guard }),
            Err(_) => Err(Error::Conflict("another request writes this upload")),
        }
    }

    /// Holds it if nobody does.
    pub fn hold_free(&self, id: &str) -> Option<Held> {
        let mut holds = self.known();
        let (lock, wanted) = holds.entry(id.to_owned()).or_default();
        let guard = Arc::clone(lock).try_lock_owned().ok()?;
        Some(Held { wanted: wanted.clone(), _guard: guard })
    }

    /// Those that somebody holds or waits for: of others the only reference is here.
    fn known(&self) -> MutexGuard<'_, HashMap<String, (Lock, CancellationToken)>> {
        let mut holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holds.retain(|_, (lock, _)| Arc::strong_count(lock) > 1);
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_later_request_takes_over_and_nothing_is_remembered() {
        let holds = Arc::new(Holds::default());
        let first = holds.hold("a").await.unwrap();
        let waiting = tokio::spawn({
            let holds = Arc::clone(&holds);
            async move { holds.hold("a").await.unwrap() }
        });
        first.wanted.cancelled().await;
        assert!(!waiting.is_finished(), "the first still holds it");
        drop(first);
        let second = waiting.await.unwrap();
        assert!(!second.wanted.is_cancelled());
        drop(second);
        drop(holds.hold("b").await.unwrap());
        let _c = holds.hold("c").await.unwrap();
        assert_eq!(holds.0.lock().unwrap().len(), 1);
    }
}
