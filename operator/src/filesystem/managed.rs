//! A FileSystem on the embedded server: first the folder with its quota, then volume, claim and class as for any other. What
//! is asked of the server's agent is asked only where it is needed; how things stand is in [`Knowledge`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use workspacefs_agent_proto::EXPORT;
use workspacefs_api::level::Level;
use workspacefs_api::{FileSystem, FileSystemStatus, SharePlace, Usage};

use super::fill::{self, Levels};
use super::objects::Identity;
use super::plan::{self, Managed, Wanted};
use super::{Children, FileSystems, Found, embedded, findings};
use crate::child::Child;
use crate::class;
use crate::conditions::Finding;
use crate::error::PassError;
use crate::events::Happened;
use crate::server::known::{Knowledge, Seen};
use crate::server::{Server, ServerError};
use workspacefs_api::quantity;

/// A folder that is not made is asked for again at least so often.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// The embedded server, as passes need it.
pub struct Embedded {
    /// Whom to ask.
    pub server: Arc<Server>,
    /// What is known.
    pub knowledge: Arc<Knowledge>,
    /// Its Service's name.
    pub service: String,
    /// How full further claims were when somebody last heard of it, by the FileSystem's uid.
    levels: Mutex<HashMap<String, Levels>>,
}

impl Embedded {
    /// Nobody has heard of anything yet.
    pub fn new(server: Arc<Server>, knowledge: Arc<Knowledge>, service: String) -> Self {
        Self { server, knowledge, service, levels: Mutex::default() }
    }

    fn levels(&self) -> std::sync::MutexGuard<'_, HashMap<String, Levels>> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is known of a FileSystem that is no more.
    pub fn forget(&self, uid: &str) {
        self.knowledge.forget(uid);
        self.levels().remove(uid);
    }

    /// Somebody has heard how full its further claims are.
    pub fn heard(&self, uid: &str, levels: Levels) {
        self.levels().insert(uid.into(), levels);
    }

    /// How full it is, for condition, status and Events.
    fn fill(&self, fs: &Identity, old: &FileSystemStatus, seen: &Seen) -> Fill {
        let quota = old.conditions.iter().find(|c| c.type_ == findings::QUOTA_ENFORCED);
        let was = quota.map_or(Level::Fine, |condition| Level::of_reason(&condition.reason));
        let level = fill::level(was, &seen.file_system.usage.unwrap_or_default());

        let shown = || old.usage.as_ref().map(fill::levels_of).unwrap_or_default();
        let before = self.levels().get(&fs.uid).cloned().unwrap_or_else(shown);
        let (levels, happened) = fill::claims_risen(&before, &seen.file_system);
        let told = level > was || !happened.is_empty();
        let new = fill::usage(seen);
        let usage = match &old.usage {
            Some(shown) if !told && !fill::is_worth_writing(shown, &new, Timestamp::now()) => shown.clone(),
            _ => new,
        };
        Fill { level, usage, levels, happened }
    }
}

/// How full a FileSystem is.
struct Fill {
    level: Level,
    usage: Usage,
    levels: Levels,
    happened: Vec<Happened>,
}

/// A folder on the server.
struct Made {
    share: SharePlace,
    /// The size that the server enforces, once it has said so.
    enforced: Option<u64>,
    /// Why that is not the size that is asked for.
    problem: Option<ServerError>,
    happened: Vec<Happened>,
}

/// What became of asking for a folder.
enum Asked {
    Made(Made),
    Refused(ServerError),
    NamespaceEnding,
}

impl FileSystems {
    /// A FileSystem on the embedded server. None where the namespace is ending.
    pub(super) async fn apply_managed(
        &self,
        file_system: &FileSystem,
        fs: &Identity,
        old: &FileSystemStatus,
        managed: &Managed,
    ) -> Result<Option<Found>, PassError> {
        let claim_name = old.claim_name.clone();
        let Some(embedded) = &self.embedded else {
            return Ok(Some(Found::no_more_than(old, claim_name, embedded::no_server())));
        };
        let made = match self.folder(embedded, fs, old, managed).await? {
            Asked::Made(made) => made,
            Asked::NamespaceEnding => return Ok(None),
            Asked::Refused(error) => {
                let not_made = embedded::not_made(&error, !managed.adopt.is_empty());
                let again = Some(self.probe_interval.min(TRY_AGAIN));
                return Ok(Some(Found { again, ..Found::no_more_than(old, claim_name, not_made) }));
            }
        };
        let shown = old.usage.as_ref().and_then(|usage| quantity::bytes(&usage.capacity.0));
        let size = made.enforced.or(shown).unwrap_or(managed.capacity_bytes);
        let wanted = match plan::made(file_system, &made.share, size) {
            Ok(wanted) => wanted,
            Err(why) => return Ok(Some(Found::no_more_than(old, claim_name, findings::invalid(&why)))),
        };
        let Some(children) = self.apply_children(fs, old, &wanted).await? else {
            return Ok(None);
        };
        let mut found = self.about(embedded, fs, old, &made, &wanted, &children);
        found.findings.extend(self.resized(managed, &made, &wanted, &children).await?);
        found.happened.extend(children.happened);
        found.happened.extend(made.happened);
        Ok(Some(found))
    }

    /// The folder as it is known, or as the server makes it now.
    async fn folder(
        &self,
        embedded: &Embedded,
        fs: &Identity,
        old: &FileSystemStatus,
        managed: &Managed,
    ) -> Result<Asked, PassError> {
        let seen = embedded.knowledge.file_system(&fs.uid);
        let enforced = seen.as_ref().map(|seen| seen.file_system.capacity_bytes);
        let happened = Vec::new();
        if let Some(share) = &old.share {
            let fits = enforced.map_or(!embedded.knowledge.is_whole(), |is| is == managed.capacity_bytes);
            if fits {
                let share = share.clone();
                return Ok(Asked::Made(Made { share, enforced, problem: None, happened }));
            }
        }
        let Some(namespace_uid) = self.namespace_uid(&fs.namespace).await? else {
            return Ok(Asked::NamespaceEnding);
        };
        // Before the folder: without an address nobody could be told of it.
        let asked = async {
            let address = embedded.server.address().await?;
            Ok::<_, ServerError>((address, embedded.server.ensure(managed.request(fs, namespace_uid)).await?))
        };
        match (asked.await, &old.share) {
            (Ok((server, made)), share) => {
                let folder = made.folder.clone();
                let happened = was_emptied(old, &made).into_iter().collect();
                let enforced = Some(made.capacity_bytes);
                embedded.knowledge.learn(made);
                let new = || SharePlace { server, export: EXPORT.into(), folder };
                let share = share.clone().unwrap_or_else(new);
                Ok(Asked::Made(Made { share, enforced, problem: None, happened }))
            }
            (Err(problem), Some(share)) => {
                Ok(Asked::Made(Made { share: share.clone(), enforced, problem: Some(problem), happened }))
            }
            (Err(error), None) => Ok(Asked::Refused(error)),
        }
    }

    /// The uid of a namespace; None where it is ending.
    async fn namespace_uid(&self, name: &str) -> Result<Option<String>, PassError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = api.get_opt(name).await.map_err(PassError::api("read the namespace"))?;
        let lives = namespace.filter(|namespace| namespace.metadata.deletion_timestamp.is_none());
        lives.map(|namespace| namespace.uid().ok_or(PassError::Incomplete("uid"))).transpose()
    }

    /// What there is to say of one whose folder is made.
    fn about(
        &self,
        embedded: &Embedded,
        fs: &Identity,
        old: &FileSystemStatus,
        made: &Made,
        wanted: &Wanted,
        children: &Children,
    ) -> Found {
        let target = wanted.target();
        let who = ObjectRef::new(&fs.name).within(&fs.namespace);
        let probed = self.prober.get(&target, who);
        let reachable = embedded::reachable_embedded(&target, probed.as_ref(), embedded.knowledge.trouble());
        let isolated = embedded::isolated(embedded.knowledge.isolation(), reachable_since(old, &reachable));
        let ready = match embedded.server.known_address() {
            Some(is) if is != made.share.server => {
                embedded::moved(&made.share.server, &embedded.service, &is)
            }
            _ => findings::ready(fs, &children.volume, &children.claim),
        };
        let mut findings = vec![ready, reachable, isolated];
        findings.extend(class::not_ready(&fs.class_name(), "FileSystem", &children.class));
        let mut found = Found {
            claim_name: Some(fs.name.clone()),
            findings,
            share: Some(made.share.clone()),
            usage: old.usage.clone(),
            files_address: old.files_address.clone(),
            again: Some(self.probe_interval),
            happened: Vec::new(),
            levels: None,
        };
        if let Some(seen) = embedded.knowledge.file_system(&fs.uid) {
            let Fill { level, usage, levels, happened } = embedded.fill(fs, old, &seen);
            found.findings.push(embedded::quota(&seen.file_system, level));
            (found.usage, found.levels, found.happened) = (Some(usage), Some(levels), happened);
        } else {
            let asked = "how full it is, is being asked";
            found.findings.push(Finding::not_yet(findings::QUOTA_ENFORCED, asked));
        }
        found
    }

    /// Has the claim show the size that the server enforces. Says what is not as it was asked for.
    async fn resized(
        &self,
        managed: &Managed,
        made: &Made,
        wanted: &Wanted,
        children: &Children,
    ) -> Result<Option<Finding>, PassError> {
        let (Some(_), Some(claim), Child::Ours(_)) = (made.enforced, children.claim.ours(), &children.class)
        else {
            return Ok(not_resized(managed, made));
        };
        let refused = self.grow_claim(claim, &wanted.capacity_or_placeholder()).await?;
        Ok(not_resized(managed, made).or(refused.map(|why| embedded::claim_not_grown(&why))))
    }
}

fn not_resized(managed: &Managed, made: &Made) -> Option<Finding> {
    let problem = made.problem.as_ref()?;
    Some(embedded::not_resized(problem, managed.capacity_bytes, made.enforced))
}

/// Since when the server has been reachable without a break that anybody noticed; None where it is not.
fn reachable_since(old: &FileSystemStatus, reachable: &Finding) -> Option<Timestamp> {
    let known = old.conditions.iter().find(|c| c.type_ == findings::REACHABLE && c.status == "True");
    match (reachable.status, known) {
        ("False", _) => None,
        (_, Some(condition)) => Some(condition.last_transition_time.0),
        ("True", None) => Some(Timestamp::now()),
        _ => None,
    }
}

/// Whether a folder that had files was not there any more, so that the server made an empty one: its disk is another.
fn was_emptied(old: &FileSystemStatus, made: &workspacefs_agent_proto::v1::FileSystem) -> Option<Happened> {
    let had = old.usage.as_ref().map_or(0, |usage| usage.inodes_used);
    let has = made.usage.map_or(0, |usage| usage.inodes_used);
    (old.share.is_some() && had > 1 && has <= 1).then(|| Happened {
        warning: true,
        reason: "FolderMadeAgain",
        note: format!(
            "the server did not have its folder any more and has made it again, empty; {had} files were in it. Is the \
             server's disk another?"
        ),
    })
}
