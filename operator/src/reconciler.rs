//! The one wrapper around every pass over an object: tracing, metrics, deadline, finalizer, and when to try again. A kind's
//! own code says only what its objects need.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{ObjectMeta, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::controller::{Action, ReconcileRequest};
use kube::runtime::reflector::Store;
use kube::runtime::{applier, watcher};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::RwLock;
use tokio::time::{Instant, timeout};
use tracing::Instrument;
use workspacefs_runtime::CancellationToken;

use crate::FIELD_MANAGER;
use crate::backoff;
use crate::error::{ErrorKind, PassError, chain};
use crate::metrics::{KindLabels, Metrics, PassLabels};

/// Longer than any healthy pass; a request that hangs must not hold its object for ever.
const PASS_DEADLINE: Duration = Duration::from_secs(60);
/// Changes of one object within this time are one pass.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// How a pass ended that did not fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Everything is as wished; look again then, even if nothing changes.
    Done(Option<Duration>),
    /// Something else must happen first; look again then.
    Waiting(Duration),
}

/// What a kind needs. Both methods must be repeatable, and may be cut off anywhere.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind.
    type Object: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static;
    /// Its name, for logs and metrics.
    const KIND: &'static str;

    /// Makes everything as the object wishes.
    fn apply(&self, object: &Self::Object) -> impl Future<Output = Result<Next, PassError>> + Send;

    /// Takes everything away that [`Reconciler::apply`] made. Only called where [`Reconciler::held`] says so.
    fn cleanup(&self, object: &Self::Object) -> impl Future<Output = Result<Next, PassError>> + Send;

    /// What holds the object until `cleanup` is done. None: nothing does.
    fn held(&self, object: &Self::Object) -> Option<Held<Self::Object>>;
}

/// The finalizers of an object that is not being deleted.
pub struct Held<K> {
    /// How to set them.
    pub api: Api<PartialObjectMeta<K>>,
    /// Ours: off when `cleanup` is done.
    pub own: &'static str,
    /// All that should be there, others' included.
    pub wanted: Vec<String>,
}

/// Runs passes over what `queue` names, until `shutdown`; then finishes those that run.
pub async fn run<R: Reconciler>(
    reconciler: R,
    store: Store<R::Object>,
    queue: impl Stream<Item = Result<ReconcileRequest<R::Object>, watcher::Error>> + Send + 'static,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let context =
        Arc::new(Passes { reconciler, metrics, failures: Mutex::default(), running: RwLock::default() });
    let passes = context.clone();
    let config = kube::runtime::Config::default().debounce(DEBOUNCE);
    let work = applier(
        |object, context: Arc<Passes<R>>| Box::pin(async move { context.pass(object).await }),
        |object, error, context| context.try_again(&object, error),
        context,
        store,
        queue,
        config,
    )
    .for_each(|result| {
        use kube::runtime::controller::Error;
        match result {
            // Passes log for themselves.
            Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
            Err(Error::ObjectNotFound(gone)) => passes.forget(gone.namespace.clone(), gone.name.clone()),
            Err(error) => tracing::warn!(kind = R::KIND, error = chain(&error), "watch interrupted"),
        }
        std::future::ready(())
    });
    // The queue's own end would do, were it not that a cache which is not filled yet then never is.
    let stopped = async {
        shutdown.cancelled().await;
        drop(passes.running.write().await);
    };
    tokio::select! { () = work => {}, () = stopped => {} }
}

struct Passes<R> {
    reconciler: R,
    metrics: Metrics,
    /// Failures in a row, by namespace and name; only of objects whose last pass failed.
    failures: Mutex<HashMap<(Option<String>, String), u32>>,
    /// Every pass shares it. Whoever asks for it alone waits for those that run, and no further one begins.
    running: RwLock<()>,
}

impl<R: Reconciler> Passes<R> {
    async fn pass(&self, object: Arc<R::Object>) -> Result<Action, PassError> {
        let which = match object.namespace() {
            Some(namespace) => format!("{namespace}/{}", object.name_any()),
            None => object.name_any(),
        };
        let span = tracing::info_span!("pass", kind = R::KIND, object = which);
        async {
            let _running = self.running.read().await;
            let mut timer = Timer::start(&self.metrics, R::KIND);
            let result = timeout(PASS_DEADLINE, self.step(&object))
                .await
                .unwrap_or(Err(PassError::Late(PASS_DEADLINE)));
            timer.outcome = outcome(&result);
            match &result {
                Ok(_) => self.forget(object.namespace(), object.name_any()),
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tracing::debug!(error = chain(error), "overtaken; trying again");
                }
                Err(error) => tracing::warn!(error = chain(error), "pass failed"),
            }
            Ok(match result? {
                Next::Done(None) => Action::await_change(),
                Next::Done(Some(wait)) | Next::Waiting(wait) => {
                    Action::requeue(backoff::spread(wait, backoff::chance()))
                }
            })
        }
        .instrument(span)
        .await
    }

    async fn step(&self, object: &R::Object) -> Result<Next, PassError> {
        let Some(Held { api, own, wanted }) = self.reconciler.held(object) else {
            return self.reconciler.apply(object).await;
        };
        let deleting = object.meta().deletion_timestamp.is_some();
        let held = object.finalizers().iter().any(|finalizer| finalizer == own);
        match (held, deleting) {
            (true, false) if object.finalizers() == wanted => self.reconciler.apply(object).await,
            // Nothing may be made before the finalizer is there. Its own change brings the next pass.
            (_, false) => {
                let set = set_finalizers(&api, object.meta(), wanted).await;
                set.map_err(PassError::api("set the finalizers"))?;
                Ok(Next::Done(None))
            }
            (true, true) => {
                let next = self.reconciler.cleanup(object).await?;
                if let Next::Done(_) = next {
                    let without = object.finalizers().iter().filter(|f| *f != own).cloned().collect();
                    let set = set_finalizers(&api, object.meta(), without).await;
                    set.map_err(PassError::api("remove the finalizer"))?;
                }
                Ok(next)
            }
            (false, true) => Ok(Next::Done(None)),
        }
    }

    fn try_again(&self, object: &R::Object, error: &PassError) -> Action {
        let mut failures = self.failures();
        let count = failures.entry((object.namespace(), object.name_any())).or_insert(0);
        *count = count.saturating_add(1);
        Action::requeue(backoff::delay(error.kind(), *count, backoff::chance()))
    }

    fn forget(&self, namespace: Option<String>, name: String) {
        self.failures().remove(&(namespace, name));
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<(Option<String>, String), u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes over exactly the version that was read: finalizers of others that came meanwhile make this a conflict.
pub(crate) async fn set_finalizers<K>(
    api: &Api<PartialObjectMeta<K>>,
    meta: &ObjectMeta,
    finalizers: Vec<String>,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug,
{
    let patch = json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": finalizers}});
    let name = meta.name.as_deref().unwrap_or_default();
    let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    api.patch(name, &by_us, &Patch::Merge(&patch)).await.map(drop)
}

fn outcome(result: &Result<Next, PassError>) -> &'static str {
    match result {
        Ok(Next::Done(_)) => "done",
        Ok(Next::Waiting(_)) => "waiting",
        Err(error) => match error.kind() {
            ErrorKind::Conflict => "conflict",
            ErrorKind::Refused => "refused",
            ErrorKind::Away => "away",
        },
    }
}

/// Counts a pass when it ends, also one that is cut off.
struct Timer<'a> {
    metrics: &'a Metrics,
    kind: &'static str,
    outcome: &'static str,
    start: Instant,
}

impl<'a> Timer<'a> {
    fn start(metrics: &'a Metrics, kind: &'static str) -> Self {
        Self { metrics, kind, outcome: "abandoned", start: Instant::now() }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let (kind, outcome) = (self.kind, self.outcome);
        self.metrics.reconciles.get_or_create(&PassLabels { kind, outcome }).inc();
        self.metrics.duration.get_or_create(&KindLabels { kind }).observe(self.start.elapsed().as_secs_f64());
    }
}
