//! The disks of this node, one helper process per LocalStorage, and what the latest look at each of them said. Calls on one
//! disk queue up behind its helper; disks know nothing of each other.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use workspacefs_api::NodeStorage;
use workspacefs_storage::local::image::ImageWish;
use workspacefs_sys::SysError;
use workspacefs_sys::tree::{MountApi, StagingPlace};

use super::protocol;
use super::protocol::{Answer, Figures, Hello, Look, Place, Question, Refusal, Reply, Volume, Wish};
use crate::helper_process::{HelperProcess, HelperProgram};
use crate::share::{Unfinished, View};

/// Less is not enough to ask in: a helper that does well would be killed for the time that others took.
const ASK_MIN: Duration = Duration::from_secs(1);

/// How disks are handled.
#[derive(Clone, Debug)]
pub struct DisksConfig {
    /// What is started for each.
    pub helper: HelperProgram,
    /// `<kubelet dir>/plugins/<driver>/disks`: each is mounted below, on a folder named by its LocalStorage's uid; images of the
    /// node's cache in the same way below `fscache` beside it.
    pub mounts: PathBuf,
    /// For unfinished views, on tmpfs.
    pub staging: PathBuf,
    /// How views are made.
    pub api: MountApi,
}

/// The table cannot be set up.
#[derive(Debug, Error)]
pub enum StartError {
    /// The folder of the mount points.
    #[error("cannot make {0}")]
    Folder(PathBuf, #[source] std::io::Error),
    /// The staging area.
    #[error("cannot prepare the staging area")]
    Staging(#[source] SysError),
}

/// A disk did not do what was asked.
#[derive(Clone, Debug, Error)]
pub enum DiskError {
    /// It hangs, or calls before this one used the time up.
    #[error("the disk did not answer within {seconds} s")]
    TimedOut {
        /// How long was waited.
        seconds: u64,
    },
    /// It was not asked: its helper was at the image of the node's cache, which takes minutes on a disk that does well.
    #[error("the disk's helper is at work on the image of the node's cache (fsCache)")]
    AtImage,
    /// It hung before, and what hung there has not come back.
    #[error("the disk hangs: a process that was killed there is still held by the kernel")]
    Hangs,
    /// Its helper process died, or cannot be started.
    #[error("the disk's helper process: {0}")]
    Helper(String),
    /// The helper says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// All disks of this process. Clones see the same table.
#[derive(Clone, Debug)]
pub struct Disks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: DisksConfig,
    views: AtomicU64,
    /// By the LocalStorage's uid.
    table: Mutex<HashMap<String, Arc<Disk>>>,
    /// A disk became ready, is not any more, or was looked at for the first time.
    turned: Notify,
    /// The same, for who else waits for it.
    turns: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Disk {
    slot: tokio::sync::Mutex<Slot>,
    entry: Mutex<Option<NodeStorage>>,
    /// Whoever has the slot asks about the image of the node's cache.
    is_at_image: AtomicBool,
}

/// Sets a disk's mark until it goes, however its question ends.
struct AtImage<'a>(&'a AtomicBool);

impl<'a> AtImage<'a> {
    fn of(question: &Question, disk: &'a Disk) -> Option<Self> {
        matches!(question, Question::Image(..)).then(|| {
            disk.is_at_image.store(true, Ordering::Relaxed);
            Self(&disk.is_at_image)
        })
    }
}

impl Drop for AtImage<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Slot {
    helper: Option<HelperProcess>,
    /// Was killed because it did not answer. While it sits in the kernel no other is started: it would sit there too.
    hung: Option<HelperProcess>,
}

impl Disks {
    /// Nothing is known yet. What an earlier process mounted is found by the first look.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(config: DisksConfig) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.mounts)
            .map_err(|error| StartError::Folder(config.mounts.clone(), error))?;
        StagingPlace::prepare_area(config.api, &config.staging).map_err(StartError::Staging)?;
        let inner = Inner {
            config,
            views: AtomicU64::new(0),
            table: Mutex::default(),
            turned: Notify::new(),
            turns: watch::Sender::default(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// One look. The entry is kept: volumes are mounted by what it says.
    ///
    /// # Errors
    /// [`DiskError`]; then the entry that is kept is not ready any more only if the caller says so by [`Disks::keep`]. Of
    /// [`DiskError::AtImage`] nothing is learned of the disk.
    pub async fn look(&self, uid: &str, look: Look, deadline: Instant) -> Result<NodeStorage, DiskError> {
        match self.ask(uid, Question::Look(Box::new(look)), deadline).await? {
            (Answer::Looked(entry), _) => {
                self.keep(uid, (*entry).clone());
                Ok(*entry)
            }
            _ => Err(unexpected()),
        }
    }

    /// Replaces what is known of a disk.
    pub fn keep(&self, uid: &str, entry: NodeStorage) {
        let is_ready = entry.ready;
        let before = lock(&self.disk(uid).entry).replace(entry);
        if before.map(|before| before.ready) != Some(is_ready) {
            self.0.turned.notify_one();
            self.0.turns.send_replace(());
        }
    }

    /// Waits until a disk becomes ready, is not any more, or was looked at for the first time. One waits at a time.
    pub async fn turned(&self) {
        self.0.turned.notified().await;
    }

    /// Hears of the same.
    pub fn turns(&self) -> watch::Receiver<()> {
        self.0.turns.subscribe()
    }

    /// What the latest look said; None before the first.
    pub fn entry(&self, uid: &str) -> Option<NodeStorage> {
        let disk = lock(&self.0.table).get(uid).cloned()?;
        lock(&disk.entry).clone()
    }

    /// Makes a view of a folder: a workspace's share, which is made and limited if it is not, or a volume that is there.
    ///
    /// # Errors
    /// [`DiskError`], at the latest at the deadline.
    pub async fn view(&self, uid: &str, of: protocol::View, deadline: Instant) -> Result<View, DiskError> {
        let number = self.0.views.fetch_add(1, Ordering::Relaxed);
        let place = StagingPlace::new(&self.0.config.staging, &format!("{uid}.{number}"));
        let question = Question::View(of, place.path().to_path_buf());
        let view = Unfinished::new(self.0.config.api, place);
        match self.ask(uid, question, deadline).await? {
            (Answer::View { staged }, Some(fd)) => Ok(view.finish(fd, staged)),
            _ => Err(unexpected()),
        }
    }

    /// How full a folder is; None if it is not there.
    ///
    /// # Errors
    /// [`DiskError`], at the latest at the deadline.
    pub async fn usage(
        &self,
        uid: &str,
        place: Place,
        deadline: Instant,
    ) -> Result<Option<Figures>, DiskError> {
        match self.ask(uid, Question::Usage(place), deadline).await? {
            (Answer::Usage(figures), _) => Ok(figures),
            _ => Err(unexpected()),
        }
    }

    /// Makes a volume if it may, or finds it. Gives the size that it has, which may be another than is wished.
    ///
    /// # Errors
    /// [`DiskError`], at the latest at the deadline.
    pub async fn ensure_volume(&self, wish: Wish, deadline: Instant) -> Result<u64, DiskError> {
        let uid = wish.volume.storage_uid.clone();
        match self.ask(&uid, Question::EnsureVolume(wish), deadline).await? {
            (Answer::Volume(size), _) => Ok(size),
            _ => Err(unexpected()),
        }
    }

    /// Makes a volume at least so large. Gives the size that it has then.
    ///
    /// # Errors
    /// [`DiskError`], at the latest at the deadline.
    pub async fn grow_volume(&self, volume: Volume, size: u64, deadline: Instant) -> Result<u64, DiskError> {
        let uid = volume.storage_uid.clone();
        match self.ask(&uid, Question::GrowVolume(volume, size), deadline).await? {
            (Answer::Volume(size), _) => Ok(size),
            _ => Err(unexpected()),
        }
    }

    /// Moves a volume into the disk's trash; one that is not there is gone already.
    ///
    /// # Errors
    /// [`DiskError`], at the latest at the deadline.
    pub async fn remove_volume(&self, volume: Volume, deadline: Instant) -> Result<(), DiskError> {
        let uid = volume.storage_uid.clone();
        match self.ask(&uid, Question::RemoveVolume(volume), deadline).await? {
            (Answer::Removed, _) => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// The image of the node's cache on a disk. Gives where it is mounted, or would be.
    ///
    /// # Errors
    /// [`DiskError`], at the latest at the deadline.
    pub async fn image(&self, uid: &str, wish: ImageWish, deadline: Instant) -> Result<PathBuf, DiskError> {
        let mount_point = self.image_mounts().join(uid);
        match self.ask(uid, Question::Image(wish, mount_point.clone()), deadline).await? {
            (Answer::Image, _) => Ok(mount_point),
            _ => Err(unexpected()),
        }
    }

    /// The uids of those whose images are mounted, or were: an earlier process's, too.
    pub fn images(&self) -> Vec<String> {
        let left = std::fs::read_dir(self.image_mounts()).into_iter().flatten().flatten();
        left.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn image_mounts(&self) -> PathBuf {
        self.0.config.mounts.with_file_name("fscache")
    }

    /// Unmounts a disk that is not meant any more, and forgets it.
    ///
    /// # Errors
    /// [`DiskError`]: it is in use, or hangs. It stays in the table, so that this is tried again.
    pub async fn release(&self, uid: &str, deadline: Instant) -> Result<(), DiskError> {
        match self.ask(uid, Question::Release, deadline).await? {
            (Answer::Released, _) => {
                lock(&self.0.table).remove(uid);
                // The mount point; one that is not empty or not there is nobody's trouble.
                let _ = std::fs::remove_dir(self.mount_point(uid));
                Ok(())
            }
            _ => Err(unexpected()),
        }
    }

    /// The uids of all that are known, and of what an earlier process left mounted.
    pub fn known(&self) -> Vec<String> {
        let mut uids: Vec<String> = lock(&self.0.table).keys().cloned().collect();
        let left = std::fs::read_dir(&self.0.config.mounts).into_iter().flatten().flatten();
        uids.extend(left.filter_map(|entry| entry.file_name().into_string().ok()));
        uids.sort();
        uids.dedup();
        uids
    }

    /// The process id of a disk's helper, if one runs. For tests and for looking at memory.
    pub async fn helper_id(&self, uid: &str) -> Option<u32> {
        self.disk(uid).slot.lock().await.helper.as_ref().and_then(HelperProcess::id)
    }

    /// One question to a disk's helper: waits for its turn, starts the helper if none runs, and gives up at the deadline.
    async fn ask(
        &self,
        uid: &str,
        question: Question,
        deadline: Instant,
    ) -> Result<(Answer, Option<OwnedFd>), DiskError> {
        let started = Instant::now();
        let timed_out = || DiskError::TimedOut { seconds: started.elapsed().as_secs() };
        let disk = self.disk(uid);
        let mut slot = match disk.slot.try_lock() {
            Ok(slot) => slot,
            Err(_) => {
                let is_at_image = || disk.is_at_image.load(Ordering::Relaxed);
                let was_at_image = is_at_image();
                let too_late =
                    || if was_at_image || is_at_image() { DiskError::AtImage } else { timed_out() };
                let slot = timeout_at(deadline, disk.slot.lock()).await.map_err(|_| too_late())?;
                if deadline.saturating_duration_since(Instant::now()) < ASK_MIN {
                    return Err(too_late());
                }
                slot
            }
        };
        if slot.hung.as_mut().is_some_and(|hung| !hung.is_gone()) {
            return Err(DiskError::Hangs);
        }
        slot.hung = None;
        let _at_image = AtImage::of(&question, &disk);
        // Out of its slot while it is asked: whatever ends this call early ends the helper too, and its late answer cannot
        // be taken for another's.
        let mut helper = match slot.helper.take() {
            Some(helper) => helper,
            None => self.start(uid).await?,
        };
        let mut answered = timeout_at(deadline, helper.ask::<Reply>(&question)).await;
        if let Ok(Err(_)) = &answered {
            // It had died since the last call, or dies of this one: once more with a new one.
            helper = self.start(uid).await?;
            answered = timeout_at(deadline, helper.ask::<Reply>(&question)).await;
        }
        match answered {
            Ok(Ok((reply, fd))) => {
                slot.helper = Some(helper);
                Ok((reply?, fd))
            }
            Ok(Err(error)) => Err(DiskError::Helper(error.to_string())),
            Err(_) => {
                helper.kill();
                slot.hung = Some(helper);
                Err(timed_out())
            }
        }
    }

    async fn start(&self, uid: &str) -> Result<HelperProcess, DiskError> {
        let failed = |error: std::io::Error| DiskError::Helper(error.to_string());
        let helper = HelperProcess::start(&self.0.config.helper).map_err(failed)?;
        let legacy = self.0.config.api == MountApi::Legacy;
        helper.tell(&Hello { mount_point: self.mount_point(uid), legacy }).await.map_err(failed)?;
        Ok(helper)
    }

    fn disk(&self, uid: &str) -> Arc<Disk> {
        lock(&self.0.table).entry(uid.to_string()).or_default().clone()
    }

    fn mount_point(&self, uid: &str) -> PathBuf {
        self.0.config.mounts.join(uid)
    }
}

fn unexpected() -> DiskError {
    DiskError::Helper("it answered another question".into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
