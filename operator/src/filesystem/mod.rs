//! FileSystem → PersistentVolume, claim, StorageClass, conditions. What is wished comes from [`plan`] and [`objects`], what is
//! found goes through [`findings`]; here they meet.

mod affinity;
mod caches;
pub mod children;
mod claim;
mod cleanup;
pub mod controller;
mod embedded;
pub mod fill;
pub mod findings;
mod further;
mod managed;
pub mod objects;
pub mod own;
pub mod plan;
mod read_through;
mod status;
pub mod users;
mod volume;

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt};
use workspacefs_api::files::RENEW_RSYNC_SECRET_ANNOTATION;
use workspacefs_api::{
    FILE_SYSTEM_UID_LABEL, FILES_FINALIZER, FINALIZER, FileSystem, FileSystemStatus, ReclaimPolicy,
    SharePlace, Usage,
};

use self::caches::Caches;
use self::fill::Levels;
use self::managed::Embedded;
use self::objects::Identity;
use self::plan::{Plan, Wanted};
use self::status::{Report, StatusWriter};
use crate::child::{Child, namespace_is_ending};
use crate::class::{self, Classes};
use crate::conditions::Finding;
use crate::error::{ErrorKind, PassError, chain};
use crate::events::Happened;
use crate::files::{self, Files};
use crate::probe::shared::Prober;
use crate::reconciler::{Held, Next, Reconciler};

/// A FileSystem, or what is known of one that cannot be read.
pub type Guarded = crate::guarded::Guarded<FileSystem, FileSystemStatus>;

/// Reconciles FileSystems.
pub struct FileSystems {
    client: Client,
    caches: Caches,
    prober: Prober<ObjectRef<Guarded>>,
    /// None: there is no embedded server.
    embedded: Option<Embedded>,
    /// None: nobody's files are shown to browsers.
    files: Option<Files>,
    status: StatusWriter,
    node_group_label: String,
    probe_interval: Duration,
}

impl Reconciler for FileSystems {
    type Object = Guarded;
    const KIND: &'static str = "FileSystem";

    async fn apply(&self, object: &Guarded) -> Result<Next, PassError> {
        let (fs, meta, old) = self.begin(object).await?;
        let found = match &object.0 {
            Err(unreadable) => Some(Found::no_more_than(&old, None, findings::invalid(&unreadable.error))),
            Ok(file_system) => match Plan::of(file_system) {
                Plan::Volume(wanted) => self.apply_nfs(object, &fs, &old, &wanted).await?,
                Plan::Managed(managed) => self.apply_managed(file_system, &fs, &old, &managed).await?,
                Plan::Claim(name) => {
                    let claim = self.read_claim(&fs.namespace, &name).await?;
                    let volume = self.volume_of(claim.as_ref()).await?;
                    let ready = findings::ready_on_claim(&name, claim.as_ref(), volume.as_ref());
                    Some(Found::no_more_than(&old, Some(name), ready))
                }
                Plan::Invalid(why) => Some(Found::no_more_than(&old, None, findings::invalid(&why))),
            },
        };
        // Nothing moves before the end of a namespace; then the objects go too.
        let Some(mut found) = found else {
            return Ok(Next::Done(None));
        };
        if let Ok(fs) = &object.0 {
            let storages = self.caches.storages();
            let readable =
                storages.as_ref().map(|all| all.iter().filter_map(|storage| storage.0.as_ref().ok()));
            found.findings.extend(read_through::cache_ready(fs, readable));
        }
        // What goes wrong there is told, and then tried again; the FileSystem's own status does not wait for it.
        let kept = self.keep_files(object, &fs, &old, &mut found).await;
        let (again, happened, levels) = (found.again, found.happened.clone(), found.levels.clone());
        self.status.write(&fs, Report { meta, old, found }).await?;
        for happened in &happened {
            self.status.tell(&fs, happened).await;
        }
        if let Some((embedded, levels)) = self.embedded.as_ref().zip(levels) {
            embedded.heard(&fs.uid, levels);
        }
        kept?;
        Ok(Next::Done(again))
    }

    async fn cleanup(&self, object: &Guarded) -> Result<Next, PassError> {
        let (identity, meta, old) = self.begin(object).await?;
        // Its pods use the FileSystem, so they go first.
        let stays = match &self.files {
            Some(files) => files.take_away(&identity).await?,
            None => None,
        };
        if let Ok(fs) = &object.0
            && let Plan::Claim(claim) = Plan::of(fs)
        {
            return self.let_go(&identity, meta, old, &claim, stays).await;
        }
        self.take_away(&identity, meta, old, cleanup::disposal(object), stays).await
    }

    fn held(&self, object: &Guarded) -> Option<Held<Guarded>> {
        let meta = object.meta();
        let api = Api::namespaced(self.client.clone(), meta.namespace.as_deref()?);
        let mut wanted = meta.finalizers.clone().unwrap_or_default();
        // Of one that cannot be read, whatever it has stays.
        if let Ok(fs) = &object.0 {
            let files_go = fs.spec.backend.nfs.is_some() && fs.spec.reclaim_policy != ReclaimPolicy::Retain;
            set(&mut wanted, FILES_FINALIZER, files_go);
        }
        set(&mut wanted, FINALIZER, true);
        Some(Held { api, own: FINALIZER, wanted })
    }
}

/// Adds a finalizer, or takes it out, in the order that is there.
fn set(finalizers: &mut Vec<String>, name: &str, wanted: bool) {
    if !wanted {
        finalizers.retain(|finalizer| finalizer != name);
    } else if !finalizers.iter().any(|finalizer| finalizer == name) {
        finalizers.push(name.into());
    }
}

/// What a pass found, for the status.
struct Found {
    /// The claim that workloads name.
    claim_name: Option<String>,
    findings: Vec<Finding>,
    share: Option<SharePlace>,
    usage: Option<Usage>,
    /// Where its file API listens.
    files_address: Option<String>,
    /// When to look again, even if nothing changes.
    again: Option<Duration>,
    /// What is to be told beside the changes of conditions.
    happened: Vec<Happened>,
    /// How full further claims are, once that is told.
    levels: Option<Levels>,
}

impl Found {
    /// One finding; whatever else was known of the FileSystem stays as it was.
    fn no_more_than(old: &FileSystemStatus, claim_name: Option<String>, finding: Finding) -> Self {
        Self { findings: vec![finding], ..Self::as_before(old, claim_name) }
    }

    fn as_before(old: &FileSystemStatus, claim_name: Option<String>) -> Self {
        Self {
            claim_name,
            findings: Vec::new(),
            share: old.share.clone(),
            usage: old.usage.clone(),
            files_address: old.files_address.clone(),
            again: None,
            happened: Vec::new(),
            levels: None,
        }
    }
}

/// What there is of a FileSystem in the cluster.
struct Children {
    volume: Child<PersistentVolume>,
    claim: Child<PersistentVolumeClaim>,
    class: Child<StorageClass>,
    happened: Vec<Happened>,
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

    /// Has `files` run for it, as far as it can be mounted; adds what there is to say.
    async fn keep_files(
        &self,
        object: &Guarded,
        fs: &Identity,
        old: &FileSystemStatus,
        found: &mut Found,
    ) -> Result<(), PassError> {
        let was = old.conditions.iter().any(|condition| condition.type_ == files::findings::FILES_READY);
        let (files, file_system) = match (&self.files, &object.0) {
            (Some(files), Ok(file_system)) => (files, file_system),
            // Of one that cannot be read, what runs stays as it is.
            (Some(_), Err(_)) => return Ok(()),
            // Where nobody ever asked for them there is nothing to say.
            (None, _) => {
                found.findings.extend(was.then(files::findings::disabled));
                found.files_address = None;
                return Ok(());
            }
        };
        if found.findings.iter().any(|f| f.reason == findings::CLAIM_IS_LOCAL) {
            // Nobody is shown one node's disk for all, whatever ran before.
            found.files_address = None;
            let gone = files.take_away(fs).await;
            let left = gone.as_ref().map_or_else(|error| Some(chain(error)), Option::clone);
            found.findings.push(files::findings::local(left.as_deref()));
            return gone.map(drop);
        }
        let is_ready = found.findings.iter().any(|f| f.kind == findings::READY && f.status == "True");
        let renewed = file_system.annotations().get(RENEW_RSYNC_SECRET_ANNOTATION).map(String::as_str);
        match files.apply(fs, &file_system.spec, is_ready, renewed).await {
            Ok(None) => Ok(()),
            Ok(Some(files::Found { finding, address, again })) => {
                found.findings.push(finding);
                found.files_address = address;
                found.again = Some(found.again.map_or(again, |other| other.min(again)));
                Ok(())
            }
            Err(error) => {
                found.findings.push(match error.kind() {
                    // Somebody has to act: a right is missing.
                    ErrorKind::Refused => files::findings::starting(chain(&error)),
                    ErrorKind::Conflict | ErrorKind::Away => Finding::not_yet(
                        files::findings::FILES_READY,
                        "what runs its files is being asked for",
                    ),
                });
                Err(error)
            }
        }
    }

    /// A FileSystem on an NFS server of others. None where the namespace is ending, in which nothing can be made.
    async fn apply_nfs(
        &self,
        object: &Guarded,
        fs: &Identity,
        old: &FileSystemStatus,
        wanted: &Wanted,
    ) -> Result<Option<Found>, PassError> {
        let probed = self.prober.get(&wanted.target(), ObjectRef::from_obj(object));
        let Some(children) = self.apply_children(fs, old, wanted).await? else {
            return Ok(None);
        };
        let mut findings = vec![findings::ready(fs, &children.volume, &children.claim)];
        findings.extend(findings::about_server(wanted, probed.as_ref()));
        findings.extend(class::not_ready(&fs.class_name(), "FileSystem", &children.class));
        findings.extend(findings::space_low(wanted, old));
        Ok(Some(Found {
            claim_name: Some(fs.name.clone()),
            findings,
            share: None,
            // The CSI controller's to write.
            usage: None,
            files_address: old.files_address.clone(),
            again: Some(self.probe_interval),
            happened: children.happened,
            levels: None,
        }))
    }

    /// Volume, claim and class. None where the namespace is ending.
    async fn apply_children(
        &self,
        fs: &Identity,
        old: &FileSystemStatus,
        wanted: &Wanted,
    ) -> Result<Option<Children>, PassError> {
        let mut claim = self.find_claim(fs).await?;
        let mut volume = self.find_volume(fs).await?;
        let mut happened = Vec::new();
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
                happened.push(Happened { warning: false, reason: "ClaimMadeAgain", note });
            }
        }
        let class = self.classes().ensure(objects::class(fs, wanted)).await?;
        Ok(Some(Children { volume, claim, class, happened }))
    }

    fn classes(&self) -> Classes<'_> {
        let api = Api::all(self.client.clone());
        Classes { api, known: &self.caches.classes, label: FILE_SYSTEM_UID_LABEL }
    }
}
