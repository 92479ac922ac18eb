//! One answer per server, shared by all who ask: nobody waits for it, whoever asked is woken when it changed.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::ask::ask;
use super::{Outcome, Target};
use crate::metrics::{Metrics, ProbeLabels};

/// Asks servers in the background. `W` names who is woken.
pub struct Prober<W> {
    interval: Duration,
    deadline: Duration,
    metrics: Metrics,
    known: Arc<Mutex<HashMap<Target, Known<W>>>>,
    wake: UnboundedSender<W>,
}

struct Known<W> {
    /// None: never answered yet.
    last: Option<Outcome>,
    /// When the last question began.
    asked: Instant,
    running: bool,
    /// Who was told something that may change.
    waiting: HashSet<W>,
}

impl<W: Clone + Eq + Hash + Send + 'static> Prober<W> {
    /// Asks each server at most every `interval`, and gives up after `deadline`. The receiver names whom to wake.
    pub fn new(interval: Duration, deadline: Duration, metrics: Metrics) -> (Self, UnboundedReceiver<W>) {
        let (wake, woken) = unbounded_channel();
        (Self { interval, deadline, metrics, known: Arc::default(), wake }, woken)
    }

    /// Wakes at its receiver whoever it is told.
    pub fn waker(&self) -> UnboundedSender<W> {
        self.wake.clone()
    }

    /// What is known of `target`; None where nothing is yet. Never waits: asks in the background when the last answer is
    /// older than the interval, and wakes `who` if the new one differs.
    pub fn get(&self, target: &Target, who: W) -> Option<Outcome> {
        let now = Instant::now();
        let mut known = lock(&self.known);
        // A server that nobody asked for in a long time is forgotten.
        known.retain(|t, k| k.running || t == target || now.duration_since(k.asked) < self.interval * 10);
        let entry = known.entry(target.clone()).or_insert_with(|| Known {
            last: None,
            asked: now.checked_sub(self.interval).unwrap_or(now),
            running: false,
            waiting: HashSet::new(),
        });
        let due = entry.last.is_none() || now.duration_since(entry.asked) >= self.interval;
        if due && !entry.running {
            entry.running = true;
            entry.asked = now;
            self.ask_in_background(target.clone());
        }
        entry.waiting.insert(who);
        entry.last.clone()
    }

    fn ask_in_background(&self, target: Target) {
        let (known, wake) = (self.known.clone(), self.wake.clone());
        let (metrics, deadline) = (self.metrics.clone(), self.deadline);
        tokio::spawn(async move {
            let outcome = ask(&target, deadline).await;
            metrics.probes.get_or_create(&ProbeLabels { outcome: outcome.reason() }).inc();
            let mut known = lock(&known);
            let Some(entry) = known.get_mut(&target) else {
                return;
            };
            entry.running = false;
            let changed = entry.last.as_ref() != Some(&outcome);
            entry.last = Some(outcome);
            let waiting = std::mem::take(&mut entry.waiting);
            if changed {
                // Nobody listens any more when the operator is ending.
                waiting.into_iter().for_each(|who| drop(wake.send(who)));
            } else {
                entry.waiting = waiting;
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn prober(interval: Duration) -> (Prober<&'static str>, UnboundedReceiver<&'static str>) {
        let metrics = Metrics::register(&mut Registry::default());
        Prober::new(interval, Duration::from_secs(5), metrics)
    }

    #[tokio::test]
    async fn many_who_ask_for_one_server_cost_one_question_and_all_are_woken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target =
            Target { server: "127.0.0.1".into(), port: listener.local_addr().unwrap().port(), version: 4 };
        let (prober, mut woken) = prober(LONG);
        assert_eq!(prober.get(&target, "a"), None);
        assert_eq!(prober.get(&target, "b"), None);
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
        let mut who = [woken.recv().await.unwrap(), woken.recv().await.unwrap()];
        who.sort_unstable();
        assert_eq!(who, ["a", "b"]);
        assert_eq!(prober.get(&target, "a").map(|o| o.reason()), Some("NotNfs"));
        let again = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(again.is_err(), "asked again within the interval");
    }

    #[tokio::test]
    async fn an_answer_that_did_not_change_wakes_nobody_and_a_changed_one_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target =
            Target { server: "127.0.0.1".into(), port: listener.local_addr().unwrap().port(), version: 4 };
        let (prober, mut woken) = prober(Duration::ZERO);
        prober.get(&target, "a");
        drop(listener.accept().await.unwrap());
        assert_eq!(woken.recv().await, Some("a"));
        prober.get(&target, "a");
        drop(listener.accept().await.unwrap());
        let silent = tokio::time::timeout(Duration::from_millis(100), woken.recv()).await;
        assert!(silent.is_err(), "woken though nothing changed");
        drop(listener);
        prober.get(&target, "a");
        assert_eq!(woken.recv().await, Some("a"));
        assert_eq!(prober.get(&target, "a"), Some(Outcome::Refused));
    }
}
