//! The end of an FsCache, carried out: [`super::farewell`] decides.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ListParams, ObjectMeta};
use workspacefs_api::{FsCache, FsCacheStatus};

use super::farewell::{Farewell, Input};
use super::findings;
use super::objects::Identity;
use super::removal::Nodes;
use super::summary;
use super::survey::Act;
use super::{FsCaches, Guarded};
use crate::child::namespace_is_ending;
use crate::conditions::{self, Finding};
use crate::error::PassError;
use crate::events::Happened;
use crate::filesystem::users;
use crate::reconciler::Next;

/// Jobs and nodes' entries are watched; this is for retries, and for a watch that missed something.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl FsCaches {
    /// One pass over an FsCache that is being deleted.
    pub(super) async fn take_away(
        &self,
        object: &Guarded,
        cache: &Identity,
        meta: &ObjectMeta,
        old: FsCacheStatus,
    ) -> Result<Next, PassError> {
        self.movers.follow(&cache.uid, &[], &Self::reference(object));
        self.take_labels_off(cache).await?;
        let claim = self.remove_claim(cache).await?;
        if self.remove_uses(cache, meta, &old.uses).await? {
            return Ok(Next::Waiting(LOOK_AGAIN));
        }
        let now = Timestamp::now();
        let (runs, strays) = self.runs(cache, now).await?;
        for job in strays {
            self.end_job(&job).await?;
        }
        let nodes = self.caches.nodes.state();
        let fs_cache = object.0.as_ref().ok();
        let setting = fs_cache.and_then(|fs_cache| self.caches.target_of(fs_cache, &nodes).ok());
        let Some((fs_cache, setting)) = fs_cache.zip(setting) else {
            for run in &runs {
                self.end_job(&run.job).await?;
            }
            return match claim {
                Some(_) => Ok(Next::Waiting(LOOK_AGAIN)),
                None => self.release(cache, &old).await,
            };
        };
        let exposing = self.exposing(&setting, &nodes);
        let mut farewell = Farewell::of(&Input {
            copies: &old.copies,
            nodes: Nodes { exposing: &exposing, uses: &old.uses },
            places: &setting.places,
            runs: &runs,
            now,
        });
        let is_unclaimed = claim.is_none();
        farewell.waits.extend(claim);
        if !farewell.waits.is_empty() {
            let waits: BTreeSet<&String> = farewell.waits.iter().collect();
            let waits: Vec<String> = waits.into_iter().cloned().collect();
            let finding = findings::terminating(users::named(&waits));
            let new = summary::leaving(without(&old, meta, vec![finding], now), farewell.copies);
            self.status.write(cache, meta, &old, &new).await?;
        }
        farewell.happened.extend(kept_there(cache, &farewell.left));
        for happened in &farewell.happened {
            self.status.tell(cache, happened).await;
        }
        for act in &farewell.acts {
            let done = match act {
                Act::End(job) => self.end_job(job).await,
                Act::Send(errand) => self.send(cache, fs_cache, &setting, errand).await,
            };
            match done {
                // With the namespace goes its claim on the target.
                Err(error) if namespace_is_ending(&error) && is_unclaimed => {
                    return self.release(cache, &old).await;
                }
                Err(error) if namespace_is_ending(&error) => return Ok(Next::Waiting(LOOK_AGAIN)),
                done => done?,
            }
        }
        match farewell.waits.is_empty() {
            true => self.release(cache, &FsCacheStatus::default()).await,
            false => Ok(Next::Waiting(LOOK_AGAIN)),
        }
    }

    /// Lets it go. `left` is what still lies on a target that cannot be had any more.
    async fn release(&self, cache: &Identity, left: &FsCacheStatus) -> Result<Next, PassError> {
        if !left.copies.is_empty() {
            let uid = &cache.uid;
            let note = format!(
                "its target is gone, or not for this workspace any more: what lies there stays, in .workspacefs/cache/{uid}"
            );
            self.status.tell(cache, &Happened { warning: true, reason: "CopiesKept", note }).await;
        }
        self.metrics.forget_cache(&cache.namespace, &cache.name);
        Ok(Next::Done(None))
    }

    /// The API server is asked which nodes have it: a label that the cache has not heard of would stay for ever.
    async fn take_labels_off(&self, cache: &Identity) -> Result<(), PassError> {
        let Some(label) =
            FsCache::warm_label(&cache.namespace, &cache.name).filter(|_| self.caches.storages.is_some())
        else {
            return Ok(());
        };
        let nodes: Api<Node> = Api::all(self.client.clone());
        let labelled = nodes.list(&ListParams::default().labels(&label)).await;
        let labelled = labelled.map_err(PassError::api("list the nodes with its label"))?;
        let labelled: Vec<Arc<Node>> = labelled.items.into_iter().map(Arc::new).collect();
        self.keep_labels(cache, &labelled, &BTreeSet::new()).await
    }
}

/// What stays on nodes that are not its target's any more.
fn kept_there(cache: &Identity, left: &[String]) -> Option<Happened> {
    let note = || {
        let (uid, nodes) = (&cache.uid, users::named(left));
        format!(
            "nodes that are not its target's any more keep what lies there, in .workspacefs/cache/{uid}: {nodes}"
        )
    };
    (!left.is_empty()).then(|| Happened { warning: true, reason: "CopiesKept", note: note() })
}

/// The status of one for which nothing runs, with these findings and no others.
pub(super) fn without(
    old: &FsCacheStatus,
    meta: &ObjectMeta,
    findings: Vec<Finding>,
    now: Timestamp,
) -> FsCacheStatus {
    FsCacheStatus {
        observed_generation: meta.generation,
        conditions: conditions::update(&old.conditions, &findings, meta.generation, now),
        uses: Vec::new(),
        progress: None,
        rate: None,
        eta: None,
        ..old.clone()
    }
}
