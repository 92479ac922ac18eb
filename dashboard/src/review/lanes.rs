//! Who waits for whom at the API server. Anybody can send tokens that are none, as many as they like; those wait in a lane of their own,
//! which is short. So neither whoever has been known nor a transfer that runs waits behind them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Reviews at once of tokens that were never good, and how many more wait.
const STRANGERS: (usize, usize) = (8, 56);
/// Reviews at once of all else. Those who wait are held by other limits: of transfers of a user, and of connections.
const FRIENDS: usize = 64;
/// As long as a session lasts.
const KNOWN_FOR: Duration = Duration::from_secs(12 * 3600);
/// What is in use is seen more often than this.
const IN_USE: Duration = Duration::from_secs(60);

/// Where reviews wait.
pub struct Lane {
    at_once: Semaphore,
    /// Those who wait and those whose turn it is.
    places: Option<Semaphore>,
}

/// A review's turn.
pub struct Place<'a> {
    _turn: SemaphorePermit<'a>,
    _place: Option<SemaphorePermit<'a>>,
}

impl Lane {
    /// For tokens of which nothing is known.
    pub fn strangers() -> Self {
        let (at_once, waiting) = STRANGERS;
        Self { at_once: Semaphore::new(at_once), places: Some(Semaphore::new(at_once + waiting)) }
    }

    /// For all else.
    pub fn friends() -> Self {
        Self { at_once: Semaphore::new(FRIENDS), places: None }
    }

    /// Waits for one's turn; None: too many wait already.
    pub async fn enter(&self) -> Option<Place<'_>> {
        let place = match &self.places {
            Some(places) => Some(places.try_acquire().ok()?),
            None => None,
        };
        let turn = self.at_once.acquire().await.ok()?;
        Some(Place { _turn: turn, _place: place })
    }
}

/// Which tokens were good the last time, by their digests.
pub struct Known {
    count_max: usize,
    seen: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Known {
    /// At most `count_max` are kept.
    pub fn new(count_max: usize) -> Self {
        Self { count_max, seen: Mutex::default() }
    }

    /// Whether it was.
    pub fn has(&self, token: &[u8; 32]) -> bool {
        self.lock().get(token).is_some_and(|seen| seen.elapsed() < KNOWN_FOR)
    }

    /// What the API server has just said of it.
    pub fn set(&self, token: [u8; 32], good: bool) {
        let mut seen = self.lock();
        if !good {
            seen.remove(&token);
            return;
        }
        seen.insert(token, Instant::now());
        for age in [KNOWN_FOR, IN_USE, Duration::ZERO] {
            if seen.len() > self.count_max {
                seen.retain(|_, seen| seen.elapsed() < age);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn strangers_are_turned_away_where_too_many_wait_and_friends_wait() {
        let (strangers, friends) = (Lane::strangers(), Lane::friends());
        let mut inside = Vec::new();
        for _ in 0..STRANGERS.0 {
            inside.push(strangers.enter().await.unwrap());
        }
        let mut waiting: Vec<_> = (0..STRANGERS.1).map(|_| Box::pin(strangers.enter())).collect();
        for waits in &mut waiting {
            assert!(futures::poll!(waits).is_pending());
        }
        assert!(strangers.enter().await.is_none());
        assert!(friends.enter().await.is_some());
        inside.pop();
        assert!(waiting.swap_remove(0).await.is_some());
        drop(waiting);
        assert!(strangers.enter().await.is_some(), "who goes makes room");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_good_is_known_until_the_api_server_says_otherwise_and_what_is_in_use_is_kept() {
        let known = Known::new(10);
        known.set([1; 32], true);
        known.set([2; 32], true);
        known.set([2; 32], false);
        assert!(known.has(&[1; 32]) && !known.has(&[2; 32]) && !known.has(&[3; 32]));
        tokio::time::advance(IN_USE * 2).await;
        for other in 10..100 {
            tokio::time::advance(IN_USE / 2).await;
            known.set([1; 32], true);
            known.set([other; 32], true);
        }
        assert!(known.has(&[1; 32]));
        assert!(known.lock().len() <= 11);
        tokio::time::advance(KNOWN_FOR).await;
        assert!(!known.has(&[1; 32]));
    }
}
