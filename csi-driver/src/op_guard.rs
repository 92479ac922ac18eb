//! At most one operation per volume at a time: the second caller is told ABORTED instead of racing the first. The guard
//! is released when it is dropped, on every way out of an operation; no lock outlives its call.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The operations under way, by key. Clones see the same set.
#[derive(Clone, Debug, Default)]
pub struct OpGuards(Arc<Mutex<HashSet<String>>>);

/// Another operation holds the key.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("another operation on this volume is under way")]
pub struct Busy;

impl OpGuards {
    /// No operation under way.
    pub fn new() -> Self {
        Self::default()
    }

    /// Marks `key` (a volume's id or name) as being worked on until the guard is dropped. Never waits.
    pub fn try_acquire(&self, key: &str) -> Result<OpGuard, Busy> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.insert(key.to_owned()) {
            return Err(Busy);
        }
        Ok(OpGuard { guards: self.clone(), key: key.to_owned() })
    }
}

/// The right to work on one key.
#[derive(Debug)]
#[must_use = "the operation is guarded only while this lives"]
pub struct OpGuard {
    guards: OpGuards,
    key: String,
}

impl Drop for OpGuard {
    fn drop(&mut self) {
        self.guards.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_key_is_held_once_and_free_again_after_drop() {
        let guards = OpGuards::new();
        let first = guards.try_acquire("a").unwrap();
        assert_eq!(guards.try_acquire("a").unwrap_err(), Busy);
        let other = guards.try_acquire("b").expect("other volumes are not delayed");
        drop(first);
        let again = guards.try_acquire("a").unwrap();
        drop((again, other));
        assert!(guards.0.lock().unwrap().is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_panic_or_an_early_return_releases_the_key() {
        let guards = OpGuards::new();
        let clone = guards.clone();
        let result = std::thread::spawn(move || {
            let _guard = clone.try_acquire("a").unwrap();
            panic!("cut in the middle");
        })
        .join();
        assert!(result.is_err());
        assert!(guards.try_acquire("a").is_ok());
    }

    #[test]
    fn of_many_threads_only_one_is_inside_at_a_time() {
        let (guards, inside, entered) = (OpGuards::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Ok(_guard) = guards.try_acquire("a") {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders of one key");
                            entered.fetch_add(1, Ordering::SeqCst);
                            std::hint::spin_loop();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(entered.load(Ordering::SeqCst) > 0);
        assert!(guards.try_acquire("a").is_ok());
    }
}
