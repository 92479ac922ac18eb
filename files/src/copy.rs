//! Copies within the file system. What is copied grows out of sight and gets its name when it is whole, a tree by the copy engine.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, copy_file_range, mkdirat, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::EntryType;
use workspacefs_sync::{Control, Keep, Options, Problem, Report, Stop, SyncError};

use crate::error::Error;
use crate::facts::Facts;
use crate::ids;
use crate::place::{self, At};
use crate::room;
use crate::root::{Area, Root, child, regular};
use crate::tree;
use crate::write::{Existing, NewFile, Placing};

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

    /// Copies.
    ///
    /// # Errors
    /// [`Error`]; nothing is left under the new name then.
    pub fn run(&self, root: &Arc<Root>, watch: &Watch) -> Result<(), Error> {
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
        let new = NewFile::create(root)?;
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
        symlinkat(target, &area, new.as_str()).map_err(Error::at("make a link"))?;
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
        mkdirat(&area, new.as_str(), Mode::RWXU).map_err(Error::at("make a folder"))?;
        let copied = child(area.as_fd(), new.as_bytes()).and_then(|target| {
            room::with_room(root, || copy_tree(source, &target, &watch.another_run()?))?;
            watch.check()?;
            self.put_in_place(root, At { folder: area.as_fd(), name: new.as_bytes() })
        });
        copied.inspect_err(|_| {
            // What is left of it goes with the next sweep.
            let _ = tree::delete(area.as_fd(), OsStr::new(new));
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
    let (mut from, mut to) = (at, at);
    match copy_file_range(source, Some(&mut from), new.file(), Some(&mut to), PIECE_BYTES) {
        Ok(copied) => Ok(copied as u64),
        // Full, or not possible between these: the other way has an answer to both.
        Err(_) => {
            use std::os::unix::fs::FileExt as _;
            let mut buffer = vec![0; 1 << 20];
            let read = source.read_at(&mut buffer, at).map_err(|error| {
                Error::of("read the file", Errno::from_io_error(&error).unwrap_or(Errno::IO))
            })?;
            new.write_at(&buffer[..read], at)?;
            Ok(read as u64)
        }
    }
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
