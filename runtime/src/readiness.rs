//! Whether a process is ready: named gates, each opened by the part that knows, all open = ready.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The gates of one process. Clones see the same gates.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<Named>>>);

type Named = (&'static str, Gate);

#[derive(Debug)]
enum Gateway {
    Open,
    Closed { reason: String },
}

impl Readiness {
    /// No gates: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a gate, closed until its owner opens it. `name` says what is waited for.
    pub fn gate(&self, name: &'static str) -> Gate {
        let gate = Gate(Arc::new(Mutex::new(Gateway::Closed { reason: String::new() })));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, gate.clone()));
        gate
    }

    /// The gates still closed, each with its reason if one was given; empty means ready.
    pub fn closed(&self) -> Vec<String> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = |(name, gate): &Named| match &*gate.state() {
            Gateway::Open => None,
            Gateway::Closed { reason } if reason.is_empty() => Some((*name).to_string()),
            Gateway::Closed { reason } => Some(format!("{name} ({reason})")),
        };
        gates.iter().filter_map(said).collect()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("closed", &self.closed()).finish()
    }
}

/// One condition for being ready.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Mutex<Gateway>>);

impl Gate {
    fn state(&self) -> MutexGuard<'_, Gateway> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The condition holds.
    pub fn open(&self) {
        *self.state() = Gateway::Open;
    }

    /// The condition holds no longer.
    pub fn close(&self) {
        self.close_because("");
    }

    /// The condition does not hold, for a reason that a person can act on.
    pub fn close_because(&self, reason: &str) {
        *self.state() = Gateway::Closed { reason: reason.into() };
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
        a.close_because("no disk");
        assert_eq!(readiness.closed(), ["a (no disk)"]);
    }
}
