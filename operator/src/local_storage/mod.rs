//! LocalStorage → the label on its ready nodes; a PersistentVolume and a claim in each workspace that it lists; conditions.
//! What is wished comes from [`plan`], [`nodes`] and [`objects`], what is found goes through [`findings`]; here they meet.

mod caches;
mod cleanup;
pub mod controller;
mod entries;
pub mod findings;
mod labels;
pub mod nodes;
pub mod objects;
pub mod plan;
mod shares;
mod status;

use std::time::Duration;

use kube::api::ObjectMeta;
use kube::{Api, Client, Resource};
use workspacefs_api::local_storage::LOCAL_STORAGE_FINALIZER;
use workspacefs_api::{LocalStorage, LocalStorageStatus};

use self::caches::Caches;
use self::findings::{Share, Summary, WORKSPACES_READY};
use self::objects::Identity;
use self::plan::Wanted;
use self::shares::Kept;
use self::status::{Report, StatusWriter};
use crate::conditions::Finding;
use crate::error::PassError;
use crate::events::Happened;
use crate::reconciler::{Held, Next, Reconciler};

/// What no watch tells (a claim of somebody else that is gone, pods that ended), and what a watch missed. It costs no request
/// where all is well.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A LocalStorage, or what is known of one that cannot be read.
pub type Guarded = crate::guarded::Guarded<LocalStorage, LocalStorageStatus>;

/// Reconciles LocalStorages.
pub struct LocalStorages {
    client: Client,
    caches: Caches,
    status: StatusWriter,
    node_group_label: String,
    workspace_selector: String,
}

impl Reconciler for LocalStorages {
    type Object = Guarded;
    const KIND: &'static str = "LocalStorage";

    async fn apply(&self, object: &Guarded) -> Result<Next, PassError> {
        let (identity, meta, old) = self.begin(object).await?;
        let wanted = match &object.0 {
            Ok(storage) => Wanted::of(storage).map(|wanted| (storage, wanted)),
            Err(unreadable) => Err(unreadable.error.clone()),
        };
        let (storage, wanted) = match wanted {
            Ok(wanted) => wanted,
            // Nothing is made of it, and nothing taken away.
            Err(why) => {
                self.say(&identity, meta, old, vec![findings::invalid(&why)]).await?;
                return Ok(Next::Done(None));
            }
        };
        let nodes = self.caches.nodes.state();
        let selected = nodes::selected(storage, &self.node_group_label, &nodes);
        // What fails here is not a reason to say less about the rest.
        let labelled = self.keep_labels(&identity, &nodes, &selected).await;
        let Kept { shares, result: shared } = self.keep_shares(&identity, &storage.spec, &wanted).await;

        let mut findings = vec![
            findings::ready(storage, &self.node_group_label, &selected),
            findings::workspaces_ready(&identity.name, &self.workspace_selector, &shares),
            findings::quota_enforced(storage, &selected),
        ];
        findings.extend(findings::about_disks(&selected));
        let new = self.news_of_workspaces(&identity, &old, &shares);
        let version = self.write(&identity, meta, old, Summary::of(&selected), findings).await?;
        for (namespace, happened) in new {
            let related = status::of_namespace(&namespace);
            self.status.tell(&identity, Some(related), &happened).await;
        }
        let stale = nodes::stale(storage, &selected);
        self.remove_entries(&identity, version.as_deref(), &stale).await?;
        labelled.and(shared)?;
        Ok(Next::Done(Some(LOOK_AGAIN)))
    }

    async fn cleanup(&self, object: &Guarded) -> Result<Next, PassError> {
        let (identity, meta, old) = self.begin(object).await?;
        self.take_away(&identity, meta, old).await
    }

    fn held(&self, object: &Guarded) -> Option<Held<Guarded>> {
        let api = Api::all(self.client.clone());
        let mut wanted = object.meta().finalizers.clone().unwrap_or_default();
        if !wanted.iter().any(|finalizer| finalizer == LOCAL_STORAGE_FINALIZER) {
            wanted.push(LOCAL_STORAGE_FINALIZER.into());
        }
        Some(Held { api, own: LOCAL_STORAGE_FINALIZER, wanted })
    }
}

impl LocalStorages {
    async fn begin<'a>(
        &self,
        object: &'a Guarded,
    ) -> Result<(Identity, &'a ObjectMeta, LocalStorageStatus), PassError> {
        self.caches.filled().await?;
        let meta = object.meta();
        let identity = Identity::of(meta).ok_or(PassError::Incomplete("name and uid"))?;
        Ok((identity, meta, object.status()))
    }

    async fn write(
        &self,
        identity: &Identity,
        meta: &ObjectMeta,
        old: LocalStorageStatus,
        summary: Summary,
        findings: Vec<Finding>,
    ) -> Result<Option<String>, PassError> {
        self.status.write(identity, Report { meta, old, summary, findings }).await
    }

    /// Each workspace's trouble that the status does not speak of yet.
    fn news_of_workspaces(
        &self,
        identity: &Identity,
        old: &LocalStorageStatus,
        shares: &[Share],
    ) -> Vec<(String, Happened)> {
        let known = old.conditions.iter().find(|condition| condition.type_ == WORKSPACES_READY);
        let before = known.map_or("", |condition| condition.message.as_str());
        findings::told(&identity.name, &self.workspace_selector, shares, before)
            .into_iter()
            .map(|(namespace, reason, note)| (namespace, Happened { warning: true, reason, note }))
            .collect()
    }
}
