//! LocalStorage → the label on its ready nodes; a PersistentVolume and a claim in each workspace that it lists; a StorageClass;
//! conditions. What is wished comes from [`plan`], [`nodes`] and [`objects`], what is found goes through [`findings`]; here they
//! meet.

mod asked;
mod caches;
mod cleanup;
pub mod controller;
mod entries;
pub mod findings;
mod labels;
mod losses;
pub mod nodes;
pub mod objects;
pub mod plan;
mod shares;
mod status;
mod told;
mod volumes;

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::ObjectMeta;
use kube::{Api, Client, Resource};
use workspacefs_api::local_storage::{LOCAL_STORAGE_FINALIZER, LOCAL_STORAGE_UID_LABEL};
use workspacefs_api::{LocalStorage, LocalStorageStatus};

use self::caches::Caches;
use self::findings::{QUOTA_ENFORCED, Share, Summary, Unaccounted, WORKSPACES_READY};
use self::objects::Identity;
use self::plan::Wanted;
use self::shares::Kept;
use self::status::{Report, StatusWriter, of_namespace, of_node};
use self::told::Told;
use crate::class::{self, Classes};
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
    /// Which pods were told why there is no claim for them.
    told_pods: Told,
    /// Which lost volumes were told.
    told_lost: Told,
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
        let class = self.classes().ensure(objects::class(&identity)).await;
        let Kept { shares, result: shared } = self.keep_shares(&identity, &storage.spec, &wanted).await;
        let volumes = self.caches.local_volumes_of(&identity);
        let lost = volumes::lost(&volumes);
        let escaped = findings::unaccounted(&selected, message_of(&old, QUOTA_ENFORCED));

        let mut findings = vec![
            findings::ready(storage, &self.node_group_label, &selected),
            findings::workspaces_ready(&identity.name, &self.workspace_selector, &shares),
            findings::quota_enforced(storage, &selected, &escaped),
        ];
        findings.extend(findings::cache_ready(storage, &selected));
        findings.extend(findings::about_disks(&selected, &lost));
        let class_name = identity.class_name();
        findings.extend(class.as_ref().ok().and_then(|c| class::not_ready(&class_name, "LocalStorage", c)));
        let new = self.news(&identity, &old, &shares, &escaped);
        let newly_lost = self.newly_lost(&identity, &old, &lost);
        let version = self.write(&identity, meta, old, Summary::of(&selected), findings).await?;
        for (related, happened) in new {
            self.status.tell(&identity, Some(related), &happened).await;
        }
        let told = self.tell_of_losses(&identity, &newly_lost).await;
        let asked = self.tell_who_asks(&identity, &storage.spec.workspaces).await;
        let stale = nodes::stale(storage, &selected);
        self.remove_entries(&identity, version.as_deref(), &stale).await?;
        labelled.and(shared).and(class.map(drop)).and(told).and(asked)?;
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

    /// Each workspace's trouble, and each node with files beside all quotas, that the status does not speak of yet.
    fn news(
        &self,
        identity: &Identity,
        old: &LocalStorageStatus,
        shares: &[Share],
        escaped: &[Unaccounted],
    ) -> Vec<(ObjectReference, Happened)> {
        let before = message_of(old, WORKSPACES_READY);
        let told = findings::told(&identity.name, &self.workspace_selector, shares, before);
        let of_workspaces = told.into_iter().map(|(namespace, reason, note)| {
            (of_namespace(&namespace), Happened { warning: true, reason, note })
        });
        let of_nodes = escaped.iter().filter(|node| !node.is_known).map(|node| {
            let happened = Happened { warning: true, reason: "UnaccountedFiles", note: node.sentence() };
            (of_node(&node.node), happened)
        });
        of_workspaces.chain(of_nodes).collect()
    }

    fn classes(&self) -> Classes<'_> {
        let api = Api::all(self.client.clone());
        Classes { api, known: &self.caches.classes, label: LOCAL_STORAGE_UID_LABEL }
    }
}

/// What a condition says.
fn message_of<'a>(status: &'a LocalStorageStatus, kind: &str) -> &'a str {
    let known = status.conditions.iter().find(|condition| condition.type_ == kind);
    known.map_or("", |condition| condition.message.as_str())
}
