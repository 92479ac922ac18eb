//! What is known of every FsCache, and which generations this node's volumes use, under one lock: a generation is
//! chosen and counted as used in one step, and none is chosen that is older than one seen. So what the node tells is
//! never less than what it does, and the operator needs no clock to know that a generation is nobody's any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use workspacefs_api::cache_attributes::CacheVolumeAttributes;
use workspacefs_api::{CacheUse, FsCache};
use workspacefs_runtime::CancellationToken;

use super::claim::{self, Unready};
use super::decision::{self, Nest, Volume};
use super::known::{Known, Target};
use crate::local::watched::follow_events;

/// An FsCache as the API server delivers it: one that cannot be read must not end the watch of the others.
type Guarded = DeserializeGuard<FsCache>;

/// Told of a cache that is going: it is newer than every generation, and no further one is chosen.
pub const GOING: i64 = i64::MAX;

/// A generation of an FsCache.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Generation {
    /// The FsCache's uid.
    pub cache: String,
    /// Its number.
    pub number: i64,
}

/// What this node has to say of an FsCache, if it is news.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Due {
    /// Its uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The entry; None where it is to go.
    pub entry: Option<CacheUse>,
}

/// All FsCaches, for one node. Clones see the same.
#[derive(Clone, Debug)]
pub struct Caches(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: String,
    state: Mutex<State>,
    /// Counts changes of what is known or used.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// By uid.
    known: BTreeMap<String, Known>,
    /// By uid: the newest generation that was seen.
    seen: HashMap<String, i64>,
    /// By target.
    uses: HashMap<PathBuf, Vec<Generation>>,
}

impl Caches {
    /// Nothing known yet.
    pub fn new(node: &str) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { node: node.into(), state, changes: watch::Sender::new(0) }))
    }

    /// This node's name.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Hears of changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Follows all FsCaches until `shutdown`. An API server that is away is waited for, and what was known stays
    /// known. A list is never older than what this node has written: it is read from the API server's storage, not
    /// from its cache.
    pub async fn follow(&self, client: Client, shutdown: CancellationToken) {
        let mut listed = BTreeMap::new();
        let api: Api<Guarded> = Api::all(client);
        follow_events(api, watcher::Config::default(), shutdown, |event| self.learn(event, &mut listed))
            .await;
    }

    /// `listed` collects a list until it is complete.
    fn learn(&self, event: Event<Guarded>, listed: &mut BTreeMap<String, Known>) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => listed.extend(self.read(object)),
            Event::InitDone => self.change(|state| state.replace(std::mem::take(listed))),
            Event::Apply(object) => {
                if let Some((uid, known)) = self.read(object) {
                    self.change(|state| state.learn(uid, known));
                }
            }
            Event::Delete(object) => {
                self.change(|state| state.forget(&object.uid().unwrap_or_default()));
            }
        }
    }

    fn read(&self, object: Guarded) -> Option<(String, Known)> {
        let uid = object.uid()?;
        match object.0 {
            Ok(cache) => Some((uid, Known::of(&cache, &self.0.node)?)),
            Err(error) => {
                tracing::warn!(uid, %error, "an FsCache cannot be read and is passed over");
                None
            }
        }
    }

    /// Takes an FsCache in as the watch would. For tests.
    pub fn put(&self, cache: &FsCache) {
        if let (Some(uid), Some(known)) = (cache.uid(), Known::of(cache, &self.0.node)) {
            self.change(|state| state.learn(uid, known));
        }
    }

    /// What an earlier process published at a target.
    pub fn remember(&self, target: &Path, generations: Vec<Generation>) {
        self.use_only(target, generations);
    }

    /// Chooses the copies for a volume and counts them as used at `target`. `reach` as for [`decision::decide`].
    pub fn choose<L: Clone>(
        &self,
        target: &Path,
        volume: Volume<'_>,
        now: Timestamp,
        reach: impl Fn(&Known) -> Option<L>,
    ) -> Vec<Nest<L>> {
        self.change(|state| {
            let floor = |uid: &str| state.seen.get(uid).copied().unwrap_or(0);
            let nests = decision::decide(volume, now, state.known.iter(), reach, floor);
            let of = |nest: &Nest<L>| Generation { cache: nest.cache.clone(), number: nest.generation };
            state.set_uses(target, nests.iter().map(of).collect());
            nests
        })
    }

    /// Chooses the copy for the claim of the FsCache with that uid and counts it as used at `target`. `reach` as for
    /// [`decision::decide`].
    ///
    /// # Errors
    /// None can be shown now; then nothing is used.
    pub fn choose_for_claim<L>(
        &self,
        target: &Path,
        (uid, whose): (&str, &CacheVolumeAttributes),
        now: Timestamp,
        reach: impl Fn(&Known) -> Option<L>,
    ) -> Result<Nest<L>, Unready> {
        self.change(|state| {
            let floor = state.seen.get(uid).copied().unwrap_or(0);
            let chosen = claim::decide(uid, whose, state.known.get(uid), reach, floor, now);
            let used = chosen.iter().map(|nest| Generation { cache: uid.into(), number: nest.generation });
            state.set_uses(target, used.collect());
            chosen
        })
    }

    /// From now on the target uses these alone.
    pub fn use_only(&self, target: &Path, generations: Vec<Generation>) {
        self.change(|state| state.set_uses(target, generations));
    }

    /// Whether copies of some FsCache of the namespace lie there, or may.
    pub fn lie_in(&self, namespace: &str, target: &Target) -> bool {
        let state = self.0.lock();
        state.known.values().any(|known| known.namespace == namespace && known.target == *target)
    }

    /// Whether copies of any lie in a FileSystem.
    pub fn are_in_file_systems(&self) -> bool {
        self.0.lock().known.values().any(|known| matches!(known.target, Target::FileSystem(_)))
    }

    /// What is to be written. `may_show` says whether this node could show copies of a cache.
    pub fn due(&self, may_show: impl Fn(&Known) -> bool) -> Vec<Due> {
        self.0.lock().due(&self.0.node, may_show)
    }

    /// The entry was written: the watch will say so too.
    pub fn written(&self, due: Due) {
        if let Some(known) = self.0.lock().known.get_mut(&due.uid) {
            known.written = due.entry;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.0.lock());
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
        changed
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn learn(&mut self, uid: String, known: Known) {
        let told = known.written.as_ref().map_or(0, |entry| entry.seen);
        let there = known.copy.as_ref().map_or(0, |copy| copy.generation);
        let seen = self.seen.entry(uid.clone()).or_default();
        *seen = (*seen).max(told).max(there);
        if known.is_deleted {
            *seen = GOING;
        }
        self.known.insert(uid, known);
    }

    fn forget(&mut self, uid: &str) {
        self.known.remove(uid);
        self.seen.remove(uid);
    }

    fn replace(&mut self, listed: BTreeMap<String, Known>) {
        self.known.retain(|uid, _| listed.contains_key(uid));
        self.seen.retain(|uid, _| listed.contains_key(uid));
        listed.into_iter().for_each(|(uid, known)| self.learn(uid, known));
    }

    fn set_uses(&mut self, target: &Path, generations: Vec<Generation>) {
        match generations.is_empty() {
            true => drop(self.uses.remove(target)),
            false => drop(self.uses.insert(target.to_path_buf(), generations)),
        }
    }

    fn due(&self, node: &str, may_show: impl Fn(&Known) -> bool) -> Vec<Due> {
        let in_use: BTreeSet<&Generation> = self.uses.values().flatten().collect();
        let mut due = Vec::new();
        for (uid, known) in &self.known {
            let of_it = in_use.iter().filter(|one| one.cache == *uid).map(|one| one.number);
            let of_it: Vec<i64> = of_it.collect();
            let seen = self.seen.get(uid).copied().unwrap_or(0);
            let says_something = !of_it.is_empty() || (seen > 0 && may_show(known));
            let entry = says_something.then(|| CacheUse { node: node.into(), seen, in_use: of_it });
            if entry != known.written {
                let (namespace, name) = (known.namespace.clone(), known.name.clone());
                due.push(Due { uid: uid.clone(), namespace, name, entry });
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use workspacefs_api::path::RelativePath;
    use workspacefs_api::{CacheCopy, CacheSource, CacheTarget, FsCacheSpec, FsCacheStatus};

    use super::*;

    const SOURCE: &str = "uid-of-default";
    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn cache(generation: i64) -> FsCache {
        let spec = FsCacheSpec {
            source: CacheSource { file_system: Some("default".into()), ..Default::default() },
            target: CacheTarget { file_system: Some("near".into()), local_storage: None },
            ..Default::default()
        };
        let mut cache = FsCache::new("warm", spec);
        cache.metadata.namespace = Some("team-a".into());
        cache.metadata.uid = Some(UID.into());
        let copy = CacheCopy {
            node: "n1".into(),
            generation: Some(generation),
            source: SOURCE.into(),
            whole: vec!["/a".into()],
            ..Default::default()
        };
        cache.status = Some(FsCacheStatus { copies: vec![copy], ..Default::default() });
        cache
    }

    fn listed(caches: &Caches, objects: &[FsCache]) {
        let mut list = BTreeMap::new();
        caches.learn(Event::Init, &mut list);
        for object in objects {
            caches.learn(Event::InitApply(DeserializeGuard(Ok(object.clone()))), &mut list);
        }
        caches.learn(Event::InitDone, &mut list);
    }

    fn chosen(caches: &Caches, target: &str) -> Vec<i64> {
        let root = RelativePath::default();
        let (file_system, uid) = ("default", SOURCE);
        let volume = Volume { namespace: "team-a", file_system, uid, root: &root, read_only: false };
        let nests = caches.choose(target.as_ref(), volume, Timestamp::UNIX_EPOCH, |_| Some(()));
        nests.iter().map(|nest| nest.generation).collect()
    }

    fn entry(caches: &Caches) -> Option<Option<(i64, Vec<i64>)>> {
        let due = caches.due(|_| true);
        due.into_iter().next().map(|due| due.entry.map(|entry| (entry.seen, entry.in_use)))
    }

    #[test]
    fn what_is_chosen_is_told_as_used_until_its_volume_is_gone() {
        let caches = Caches::new("n1");
        caches.put(&cache(1));
        assert_eq!(chosen(&caches, "/v"), [1]);
        caches.put(&cache(2));
        assert_eq!(chosen(&caches, "/w"), [2]);
        assert_eq!(entry(&caches), Some(Some((2, vec![1, 2]))));
        caches.use_only("/v".as_ref(), Vec::new());
        assert_eq!(entry(&caches), Some(Some((2, vec![2]))));
        // A place that could not be had is not used.
        caches.use_only("/w".as_ref(), Vec::new());
        assert_eq!(entry(&caches), Some(Some((2, Vec::new()))));
    }

    #[test]
    fn no_generation_is_chosen_that_is_older_than_one_seen_or_told() {
        let caches = Caches::new("n1");
        listed(&caches, &[cache(3)]);
        listed(&caches, &[cache(2)]);
        assert!(chosen(&caches, "/v").is_empty());
        assert_eq!(entry(&caches), Some(Some((3, Vec::new()))));
        // The next process knows it from what this one told.
        let next = Caches::new("n1");
        let mut told = cache(2);
        let uses = CacheUse { node: "n1".into(), seen: 3, in_use: Vec::new() };
        told.status.as_mut().unwrap().uses = vec![uses];
        listed(&next, &[told]);
        assert!(chosen(&next, "/v").is_empty());
        assert_eq!(entry(&next), None, "and has nothing to add");
    }

    #[test]
    fn a_claims_copy_is_told_as_used_and_after_a_refusal_nothing_is() {
        let whose = CacheVolumeAttributes { namespace: "team-a".into(), name: "warm".into() };
        let choose = |caches: &Caches| {
            caches.choose_for_claim("/v".as_ref(), (UID, &whose), Timestamp::UNIX_EPOCH, |_| Some(()))
        };
        let caches = Caches::new("n1");
        let mut claim = cache(1);
        claim.spec.exposure = workspacefs_api::Exposure::Claim;
        caches.put(&claim);
        assert_eq!(choose(&caches).unwrap().generation, 1);
        assert_eq!(entry(&caches), Some(Some((1, vec![1]))));
        assert!(chosen(&caches, "/w").is_empty(), "it is shown in no FileSystem");
        claim.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        caches.put(&claim);
        assert_eq!(choose(&caches), Err(Unready::Going("team-a/warm".into())));
        assert_eq!(entry(&caches), Some(Some((GOING, Vec::new()))));
    }

    #[test]
    fn a_cache_that_is_going_is_told_as_newer_than_any_generation_and_shown_no_more() {
        let caches = Caches::new("n1");
        caches.put(&cache(1));
        assert_eq!(chosen(&caches, "/v"), [1]);
        let mut going = cache(1);
        going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        caches.put(&going);
        assert!(chosen(&caches, "/w").is_empty());
        assert_eq!(entry(&caches), Some(Some((GOING, vec![1]))));
        listed(&caches, &[]);
        assert_eq!(entry(&caches), None);
    }

    #[test]
    fn only_what_is_news_is_told_and_an_entry_without_a_reason_goes() {
        let caches = Caches::new("n1");
        let mut told = cache(1);
        let uses = CacheUse { node: "n1".into(), seen: 1, in_use: Vec::new() };
        told.status.as_mut().unwrap().uses = vec![uses];
        caches.put(&told);
        assert_eq!(caches.due(|_| true), []);
        let due = caches.due(|_| false);
        assert_eq!(
            due.iter().map(|due| due.entry.clone()).collect::<Vec<_>>(),
            [None],
            "not of its group any more"
        );
        caches.remember("/v".as_ref(), vec![Generation { cache: UID.into(), number: 1 }]);
        assert_eq!(caches.due(|_| false).len(), 1, "but what it uses it tells all the same");
        let due = caches.due(|_| false).remove(0);
        assert_eq!(due.entry.as_ref().map(|entry| entry.in_use.clone()), Some(vec![1]));
        caches.written(due);
        assert_eq!(caches.due(|_| false), []);
        // Of one of which nothing was ever there is nothing to tell.
        let mut empty = cache(1);
        empty.status = None;
        let caches = Caches::new("n1");
        caches.put(&empty);
        assert_eq!(caches.due(|_| true), []);
    }

    #[test]
    fn one_that_cannot_be_read_hides_no_other() {
        let caches = Caches::new("n1");
        let mut list = BTreeMap::new();
        let broken: Guarded = serde_json::from_value(serde_json::json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache",
            "metadata": {"name": "broken", "uid": "u"}, "spec": {"source": 7},
        }))
        .unwrap();
        assert!(broken.0.is_err());
        caches.learn(Event::InitApply(broken), &mut list);
        caches.learn(Event::InitApply(DeserializeGuard(Ok(cache(1)))), &mut list);
        caches.learn(Event::InitDone, &mut list);
        assert_eq!(chosen(&caches, "/v"), [1]);
        assert!(caches.lie_in("team-a", &Target::FileSystem("near".into())));
        assert!(!caches.lie_in("team-b", &Target::FileSystem("near".into())));
        assert!(!caches.lie_in("team-a", &Target::LocalStorage("near".into())));
    }
}
