//! What is known of the server: how full each FileSystem is, why it cannot be reached, whether workloads' network can reach
//! it. Filled by the watcher and by each call; passes read it and wait for nobody.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;
use workspacefs_agent_proto::v1::FileSystem;

use super::health::Trouble;
use super::isolation::Isolation;

/// What passes read.
#[derive(Default)]
pub struct Knowledge(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// By uid.
    file_systems: HashMap<String, Seen>,
    /// Whether all of them were ever listed.
    listed: bool,
    /// Why it does not answer, as the caller saw it.
    silence: Option<String>,
    trouble: Option<Trouble>,
    isolation: Option<Isolation>,
}

/// A FileSystem, as the agent told of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it said.
    pub file_system: FileSystem,
    /// When, on the clock that goes into the status.
    pub at: Timestamp,
    since: Instant,
}

impl Seen {
    /// As told at that time.
    pub fn at(file_system: FileSystem, at: Timestamp) -> Self {
        Self { file_system, at, since: Instant::now() }
    }
}

impl Knowledge {
    /// What the agent said last about a FileSystem.
    pub fn file_system(&self, uid: &str) -> Option<Seen> {
        self.inner().file_systems.get(uid).cloned()
    }

    /// Whether one that is not known is not there.
    pub fn is_whole(&self) -> bool {
        self.inner().listed
    }

    /// Why the server cannot be reached, where that is known.
    pub fn trouble(&self) -> Option<Trouble> {
        self.inner().trouble.clone()
    }

    /// What the isolation probe found; None before it was asked.
    pub fn isolation(&self) -> Option<Isolation> {
        self.inner().isolation.clone()
    }

    /// One was made or changed.
    pub fn learn(&self, file_system: FileSystem) {
        let seen = Seen::at(file_system, Timestamp::now());
        self.inner().file_systems.insert(seen.file_system.uid.clone(), seen);
    }

    /// One is no more.
    pub fn forget(&self, uid: &str) {
        self.inner().file_systems.remove(uid);
    }

    /// All there are, by a question that was asked at `asked`: what was learned since is newer. Those that are not as they
    /// were, by namespace and name.
    pub fn learn_all(&self, all: Vec<FileSystem>, asked: Instant) -> Vec<(String, String)> {
        let (at, mut inner) = (Timestamp::now(), self.inner());
        let before = std::mem::take(&mut inner.file_systems);
        let name = |fs: &FileSystem| (fs.namespace.clone(), fs.name.clone());
        let is_news = |fs: &FileSystem| before.get(&fs.uid).is_none_or(|old| old.file_system != *fs);
        let mut news: Vec<_> = all.iter().filter(|fs| is_news(fs)).map(name).collect();
        let seen = |file_system: FileSystem| Seen { file_system, at, since: asked };
        let mut now: HashMap<String, Seen> = all.into_iter().map(|fs| (fs.uid.clone(), seen(fs))).collect();
        for (uid, old) in before {
            if old.since > asked {
                now.insert(uid, old);
            } else if !now.contains_key(&uid) {
                news.push(name(&old.file_system));
            }
        }
        inner.file_systems = now;
        inner.listed = true;
        news
    }

    /// All that are known.
    pub fn all(&self) -> Vec<FileSystem> {
        self.inner().file_systems.values().map(|seen| seen.file_system.clone()).collect()
    }

    /// Why the server does not answer; None where it does. Says whether that is news.
    pub fn set_silence(&self, why: Option<&str>) -> bool {
        let mut inner = self.inner();
        let news = inner.silence.as_deref() != why;
        inner.silence = why.map(Into::into);
        news
    }

    /// What keeps the server from working. Says whether that is news.
    pub fn set_trouble(&self, trouble: Option<Trouble>) -> bool {
        let mut inner = self.inner();
        let news = inner.trouble != trouble;
        inner.trouble = trouble;
        news
    }

    /// What the isolation probe found. Says whether that is news.
    pub fn set_isolation(&self, isolation: Isolation) -> bool {
        let mut inner = self.inner();
        let news = !inner.isolation.as_ref().is_some_and(|known| known.says_as(&isolation));
        inner.isolation = Some(isolation);
        news
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fs(uid: &str, capacity_bytes: u64) -> FileSystem {
        FileSystem { uid: uid.into(), name: uid.into(), capacity_bytes, ..FileSystem::default() }
    }

    fn names(mut news: Vec<(String, String)>) -> Vec<String> {
        news.sort_unstable();
        news.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn a_list_tells_what_came_changed_and_went_and_is_no_newer_than_its_question() {
        let knowledge = Knowledge::default();
        assert!(!knowledge.is_whole());
        let news = knowledge.learn_all(vec![fs("a", 1), fs("b", 1), fs("c", 1)], Instant::now());
        assert_eq!(names(news), ["a", "b", "c"]);
        assert!(knowledge.is_whole());
        let asked = Instant::now();
        knowledge.learn(fs("d", 1));
        knowledge.learn(fs("a", 5));
        let news = knowledge.learn_all(vec![fs("a", 1), fs("b", 2)], asked);
        assert_eq!(names(news), ["a", "b", "c"]);
        let capacity = |uid| knowledge.file_system(uid).map(|seen| seen.file_system.capacity_bytes);
        assert_eq!(
            (capacity("a"), capacity("b"), capacity("c"), capacity("d")),
            (Some(5), Some(2), None, Some(1))
        );
    }
}
