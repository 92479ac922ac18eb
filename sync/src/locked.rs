//! Taking a lock whose last holder may have panicked: what it guards is whole between any two statements.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
