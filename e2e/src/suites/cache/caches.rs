//! FsCaches as cases see them: made, waited for, refreshed and deleted.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use workspacefs_api::fs_cache::REFRESH_ANNOTATION;
use workspacefs_api::{CacheCopy, CachePhase, FsCache};

use super::source::SOURCE;
use crate::suites::context::Context;
use crate::suites::local::storage::{NAME, says};
use crate::suites::wait::{seconds, until};

/// What most cases call theirs.
pub const CACHE: &str = "c";

/// Time for a mover to be sent, to do its work on a few files, and to be heard of. No rule: two cores carry the whole cluster.
pub const FILL_TIME_MAX: Duration = seconds(180);

/// Time for the operator to say what is in the way.
const TOLD_TIME_MAX: Duration = seconds(60);

/// One generation of an FsCache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Generation {
    /// The FsCache's uid.
    pub uid: String,
    /// Its number.
    pub number: i64,
}

/// The spec of a cache of these folders of the case's source, a copy on each node of the suite's LocalStorage.
pub fn on_nodes(paths: &[&str]) -> Value {
    json!({ "source": { "fileSystem": SOURCE, "paths": paths }, "target": { "localStorage": NAME } })
}

/// The same with one copy on a FileSystem.
pub fn on_file_system(paths: &[&str], target: &str) -> Value {
    json!({ "source": { "fileSystem": SOURCE, "paths": paths }, "target": { "fileSystem": target } })
}

impl Context {
    /// The namespace's FsCaches.
    pub fn fs_caches(&self) -> Api<FsCache> {
        Api::namespaced(self.client(), self.namespace())
    }

    /// Makes an FsCache.
    pub async fn create_cache(&self, name: &str, spec: Value) -> Result<FsCache> {
        let object = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache", "metadata": { "name": name }, "spec": spec,
        });
        Ok(self.fs_caches().create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }

    /// Waits until an FsCache fits, which `wish` says for the reader.
    pub async fn cache(
        &self,
        name: &str,
        wish: &str,
        limit: Duration,
        fits: impl Fn(&FsCache) -> bool,
    ) -> Result<FsCache> {
        let look = || async {
            let object = self.fs_caches().get(name).await?;
            ensure!(fits(&object), "its status is {:?}", object.status);
            Ok(object)
        };
        until(&format!("FsCache {name}: {wish}"), limit, look).await
    }

    /// Waits until a node's plugin knows of a copy: from then on its pods get it.
    pub async fn warm(&self, name: &str, node: &str) -> Result<Generation> {
        self.warm_after(name, node, 0).await
    }

    /// Waits until a node's plugin knows of a copy that is newer than that generation.
    pub async fn warm_after(&self, name: &str, node: &str, older: i64) -> Result<Generation> {
        let newer = |copy: &CacheCopy| copy.generation.filter(|number| *number > older);
        let fits = |object: &FsCache| {
            let number = object.copy_for(node).and_then(newer);
            number.is_some_and(|number| seen_by(object, node) >= number)
        };
        let wish = format!("{node} knows of a generation after {older}");
        let object = self.cache(name, &wish, FILL_TIME_MAX, fits).await?;
        let number = object.copy_for(node).and_then(newer).context("no generation")?;
        Ok(Generation { uid: object.uid().context("no uid")?, number })
    }

    /// Waits until a first fill is under way and so many bytes of whole files are copied. The status may be some seconds behind.
    pub async fn filling(&self, name: &str, bytes: i64) -> Result<FsCache> {
        let fits = |object: &FsCache| {
            let status = object.status.as_ref();
            status
                .is_some_and(|status| status.phase == Some(CachePhase::Filling) && status.bytes.done >= bytes)
        };
        self.cache(name, &format!("{bytes} bytes of it are copied"), FILL_TIME_MAX, fits).await
    }

    /// What was done meanwhile was done in the middle of the first fill.
    pub async fn is_not_filled(&self, name: &str) -> Result<()> {
        let status = self.fs_caches().get(name).await?.status.unwrap_or_default();
        let filled = status.copies.iter().any(|copy| copy.generation.is_some());
        ensure!(!filled, "the copy was made too soon: nothing was tested: {status:?}");
        Ok(())
    }

    /// Waits until nothing is missing in an FsCache.
    pub async fn ready(&self, name: &str, limit: Duration) -> Result<FsCache> {
        let fits = |object: &FsCache| {
            let mut conditions = object.status.iter().flat_map(|status| &status.conditions);
            conditions
                .any(|found| found.type_ == "Ready" && found.status == "True" && found.reason == "Ready")
        };
        self.cache(name, "has all its paths", limit, fits).await
    }

    /// Asks for a refresh.
    pub async fn refresh(&self, name: &str, value: &str) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { REFRESH_ANNOTATION: value } } });
        self.fs_caches().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Waits for a condition with this reason whose message has all of these words; gives the message.
    pub async fn cache_says(&self, name: &str, kind: &str, reason: &str, words: &[&str]) -> Result<String> {
        let look = || async {
            let status = self.fs_caches().get(name).await?.status.unwrap_or_default();
            let Some(found) = status.conditions.into_iter().find(|condition| condition.type_ == kind) else {
                bail!("there is no such condition");
            };
            let fits = found.reason == reason && says(&found.message, words);
            ensure!(fits, "it is {}: {}: {}", found.status, found.reason, found.message);
            Ok(found.message)
        };
        let wish = format!("FsCache {name} has {kind} with reason {reason}, saying {words:?}");
        until(&wish, TOLD_TIME_MAX, look).await
    }

    /// Waits until an FsCache whose deletion was asked for is gone.
    pub async fn cache_is_gone(&self, name: &str) -> Result<()> {
        let look = || async {
            let left = self.fs_caches().get_opt(name).await?;
            ensure!(left.is_none(), "it is there: {:?}", left.and_then(|object| object.status));
            Ok(())
        };
        until(&format!("FsCache {name} is gone"), FILL_TIME_MAX, look).await
    }
}

/// The newest generation that a node says it has seen; 0 if none.
fn seen_by(object: &FsCache, node: &str) -> i64 {
    let uses = object.status.iter().flat_map(|status| &status.uses);
    uses.into_iter().find(|entry| entry.node == node).map_or(0, |entry| entry.seen)
}

/// The generations that a node says its mounts use.
pub fn in_use(object: &FsCache, node: &str) -> Vec<i64> {
    let uses = object.status.iter().flat_map(|status| &status.uses);
    uses.into_iter().find(|entry| entry.node == node).map(|entry| entry.in_use.clone()).unwrap_or_default()
}

/// The older generations that still lie on a node's target, as the status has it.
pub fn superseded(object: &FsCache, node: &str) -> Vec<i64> {
    object.copy_for(node).map(|copy| copy.superseded.clone()).unwrap_or_default()
}
