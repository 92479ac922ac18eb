//! The folders: one per FileSystem, one per claim, and the removed ones. The records on the disk are the truth; what is in
//! memory is made from them at the start, and again after any step that failed, by the same code that repairs what a crash
//! left (`repair`). One lock: an operation is a few system calls, and no two may meet.

mod account;
mod claim;
mod discard;
pub mod error;
mod file_system;
pub mod model;
mod removed;
mod repair;
mod trash;
pub mod types;
mod work;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use error::{
    DiscardError, Doubt, EnsureClaimError, EnsureFileSystemError, GetClaimError, GrowClaimError, ReadError,
    RemoveError, RestoreError, StepError, TrashError,
};
use model::Model;
pub use trash::Doomed;
use types::{
    ClaimView, ClaimWish, Disposal, FileSystemView, FileSystemWish, Overview, RemovedView, Restored,
};
use work::Work;

use crate::disk::Disk;
use crate::names::{ClaimKey, Uid};
use crate::sizes::Promises;

/// Seconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// All folders of one disk.
pub struct Folders {
    disk: Arc<dyn Disk>,
    clock: Clock,
    trash_keep_seconds: i64,
    promises: Promises,
    /// None after a step failed: made again by the next operation.
    model: Mutex<Option<Model>>,
}

impl Folders {
    /// Reads the records and repairs what a crash left.
    ///
    /// # Errors
    /// The disk.
    pub fn open(disk: Arc<dyn Disk>, clock: Clock, trash_keep_seconds: i64) -> Result<Self, StepError> {
        let model = repair::load(disk.as_ref())?;
        disk.prune()?;
        let promises = Promises::default();
        Ok(Self { disk, clock, trash_keep_seconds, promises, model: Mutex::new(Some(model)) })
    }

    /// Another policy about what is promised, from now on.
    pub fn set_promises(&mut self, promises: Promises) {
        self.promises = promises;
    }

    /// The disk below.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    fn run<T, E>(&self, operation: impl FnOnce(&mut Work<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StepError> + Doubt,
    {
        let mut guard = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out: an operation that panics leaves nothing behind that could be wrong.
        let mut model = match guard.take() {
            Some(model) => model,
            None => repair::load(self.disk.as_ref())?,
        };
        let now = (self.clock)();
        let mut work = Work {
            disk: self.disk.as_ref(),
            model: &mut model,
            now,
            trash_keep_seconds: self.trash_keep_seconds,
            promises: self.promises,
        };
        let result = operation(&mut work);
        if !result.as_ref().is_err_and(Doubt::leaves_doubt) {
            *guard = Some(model);
        }
        result
    }

    /// Makes or finds a FileSystem's folder, and brings its capacity to what is asked.
    ///
    /// # Errors
    /// [`EnsureFileSystemError`].
    pub fn ensure_file_system(&self, wish: &FileSystemWish) -> Result<FileSystemView, EnsureFileSystemError> {
        self.run(|work| work.ensure_file_system(wish))
    }

    /// Ends a FileSystem. Gives back where its folder is now; None if there was none.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub fn remove_file_system(&self, uid: &Uid, disposal: Disposal) -> Result<Option<String>, RemoveError> {
        self.run(|work| work.remove_file_system(uid, disposal))
    }

    /// Every FileSystem.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn file_systems(&self) -> Result<Vec<FileSystemView>, ReadError> {
        self.run(|work| work.file_systems().map_err(ReadError))
    }

    /// One FileSystem; None if there is none of that uid.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn file_system(&self, uid: &Uid) -> Result<Option<FileSystemView>, ReadError> {
        self.run(|work| work.find_file_system(uid).map_err(ReadError))
    }

    /// Makes or finds a claim.
    ///
    /// # Errors
    /// [`EnsureClaimError`].
    pub fn ensure_claim(&self, wish: &ClaimWish) -> Result<ClaimView, EnsureClaimError> {
        self.run(|work| work.ensure_claim(wish))
    }

    /// A claim that is there.
    ///
    /// # Errors
    /// [`GetClaimError`].
    pub fn claim(&self, key: &ClaimKey) -> Result<ClaimView, GetClaimError> {
        self.run(|work| work.claim(key))
    }

    /// Makes a claim at least so large.
    ///
    /// # Errors
    /// [`GrowClaimError`].
    pub fn grow_claim(&self, key: &ClaimKey, required: u64, limit: u64) -> Result<ClaimView, GrowClaimError> {
        self.run(|work| work.grow_claim(key, required, limit))
    }

    /// Removes a claim. Gives back where its folder is now; None if there was none.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub fn remove_claim(&self, key: &ClaimKey, disposal: Disposal) -> Result<Option<String>, RemoveError> {
        self.run(|work| work.remove_claim(key, disposal))
    }

    /// Folders that are kept, and that no FileSystem has.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn removed(&self) -> Result<Vec<RemovedView>, ReadError> {
        self.run(|work| work.removed().map_err(ReadError))
    }

    /// Puts a folder of trash or archive, by its path, back where it was.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn restore(&self, path: &str) -> Result<Restored, RestoreError> {
        self.run(|work| work.restore(path))
    }

    /// Moves a folder that is kept for no FileSystem, by its path, into the trash. Gives back its path there; None if
    /// somebody had removed it by hand.
    ///
    /// # Errors
    /// [`DiscardError`].
    pub fn discard(&self, path: &str) -> Result<Option<String>, DiscardError> {
        self.run(|work| work.discard(path))
    }

    /// The disk as a whole.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn overview(&self) -> Result<Overview, ReadError> {
        self.run(|work| work.overview().map_err(ReadError))
    }

    /// What is in use on the disk and is in no folder of ours; 0 where it is no more than our own records take, or where nothing
    /// is counted. `aside` bytes in no folder are known and not told. Asks about each project once.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn unaccounted(&self, aside: u64) -> Result<u64, ReadError> {
        self.run(|work| work.unaccounted(aside).map_err(ReadError))
    }

    /// The folder of the trash that is to be emptied next, none of the projects `except`; from now on it cannot be
    /// restored.
    ///
    /// # Errors
    /// [`TrashError`].
    pub fn doom(&self, except: &BTreeSet<u32>) -> Result<Option<Doomed>, TrashError> {
        self.run(|work| work.doom(except).map_err(TrashError))
    }

    /// Forgets a folder of the trash whose files are all deleted.
    ///
    /// # Errors
    /// [`TrashError`].
    pub fn forget(&self, doomed: &Doomed) -> Result<(), TrashError> {
        self.run(|work| work.forget(doomed).map_err(TrashError))
    }
}
