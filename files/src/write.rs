//! A file under construction. It grows under a name of its own in the process's folder, out of everybody's sight, and gets its
//! final name once it is whole: nobody ever sees half a file, and what is given up leaves nothing.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, fsync, ftruncate, futimens, openat, unlinkat,
};
use rustix::io::Errno;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::{Entry, EntryType};
use workspacefs_sys::writeback;

use crate::error::Error;
use crate::facts::Facts;
use crate::place::{self, At};
use crate::room;
use crate::root::{Area, Root};
use crate::turns::Temporary;
use crate::uploads::Held;

const NS_PER_S: i128 = 1_000_000_000;
/// The most that is written by one call. For larger ones the kernel takes memory in pieces of 2 MiB, which a virtual machine may
/// have to ask its host for: ten times slower was seen.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// In windows of so many bytes a file is begun to be put on its disk while more of it comes: to wait for all of it at the end
/// would take as long once more.
const WINDOW_BYTES: u64 = 8 << 20;

/// What becomes of a file that has the name already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// It stays: [`Error::Exists`].
    Keep,
    /// It is replaced if its ETag is one of these: [`Error::Precondition`]. `*` is any.
    Match(Vec<String>),
}

/// How a file is to look, and where.
#[derive(Clone, Debug)]
pub struct Placing {
    /// Its path.
    pub path: FilePath,
    /// Whether missing folders above it are made.
    pub parents: bool,
    /// What becomes of a file that has the name already.
    pub existing: Existing,
    /// Time of modification, nanoseconds since 1970.
    pub modified: Option<i128>,
    /// Permission bits.
    pub mode: Option<u32>,
}

impl Placing {
    /// A file with its folders, in the place of what is there.
    pub fn new(path: FilePath) -> Self {
        Self { path, parents: true, existing: Existing::Replace, modified: None, mode: None }
    }

    /// Whether the name could be given now: asked before the content is taken, and once more when it is there.
    ///
    /// # Errors
    /// What [`NewFile::place`] would say.
    pub fn check(&self, root: &Root) -> Result<(), Error> {
        let facts = match root.facts(&self.path) {
            Ok(facts) => Some(facts),
            // Of missing folders only those are no matter that will be made.
            Err(Error::NotFound) => {
                root.parent(&self.path, false).map(drop).or_else(|error| match error {
                    Error::NotFound if self.parents && root.parent_can_be_made(&self.path) => Ok(()),
                    error => Err(error),
                })?;
                None
            }
            Err(error) => return Err(error),
        };
        self.judge(facts.as_ref())
    }

    fn judge(&self, existing: Option<&Facts>) -> Result<(), Error> {
        if existing.is_some_and(|facts| facts.kind == EntryType::Dir) {
            return Err(Error::IsDirectory);
        }
        match (&self.existing, existing) {
            (Existing::Keep, Some(_)) => Err(Error::Exists),
            (Existing::Match(_), None) => Err(Error::Precondition),
            (Existing::Match(tags), Some(facts)) => {
                let etag = facts.etag();
                let matches = tags.iter().any(|tag| tag == "*" || *tag == etag);
                if matches { Ok(()) } else { Err(Error::Precondition) }
            }
            (Existing::Replace, _) | (Existing::Keep, None) => Ok(()),
        }
    }
}

/// See the module. Dropped before it has its name, it is removed.
#[derive(Debug)]
pub struct NewFile {
    root: Arc<Root>,
    area: OwnedFd,
    name: String,
    file: File,
    /// One at a time writes or cuts, so that a write which hangs comes before what takes it back.
    turn: Mutex<()>,
    /// Kept when dropped: it has its name, or the upload goes on later.
    kept: AtomicBool,
    /// Let go with it.
    _guard: Guard,
}

/// What says that a file is still being written.
#[derive(Debug)]
enum Guard {
    None,
    Temporary { _name: Temporary },
    Upload { _held: Arc<Held> },
}

impl NewFile {
    /// An empty one.
    ///
    /// # Errors
    /// [`Error`].
    pub fn create(root: &Arc<Root>) -> Result<Self, Error> {
        let temporary = root.turns.temporary();
        let (name, guard) = (temporary.name.clone(), Guard::Temporary { _name: temporary });
        Self::open_with(root, name, OFlags::CREATE | OFlags::EXCL, false, guard)
    }

    /// An empty one of this name, which stays when it is dropped.
    pub(crate) fn create_kept(root: &Arc<Root>, name: String) -> Result<Self, Error> {
        Self::open_with(root, name, OFlags::CREATE | OFlags::EXCL, true, Guard::None)
    }

    /// One that was kept.
    pub(crate) fn open_kept(root: &Arc<Root>, name: String, held: Arc<Held>) -> Result<Self, Error> {
        Self::open_with(root, name, OFlags::empty(), true, Guard::Upload { _held: held })
    }

    fn open_with(
        root: &Arc<Root>,
        name: String,
        flags: OFlags,
        kept: bool,
        guard: Guard,
    ) -> Result<Self, Error> {
        let area = root.area(Area::Uploads)?;
        let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || {
            openat(&area, name.as_str(), flags, Mode::RUSR | Mode::WUSR)
                .map_err(Error::at("make a temporary file"))
        };
        let file = File::from(room::with_room(root, open)?);
        let (root, turn, kept) = (Arc::clone(root), Mutex::default(), AtomicBool::new(kept));
        Ok(Self { root, area, name, file, turn, kept, _guard: guard })
    }

    /// Writes at an offset. Where the file system is full, the trash is emptied, oldest first.
    ///
    /// # Errors
    /// [`Error`], `Quota` where that was not enough.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        let _turn = self.turn();
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let piece = &bytes[done..bytes.len().min(done + WRITE_BYTES_MAX)];
            let write = || match rustix::io::pwrite(&self.file, piece, at) {
                Ok(0) => Err(Error::Quota),
                Ok(written) => Ok(written),
                Err(Errno::INTR) => Ok(0),
                Err(errno) => Err(Error::of("write the file", errno)),
            };
            done += room::with_room(&self.root, write)?;
        }
        if let Some((from, length)) = whole_windows(offset, bytes.len() as u64) {
            // Only to be done sooner: whatever goes wrong with it, settling says.
            let _ = writeback::begin(self.file.as_fd(), from, length);
        }
        Ok(())
    }

    /// Takes back what came after `offset`, once what is being written is there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn cut(&self, offset: u64) -> Result<(), Error> {
        let _turn = self.turn();
        ftruncate(&self.file, offset).map_err(Error::at("take back a piece of the file"))
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this name is already its own.
    ///
    /// # Errors
    /// [`Error`].
    pub fn has_name(&self, path: &FilePath) -> Result<bool, Error> {
        let own = Facts::of(&self.file).map_err(Error::at("look at the temporary file"))?;
        Ok(self.root.facts(path).is_ok_and(|facts| (facts.dev, facts.ino) == (own.dev, own.ino)))
    }

    /// The file, for reading it back.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes it holds.
    ///
    /// # Errors
    /// [`Error`].
    pub fn size(&self) -> Result<u64, Error> {
        Ok(Facts::of(&self.file).map_err(Error::at("look at the temporary file"))?.size)
    }

    /// Puts what was written on the server's disk. Over NFS only this says whether there was space.
    ///
    /// # Errors
    /// [`Error`].
    pub fn settle(&self) -> Result<(), Error> {
        self.taken(fsync(&self.file))
    }

    /// Makes sure that the server takes what was written. That it is on a disk, only a sync of the file system says.
    ///
    /// # Errors
    /// [`Error`].
    pub fn deliver(&self) -> Result<(), Error> {
        self.taken(writeback::deliver(self.file.as_fd()))
    }

    fn taken(&self, result: Result<(), Errno>) -> Result<(), Error> {
        result.map_err(Error::at("write the file")).inspect_err(|error| {
            if *error == Error::Quota {
                // What was written is lost; there shall be room for the next try.
                let _ = room::empty_one(&self.root, self.root.turns.emptied());
            }
        })
    }

    /// Gives it its owner, mode, time and final name. True where nothing had the name.
    ///
    /// # Errors
    /// [`Error`]; the name is as it was then, and the file is removed unless it is a kept one.
    pub fn place(&self, placing: &Placing) -> Result<(Entry, bool), Error> {
        self.place_after(placing, Self::settle)
    }

    /// The same for one that is on the disk, settled together with others.
    ///
    /// # Errors
    /// As [`NewFile::place`].
    pub fn place_settled(&self, placing: &Placing) -> Result<(), Error> {
        self.place_after(placing, |_| Ok(())).map(drop)
    }

    fn place_after(
        &self,
        placing: &Placing,
        written: impl FnOnce(&Self) -> Result<(), Error>,
    ) -> Result<(Entry, bool), Error> {
        let (folder, name) = self.root.parent(&placing.path, placing.parents)?;
        let existing = match Facts::at(folder.as_fd(), name) {
            Ok(facts) => Some(facts),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(self.root.denied("look at what has the name", errno, folder.as_fd())),
        };
        placing.judge(existing.as_ref())?;
        // A program that is replaced stays one.
        let replaced = existing.filter(|facts| facts.kind == EntryType::File).map(|facts| facts.mode & 0o777);
        let mode = placing.mode.or(replaced).unwrap_or_else(|| self.root.owner().file_mode());
        self.root.give(self.file.as_fd(), mode)?;
        if let Some(modified) = placing.modified {
            futimens(&self.file, &times(modified)?).map_err(Error::at("set the time"))?;
        }
        written(self)?;
        placing.judge(Facts::at(folder.as_fd(), name).ok().as_ref())?;
        let from = At { folder: self.area.as_fd(), name: self.name.as_bytes() };
        let to = At { folder: folder.as_fd(), name };
        let placed = match placing.existing {
            Existing::Keep => place::add(from, to),
            Existing::Replace | Existing::Match(_) => place::replace(from, to),
        };
        placed.map_err(|errno| self.root.denied("give the file its name", errno, folder.as_fd()))?;
        self.kept.store(true, Ordering::Relaxed);
        let facts = Facts::of(&self.file).map_err(Error::at("look at the new file"))?;
        Ok((facts.entry(&placing.path), existing.is_none()))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if *self.kept.get_mut() {
            return;
        }
        let (area, name) = (self.area.try_clone(), std::mem::take(&mut self.name));
        let remove = move || {
            // What cannot be removed now goes with the next sweep.
            let _ = area.map(|area| unlinkat(&area, name.as_str(), AtFlags::empty()));
        };
        // A caller that went away drops it where nothing may wait for a server.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// The windows that are full once these bytes are written, and were not before: their beginning and length.
fn whole_windows(offset: u64, length: u64) -> Option<(u64, u64)> {
    let windows = |bytes: u64| bytes / WINDOW_BYTES * WINDOW_BYTES;
    let (from, to) = (windows(offset), windows(offset.saturating_add(length)));
    (from < to).then(|| (from, to - from))
}

/// Times to set: modification only.
fn times(modified: i128) -> Result<Timestamps, Error> {
    let seconds = i64::try_from(modified.div_euclid(NS_PER_S));
    let seconds = seconds.map_err(|_| Error::field("modified", "no file system has this time"))?;
    // Below a second by rem_euclid.
    let nanoseconds = modified.rem_euclid(NS_PER_S) as _;
    Ok(Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::time::Duration;

    use workspacefs_sys::filesystem::{Access, Context};

    use super::*;
    use crate::root::Owner;
    use crate::trash;

    #[test]
    fn a_window_is_put_on_the_disk_once_and_whole() {
        const HALF: u64 = WINDOW_BYTES / 2;
        assert_eq!(whole_windows(0, WINDOW_BYTES - 1), None);
        assert_eq!(whole_windows(WINDOW_BYTES - 1, 1), Some((0, WINDOW_BYTES)));
        assert_eq!(whole_windows(WINDOW_BYTES, HALF), None);
        assert_eq!(whole_windows(3 * HALF, 5 * HALF), Some((WINDOW_BYTES, 3 * WINDOW_BYTES)));
        assert_eq!(whole_windows(u64::MAX, 1), None);
    }

    /// It needs root, as the tests of mounts do: a write waits here for room on a full file system.
    #[test]
    fn what_is_taken_back_is_so_after_a_write_that_hangs() {
        const MIB: usize = 1 << 20;
        let context = Context::open("tmpfs").unwrap();
        context.set("size", "4m").unwrap();
        let mount = context.mount(Access::Full).unwrap();
        let path = std::path::PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
        let root = Arc::new(Root::open(&path, Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap());
        std::fs::write(path.join("old"), vec![7; 2 * MIB]).unwrap();
        trash::put(&root, &FilePath::decode("old").unwrap(), false, "jane").unwrap();
        let new = NewFile::create(&root).unwrap();
        let all_room = root.turns.room(root.turns.emptied()).unwrap();
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| new.write_at(&vec![7; 3 * MIB], 0));
            while new.size().unwrap() < 2 * MIB as u64 - 64 * 1024 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let cutting = scope.spawn(|| new.cut(5));
            std::thread::sleep(Duration::from_millis(200));
            assert!(!cutting.is_finished());
            drop(all_room);
            assert_eq!((writing.join().unwrap(), cutting.join().unwrap()), (Ok(()), Ok(())));
        });
        assert_eq!(new.size(), Ok(5));
    }
}
