//! Copies within the file system. What is copied grows out of sight and gets its name when it is whole, a tree by the copy engine.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, mkdirat, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::EntryType;
use workspacefs_sync::{Control, Keep, Options, Problem, Report, Stop, SyncError};

use crate::error::Error;
use crate::facts::Facts;
use crate::ids;
use crate::place::{self, At};
use crate::placing::{Existing, Placing};
use crate::room;
use crate::root::{Area, Root, child, refused_by, regular};
use crate::tree;
use crate::watched::Watched;
use crate::write::NewFile;

/// Between two looks at whether anybody still waits.
const PIECE_BYTES: usize = 8 << 20;

/// How far a copy is, and a word to stop it.
#[derive(Debug, Default)]
pub struct Watch {
    /// Of the run that goes on: each has its own.
    tree: Mutex<Control>,
    cancelled: AtomicBool,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Watch {
    /// Files and bytes so far.
    pub fn so_far(&self) -> (u64, u64) {
        let done = self.control().snapshot().files.done;
        (self.files.load(Ordering::Relaxed) + done.files, self.bytes.load(Ordering::Relaxed) + done.bytes)
    }

    /// Stop.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.control().cancel();
    }

    /// All over again.
    fn begin_anew(&self) {
        for counter in [&self.files, &self.bytes] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cut) } else { Ok(()) }
    }

    fn control(&self) -> Control {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn another_run(&self) -> Result<Control, Error> {
        let control = Control::new();
        *self.tree.lock().unwrap_or_else(PoisonError::into_inner) = control.clone();
        // Whoever cancels sets the flag first, so one of the two sees the other.
        self.check()?;
        Ok(control)
    }
}

/// What is to be copied.
#[derive(Clone, Debug)]
pub struct Copy {
    /// From here.
    pub from: FilePath,
    /// To here.
    pub to: FilePath,
    /// Whether a file that has the place is replaced.
    pub overwrite: bool,
    /// Whether missing folders above it are made.
    pub parents: bool,
}

impl Copy {
    fn placing(&self) -> Placing {
        let existing = if self.overwrite { Existing::Replace } else { Existing::Keep };
        Placing { parents: self.parents, existing, ..Placing::new(self.to.clone()) }
    }

    /// Whether it can begin.
    ///
    /// # Errors
    /// [`Error`].
    pub fn check(&self, root: &Root) -> Result<(), Error> {
        if self.from.is_root() || self.to.is_root() {
            return Err(Error::bad("the root is neither copied nor copied over"));
        }
        if root.facts(&self.from)?.kind == EntryType::Other {
            return Err(Error::NotRegular);
        }
        self.placing().check(root).map_err(|error| match error {
            // Nothing is copied over a folder.
            Error::IsDirectory => Error::Exists,
            error => error,
        })
    }

    /// Copies. Where the file system turned out to be full, and what was deleted gave way, all over again.
    ///
    /// # Errors
    /// [`Error`]; nothing is left under the new name then.
    pub fn run(&self, root: &Arc<Root>, watch: &Watch) -> Result<(), Error> {
        loop {
            match self.run_once(root, watch) {
                // Each time something went from the trash, which has an end.
                Err(Error::MadeRoom) => watch.begin_anew(),
                other => return other,
            }
        }
    }

    fn run_once(&self, root: &Arc<Root>, watch: &Watch) -> Result<(), Error> {
        let (folder, name) = root.parent(&self.from, false)?;
        let facts = Facts::at(folder.as_fd(), name)
            .map_err(|errno| root.denied("look at it", errno, folder.as_fd()))?;
        match facts.kind {
            EntryType::File => self.file(root, &folder, name, watch),
            EntryType::Symlink => self.link(root, &folder, name, watch),
            EntryType::Dir => self.tree(root, &child(folder.as_fd(), name)?, watch),
            EntryType::Other => Err(Error::NotRegular),
        }
    }

    fn file(&self, root: &Arc<Root>, folder: &OwnedFd, name: &[u8], watch: &Watch) -> Result<(), Error> {
        let (source, facts) = regular(folder.as_fd(), name)?;
        room::make_room(root, facts.size)?;
        let new = NewFile::create(root)?.expecting(facts.size);
        let source = File::from(source);
        let mut at = 0;
        loop {
            watch.check()?;
            let copied = copy_piece(&source, &new, at)?;
            if copied == 0 {
                break;
            }
            at += copied;
            watch.bytes.fetch_add(copied, Ordering::Relaxed);
        }
        let mode = Some(facts.mode & 0o777);
        new.place(&Placing { mode, modified: Some(facts.modified), ..self.placing() })?;
        watch.files.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn link(&self, root: &Root, folder: &OwnedFd, name: &[u8], watch: &Watch) -> Result<(), Error> {
        let target = readlinkat(folder, name, Vec::new()).map_err(Error::at("read the link"))?;
        let area = root.area(Area::Uploads)?;
        let new = format!("{}.put", ids::new());
        symlinkat(target, &area, new.as_str())
            .map_err(|errno| refused_by("the folder of uploads", "make a link", errno, &area))?;
        self.put_in_place(root, At { folder: area.as_fd(), name: new.as_bytes() }).inspect_err(|_| {
            // The first error is the one that explains.
            let _ = unlinkat(&area, new.as_str(), AtFlags::empty());
        })?;
        watch.files.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn tree(&self, root: &Root, source: &OwnedFd, watch: &Watch) -> Result<(), Error> {
        let area = root.area(Area::Uploads)?;
        let temporary = root.turns.temporary();
        let new = &temporary.name;
        let emptied = root.turns.emptied();
        room::with_room(root, || {
            mkdirat(&area, new.as_str(), Mode::RWXU)
                .map_err(|errno| refused_by("the folder of uploads", "make a folder", errno, &area))
        })?;
        // Each file's own errors nobody hears that come after it was written, so the file system is asked for all of them.
        let copied = Watched::new(root).and_then(|watched| {
            let target = child(area.as_fd(), new.as_bytes())?;
            copy_tree(source, &target, &watch.another_run()?)?;
            watched.sync()?;
            watch.check()?;
            self.put_in_place(root, At { folder: area.as_fd(), name: new.as_bytes() })
        });
        copied.map_err(|error| {
            // What is left of it goes with the next sweep.
            let _ = tree::delete(area.as_fd(), OsStr::new(new));
            let is_full = error == Error::Quota;
            // Nothing of it is taken for whole any more: over NFS a file may have lost something and look as it should.
            let needed = || tree::measure(source.as_fd()).unwrap_or(0);
            if is_full && room::make_way(root, needed(), emptied) { Error::MadeRoom } else { error }
        })
    }

    fn put_in_place(&self, root: &Root, from: At<'_>) -> Result<(), Error> {
        let (folder, name) = root.parent(&self.to, self.parents)?;
        let to = At { folder: folder.as_fd(), name };
        let placed = if self.overwrite { place::replace(from, to) } else { place::add(from, to) };
        placed.map_err(|errno| match errno {
            Errno::NOTDIR | Errno::NOTEMPTY | Errno::ISDIR => Error::Exists,
            errno => root.denied("give it its name", errno, folder.as_fd()),
        })
    }
}

fn copy_piece(source: &File, new: &NewFile, at: u64) -> Result<u64, Error> {
    use std::os::unix::fs::FileExt as _;
    if let Some(copied) = new.copy_from(source.as_fd(), at, PIECE_BYTES)? {
        return Ok(copied);
    }
    let mut buffer = vec![0; 1 << 20];
    let read = source.read_at(&mut buffer, at);
    let read =
        read.map_err(|error| Error::of("read the file", Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    new.write_at(&buffer[..read], at)?;
    Ok(read as u64)
}

fn copy_tree(source: &OwnedFd, target: &OwnedFd, control: &Control) -> Result<(), Error> {
    let options = Options { keep: Keep { owner: false, ..Keep::default() }, ..Options::default() };
    let report = workspacefs_sync::sync(source.as_fd(), target.as_fd(), &options, control).map_err(
        |error| match error {
            SyncError::Nested => Error::bad("a folder is not copied from within itself"),
            SyncError::Source(errno) => Error::of("read the folder", errno),
            SyncError::Destination(errno) => Error::of("write the folder", errno),
            _ => Error::of("copy the folder", Errno::INVAL),
        },
    )?;
    outcome(&report)
}

fn outcome(report: &Report) -> Result<(), Error> {
    match &report.stopped {
        Some(Stop::Cancelled) => return Err(Error::Cut),
        Some(Stop::Destination { errno, .. }) => return Err(Error::of("write the copy", *errno)),
        Some(_) => return Err(Error::of("copy all of it", Errno::CANCELED)),
        None => {}
    }
    for note in &report.notes {
        match &note.problem {
            // Sockets and the like are left out, as are files that went meanwhile.
            Problem::Special(_) | Problem::Vanished => {}
            Problem::Failed { step, errno } => return Err(Error::of(step, *errno)),
            Problem::Changing => return Err(Error::Conflict("a file changes each time that it is read")),
            _ => return Err(Error::of("copy all of it", Errno::IO)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Call, faults};
    use crate::root::Owner;
    use crate::trash;

    fn with_folder(files: usize) -> (tempfile::TempDir, Arc<Root>, Copy) {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path(), Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap());
        std::fs::create_dir(dir.path().join("from")).unwrap();
        for n in 0..files {
            std::fs::write(dir.path().join(format!("from/{n}")), "content").unwrap();
        }
        let path = |text| FilePath::decode(text).unwrap();
        (dir, root, Copy { from: path("from"), to: path("to"), overwrite: false, parents: false })
    }

    /// Over NFS nobody is told of a file that it found no room, once it is closed.
    #[test]
    fn a_folder_of_which_something_was_lost_gets_no_name() {
        let (dir, root, copy) = with_folder(3);
        for (errno, error) in [
            (Errno::DQUOT, Error::Quota),
            (Errno::IO, Error::of("put on the disk what was written", Errno::IO)),
        ] {
            faults::after(Call::SettleAll, 0, errno);
            assert_eq!(copy.run(&root, &Watch::default()), Err(error));
            assert!(!dir.path().join("to").exists());
            let left = std::fs::read_dir(dir.path().join(".workspacefs-files/uploads")).unwrap();
            assert_eq!(left.count(), 0);
        }
        copy.run(&root, &Watch::default()).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("to/2")).unwrap(), "content");
    }

    #[test]
    fn a_copy_is_made_anew_once_what_was_deleted_gave_way() {
        let (dir, root, copy) = with_folder(3);
        let one = Copy { from: FilePath::decode("from/1").unwrap(), ..copy.clone() };
        for (copy, call, counted) in [(copy, Call::SettleAll, (3, 21)), (one, Call::Settle, (1, 7))] {
            std::fs::write(dir.path().join("deleted"), "x").unwrap();
            trash::put(&root, &FilePath::decode("deleted").unwrap(), false, "jane").unwrap();
            faults::after(call, 0, Errno::DQUOT);
            let watch = Watch::default();
            copy.run(&root, &watch).unwrap();
            assert_eq!(watch.so_far(), counted);
            assert_eq!(trash::usage(&root).unwrap().0.entries, 0);
            tree::delete(root.as_fd(), OsStr::new("to")).unwrap();
        }
    }

    #[test]
    fn a_copied_file_that_lost_something_gets_no_name() {
        let (dir, root, copy) = with_folder(1);
        let large = PIECE_BYTES + 1;
        std::fs::write(dir.path().join("large"), vec![7; large]).unwrap();
        let copy = Copy { from: FilePath::decode("large").unwrap(), ..copy };
        faults::after(Call::Write, 1, Errno::DQUOT);
        assert_eq!(copy.run(&root, &Watch::default()), Err(Error::Quota));
        assert!(!dir.path().join("to").exists());
        copy.run(&root, &Watch::default()).unwrap();
        assert_eq!(std::fs::metadata(dir.path().join("to")).unwrap().len(), large as u64);
    }
}
