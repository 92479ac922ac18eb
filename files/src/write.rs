//! A file under construction. It grows under a name of its own in the process's folder, out of everybody's sight, and gets its
//! final name once it is whole: nobody ever sees half a file, and what is given up leaves nothing.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, fstat, ftruncate, futimens, openat, unlinkat,
};
use rustix::io::Errno;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::{Entry, EntryType};
use workspacefs_sys::writeback;

use crate::disk;
use crate::error::Error;
use crate::facts::Facts;
use crate::kept::Kept;
use crate::opened::Opened;
use crate::place::{self, At};
use crate::placing::{Existing, Placing};
use crate::room;
use crate::root::{Area, Root, refused_by};
use crate::turns::Temporary;
use crate::uploads::Held;

const NS_PER_S: i128 = 1_000_000_000;
const WRITE: &str = "write the file";
/// The most that is written by one call. For larger ones the kernel takes memory in pieces of 2 MiB, which a virtual machine may
/// have to ask its host for: ten times slower was seen.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// In windows of so many bytes a file is begun to be put on its disk while more of it comes: to wait for all of it at the end
/// would take as long once more.
const WINDOW_BYTES: u64 = 8 << 20;

/// See the module. Dropped before it has its name, it is removed.
#[derive(Debug)]
pub struct NewFile {
    root: Arc<Root>,
    area: OwnedFd,
    name: String,
    file: Opened,
    /// What is known of its bytes. One at a time writes or cuts, so that a write which hangs comes before what takes it back.
    bytes: Mutex<Kept>,
    /// Bytes that are to be written in all, as far as known.
    expected: u64,
    /// Kept when dropped: it has its name, or the upload goes on later.
    kept: AtomicBool,
    /// Let go with it.
    guard: Guard,
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

    /// One that was kept. What is in it is on the disk.
    ///
    /// # Errors
    /// [`Error`]. Where some of it is lost, since whoever wrote it ended before it was told so, it is empty now.
    pub(crate) fn open_kept(root: &Arc<Root>, name: String, held: Arc<Held>) -> Result<Self, Error> {
        let mut file = Self::open_with(root, name, OFlags::empty(), true, Guard::Upload { _held: held })?;
        file.bytes = Mutex::new(Kept::unknown(file.size()?));
        file.settle()?;
        Ok(file)
    }

    /// The same, of which is known how many bytes will be written: so much room is made where it turns out that there is less
    /// than there seemed.
    pub fn expecting(mut self, bytes: u64) -> Self {
        self.expected = bytes;
        self
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
                .map_err(|errno| refused_by("the folder of uploads", "make a temporary file", errno, &area))
        };
        let file = Opened::new(room::with_room(root, open)?);
        let (root, bytes, kept) = (Arc::clone(root), Mutex::default(), AtomicBool::new(kept));
        Ok(Self { root, area, name, file, bytes, expected: 0, kept, guard })
    }

    /// Writes at an offset, at most the end of what was written before. Where the file system is full, the trash gives way, oldest
    /// first: to the first bytes at once, and after those to another try of the whole.
    ///
    /// # Errors
    /// [`Error`], `Quota` and `MadeRoom` where the file system is full. What was not settled before is lost then, and taken
    /// back, and nothing more can be written.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        let mut known = self.known();
        known.check()?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let piece = &bytes[done..bytes.len().min(done + WRITE_BYTES_MAX)];
            let emptied = self.root.turns.emptied();
            match self.put(&mut known, piece, at) {
                Ok(0) => self.refused(&mut known, Error::Quota, emptied)?,
                Ok(put) => done += put,
                Err(Errno::INTR) => {}
                Err(errno) => self.refused(&mut known, self.unwritten(errno), emptied)?,
            }
        }
        if let Some((from, length)) = whole_windows(offset, bytes.len() as u64) {
            // Only to be done sooner: whatever goes wrong with it, settling says.
            let _ = writeback::begin(self.file.as_fd(), from, length);
        }
        Ok(())
    }

    /// As much of a piece as goes at once: how many bytes.
    fn put(&self, known: &mut Kept, piece: &[u8], at: u64) -> Result<usize, Errno> {
        let file = self.file.as_fd();
        // Behind bytes that the server has not taken yet, and perhaps never will, a hole would hide that they are missing.
        if !known.may_lose() && disk::lengthen(file, piece, at)? {
            known.grew(at + piece.len() as u64);
            return Ok(piece.len());
        }
        let written = disk::write(file, piece, at)?;
        if written > 0 {
            known.wrote(at + written as u64);
        }
        Ok(written)
    }

    /// Copies from the same place of another file without reading it, as far as the two can: how many bytes, none at the end.
    ///
    /// # Errors
    /// As [`NewFile::write_at`]; None where this is not possible between them, and has to be read and written.
    pub fn copy_from(&self, source: BorrowedFd<'_>, at: u64, bytes: usize) -> Result<Option<u64>, Error> {
        let mut known = self.known();
        known.check()?;
        loop {
            let emptied = self.root.turns.emptied();
            match disk::copy(source, self.file.as_fd(), at, bytes) {
                Ok(copied) => {
                    known.wrote(at + copied as u64);
                    return Ok(Some(copied as u64));
                }
                Err(Errno::INTR) => {}
                Err(Errno::NOSYS | Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
                Err(errno) => self.refused(&mut known, self.unwritten(errno), emptied)?,
            }
        }
    }

    /// After a write that was refused. Ok: it may be tried once more.
    fn refused(&self, known: &mut Kept, error: Error, emptied: u64) -> Result<(), Error> {
        if known.may_try_again(&error) && room::empty_one(&self.root, emptied) == Ok(true) {
            return Ok(());
        }
        Err(self.lose(known, error, emptied))
    }

    /// Takes back all that is not on the disk for certain, and makes room for another try where there was too little.
    fn lose(&self, known: &mut Kept, error: Error, emptied: u64) -> Error {
        let needed = known.unsettled().max(self.expected);
        let settled = known.lose(error.clone());
        take_back(&self.file, settled, &self.area, &self.name);
        let made_room = error == Error::Quota && room::make_way(&self.root, needed, emptied);
        let told = if made_room { Error::MadeRoom } else { error };
        known.lose(told.clone());
        told
    }

    /// Takes back what came after `offset`, once what is being written is there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn cut(&self, offset: u64) -> Result<(), Error> {
        let mut known = self.known();
        known.cut(offset);
        ftruncate(&self.file, offset).map_err(Error::at("take back a piece of the file"))
    }

    fn unwritten(&self, errno: Errno) -> Error {
        refused_by("it", WRITE, errno, &self.file)
    }

    fn known(&self) -> MutexGuard<'_, Kept> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once it has its name: closes it here, where that may wait.
    pub fn close(mut self) {
        drop(self.file.take());
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
    /// [`Error`]. What was not settled before is lost then, as with [`NewFile::write_at`].
    pub fn settle(&self) -> Result<(), Error> {
        self.taken(disk::settle)?.settled();
        Ok(())
    }

    /// Makes sure that the server takes what was written. That it is on a disk, only a sync of the file system says.
    ///
    /// # Errors
    /// As [`NewFile::settle`].
    pub fn deliver(&self) -> Result<(), Error> {
        self.taken(disk::deliver).map(drop)
    }

    fn taken(
        &self,
        ask: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>,
    ) -> Result<MutexGuard<'_, Kept>, Error> {
        let mut known = self.known();
        known.check()?;
        let emptied = self.root.turns.emptied();
        match ask(self.file.as_fd()) {
            Ok(()) => Ok(known),
            Err(errno) => Err(self.lose(&mut known, self.unwritten(errno), emptied)),
        }
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
        self.known().check()?;
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
            futimens(&self.file, &times(modified)?)
                .map_err(|errno| refused_by("it", "set the time", errno, &self.file))?;
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
        let known = std::mem::take(self.bytes.get_mut().unwrap_or_else(PoisonError::into_inner));
        let is_kept = *self.kept.get_mut();
        let is_upload = matches!(self.guard, Guard::Upload { .. });
        if is_kept && !(is_upload && known.is_dirty()) {
            return;
        }
        let (Ok(area), Some(file)) = (self.area.try_clone(), self.file.take()) else { return };
        let name = std::mem::take(&mut self.name);
        let guard = std::mem::replace(&mut self.guard, Guard::None);
        let end = move || {
            if is_kept {
                settle_or_take_back(&file, known, &area, &name);
            } else {
                // What cannot be removed now goes with the next sweep.
                let _ = unlinkat(&area, name.as_str(), AtFlags::empty());
            }
            drop((file, guard));
        };
        // A caller that went away drops it where nothing may wait for a server.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(end)),
            Err(_) => end(),
        }
    }
}

/// For an upload whose caller went away: whoever goes on with it takes what is there for good.
fn settle_or_take_back(file: &File, mut known: Kept, area: &OwnedFd, name: &str) {
    if let Err(errno) = disk::settle(file.as_fd()) {
        let settled = known.lose(Error::of(WRITE, errno));
        take_back(file, settled, area, name);
    }
}

/// Leaves the first so many bytes, or nothing at all where that cannot be done: bytes that may be wrong are not kept.
fn take_back(file: &File, settled: u64, area: &OwnedFd, name: &str) {
    if fstat(file).is_ok_and(|stat| stat.st_nlink > 1) {
        // It has its final name as well, and was settled before it got that.
        return;
    }
    if ftruncate(file, settled).is_err() {
        // The next sweep or the caller finds it gone, or still there where nothing can be done at all.
        let _ = unlinkat(area, name, AtFlags::empty());
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
    use crate::disk::{Call, faults};
    use crate::root::Owner;
    use crate::trash;
    use crate::uploads::Holds;

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
        let full = std::fs::write(path.join("rest"), vec![7; 4 * MIB]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        let all_room = root.turns.room(root.turns.emptied()).unwrap();
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| new.write_at(&vec![7; MIB], 0));
            // It has begun once it has its turn.
            while new.bytes.try_lock().is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let cutting = scope.spawn(|| new.cut(5));
            std::thread::sleep(Duration::from_millis(200));
            assert!(!cutting.is_finished() && !writing.is_finished());
            drop(all_room);
            assert_eq!((writing.join().unwrap(), cutting.join().unwrap()), (Ok(()), Ok(())));
        });
        assert_eq!(new.size(), Ok(5));
    }

    fn small() -> (tempfile::TempDir, Arc<Root>, FilePath) {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path(), Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap());
        (dir, root, FilePath::decode("new").unwrap())
    }

    #[test]
    fn zeros_at_the_end_of_a_file_become_a_hole_and_elsewhere_they_are_written() {
        use std::os::unix::fs::MetadataExt as _;
        const MIB: u64 = 1 << 20;
        let (dir, root, path) = small();
        let new = NewFile::create(&root).unwrap();
        let mut expected = Vec::new();
        for (length, byte) in [(32 * MIB + 5, 0), (7, b'm'), (MIB, 0), (3 * MIB, b'x'), (16 * MIB, 0)] {
            let bytes = vec![byte; length as usize];
            new.write_at(&bytes, expected.len() as u64).unwrap();
            new.settle().unwrap();
            expected.extend_from_slice(&bytes);
        }
        // Some of what is there already once more, and in the place of other bytes.
        let at = expected.len() - (18 * MIB) as usize;
        new.write_at(&vec![0; MIB as usize], at as u64).unwrap();
        expected[at..at + MIB as usize].fill(0);
        new.cut(34 * MIB).unwrap();
        expected.truncate((34 * MIB) as usize);
        new.settle().unwrap();
        new.write_at(&vec![0; 3 * MIB as usize], 34 * MIB).unwrap();
        expected.resize((37 * MIB) as usize, 0);
        new.place(&Placing::new(path)).unwrap();
        let there = dir.path().join("new");
        assert!(std::fs::read(&there).unwrap() == expected);
        let taken = std::fs::metadata(there).unwrap().blocks() * 512;
        assert!(taken < 4 * MIB, "{taken} bytes are taken");
    }

    #[test]
    fn zeros_behind_bytes_that_may_still_be_lost_are_written() {
        use std::os::unix::fs::MetadataExt as _;
        const MIB: usize = 1 << 20;
        let (_dir, root, _) = small();
        let new = NewFile::create(&root).unwrap();
        new.write_at(&vec![b'x'; MIB], 0).unwrap();
        new.write_at(&vec![0; MIB], MIB as u64).unwrap();
        new.settle().unwrap();
        assert!(new.file().metadata().unwrap().blocks() * 512 >= 2 * MIB as u64);
    }

    /// Over NFS a write tells that earlier ones had no room. They are dropped then, and all later calls say that all is well.
    #[test]
    fn a_file_that_lost_something_gets_no_name_although_everything_went_well_afterwards() {
        let (dir, root, path) = small();
        for errno in [Errno::DQUOT, Errno::NOSPC, Errno::IO] {
            let new = NewFile::create(&root).unwrap();
            faults::after(Call::Write, 1, errno);
            new.write_at(b"lost", 0).unwrap();
            let error = new.write_at(b"more", 4).unwrap_err();
            assert_eq!(error, Error::of(WRITE, errno));
            assert_eq!(new.write_at(b"more", 4), Err(error.clone()));
            assert_eq!((new.settle(), new.deliver()), (Err(error.clone()), Err(error.clone())));
            let placing = Placing::new(path.clone());
            assert_eq!(new.place_settled(&placing), Err(error.clone()));
            assert_eq!(new.place(&placing).unwrap_err(), error);
        }
        // The same of a sync that failed: the next says that all is well.
        let new = NewFile::create(&root).unwrap();
        new.write_at(b"lost", 0).unwrap();
        faults::after(Call::Settle, 0, Errno::DQUOT);
        assert_eq!(new.settle(), Err(Error::Quota));
        assert_eq!(new.place(&Placing::new(path)).unwrap_err(), Error::Quota);
        assert!(!dir.path().join("new").exists());
    }

    #[test]
    fn first_bytes_are_tried_again_once_there_is_room() {
        let (dir, root, path) = small();
        for name in ["a", "b"] {
            std::fs::write(dir.path().join(name), "deleted").unwrap();
            trash::put(&root, &FilePath::decode(name).unwrap(), false, "jane").unwrap();
        }
        let new = NewFile::create(&root).unwrap();
        faults::after(Call::Write, 0, Errno::DQUOT);
        new.write_at(b"whole", 0).unwrap();
        new.place(&Placing::new(path)).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("new")).unwrap(), "whole");
        assert_eq!(trash::usage(&root).unwrap().0.entries, 1, "only so much as was needed");
    }

    #[test]
    fn as_much_of_the_trash_gives_way_as_the_whole_needs_and_the_caller_is_told() {
        let (dir, root, _) = small();
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(name), "8 bytes.").unwrap();
            trash::put(&root, &FilePath::decode(name).unwrap(), false, "jane").unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        let new = NewFile::create(&root).unwrap().expecting(12);
        new.write_at(b"four", 0).unwrap();
        faults::after(Call::Settle, 0, Errno::DQUOT);
        assert_eq!(new.settle(), Err(Error::MadeRoom));
        assert_eq!(new.deliver(), Err(Error::MadeRoom));
        let left = trash::list(&root, 30, 9, None).unwrap().entries;
        assert_eq!(left.into_iter().map(|entry| entry.path).collect::<Vec<_>>(), ["c"]);
        // More than there could be: what is deleted stays.
        let new = NewFile::create(&root).unwrap().expecting(u64::MAX);
        new.write_at(b"four", 0).unwrap();
        faults::after(Call::Settle, 0, Errno::DQUOT);
        assert_eq!(new.settle(), Err(Error::Quota));
        assert_eq!(trash::usage(&root).unwrap().0.entries, 1);
    }

    fn upload(root: &Arc<Root>) -> Result<NewFile, Error> {
        let held = Holds::default().hold_free("id").unwrap();
        NewFile::open_kept(root, "id.data".into(), Arc::new(held))
    }

    #[test]
    fn an_upload_goes_on_from_what_was_settled_before_something_was_lost() {
        let (dir, root, _) = small();
        drop(NewFile::create_kept(&root, "id.data".into()).unwrap());
        let read = || std::fs::read_to_string(dir.path().join(".workspacefs-files/uploads/id.data")).unwrap();
        let first = upload(&root).unwrap();
        first.write_at(b"settled ", 0).unwrap();
        first.settle().unwrap();
        first.write_at(b"lost", 8).unwrap();
        faults::after(Call::Write, 0, Errno::DQUOT);
        assert_eq!(first.write_at(b"more", 12), Err(Error::Quota));
        assert_eq!(read(), "settled ");
        drop(first);
        // The caller goes away before anybody asked whether its bytes are there.
        let second = upload(&root).unwrap();
        second.write_at(b"there", 8).unwrap();
        drop(second);
        assert_eq!(read(), "settled there");
        let third = upload(&root).unwrap();
        third.write_at(b" lost", 13).unwrap();
        faults::after(Call::Settle, 0, Errno::DQUOT);
        drop(third);
        assert_eq!(read(), "settled there");
    }

    #[test]
    fn an_upload_that_lost_nobody_knows_what_begins_anew() {
        let (dir, root, _) = small();
        drop(NewFile::create_kept(&root, "id.data".into()).unwrap());
        let data = dir.path().join(".workspacefs-files/uploads/id.data");
        // Of a process that ended in the middle.
        std::fs::write(&data, "lost").unwrap();
        faults::after(Call::Settle, 0, Errno::DQUOT);
        assert_eq!(upload(&root).map(drop), Err(Error::Quota));
        assert_eq!(std::fs::metadata(&data).unwrap().len(), 0);
    }
}
