//! What was told one by one, so that each is told once. Conditions remember what they speak of; this is for what they have no
//! room for. It lasts as long as the process: an operator that starts anew may tell such a thing once more.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By LocalStorage's uid, the uids of what was told.
#[derive(Debug, Default)]
pub struct Told(Mutex<HashMap<String, BTreeSet<String>>>);

impl Told {
    /// Whether anything was remembered of that LocalStorage, be it that there was nothing to tell.
    pub fn knows(&self, of: &str) -> bool {
        self.lock().contains_key(of)
    }

    /// What of `now` was not told yet.
    pub fn unknown(&self, of: &str, now: &BTreeSet<String>) -> BTreeSet<String> {
        self.lock().get(of).map_or_else(|| now.clone(), |told| now - told)
    }

    /// All of `now` is told. What is not in it is forgotten: if it comes back it is news.
    pub fn remember(&self, of: &str, now: BTreeSet<String>) {
        self.lock().insert(of.into(), now);
    }

    /// One more is told.
    pub fn add(&self, of: &str, one: String) {
        self.lock().entry(of.into()).or_default().insert(one);
    }

    /// The LocalStorage is gone.
    pub fn forget(&self, of: &str) {
        self.lock().remove(of);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_news_once_and_again_when_it_was_gone_in_between() {
        let told = Told::default();
        let set = |names: &str| -> BTreeSet<String> { names.split_whitespace().map(String::from).collect() };
        assert!(!told.knows("x"));
        assert_eq!(told.unknown("x", &set("a b")), set("a b"));
        told.remember("x", set("a b"));
        assert_eq!(told.unknown("x", &set("a b c")), set("c"));
        assert_eq!(told.unknown("y", &set("a")), set("a"), "another LocalStorage's");
        told.remember("x", set("b"));
        assert_eq!(told.unknown("x", &set("a b")), set("a"));
        told.add("x", "a".into());
        assert_eq!(told.unknown("x", &set("a b c")), set("c"), "beside what was told before");
        told.remember("x", set(""));
        assert!(told.knows("x"));
        told.forget("x");
        assert!(!told.knows("x"));
    }
}
