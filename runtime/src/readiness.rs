//! Whether a process is ready: named gates, each opened by the part that knows, all open = ready.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The gates of one process. Clones see the same gates.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<Named>>>);

type Named = (&'static str, Arc<AtomicBool>);

impl Readiness {
    /// No gates: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a gate, closed until its owner opens it. `name` says what is waited for.
    pub fn gate(&self, name: &'static str) -> Gate {
        let open = Arc::new(AtomicBool::new(false));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, open.clone()));
        Gate(open)
    }

    /// The names of the gates still closed; empty means ready.
    pub fn closed(&self) -> Vec<&'static str> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().filter(|(_, open)| !open.load(Ordering::Acquire)).map(|(name, _)| *name).collect()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("closed", &self.closed()).finish()
    }
}

/// One condition for being ready.
#[derive(Clone, Debug)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    /// The condition holds.
    pub fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The condition holds no longer.
    pub fn close(&self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_every_gate_is_open() {
        let readiness = Readiness::new();
        assert!(readiness.closed().is_empty(), "no gates: ready");
        let (a, b) = (readiness.gate("a"), readiness.clone().gate("b"));
        assert_eq!(readiness.closed(), ["a", "b"]);
        a.open();
        b.open();
        assert!(readiness.closed().is_empty());
        a.close();
        assert_eq!(readiness.closed(), ["a"]);
    }
}
