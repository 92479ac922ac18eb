//! What the process is able to do by now: nothing while the disk is not ours, with the reason; everything once it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use workspacefs_storage::folders::Folders;

/// Shared by all who serve.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    disk: RwLock<DiskState>,
    serving: AtomicBool,
}

#[derive(Clone)]
enum DiskState {
    Waiting(String),
    Ready(Arc<Folders>),
}

/// The disk cannot be used, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NotReady(pub String);

impl State {
    /// Nothing yet.
    pub fn new() -> Self {
        let disk = RwLock::new(DiskState::Waiting("the disk is being looked at".into()));
        Self(Arc::new(Inner { disk, serving: AtomicBool::new(false) }))
    }

    fn set(&self, state: DiskState) {
        *self.0.disk.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The disk cannot be used.
    pub fn wait(&self, reason: String) {
        self.set(DiskState::Waiting(reason));
    }

    /// The disk is ours.
    pub fn open(&self, folders: Arc<Folders>) {
        self.set(DiskState::Ready(folders));
    }

    /// The folders.
    ///
    /// # Errors
    /// [`NotReady`] with the reason.
    pub fn folders(&self) -> Result<Arc<Folders>, NotReady> {
        match &*self.0.disk.read().unwrap_or_else(PoisonError::into_inner) {
            DiskState::Ready(folders) => Ok(folders.clone()),
            DiskState::Waiting(reason) => Err(NotReady(reason.clone())),
        }
    }

    /// Whether the NFS server answers.
    pub fn is_serving(&self) -> bool {
        self.0.serving.load(Ordering::Acquire)
    }

    /// The NFS server answers, or does not.
    pub fn set_serving(&self, serving: bool) {
        self.0.serving.store(serving, Ordering::Release);
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}
