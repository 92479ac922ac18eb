//! The table of shares and the operations on them, each with a deadline. Calls on one share queue up behind its helper;
//! shares know nothing of each other.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use workspacefs_sys::tree::{MountApi, StagingPlace};
use workspacefs_sys::{SysError, inspect};

use super::process::{Helper, HelperProgram};
use super::protocol::{Answer, Hello, Question, Request};
use super::record::ShareRecords;
use super::{
    CreatedVolume, FolderRequest, PosixOwner, ShareError, ShareKey, ShareSpec, Usage, ViewRequest,
    VolumeName, VolumeRecord,
};

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
pub struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SharesConfig,
    records: Option<ShareRecords>,
    staging: PathBuf,
    views: AtomicU64,
    table: Mutex<HashMap<ShareKey, Arc<Share>>>,
}

#[derive(Debug)]
struct Share {
    key: ShareKey,
    spec: ShareSpec,
    helper: tokio::sync::Mutex<Option<Helper>>,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    last_used: Instant,
    silence: Option<Silence>,
    /// It was unmounted and taken out of the table.
    gone: bool,
}

/// A share does not answer.
#[derive(Clone, Debug)]
pub struct Silence {
    /// Since when.
    pub since: SystemTime,
    /// The latest failure.
    pub cause: ShareError,
}

/// A finished view of a folder, attached nowhere yet. Dropping it leaves nothing behind.
pub struct View {
    fd: OwnedFd,
    api: MountApi,
    _staged: Cleared,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}

impl View {
    /// Puts the view on `target`, a directory. Never waits for a server.
    ///
    /// # Errors
    /// The kernel's reason; then nothing is attached.
    pub fn attach(self, target: BorrowedFd<'_>) -> Result<(), SysError> {
        self.api.attach(self.fd.as_fd(), target)
    }
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
                table.insert(key.clone(), Arc::new(Share::new(key, spec)));
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
        let number = self.0.views.fetch_add(1, Ordering::Relaxed);
        let place = StagingPlace::new(&self.0.staging, &format!("{}.{number}", spec.key()));
        // Cleared on every way out but that of a view which stands on it.
        let question = Question::View(request, place.path().to_path_buf());
        let mut cleared = Cleared(Some(place));
        let (answer, fd) = self.ask(spec, question, "mount the folder", deadline).await?;
        match (answer, fd) {
            (Answer::View { staged }, Some(fd)) => Ok(View {
                fd,
                api: self.0.config.api,
                _staged: Cleared(cleared.0.take().filter(|_| staged)),
            }),
            _ => Err(unexpected(spec)),
        }
    }

    /// How full a volume's root is.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline.
    pub async fn usage(
        &self,
        spec: &ShareSpec,
        folder: FolderRequest,
        deadline: Instant,
    ) -> Result<Usage, ShareError> {
        match self
            .ask(spec, Question::Usage(folder), "ask for its usage", deadline)
            .await?
        {
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
        match self
            .ask(spec, question, "create the volume's folder", deadline)
            .await?
        {
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
        match self
            .ask(
                spec,
                Question::VolumeRecord(name),
                "read the volume's record",
                deadline,
            )
            .await?
        {
            (Answer::Record(record), _) => Ok(record),
            _ => Err(unexpected(spec)),
        }
    }

    /// Moves a volume's folder into the share's trash; false if there was none. Repeating it is harmless.
    ///
    /// # Errors
    /// [`ShareError`], at the latest at the deadline.
    pub async fn trash_volume(
        &self,
        spec: &ShareSpec,
        name: VolumeName,
        deadline: Instant,
    ) -> Result<bool, ShareError> {
        match self
            .ask(
                spec,
                Question::TrashVolume(name),
                "move the volume to the trash",
                deadline,
            )
            .await?
        {
            (Answer::Trashed(found), _) => Ok(found),
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

    /// Unmounts every share that has been idle long enough and that `in_use` does not claim. Gives back those that could
    /// not be unmounted, with the reason: they stay mounted and are tried again by the next sweep. A share whose server is
    /// silent is never unmounted: that could wait for ever where no signal reaches it.
    pub async fn sweep(
        &self,
        in_use: impl Fn(&ShareKey) -> bool,
        patience: Duration,
    ) -> Vec<(ShareSpec, ShareError)> {
        let idle = self.0.config.idle;
        let candidates: Vec<Arc<Share>> = self
            .0
            .lock()
            .values()
            .filter(|share| share.state().last_used.elapsed() >= idle && !in_use(&share.key))
            .cloned()
            .collect();
        // All at once: one that waits for its server must not hold the others up.
        let unmounts = candidates.into_iter().map(|share| {
            let in_use = &in_use;
            async move {
                let deadline = Instant::now() + patience;
                let result = self.unmount(&share, in_use, deadline).await;
                result.err().map(|error| (share.spec.clone(), error))
            }
        });
        futures::future::join_all(unmounts)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn unmount(
        &self,
        share: &Arc<Share>,
        in_use: &impl Fn(&ShareKey) -> bool,
        deadline: Instant,
    ) -> Result<(), ShareError> {
        let started = Instant::now();
        let doing = "unmount the share";
        let mut slot = timeout_at(deadline, share.helper.lock())
            .await
            .map_err(|_| share.timed_out(started, doing))?;
        // Users register before they queue up for the helper, so nobody comes between this look and the unmount.
        if in_use(&share.key) || share.state().last_used.elapsed() < self.0.config.idle {
            return Ok(());
        }
        if let Some(mount_point) = self.0.mount_point(&share.key) {
            if inspect::is_mount_root(&mount_point).unwrap_or(false) {
                let ask = Ask {
                    doing,
                    started,
                    deadline,
                };
                let answer = self.ask_helper(share, &mut slot, Question::Unmount, ask).await?;
                if !matches!(answer, (Answer::Unmounted, _)) {
                    return Err(unexpected(&share.spec));
                }
            }
            // The folder may be gone already, and one that is not empty is not ours to remove.
            let _ = std::fs::remove_dir(&mount_point);
        }
        if let Some(records) = &self.0.records {
            records
                .remove(&share.key)
                .map_err(local("remove the share's record"))?;
        }
        *slot = None;
        self.0.lock().remove(&share.key);
        share.state().gone = true;
        Ok(())
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
            let ask = Ask {
                doing,
                started,
                deadline,
            };
            let result = self.ask_helper(&share, &mut slot, question, ask).await;
            share.note(result.as_ref().err());
            return result;
        }
    }

    async fn ask_helper(
        &self,
        share: &Share,
        slot: &mut Option<Helper>,
        question: Question,
        ask: Ask<'_>,
    ) -> Result<(Answer, Option<OwnedFd>), ShareError> {
        let left = ask.deadline.saturating_duration_since(Instant::now());
        let request = Request {
            within_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            what: question,
        };
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
        if let (Some(records), Some(mount_point)) = (&self.0.records, &mount_point) {
            records
                .write(&share.key, &share.spec)
                .map_err(local("write the share's record"))?;
            make_mount_point(mount_point).map_err(local("create the share's mount point"))?;
        }
        let hello = Hello {
            spec: share.spec.clone(),
            mount_point,
            legacy: self.0.config.api == MountApi::Legacy,
        };
        Helper::start(&self.0.config.helper, &hello).await
    }

    fn share(&self, spec: &ShareSpec) -> Arc<Share> {
        let key = spec.key();
        let mut table = self.0.lock();
        let share = table
            .entry(key)
            .or_insert_with_key(|key| Arc::new(Share::new(key.clone(), spec.clone())));
        share.clone()
    }
}

/// What a question is for, and how long it may take, waiting for its turn included.
#[derive(Clone, Copy)]
struct Ask<'a> {
    doing: &'a str,
    started: Instant,
    deadline: Instant,
}

/// Removes a staging place unless it is still needed.
struct Cleared(Option<StagingPlace>);

impl Drop for Cleared {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            place.remove();
        }
    }
}

impl Share {
    fn new(key: ShareKey, spec: ShareSpec) -> Self {
        let state = State {
            last_used: Instant::now(),
            silence: None,
            gone: false,
        };
        Self {
            key,
            spec,
            helper: tokio::sync::Mutex::new(None),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a call's outcome says about the server.
    fn note(&self, error: Option<&ShareError>) {
        let mut state = self.state();
        state.last_used = Instant::now();
        state.silence = error.filter(|e| e.is_servers_silence()).map(|cause| Silence {
            since: state.silence.as_ref().map_or_else(SystemTime::now, |s| s.since),
            cause: cause.clone(),
        });
    }

    fn timed_out(&self, started: Instant, doing: &str) -> ShareError {
        let error = ShareError::TimedOut {
            share: self.spec.to_string(),
            seconds: started.elapsed().as_secs_f64().round() as u64,
            doing: doing.into(),
        };
        self.note(Some(&error));
        error
    }
}

/// One mkdir, whose "exists" is believed: to look at what exists could mean to look at a mounted share, and to wait.
fn make_mount_point(path: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn unexpected(spec: &ShareSpec) -> ShareError {
    ShareError::Helper {
        share: spec.to_string(),
        reason: "it answered another question".into(),
    }
}

fn local(action: &'static str) -> impl Fn(std::io::Error) -> ShareError {
    move |error| ShareError::Local {
        action: action.into(),
        reason: error.to_string(),
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<ShareKey, Arc<Share>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mount_point(&self, key: &ShareKey) -> Option<PathBuf> {
        match &self.config.keep {
            Keep::Attached { mounts, .. } => Some(mounts.join(key.as_str())),
            Keep::Detached => None,
        }
    }
}
