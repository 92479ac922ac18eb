//! FsCache → Jobs that run movers, the status by which nodes know what they may show, labels of warm nodes,
//! conditions. What is wished comes from [`wanted`] and [`setting`], what is found from [`runs`]; [`survey`] decides,
//! [`objects`] says how; here they meet.

mod caches;
mod claim;
pub mod claims;
mod cleanup;
mod conflict;
pub mod controller;
pub mod farewell;
pub mod findings;
mod labels;
pub mod ledger;
pub mod objects;
pub mod plan;
mod progress;
pub mod removal;
pub mod runs;
pub mod setting;
mod status;
mod summary;
pub mod survey;
mod uses;
pub mod wanted;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Preconditions, PropagationPolicy};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt};
use workspacefs_api::fs_cache::{FS_CACHE_FINALIZER, FS_CACHE_UID_LABEL, REFRESH_ANNOTATION};
use workspacefs_api::{Exposure, FsCache, FsCacheStatus};

use self::caches::Caches;
use self::findings::Seen;
use self::objects::{Errand, Identity, Shop};
use self::progress::Movers;
use self::runs::{Run, State};
use self::setting::{Setting, Target};
use self::status::StatusWriter;
use self::survey::{Act, Input, Survey};
use self::wanted::Wanted;
use crate::child::{self, Child, namespace_is_ending};
use crate::conditions::{self, Finding};
use crate::config::MoverConfig;
use crate::error::PassError;
use crate::events::Happened;
use crate::metrics::{CacheFigures, Metrics};
use crate::reconciler::{Held, Next, Reconciler};

/// For a watch that missed something. It costs no request where all is well.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// An FsCache, or what is known of one that cannot be read.
pub type Guarded = crate::guarded::Guarded<FsCache, FsCacheStatus>;

/// Reconciles FsCaches.
pub struct FsCaches {
    client: Client,
    caches: Caches,
    status: StatusWriter,
    movers: Movers<ObjectRef<Guarded>>,
    config: MoverConfig,
    node_group_label: String,
    metrics: Metrics,
}

impl Reconciler for FsCaches {
    type Object = Guarded;
    const KIND: &'static str = "FsCache";

    async fn apply(&self, object: &Guarded) -> Result<Next, PassError> {
        let (cache, meta, old) = self.begin(object).await?;
        let nodes = self.caches.nodes.state();
        let decided = match &object.0 {
            Err(unreadable) => Err(vec![findings::invalid(&unreadable.error)]),
            Ok(fs_cache) => {
                self.understood(fs_cache, &nodes).map(|(wanted, setting)| (fs_cache, wanted, setting))
            }
        };
        let (fs_cache, wanted, setting) = match decided {
            Ok(decided) => decided,
            Err(findings) => return self.stop(object, &cache, meta, &old, findings).await,
        };
        if self.remove_uses(&cache, meta, &old.uses).await? {
            return Ok(Next::Done(Some(LOOK_AGAIN)));
        }
        let now = Timestamp::now();
        let (runs, strays) = self.runs(&cache, now).await?;
        let exposing = self.exposing(&setting, &nodes);
        let survey = Survey::of(&Input {
            spec: &fs_cache.spec,
            wanted: &wanted,
            asked: meta
                .annotations
                .as_ref()
                .and_then(|all| all.get(REFRESH_ANNOTATION))
                .map_or("", String::as_str),
            old: &old,
            setting: &setting,
            runs: &runs,
            exposing: &exposing,
            now,
        });
        let exposure = fs_cache.spec.exposure;
        let in_the_way = self.keep_claim(&cache, exposure, &setting.target).await?;
        let claim = (exposure == Exposure::Claim).then_some(cache.name.as_str());
        let seen = Seen {
            setting: &setting,
            survey: &survey,
            runs: &runs,
            wanted: &wanted,
            exposing: &exposing,
            now,
            claim,
        };
        let findings = findings::all(&seen);
        let findings = self.findings(fs_cache, &setting, in_the_way.clone(), findings);
        let conditions = conditions::update(&old.conditions, &findings, meta.generation, now);
        let tally = self.movers.follow(&cache.uid, &addresses(&runs), &Self::reference(object));
        let mut new = summary::status(meta.generation, &survey, tally.as_ref(), conditions);
        new.claim_name = claim.filter(|_| in_the_way.is_none()).map(str::to_owned);
        self.status.write(&cache, meta, &old, &new).await?;
        self.metrics.cache(&cache.namespace, &cache.name, &CacheFigures::of(&new));
        for happened in &survey.happened {
            self.status.tell(&cache, happened).await;
        }
        let acted = self.act(fs_cache, &cache, &setting, &survey.acts, &strays).await;
        let warm = labels::warm(exposure, &survey, |copy| seen.is_had(copy));
        let labelled = self.label(&cache, &setting, &warm, &nodes).await;
        acted.and(labelled)?;
        let stale =
            survey.copies.iter().filter_map(|copy| findings::stale_at(copy, &wanted)).filter(|at| *at > now);
        let late = runs.iter().filter(|run| run.is_running()).map(Run::starts_by).filter(|at| *at > now);
        let wait = plan::until(survey.times.iter().copied().chain(stale).chain(late), now);
        Ok(Next::Done(Some(wait.map_or(LOOK_AGAIN, |wait| wait.min(LOOK_AGAIN)))))
    }

    async fn cleanup(&self, object: &Guarded) -> Result<Next, PassError> {
        let (cache, meta, old) = self.begin(object).await?;
        self.take_away(object, &cache, meta, old).await
    }

    fn held(&self, object: &Guarded) -> Option<Held<Guarded>> {
        let meta = object.meta();
        let api = Api::namespaced(self.client.clone(), meta.namespace.as_deref()?);
        let mut wanted = meta.finalizers.clone().unwrap_or_default();
        if !wanted.iter().any(|finalizer| finalizer == FS_CACHE_FINALIZER) {
            wanted.push(FS_CACHE_FINALIZER.into());
        }
        Some(Held { api, own: FS_CACHE_FINALIZER, wanted })
    }
}

impl FsCaches {
    async fn begin<'a>(
        &self,
        object: &'a Guarded,
    ) -> Result<(Identity, &'a ObjectMeta, FsCacheStatus), PassError> {
        self.caches.filled().await?;
        let meta = object.meta();
        let cache = Identity::of(meta).ok_or(PassError::Incomplete("name, namespace and uid"))?;
        Ok((cache, meta, object.status()))
    }

    fn reference(object: &Guarded) -> ObjectRef<Guarded> {
        ObjectRef::from_obj(object)
    }

    /// What is asked for, and between what; else the conditions that say what is in the way.
    fn understood(&self, fs_cache: &FsCache, nodes: &[Arc<Node>]) -> Result<(Wanted, Setting), Vec<Finding>> {
        let wanted = Wanted::of(&fs_cache.spec).map_err(|why| vec![findings::invalid(&why)])?;
        let setting = self.caches.setting(fs_cache, nodes).map_err(findings::kept_from)?;
        Ok((wanted, setting))
    }

    /// Of one that cannot be a cache now: nothing is begun, and what runs is stopped. What lies on the target stays.
    async fn stop(
        &self,
        object: &Guarded,
        cache: &Identity,
        meta: &ObjectMeta,
        old: &FsCacheStatus,
        findings: Vec<Finding>,
    ) -> Result<Next, PassError> {
        let now = Timestamp::now();
        self.movers.follow(&cache.uid, &[], &Self::reference(object));
        let new = summary::at_rest(cleanup::without(old, meta, findings, now));
        self.status.write(cache, meta, old, &new).await?;
        self.metrics.cache(&cache.namespace, &cache.name, &CacheFigures::of(&new));
        let (runs, strays) = self.runs(cache, now).await?;
        for job in runs.iter().filter(|run| run.is_running()).map(|run| &run.job).chain(&strays) {
            self.end_job(job).await?;
        }
        Ok(Next::Done(Some(LOOK_AGAIN)))
    }

    /// Its Jobs. Of those that have ended, the pods are asked for where the cache has not heard the end of them.
    async fn runs(&self, cache: &Identity, now: Timestamp) -> Result<(Vec<Run>, Vec<Arc<Job>>), PassError> {
        let (jobs, pods) = self.caches.at_work(cache);
        let (runs, strays) = runs::all(cache, &jobs, &pods, now);
        if !runs.iter().any(|run| matches!(&run.state, State::Ended { outcome: Err(_), .. })) {
            return Ok((runs, strays));
        }
        let ours = ListParams::default().labels(&format!("{FS_CACHE_UID_LABEL}={}", cache.uid));
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &cache.namespace);
        let pods = api.list(&ours).await.map_err(PassError::api("list the movers' pods"))?;
        let pods: Vec<Arc<Pod>> = pods.items.into_iter().map(Arc::new).collect();
        Ok(runs::all(cache, &jobs, &pods, now))
    }

    /// The nodes that could expose what lies on the target.
    fn exposing(&self, setting: &Setting, nodes: &[Arc<Node>]) -> BTreeSet<String> {
        let shows = nodes.iter().filter(|node| setting.shows_on(&self.node_group_label, node));
        shows.map(|node| node.name_any()).collect()
    }

    /// All of them: what stands in the claim's way before what is said of the copies, and what can be told only by looking
    /// beyond these.
    fn findings(
        &self,
        fs_cache: &FsCache,
        setting: &Setting,
        in_the_way: Option<Finding>,
        mut all: Vec<Finding>,
    ) -> Vec<Finding> {
        let namespace = fs_cache.namespace().unwrap_or_default();
        let is_local = matches!(setting.target, Target::LocalStorage { .. });
        if let Some(ready) = all.first_mut() {
            if let Some(obstacle) = in_the_way {
                *ready = obstacle;
            }
            if is_local && FsCache::warm_label(&namespace, &fs_cache.name_any()).is_none() {
                ready.message = format!("{}. {}", ready.message, labels::TOO_LONG);
            }
        }
        let others = self.caches.others(&namespace);
        let conflict = conflict::of(fs_cache, &others, |other| self.caches.group_of(other));
        if let (Some(conflict), Some(ready)) = (&conflict, all.first_mut()) {
            conflict::shared_with(ready, conflict, setting.target.group());
        }
        all.extend(conflict);
        all
    }

    async fn act(
        &self,
        fs_cache: &FsCache,
        cache: &Identity,
        setting: &Setting,
        acts: &[Act],
        strays: &[Arc<Job>],
    ) -> Result<(), PassError> {
        for job in strays {
            self.end_job(job).await?;
        }
        for act in acts {
            let done = match act {
                Act::End(job) => self.end_job(job).await,
                Act::Send(errand) => self.send(cache, fs_cache, setting, errand).await,
            };
            match done {
                // Nothing moves before the end of a namespace; then the objects go too.
                Err(error) if namespace_is_ending(&error) => {}
                done => done?,
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        cache: &Identity,
        fs_cache: &FsCache,
        setting: &Setting,
        errand: &Errand,
    ) -> Result<(), PassError> {
        let shop = Shop { config: &self.config, node_group_label: &self.node_group_label };
        let wish = objects::job(&shop, cache, &fs_cache.spec, setting, errand);
        let api: Api<Job> = Api::namespaced(self.client.clone(), &cache.namespace);
        if let Child::Refused(why) = child::create(&api, wish, "make the mover's Job").await? {
            let note = format!("the API server refuses the mover's Job: {why}. It is tried again");
            self.status.tell(cache, &Happened { warning: true, reason: "MoverRefused", note }).await;
        }
        Ok(())
    }

    /// Deletes exactly that Job. It stays until its pods are gone, so that no mover works beside the next one.
    async fn end_job(&self, job: &Job) -> Result<(), PassError> {
        if job.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let how = DeleteParams {
            preconditions: Some(Preconditions { uid: job.uid(), resource_version: None }),
            propagation_policy: Some(PropagationPolicy::Foreground),
            ..DeleteParams::default()
        };
        let api: Api<Job> = Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
        match api.delete(&job.name_any(), &how).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            deleted => deleted.map(drop).map_err(PassError::api("delete the mover's Job")),
        }
    }

    async fn label(
        &self,
        cache: &Identity,
        setting: &Setting,
        warm: &BTreeSet<String>,
        nodes: &[Arc<Node>],
    ) -> Result<(), PassError> {
        if !matches!(setting.target, Target::LocalStorage { .. }) {
            return Ok(());
        }
        self.keep_labels(cache, nodes, warm).await
    }
}

/// The movers that can be asked.
fn addresses(runs: &[Run]) -> Vec<(String, String)> {
    let of = |run: &Run| match &run.state {
        State::Running(mover) => mover.address.clone(),
        State::Ended { .. } | State::Leaving => None,
    };
    runs.iter().filter_map(of).collect()
}
