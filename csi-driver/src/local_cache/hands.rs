//! What the keeper of the node's cache does things with: the disks' helpers, the cache's own helper, and the kernel's figures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use workspacefs_storage::local::image::ImageWish;

use super::cachefiles::DEVICE;
use super::protocol::{Answer, Hello, Question, Refusal, RefusalKind, Reply, Tended};
use super::stats::{self, Stats};
use crate::helper_process::{HelperProcess, HelperProgram};
use crate::local::disks::{DiskError, Disks};

/// To set the image aside and format it; a slow disk's file system without extents writes all of it.
const IMAGE_MAX: Duration = Duration::from_secs(600);
/// To unmount or remove it: what of it is in memory only is written first, and a slow disk's file system frees a large file slowly.
const UNMOUNT_MAX: Duration = Duration::from_secs(300);
/// To bind or unbind it: the kernel waits for what it has under way.
const BIND_MAX: Duration = Duration::from_secs(30);
/// To throw files away in one pass.
const TEND: Duration = Duration::from_secs(5);
/// The same with looking through a cache of some million files.
const TEND_MAX: Duration = Duration::from_secs(120);

/// See the module.
#[async_trait]
pub trait Hands: Send {
    /// Whether the kernel has a cache at all.
    fn is_supported(&self) -> bool;
    /// The image on a LocalStorage's disk, by uid. Gives where it is mounted.
    async fn image(&mut self, uid: &str, wish: ImageWish) -> Result<PathBuf, DiskError>;
    /// The LocalStorages, by uid, whose images are mounted, or were.
    fn mounted(&self) -> Vec<String>;
    /// Binds what is mounted there.
    async fn bind(&mut self, folder: &Path) -> Result<(), Refusal>;
    /// Looks after it.
    async fn tend(&mut self) -> Result<Tended, Refusal>;
    /// Unbinds it. What does not answer is killed, which unbinds it, too.
    async fn unbind(&mut self);
    /// How often the cache answered; None where the kernel does not count.
    fn stats(&self) -> Option<Stats>;
}

/// The real ones.
#[derive(Debug)]
pub struct RealHands {
    /// The node's disks.
    pub disks: Disks,
    /// What is started to hold the device.
    pub program: HelperProgram,
    /// Starts when it is needed.
    pub helper: Option<HelperProcess>,
}

impl RealHands {
    /// Nothing is started yet.
    pub fn new(disks: Disks) -> Self {
        Self { disks, program: HelperProgram::own("cache-helper"), helper: None }
    }

    async fn ask(&mut self, question: Question, most: Duration) -> Result<Answer, Refusal> {
        let broken = |message: String| Refusal { kind: RefusalKind::Broken, message };
        // Out of its place while it is asked: one that does not answer in time is dropped, and so killed.
        let mut helper = match self.helper.take() {
            Some(helper) => helper,
            None => {
                let started = HelperProcess::start(&self.program);
                let helper = started.map_err(|error| broken(format!("no helper process: {error}")))?;
                let hello = Hello { device: DEVICE.into() };
                helper.tell(&hello).await.map_err(|error| broken(format!("its helper process: {error}")))?;
                helper
            }
        };
        match timeout(most, helper.ask::<Reply>(&question)).await {
            Ok(Ok((reply, _))) => {
                self.helper = Some(helper);
                reply
            }
            Ok(Err(error)) => Err(broken(format!("its helper process: {error}"))),
            Err(_) => Err(broken(format!("its helper process did not answer within {} s", most.as_secs()))),
        }
    }
}

#[async_trait]
impl Hands for RealHands {
    fn is_supported(&self) -> bool {
        Path::new(DEVICE).exists()
    }

    async fn image(&mut self, uid: &str, wish: ImageWish) -> Result<PathBuf, DiskError> {
        let most = if matches!(wish, ImageWish::Mounted(_)) { IMAGE_MAX } else { UNMOUNT_MAX };
        self.disks.image(uid, wish, Instant::now() + most).await
    }

    fn mounted(&self) -> Vec<String> {
        self.disks.images()
    }

    async fn bind(&mut self, folder: &Path) -> Result<(), Refusal> {
        self.ask(Question::Bind(folder.into()), BIND_MAX).await.map(drop)
    }

    async fn tend(&mut self) -> Result<Tended, Refusal> {
        let within_ms = u64::try_from(TEND.as_millis()).unwrap_or(u64::MAX);
        match self.ask(Question::Tend { within_ms }, TEND_MAX).await? {
            Answer::Tended(tended) => Ok(tended),
            Answer::Bound | Answer::Unbound => Err(Refusal {
                kind: RefusalKind::Broken,
                message: "its helper process answered another question".into(),
            }),
        }
    }

    async fn unbind(&mut self) {
        if self.helper.is_some()
            && let Err(refusal) = self.ask(Question::Unbind, BIND_MAX).await
        {
            tracing::warn!(%refusal, "the cache was not unbound: its helper process was killed");
        }
        // Whatever it still holds goes with it.
        self.helper = None;
    }

    fn stats(&self) -> Option<Stats> {
        let release = std::fs::read_to_string(stats::RELEASE).unwrap_or_default();
        stats::parse(&std::fs::read_to_string(stats::FILE).ok()?, &release)
    }
}
