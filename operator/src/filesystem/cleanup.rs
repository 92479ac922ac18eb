//! The end of a FileSystem: what runs its `files` goes first, then its class, so that no further claim begins. Then no pod and no further claim uses it any
//! more, then its claim goes, then the volume, then its folder on the embedded server to where its policy says, then the
//! finalizer. Files of other servers are never touched here (the CSI controller does that, held by a finalizer of its own),
//! nor is a claim of another driver. An object that cannot be read ends like any other; its files are retained.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ObjectMeta;
use workspacefs_agent_proto::v1::{Disposal, RemoveFileSystemRequest};
use workspacefs_api::{FileSystemStatus, ReclaimPolicy};

use super::findings::{IN_USE, terminating};
use super::objects::Identity;
use super::status::Report;
use super::{FileSystems, Found, Guarded, embedded, users};
use crate::child::Child;
use crate::conditions::Finding;
use crate::error::{PassError, chain};
use crate::events::Happened;
use crate::files::Files;
use crate::reconciler::Next;

/// Pods are not watched, so they are asked for again this often, and only meanwhile.
const ASK_PODS_AGAIN: Duration = Duration::from_secs(10);
/// Claims and volumes are watched; this is for a watch that missed something.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The pods of `files` have been told to go, and take a moment.
const ASK_FILES_AGAIN: Duration = Duration::from_secs(2);

/// Who has it mounted.
enum InUse {
    /// Nobody, or nobody any more.
    No,
    /// Pods of `files`, which are going.
    ByFiles,
    /// Pods of others.
    ByPods(Finding),
}

/// What becomes of a FileSystem's folder on the embedded server; None where it has none there.
pub(super) fn disposal(object: &Guarded) -> Option<Disposal> {
    match &object.0 {
        Ok(fs) => fs.spec.backend.managed.as_ref().map(|_| match fs.spec.reclaim_policy {
            ReclaimPolicy::Retain => Disposal::Retain,
            ReclaimPolicy::Delete => Disposal::Trash,
            ReclaimPolicy::Archive => Disposal::Archive,
        }),
        Err(unreadable) => unreadable.status.share.as_ref().map(|_| Disposal::Retain),
    }
}

impl FileSystems {
    /// One pass over a FileSystem with its own volume that is being deleted. `stays`: why what runs its `files` could not be told to go.
    pub(super) async fn take_away(
        &self,
        fs: &Identity,
        meta: &ObjectMeta,
        old: FileSystemStatus,
        folder: Option<Disposal>,
        stays: Option<String>,
    ) -> Result<Next, PassError> {
        self.classes().remove(&fs.class_name()).await?;
        let claim = self.find_claim(fs).await?;
        let volume = self.find_volume(fs).await?;
        let own = (!matches!(claim, Child::Foreign)).then_some(fs.name.as_str());
        match self.in_use(fs, users::Named { inline: Some(&fs.name), claim: own }).await? {
            InUse::No => {}
            InUse::ByFiles => return self.wait_for_files(fs, meta, old, stays).await,
            InUse::ByPods(in_use) => return self.wait_for_pods(fs, meta, old, in_use).await,
        }
        if let Some(in_use) = self.claims_on(fs).await? {
            self.say(fs, meta, old, vec![terminating("waits for further claims on it"), in_use]).await?;
            return Ok(Next::Waiting(ASK_PODS_AGAIN));
        }
        match &claim {
            Child::Ours(claim) => self.delete_claim(claim).await?,
            Child::Leaving => {}
            // Nothing of ours: on to the volume.
            Child::Absent | Child::Foreign | Child::Refused(_) => {
                return self.take_volume_away(fs, meta, old, &volume, folder).await;
            }
        }
        self.say(fs, meta, old, vec![terminating(format!("waits for claim {} to go", fs.name))]).await?;
        Ok(Next::Waiting(LOOK_AGAIN))
    }

    /// One pass over a FileSystem on a claim of another driver that is being deleted. Nothing was made for it, so nothing is
    /// deleted; but its name does not go from under those who use it.
    pub(super) async fn let_go(
        &self,
        fs: &Identity,
        meta: &ObjectMeta,
        old: FileSystemStatus,
        claim: &str,
        stays: Option<String>,
    ) -> Result<Next, PassError> {
        // The driver mounts no such FileSystem inline.
        match self.in_use(fs, users::Named { inline: None, claim: Some(claim) }).await? {
            InUse::ByPods(in_use) => self.wait_for_pods(fs, meta, old, in_use).await,
            InUse::ByFiles => self.wait_for_files(fs, meta, old, stays).await,
            InUse::No => Ok(Next::Done(None)),
        }
    }

    async fn wait_for_pods(
        &self,
        fs: &Identity,
        meta: &ObjectMeta,
        old: FileSystemStatus,
        in_use: Finding,
    ) -> Result<Next, PassError> {
        self.say(fs, meta, old, vec![terminating("waits for the pods that use it"), in_use]).await?;
        Ok(Next::Waiting(ASK_PODS_AGAIN))
    }

    async fn wait_for_files(
        &self,
        fs: &Identity,
        meta: &ObjectMeta,
        old: FileSystemStatus,
        stays: Option<String>,
    ) -> Result<Next, PassError> {
        let stays = stays.map_or(String::new(), |why| format!(", which nobody has told it to: {why}"));
        let waits = terminating(format!("waits for the pod of its files to end{stays}"));
        self.say(fs, meta, old, vec![waits]).await?;
        Ok(Next::Waiting(ASK_FILES_AGAIN))
    }

    async fn take_volume_away(
        &self,
        fs: &Identity,
        meta: &ObjectMeta,
        old: FileSystemStatus,
        volume: &Child<k8s_openapi::api::core::v1::PersistentVolume>,
        folder: Option<Disposal>,
    ) -> Result<Next, PassError> {
        match volume {
            Child::Ours(volume) => self.delete_volume(volume).await?,
            Child::Leaving => {}
            Child::Absent | Child::Foreign | Child::Refused(_) => {
                return match folder {
                    Some(disposal) => self.take_folder_away(fs, meta, old, disposal).await,
                    None => Ok(Next::Done(None)),
                };
            }
        }
        self.say(fs, meta, old, vec![terminating(format!("waits for volume {} to go", fs.volume_name()))])
            .await?;
        Ok(Next::Waiting(LOOK_AGAIN))
    }

    /// Ends the folder on the embedded server. Not before the server has said so does the finalizer go: it would be nobody's.
    async fn take_folder_away(
        &self,
        fs: &Identity,
        meta: &ObjectMeta,
        old: FileSystemStatus,
        disposal: Disposal,
    ) -> Result<Next, PassError> {
        let Some(embedded) = &self.embedded else {
            if old.share.is_none() {
                // It was never made.
                return Ok(Next::Done(None));
            }
            let why = embedded::no_server().message;
            let waits = format!("waits for the embedded server, which has its files: {why}");
            self.say(fs, meta, old, vec![terminating(waits)]).await?;
            return Ok(Next::Waiting(LOOK_AGAIN));
        };
        let request = RemoveFileSystemRequest { uid: fs.uid.clone(), disposal: disposal.into() };
        match embedded.server.remove(request).await {
            Ok(removed) => {
                embedded.forget(&fs.uid);
                if disposal != Disposal::Retain && !removed.kept_as.is_empty() {
                    let note =
                        format!("its files are now in {} on the embedded server's disk", removed.kept_as);
                    self.status.tell(fs, &Happened { warning: false, reason: "FilesMoved", note }).await;
                }
                Ok(Next::Done(None))
            }
            Err(error) => {
                let waits = format!("waits for the embedded server, which has its files: {}", chain(&error));
                self.say(fs, meta, old, vec![terminating(waits)]).await?;
                Ok(Next::Waiting(LOOK_AGAIN))
            }
        }
    }

    async fn say(
        &self,
        fs: &Identity,
        meta: &ObjectMeta,
        old: FileSystemStatus,
        findings: Vec<Finding>,
    ) -> Result<(), PassError> {
        let found = Found { findings, ..Found::as_before(&old, old.claim_name.clone()) };
        self.status.write(fs, Report { meta, old, found }).await
    }

    /// Who has it mounted; of pods of others, condition InUse.
    async fn in_use(&self, fs: &Identity, named: users::Named<'_>) -> Result<InUse, PassError> {
        let is_files = |pod: &Pod| self.files.is_some() && Files::is_one(pod, fs);
        let users::Users { others, set_apart } =
            users::told_apart(&self.client, &fs.namespace, named, is_files).await?;
        Ok(match (others.is_empty(), set_apart) {
            (true, 0) => InUse::No,
            (true, _) => InUse::ByFiles,
            (false, _) => {
                InUse::ByPods(Finding::new(IN_USE, true, "PodsUseIt", users::message("pod", &others)))
            }
        })
    }
}
