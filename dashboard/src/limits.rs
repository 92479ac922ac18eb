//! How much may run at once, of one user and on one FileSystem: whoever opens a thousand transfers waits for their own, and users
//! together do not take all the connections of a file API.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Requests that run, by user and by FileSystem.
#[derive(Clone)]
pub struct Limits {
    per_user_max: usize,
    per_file_system_max: usize,
    running: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    by_user: HashMap<String, usize>,
    by_file_system: HashMap<String, usize>,
}

/// Of what there are as many as there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoPlace {
    /// Of the user's requests.
    OfUser,
    /// Of requests to the FileSystem.
    OfFileSystem,
}

impl Limits {
    /// At most that many of each user, and to each FileSystem.
    pub fn new(per_user_max: usize, per_file_system_max: usize) -> Self {
        Self { per_user_max, per_file_system_max, running: Arc::default() }
    }

    /// One more, for as long as the answer lives.
    ///
    /// # Errors
    /// [`NoPlace`]: there are as many as there may be. Those who have too many themselves hear that first.
    pub fn begin(&self, user: &str, file_system: &str) -> Result<Permit, NoPlace> {
        let mut running = self.lock();
        let count = |counts: &HashMap<String, usize>, key| counts.get(key).copied().unwrap_or_default();
        if count(&running.by_user, user) >= self.per_user_max {
            return Err(NoPlace::OfUser);
        }
        if count(&running.by_file_system, file_system) >= self.per_file_system_max {
            return Err(NoPlace::OfFileSystem);
        }
        *running.by_user.entry(user.to_owned()).or_default() += 1;
        *running.by_file_system.entry(file_system.to_owned()).or_default() += 1;
        Ok(Permit { limits: self.clone(), user: user.to_owned(), file_system: file_system.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that runs.
pub struct Permit {
    limits: Limits,
    user: String,
    file_system: String,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut running = self.limits.lock();
        one_less(&mut running.by_user, &self.user);
        one_less(&mut running.by_file_system, &self.file_system);
    }
}

fn one_less(counts: &mut HashMap<String, usize>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_users_requests_do_not_count_against_anothers() {
        let limits = Limits::new(2, 9);
        let (a, _b) = (limits.begin("jane", "fs").unwrap(), limits.begin("jane", "fs").unwrap());
        assert_eq!(limits.begin("jane", "fs").err(), Some(NoPlace::OfUser));
        assert!(limits.begin("joe", "fs").is_ok());
        drop(a);
        assert!(limits.begin("jane", "fs").is_ok());
        assert_eq!(limits.lock().by_user.len(), 1, "nothing is kept of those who have gone");
    }

    #[test]
    fn users_together_have_no_more_of_a_file_system_than_there_is_and_all_of_another() {
        let limits = Limits::new(2, 3);
        let held: Vec<_> = ["a", "a", "b"]
            .iter()
            .map(|user| limits.begin(user, "fs").unwrap_or_else(|_| panic!()))
            .collect();
        assert_eq!(limits.begin("b", "fs").err(), Some(NoPlace::OfFileSystem));
        assert_eq!(limits.begin("c", "fs").err(), Some(NoPlace::OfFileSystem));
        assert!(limits.begin("c", "other").is_ok());
        drop(held);
        assert!(limits.begin("c", "fs").is_ok());
        assert!(limits.lock().by_file_system.is_empty(), "nothing is kept of what runs no longer");
    }
}
