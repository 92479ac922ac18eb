//! Answers that are believed for a short time, and asked for once however many wait for them. Where there is none, all who wait hear so
//! at once: asking anew one after the other, each of them would wait for all before.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Answers by question.
pub struct Recent<K, V, E> {
    age_max: Duration,
    count_max: usize,
    slots: Mutex<Slots<K, V, E>>,
}

type Slots<K, V, E> = HashMap<K, Arc<Slot<V, E>>>;

struct Slot<V, E> {
    asked: Instant,
    answer: OnceCell<Result<V, E>>,
}

impl<K: Clone + Eq + Hash, V: Clone, E: Clone> Recent<K, V, E> {
    /// Answers are believed for `age_max`, counted from when they were asked for; at most `count_max` are kept.
    pub fn new(age_max: Duration, count_max: usize) -> Self {
        Self { age_max, count_max, slots: Mutex::default() }
    }

    /// The answer, from `ask` if there is none yet or it is too old. An error goes to all who wait for it, and is not kept: who comes
    /// later asks again.
    pub async fn get(&self, key: K, ask: impl AsyncFnOnce() -> Result<V, E>) -> Result<V, E> {
        let slot = self.slot(key.clone());
        let answer = slot.answer.get_or_init(|| ask()).await.clone();
        if answer.is_err() {
            self.forget(&key, &slot);
        }
        answer
    }

    fn forget(&self, key: &K, slot: &Arc<Slot<V, E>>) {
        let mut slots = self.lock();
        if slots.get(key).is_some_and(|kept| Arc::ptr_eq(kept, slot)) {
            slots.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots<K, V, E>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, key: K) -> Arc<Slot<V, E>> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(&key).filter(|slot| slot.asked.elapsed() < self.age_max) {
            return slot.clone();
        }
        if slots.len() >= self.count_max {
            slots.retain(|_, slot| slot.asked.elapsed() < self.age_max);
            if slots.len() >= self.count_max {
                // More questions than this within seconds: what is forgotten is asked again.
                slots.clear();
            }
        }
        let slot = Arc::new(Slot { asked: Instant::now(), answer: OnceCell::new() });
        slots.insert(key, slot.clone());
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_asked_for_once_until_it_is_too_old() {
        let (recent, asked) = (Recent::new(Duration::from_secs(2), 10), AtomicU32::new(0));
        let ask = || async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok::<_, ()>(asked.fetch_add(1, Ordering::Relaxed))
        };
        let both = tokio::join!(recent.get(1, ask), recent.get(1, ask));
        assert_eq!(both, (Ok(0), Ok(0)));
        tokio::time::advance(Duration::from_millis(1499)).await;
        assert_eq!(recent.get(1, ask).await, Ok(0));
        assert_eq!(recent.get(2, ask).await, Ok(1));
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(recent.get(1, ask).await, Ok(2), "counted from the question, not from the answer");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_goes_to_all_who_wait_at_once() {
        let (recent, asked) = (Recent::<_, u32, _>::new(Duration::from_secs(60), 10), AtomicU32::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(5)).await;
            Err("no")
        };
        let begun = Instant::now();
        let all = futures::future::join_all((0..20).map(|_| recent.get(1, ask))).await;
        assert!(all.iter().all(|answer| *answer == Err("no")));
        assert_eq!((asked.load(Ordering::Relaxed), begun.elapsed()), (1, Duration::from_secs(5)));
    }

    #[tokio::test]
    async fn errors_are_not_kept_and_neither_is_too_much() {
        let recent = Recent::new(Duration::from_secs(60), 3);
        assert_eq!(recent.get(1, async || Err::<u32, &str>("no")).await, Err("no"));
        assert_eq!(recent.get(1, async || Ok::<_, &str>(1)).await, Ok(1));
        for key in 2..100 {
            recent.get(key, async || Ok::<_, &str>(0)).await.unwrap();
        }
        assert!(recent.slots.lock().unwrap().len() <= 3);
    }
}
