//! Places of which nobody gets all: whoever takes many leaves some to others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module. Clones share the places.
#[derive(Clone, Debug)]
pub struct Shares {
    places: usize,
    each: usize,
    taken: Arc<Taken>,
}

/// By user.
type Taken = Mutex<HashMap<String, usize>>;

/// A place, until this is dropped.
#[derive(Debug)]
pub struct Place {
    user: String,
    taken: Arc<Taken>,
}

impl Shares {
    /// So many places, half of them at most for one user.
    pub fn new(places: usize) -> Self {
        Self { places, each: places.div_ceil(2), taken: Arc::default() }
    }

    /// One, if there is one for this user.
    pub fn take(&self, user: &str) -> Option<Place> {
        let mut taken = lock(&self.taken);
        let own = taken.get(user).copied().unwrap_or_default();
        if own >= self.each || taken.values().sum::<usize>() >= self.places {
            return None;
        }
        taken.insert(user.to_owned(), own + 1);
        Some(Place { user: user.to_owned(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(own) = taken.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

fn lock(taken: &Taken) -> MutexGuard<'_, HashMap<String, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_gets_half_of_the_places_and_all_users_no_more_than_there_are() {
        let shares = Shares::new(4);
        let jane: Vec<_> = std::iter::from_fn(|| shares.take("jane")).collect();
        assert_eq!(jane.len(), 2);
        let joe: Vec<_> = std::iter::from_fn(|| shares.take("joe")).collect();
        assert_eq!(joe.len(), 2);
        assert!(shares.take("jim").is_none());
        drop(jane);
        assert!(shares.take("joe").is_none() && shares.take("jim").is_some());
        drop(joe);
        assert_eq!(lock(&shares.taken).len(), 0, "whoever has none is forgotten");
    }
}
