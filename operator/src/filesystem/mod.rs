//! FileSystem → PersistentVolume, claim, conditions. What is wished comes from [`plan`] and [`objects`], what is found goes
//! through [`findings`]; here they meet.

mod caches;
mod children;
mod claim;
mod cleanup;
pub mod controller;
pub mod findings;
pub mod guarded;
pub mod objects;
pub mod own;
pub mod plan;
mod status;
pub mod users;
mod volume;

use std::time::Duration;

use kube::api::{ObjectMeta, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource};
use workspacefs_api::{FINALIZER, FileSystemStatus};

use self::caches::Caches;
use self::children::Child;
pub use self::guarded::Guarded;
use self::objects::Identity;
use self::plan::{Plan, Wanted};
use self::status::{Report, StatusWriter};
use crate::conditions::Finding;
use crate::error::PassError;
use crate::events::{Events, Happened};
use crate::probe::shared::Prober;
use crate::reconciler::{Next, Reconciler};

/// Reconciles FileSystems.
pub struct FileSystems {
    client: Client,
    caches: Caches,
    prober: Prober<ObjectRef<Guarded>>,
    status: StatusWriter,
    node_group_label: String,
    probe_interval: Duration,
}

impl Reconciler for FileSystems {
    type Object = Guarded;
    const KIND: &'static str = "FileSystem";

    async fn apply(&self, object: &Guarded) -> Result<Next, PassError> {
        let (fs, meta, old) = self.begin(object).await?;
        let plan = match &object.0 {
            Ok(fs) => Plan::of(fs),
            Err(unreadable) => Plan::Invalid(unreadable.error.clone()),
        };
        let (claim_name, findings, again) = match plan {
            Plan::Volume(wanted) => {
                let findings = self.apply_volume(object, &fs, &old, &wanted).await?;
                // Nothing moves before the end of a namespace; then the objects go too.
                let Some(findings) = findings else {
                    return Ok(Next::Done(None));
                };
                (Some(fs.name.clone()), findings, Some(self.probe_interval))
            }
            Plan::Claim(name) => {
                let claim = self.read_claim(&fs.namespace, &name).await?;
                (Some(name.clone()), vec![findings::ready_on_claim(&name, claim.as_ref())], None)
            }
            Plan::Invalid(why) => (None, vec![findings::invalid(&why)], None),
        };
        self.status.write(&fs, Report { meta, old, claim_name, findings }).await?;
        Ok(Next::Done(again))
    }

    async fn cleanup(&self, object: &Guarded) -> Result<Next, PassError> {
        let (identity, meta, old) = self.begin(object).await?;
        if let Ok(fs) = &object.0
            && let Plan::Claim(claim) = Plan::of(fs)
        {
            return self.let_go(&identity, meta, old, &claim).await;
        }
        self.take_away(&identity, meta, old).await
    }

    fn finalized(&self, object: &Guarded) -> Option<(Api<PartialObjectMeta<Guarded>>, &'static str)> {
        let namespace = object.meta().namespace.as_deref()?;
        Some((Api::namespaced(self.client.clone(), namespace), FINALIZER))
    }
}

impl FileSystems {
    async fn begin<'a>(
        &self,
        object: &'a Guarded,
    ) -> Result<(Identity, &'a ObjectMeta, FileSystemStatus), PassError> {
        self.caches.filled().await?;
        let meta = object.meta();
        let fs = Identity::of(meta).ok_or(PassError::Incomplete("name, namespace and uid"))?;
        Ok((fs, meta, object.status()))
    }

    /// Volume and claim, and what was found. None where the namespace is ending, in which nothing can be made.
    async fn apply_volume(
        &self,
        object: &Guarded,
        fs: &Identity,
        old: &FileSystemStatus,
        wanted: &Wanted,
    ) -> Result<Option<Vec<Finding>>, PassError> {
        let probed = self.prober.get(&wanted.target(), ObjectRef::from_obj(object));
        let mut claim = self.find_claim(fs).await?;
        let mut volume = self.find_volume(fs).await?;
        // The claim is looked at first: our volume must not come to be under the nose of a foreign claim of that name,
        // which would be bound to it.
        if !matches!(claim, Child::Foreign) && !matches!(volume, Child::Foreign) {
            volume = self.ensure_volume(fs, wanted, volume, &claim).await?;
            let made;
            (claim, made) = match self.ensure_claim(fs, wanted, claim).await {
                Err(error) if namespace_is_ending(&error) => return Ok(None),
                ensured => ensured?,
            };
            if made && old.claim_name.is_some() {
                let note = format!("claim {} was gone and has been made again; files are untouched", fs.name);
                self.status.tell(fs, &Happened { warning: false, reason: "ClaimMadeAgain", note }).await;
            }
        }
        let mut findings = vec![findings::ready(fs, &volume, &claim)];
        findings.extend(findings::about_server(wanted, probed.as_ref()));
        Ok(Some(findings))
    }

    fn new(
        client: Client,
        caches: Caches,
        prober: Prober<ObjectRef<Guarded>>,
        events: Events,
        node_group_label: String,
        probe_interval: Duration,
    ) -> Self {
        let status = StatusWriter::new(client.clone(), events);
        Self { client, caches, prober, status, node_group_label, probe_interval }
    }
}

/// What the API server says where it will not have an object, which trying again soon does not change. None for everything
/// else, also for a namespace that is ending.
fn refusal(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Api(status) if matches!(status.code, 403 | 422) && !is_ending(status) => {
            Some(status.message.clone())
        }
        _ => None,
    }
}

/// Whether the API server takes nothing new because the namespace is being deleted.
pub fn namespace_is_ending(error: &PassError) -> bool {
    match error {
        PassError::Api { source, .. } => {
            matches!(source.as_ref(), kube::Error::Api(status) if is_ending(status))
        }
        _ => false,
    }
}

fn is_ending(status: &kube::core::Status) -> bool {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
}
