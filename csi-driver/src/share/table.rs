//! The table of shares and the operations on them, each with a deadline. Calls on one share queue up behind its helper;
//! shares know nothing of each other.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use workspacefs_sys::SysError;
use workspacefs_sys::tree::{MountApi, StagingPlace};

use super::entry::{Ask, Share, Silence};
use super::process::Helper;
use super::protocol::{Answer, Hello, Question, Request};
use super::record::ShareRecords;
use super::view::{Unfinished, View};
use super::{
    CreatedVolume, Leaving, OwnFolder, PosixOwner, ShareError, ShareKey, ShareSpec, Taken, TrashSlice,
    TrashSwept, Usage, ViewRequest, VolumeName, VolumeRecord,
};
use crate::helper_process::HelperProgram;

/// Where shares are kept.
#[derive(Clone, Debug)]
pub enum Keep {
    /// Attached below `mounts` (a folder of kubelet's, shared with the host), with records and a staging area below
    /// `state` (tmpfs): they outlive this process. For the node.
    Attached {
        /// `<kubelet dir>/plugins/<driver>/shares`.
        mounts: PathBuf,
        /// `/run/workspacefs`.
        state: PathBuf,
    },
    /// Attached nowhere, in the helper alone: they end with it. For the controller.
    Detached,
}

/// How shares are handled.
#[derive(Clone, Debug)]
pub struct SharesConfig {
    /// What is started for each share.
    pub helper: HelperProgram,
    /// Where mounts live.
    pub keep: Keep,
    /// How views are made.
    pub api: MountApi,
    /// A share without users is unmounted after this time, at the next [`Shares::sweep`].
    pub idle: Duration,
}

/// The table cannot be set up.
#[derive(Debug, Error)]
pub enum StartError {
    /// A folder or record of ours.
    #[error("cannot prepare {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The staging area.
    #[error("cannot prepare the staging area")]
    Staging(#[source] SysError),
}

/// All shares of this process. Clones see the same table.
#[derive(Clone, Debug)]
pub struct Shares(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub config: SharesConfig,
    pub records: Option<ShareRecords>,
    staging: PathBuf,
    views: AtomicU64,
    table: Mutex<HashMap<ShareKey, Arc<Share>>>,
}

impl Shares {
    /// Sets the table up and finds what an earlier process left mounted.
    ///
    /// # Errors
    /// [`StartError`] if our own folders cannot be made.
    pub fn new(config: SharesConfig) -> Result<Self, StartError> {
        let mut table = HashMap::new();
        let mut staging = PathBuf::new();
        let mut records = None;
        if let Keep::Attached { mounts, state } = &config.keep {
            let failed = |path: &Path| {
                let path = path.to_path_buf();
                move |source| StartError::Folder { path, source }
            };
            std::fs::create_dir_all(mounts).map_err(failed(mounts))?;
            let folder = state.join("shares");
            let opened = ShareRecords::open(folder.clone()).map_err(failed(&folder))?;
            for (key, spec) in opened.read_all().map_err(failed(&folder))? {
                let share = Share::new(key.clone());
                // It was made a moment ago: nobody else can have set it.
                let _ = share.spec.set(spec);
                table.insert(key, Arc::new(share));
            }
            records = Some(opened);
            staging = state.join("staging");
            StagingPlace::prepare_area(config.api, &staging).map_err(StartError::Staging)?;
        }
        Ok(Self(Arc::new(Inner {
            config,
            records,
            staging,
            views: AtomicU64::new(0),
            table: Mutex::new(table),
        })))
    }

    /// Makes a view of a folder, which the first time is created with its owner. Mounts the share if it is not.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline.
    pub async fn view(
        &self,
        spec: &ShareSpec,
        request: ViewRequest,
        deadline: Instant,
    ) -> Result<View, ShareError> {
        let place = self.staging_place(spec);
        let question = Question::View(request, place.path().to_path_buf());
        let view = Unfinished::new(self.0.config.api, place);
        match self.ask(spec, question, "mount the folder", deadline).await? {
            (Answer::View { staged }, Some(fd)) => Ok(view.finish(fd, staged)),
            _ => Err(unexpected(spec)),
        }
    }

    /// A place for one view of the share.
    pub(crate) fn staging_place(&self, spec: &ShareSpec) -> StagingPlace {
        let number = self.0.views.fetch_add(1, Ordering::Relaxed);
        StagingPlace::new(&self.0.staging, &format!("{}.{number}", spec.key()))
    }

    /// A folder of a view of the share that stands on the staging place `view`, to nest another view there. No link is
    /// followed.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline.
    pub(crate) async fn place(
        &self,
        spec: &ShareSpec,
        view: &Path,
        path: &str,
        deadline: Instant,
    ) -> Result<OwnedFd, ShareError> {
        let question = Question::Place(view.to_path_buf(), path.into());
        match self.ask(spec, question, "look for the place of a copy", deadline).await? {
            (Answer::Place, Some(fd)) => Ok(fd),
            _ => Err(unexpected(spec)),
        }
    }

    /// How full the volume mounted at `target` is.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline; `Stale` if the server has forgotten the volume's root, `NotFound` if
    /// nothing is mounted there.
    pub async fn usage(
        &self,
        spec: &ShareSpec,
        target: &Path,
        deadline: Instant,
    ) -> Result<Usage, ShareError> {
        let question = Question::Usage(target.to_path_buf());
        match self.ask(spec, question, "ask for the volume's usage", deadline).await? {
            (Answer::Usage(usage), _) => Ok(usage),
            _ => Err(unexpected(spec)),
        }
    }

    /// Makes the folder of a volume, or finds the one that an earlier call made. Repeating it is harmless.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline; the next call carries on where this one stopped.
    pub async fn create_volume(
        &self,
        spec: &ShareSpec,
        name: VolumeName,
        record: VolumeRecord,
        owner: PosixOwner,
        deadline: Instant,
    ) -> Result<CreatedVolume, ShareError> {
        let question = Question::CreateVolume(name, record, owner);
        match self.ask(spec, question, "create the volume's folder", deadline).await? {
            (Answer::Created(created), _) => Ok(created),
            _ => Err(unexpected(spec)),
        }
    }

    /// What was asked for when the volume was created; None if there is no such volume.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline.
    pub async fn volume_record(
        &self,
        spec: &ShareSpec,
        name: VolumeName,
        deadline: Instant,
    ) -> Result<Option<VolumeRecord>, ShareError> {
        match self.ask(spec, Question::VolumeRecord(name), "read the volume's record", deadline).await? {
            (Answer::Record(record), _) => Ok(record),
            _ => Err(unexpected(spec)),
        }
    }

    /// Moves a volume's folder away; says where it is now, beneath the export, or None if there was none. Repeating it is
    /// harmless.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline.
    pub async fn remove_volume(
        &self,
        spec: &ShareSpec,
        name: VolumeName,
        leaving: Leaving,
        deadline: Instant,
    ) -> Result<Option<String>, ShareError> {
        let question = Question::RemoveVolume(name, leaving);
        match self.ask(spec, question, "move the volume away", deadline).await? {
            (Answer::Removed(place), _) => Ok(place),
            _ => Err(unexpected(spec)),
        }
    }

    /// Moves a FileSystem's own folder away if we made it for that FileSystem. Repeating it is harmless.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline; the next call carries on where this one stopped.
    pub async fn remove_own(
        &self,
        spec: &ShareSpec,
        folder: OwnFolder,
        leaving: Leaving,
        deadline: Instant,
    ) -> Result<Taken, ShareError> {
        let question = Question::RemoveOwn(folder, leaving);
        match self.ask(spec, question, "move the folder away", deadline).await? {
            (Answer::Taken(taken), _) => Ok(taken),
            _ => Err(unexpected(spec)),
        }
    }

    /// How full the share as a whole is.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline.
    pub async fn space(&self, spec: &ShareSpec, deadline: Instant) -> Result<Usage, ShareError> {
        match self.ask(spec, Question::Space, "ask for the share's usage", deadline).await? {
            (Answer::Usage(usage), _) => Ok(usage),
            _ => Err(unexpected(spec)),
        }
    }

    /// Removes a part of what has lain in the share's trash for long enough. Repeating it goes on.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline.
    pub async fn empty_trash(
        &self,
        spec: &ShareSpec,
        slice: TrashSlice,
        deadline: Instant,
    ) -> Result<TrashSwept, ShareError> {
        match self.ask(spec, Question::EmptyTrash(slice), "empty the share's trash", deadline).await? {
            (Answer::Swept(swept), _) => Ok(swept),
            _ => Err(unexpected(spec)),
        }
    }

    /// How long a share without users stays mounted.
    pub fn idle(&self) -> Duration {
        self.0.config.idle
    }

    /// Since when a share does not answer, by the latest call; None if it does, or if it was never asked.
    pub fn silence(&self, key: &ShareKey) -> Option<Silence> {
        let share = self.0.lock().get(key).cloned()?;
        share.state().silence.clone()
    }

    /// The process id of a share's helper, if one runs. For tests and for looking at memory.
    pub async fn helper_id(&self, key: &ShareKey) -> Option<u32> {
        let share = self.0.lock().get(key).cloned()?;
        let helper = share.helper.lock().await;
        helper.as_ref().and_then(Helper::id)
    }

    /// One question to a share's helper: waits for its turn, starts the helper if none runs, and gives up at the
    /// deadline.
    async fn ask(
        &self,
        spec: &ShareSpec,
        question: Question,
        doing: &str,
        deadline: Instant,
    ) -> Result<(Answer, Option<OwnedFd>), ShareError> {
        let started = Instant::now();
        loop {
            let share = self.share(spec);
            let mut slot = match timeout_at(deadline, share.helper.lock()).await {
                Ok(slot) => slot,
                Err(_) => return Err(share.timed_out(started, doing)),
            };
            // A sweep may have taken the share out of the table while we queued up: then it has a new entry.
            if share.state().gone {
                continue;
            }
            let ask = Ask { doing, started, deadline };
            let result = self.ask_helper(&share, &mut slot, question, ask).await;
            share.note(result.as_ref().err());
            return result;
        }
    }

    pub(super) async fn ask_helper(
        &self,
        share: &Share,
        slot: &mut Option<Helper>,
        question: Question,
        ask: Ask<'_>,
    ) -> Result<(Answer, Option<OwnedFd>), ShareError> {
        let left = ask.deadline.saturating_duration_since(Instant::now());
        let request =
            Request { within_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX), what: question };
        // The helper is out of its slot while it is asked: whatever ends this call early, an error, the deadline or the
        // future being dropped, ends the helper too, and its late answer can not be taken for another's.
        let mut helper = match slot.take() {
            Some(helper) => helper,
            None => self.start_helper(share).await?,
        };
        let mut result = timeout_at(ask.deadline, helper.ask(&request)).await;
        if let Ok(Err(ShareError::Helper { .. })) = &result {
            // It had died since the last call (or dies of this one): once more with a new one.
            helper = self.start_helper(share).await?;
            result = timeout_at(ask.deadline, helper.ask(&request)).await;
        }
        match result {
            Ok(Err(error @ ShareError::Helper { .. })) => Err(error),
            Ok(answered) => {
                *slot = Some(helper);
                answered
            }
            Err(_) => Err(share.timed_out(ask.started, ask.doing)),
        }
    }

    async fn start_helper(&self, share: &Share) -> Result<Helper, ShareError> {
        let mount_point = self.0.mount_point(&share.key);
        if let (Some(records), Some(spec)) = (&self.0.records, share.spec.get()) {
            records.write(&share.key, spec).map_err(local("write the share's record"))?;
        }
        if let Some(mount_point) = &mount_point {
            make_mount_point(mount_point).map_err(local("create the share's mount point"))?;
        }
        let hello = Hello {
            name: share.name(),
            spec: share.spec.get().cloned(),
            mount_point,
            legacy: self.0.config.api == MountApi::Legacy,
        };
        Helper::start(&self.0.config.helper, &hello).await
    }

    fn share(&self, spec: &ShareSpec) -> Arc<Share> {
        let share = self.entry(&spec.key());
        // Whoever comes second says the same: the key is the spec's hash.
        let _ = share.spec.set(spec.clone());
        share
    }

    /// The share of that key, taken into the table if it is not in it.
    pub(super) fn entry(&self, key: &ShareKey) -> Arc<Share> {
        let mut table = self.0.lock();
        let share = table.entry(key.clone()).or_insert_with_key(|key| Arc::new(Share::new(key.clone())));
        share.clone()
    }
}

/// One mkdir, whose "exists" is believed: to look at what exists could mean to look at a mounted share, and to wait.
fn make_mount_point(path: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn unexpected(share: &dyn std::fmt::Display) -> ShareError {
    ShareError::Helper { share: share.to_string(), reason: "it answered another question".into() }
}

pub(super) fn local(action: &'static str) -> impl Fn(std::io::Error) -> ShareError {
    move |error| ShareError::Local { action: action.into(), reason: error.to_string() }
}

impl Inner {
    pub fn lock(&self) -> MutexGuard<'_, HashMap<ShareKey, Arc<Share>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn mount_point(&self, key: &ShareKey) -> Option<PathBuf> {
        match &self.config.keep {
            Keep::Attached { mounts, .. } => Some(mounts.join(key.as_str())),
            Keep::Detached => None,
        }
    }
}
