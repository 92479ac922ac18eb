//! The end of an `nfs` FileSystem's own folder. A FileSystem with reclaimPolicy Delete or Archive carries the finalizer
//! `workspacefs.io/files` beside the operator's; once the operator has let go (no pod, claim or volume is left), its folder
//! is moved into the share's trash or archive, but only if the share's records say that the driver made it for this very
//! FileSystem, and no other FileSystem has a part in it. Anything else stays where it is: condition NotOurs, an Event, and
//! the object may go.
//!
//! Each pass may be cut anywhere and repeated. `decision` says what to do, `report` tells people.

pub mod decision;
mod report;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::RwLock;
use workspacefs_api::{FILES_FINALIZER, FileSystem};
use workspacefs_runtime::{CancellationToken, chain};

use super::delete_volume::stamp;
use super::seams::Volumes;
use crate::share::{Leaving, ShareError, Taken};
use decision::{Next, Removal, Rival};
use report::Reports;

/// As the API server records who changed what.
const FIELD_MANAGER: &str = "workspacefs-csi-controller";
/// Between two attempts on a share that does not answer.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long names may take to be resolved, where two servers may be one.
const RESOLVE_MAX: Duration = Duration::from_secs(5);
const PAGE: u32 = 500;

/// A FileSystem as the API server delivers it: one that cannot be read must not end the watch of the others.
pub type Guarded = DeserializeGuard<FileSystem>;

/// A pass did not get to its end; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The API server.
    #[error("cannot {action}")]
    Api {
        /// What was asked of it.
        action: &'static str,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The share.
    #[error("the files are not moved away yet")]
    Share(#[source] ShareError),
}

fn api(action: &'static str) -> impl FnOnce(kube::Error) -> RemovalError {
    move |error| RemovalError::Api { action, source: Box::new(error) }
}

/// The controller of these ends, before it runs.
pub struct Removals {
    controller: Controller<Guarded>,
    context: Arc<Context>,
}

struct Context {
    client: Client,
    volumes: Arc<dyn Volumes>,
    reports: Reports,
    /// Failures in a row of a FileSystem, for the pause before its next pass.
    failures: Mutex<HashMap<ObjectRef<Guarded>, u32>>,
    /// Every pass shares it. Whoever asks for it alone waits for those that run, and no further one begins.
    running: RwLock<()>,
}

impl Removals {
    /// For the FileSystems of the cluster behind `client`; `instance` names this process in Events.
    pub fn new(client: Client, volumes: impl Volumes, instance: &str) -> Self {
        let api = Api::<Guarded>::all(client.clone());
        let controller = Controller::new(api, watcher::Config::default());
        let context = Context {
            reports: Reports::new(client.clone(), instance),
            client,
            volumes: Arc::new(volumes),
            failures: Mutex::default(),
            running: RwLock::default(),
        };
        Self { controller, context: Arc::new(context) }
    }

    /// Every FileSystem as last seen, for whoever looks one up.
    pub fn store(&self) -> Store<Guarded> {
        self.controller.store()
    }

    /// Runs until `shutdown`; then finishes the passes that run.
    pub async fn run(self, shutdown: CancellationToken) {
        let passes = self.context.clone();
        let work = self
            .controller
            .run(pass, |object, error, context| context.try_again(&object, error), self.context)
            .for_each(|result| {
                use kube::runtime::controller::Error;
                match result {
                    // Passes log for themselves, and an object that is gone is what was wanted.
                    Ok(_) | Err(Error::ReconcilerFailed(..) | Error::ObjectNotFound(_)) => {}
                    Err(error) => {
                        tracing::warn!(cause = chain(&error), "watching FileSystems was interrupted")
                    }
                }
                std::future::ready(())
            });
        // The controller's own graceful end would do, were it not that a watch which has seen nothing yet never ends so.
        let stopped = async {
            shutdown.cancelled().await;
            drop(passes.running.write().await);
        };
        tokio::select! { () = work => {}, () = stopped => {} }
    }
}

async fn pass(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, RemovalError> {
    let _running = context.running.read().await;
    let result = context.step(&object).await;
    match &result {
        Ok(()) => drop(context.failures().remove(&ObjectRef::from_obj(object.as_ref()))),
        Err(error) => {
            let (namespace, name) = (object.namespace(), object.name_any());
            tracing::warn!(namespace, name, cause = chain(error), "its files are not moved away yet");
        }
    }
    result.map(|()| Action::await_change())
}

impl Context {
    async fn step(&self, object: &Guarded) -> Result<(), RemovalError> {
        let removal = match decision::next(object) {
            Next::Nothing => return Ok(()),
            Next::LetGo => return self.let_go(object.meta()).await,
            Next::Keep(reason) => return self.keep(object, &reason).await,
            Next::Remove(removal) => *removal,
        };
        if let Some(reason) = self.rivals(object.meta(), &removal).await? {
            return self.keep(object, &reason).await;
        }
        let leaving = match removal.archive {
            true => Leaving::Archive(format!("{}.{}", removal.home.readable_name(), stamp(Timestamp::now()))),
            false => Leaving::Trash(removal.home.readable_name()),
        };
        let name = &removal.home.attributes.file_system;
        match self.volumes.remove_own(&removal.home, removal.folder.clone(), leaving).await {
            Ok(Taken::Moved(place)) => {
                tracing::info!(file_system = name, place, "its files were moved away");
                self.reports.moved(object, &place).await;
                self.let_go(object.meta()).await
            }
            Ok(Taken::Absent) => {
                tracing::info!(file_system = name, "it has no folder on its share");
                self.reports.absent(object).await;
                self.let_go(object.meta()).await
            }
            Ok(Taken::NotOurs(reason)) => self.keep(object, &reason).await,
            Err(error) => {
                self.reports.not_yet(object, &error).await;
                Err(RemovalError::Share(error))
            }
        }
    }

    /// Tells that the files stay, then lets the object go.
    async fn keep(&self, object: &Guarded, reason: &str) -> Result<(), RemovalError> {
        let (namespace, name) = (object.namespace(), object.name_any());
        tracing::warn!(namespace, name, reason, "its files stay where they are");
        self.reports.kept(object, reason).await;
        self.let_go(object.meta()).await
    }

    /// Takes the finalizer off.
    async fn let_go(&self, meta: &ObjectMeta) -> Result<(), RemovalError> {
        let (Some(namespace), Some(name)) = (&meta.namespace, &meta.name) else {
            return Ok(());
        };
        let api_ = Api::<PartialObjectMeta<FileSystem>>::namespaced(self.client.clone(), namespace);
        // Told about it meanwhile: its version has changed since the pass began.
        let Some(fresh) = api_.get_metadata_opt(name).await.map_err(api("read the FileSystem"))? else {
            return Ok(());
        };
        let has_it = fresh.finalizers().iter().any(|finalizer| finalizer == FILES_FINALIZER);
        if fresh.metadata.uid != meta.uid || !has_it {
            return Ok(());
        }
        let rest: Vec<&String> = fresh.finalizers().iter().filter(|f| *f != FILES_FINALIZER).collect();
        // Over exactly the version that was read: a finalizer that somebody adds meanwhile makes this a conflict.
        let patch =
            json!({"metadata": {"resourceVersion": fresh.metadata.resource_version, "finalizers": rest}});
        let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        match api_.patch(name, &by_us, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(api("take the finalizer off")(error)),
        }
    }

    /// Whether another FileSystem has a part in the folder, by what the API server says now.
    async fn rivals(&self, meta: &ObjectMeta, removal: &Removal) -> Result<Option<String>, RemovalError> {
        let all: Api<Guarded> = Api::all(self.client.clone());
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = all.list(&params).await.map_err(api("list the FileSystems"))?;
            for other in page.items.iter().filter(|other| other.meta().uid != meta.uid) {
                match decision::rival(removal, other) {
                    Rival::No => {}
                    Rival::Yes(reason) => return Ok(Some(reason)),
                    Rival::IfSameServer { server, reason } => {
                        if may_be_one(removal.home.server(), &server).await {
                            return Ok(Some(reason));
                        }
                    }
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(None),
            }
        }
    }

    fn try_again(&self, object: &Guarded, error: &RemovalError) -> Action {
        let mut failures = self.failures();
        let count = failures.entry(ObjectRef::from_obj(object)).or_insert(0);
        *count = count.saturating_add(1);
        match error {
            // Overtaken: what changed brings a pass of its own.
            RemovalError::Api { source, .. } if is_conflict(source) => Action::requeue(PAUSE_MIN / 5),
            RemovalError::Api { .. } | RemovalError::Share(_) => {
                Action::requeue((PAUSE_MIN * 2_u32.saturating_pow(*count - 1)).min(PAUSE_MAX))
            }
        }
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<ObjectRef<Guarded>, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict())
}

/// Whether two servers' names may mean one machine: they have an address in common, or nobody can tell.
async fn may_be_one(one: &str, other: &str) -> bool {
    let addresses = async |name: &str| {
        let found = tokio::net::lookup_host((name, 0)).await.ok()?;
        Some(found.map(|address| address.ip()).collect::<Vec<_>>())
    };
    let both = async { tokio::join!(addresses(one), addresses(other)) };
    match tokio::time::timeout(RESOLVE_MAX, both).await {
        Ok((Some(one), Some(other))) => one.iter().any(|address| other.contains(address)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn servers_are_one_where_they_share_an_address_or_cannot_be_told_apart() {
        for (one, other, wanted) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("localhost", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("no-such-host.invalid", "127.0.0.1", true),
        ] {
            assert_eq!(may_be_one(one, other).await, wanted, "{one} {other}");
        }
    }
}
