//! How much one user may have running at once: whoever opens a thousand transfers waits for their own, not others for theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Requests that run, by user.
#[derive(Clone)]
pub struct Limits {
    per_user_max: usize,
    running: Arc<Mutex<HashMap<String, usize>>>,
}

impl Limits {
    /// At most that many of each user.
    pub fn new(per_user_max: usize) -> Self {
        Self { per_user_max, running: Arc::default() }
    }

    /// One more, for as long as the answer lives; None: there are as many as there may be.
    pub fn begin(&self, user: &str) -> Option<Permit> {
        let mut running = self.lock();
        let count = running.entry(user.to_owned()).or_default();
        if *count >= self.per_user_max {
            return None;
        }
        *count += 1;
        Some(Permit { limits: self.clone(), user: user.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that runs.
pub struct Permit {
    limits: Limits,
    user: String,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut running = self.limits.lock();
        if let Some(count) = running.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_users_requests_do_not_count_against_anothers() {
        let limits = Limits::new(2);
        let (a, _b) = (limits.begin("jane").unwrap(), limits.begin("jane").unwrap());
        assert!(limits.begin("jane").is_none() && limits.begin("joe").is_some());
        drop(a);
        assert!(limits.begin("jane").is_some());
        assert_eq!(limits.lock().len(), 1, "nothing is kept of those who have gone");
    }
}
