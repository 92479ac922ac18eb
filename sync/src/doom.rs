//! Deleting trees: directories side by side, each from its own descriptor, never through a link or into another file
//! system. No stack: a tree may be deeper than any.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{AtFlags, FileType, unlinkat};
use rustix::io::Errno;

use crate::directory::Dir;
use crate::engine::Engine;
use crate::listing::{self, Buffer};
use crate::names::{Name, Names};
use crate::place::Place;
use crate::stat::Stat;
use crate::trouble::{Side, Trouble};

/// A directory in which things are deleted.
#[derive(Debug)]
pub(crate) struct Doomed {
    above: Above,
    pub place: Arc<Place>,
    /// How deep it lies below the directory that stays.
    pub depth: usize,
    /// What goes counts as deleted, and against the limit; left-overs of ours do not.
    limited: bool,
    /// Directories in it that are not gone yet, and one for the listing.
    pending: AtomicUsize,
    /// Something in it stays, so it stays.
    kept: AtomicBool,
    /// Not all of it was listed: more is in it than this run may remove.
    unlisted: AtomicBool,
    /// How often a directory in it was not empty when it ought to have been.
    again: AtomicUsize,
}

/// Who waits for it.
#[derive(Debug)]
enum Above {
    /// It goes with all that is in it, and this one after it.
    Doomed(Arc<Doomed>),
    /// It stays; only some of its entries go.
    Directory(Arc<Dir>),
    /// It stays; an entry of it goes that is in the way of a file.
    Way(Way),
    /// It stays, and nobody waits: the end of the run.
    Nobody,
}

/// A file that waits until a directory is gone from its place.
#[derive(Debug)]
pub(crate) struct Way {
    pub dir: Arc<Dir>,
    pub name: CString,
    pub bytes: u64,
}

/// Directories that somebody keeps filling are given up after so many times.
const AGAIN_MAX: usize = 64;

impl Doomed {
    /// Stands for a directory that is being mirrored, of which some entries go.
    pub fn in_directory(dir: &Arc<Dir>, destination: &Arc<Place>, limited: bool) -> Arc<Self> {
        Self::new(Above::Directory(Arc::clone(dir)), Arc::clone(destination), limited)
    }

    /// Stands for a directory of which one entry goes, to make place for a file.
    pub fn in_the_way(way: Way, destination: &Arc<Place>) -> Arc<Self> {
        Self::new(Above::Way(way), Arc::clone(destination), true)
    }

    /// Stands for the directory of the tree that is to be deleted.
    pub fn in_root(place: Arc<Place>) -> Arc<Self> {
        Self::new(Above::Nobody, place, true)
    }

    /// Something in it is gone: of a directory that stays, the time has to be set.
    fn touch(&self) {
        match &self.above {
            Above::Directory(dir) => dir.touch(),
            Above::Way(way) => way.dir.touch(),
            Above::Doomed(_) | Above::Nobody => {}
        }
    }

    fn new(above: Above, place: Arc<Place>, limited: bool) -> Arc<Self> {
        let depth = match &above {
            Above::Doomed(above) => above.depth + 1,
            Above::Directory(_) | Above::Way(_) | Above::Nobody => 0,
        };
        let [kept, unlisted] = [false; 2].map(AtomicBool::new);
        let [pending, again] = [1, 0].map(AtomicUsize::new);
        Arc::new(Self { above, place, depth, limited, pending, kept, unlisted, again })
    }

    /// The root of the tree that goes.
    pub fn tree(self: &Arc<Self>) -> &Arc<Self> {
        let mut tree = self;
        while tree.depth > 1
            && let Above::Doomed(above) = &tree.above
        {
            tree = above;
        }
        tree
    }

    /// So many more directories in it have to go first.
    pub fn expect(&self, directories: usize) {
        self.pending.fetch_add(directories, Ordering::Relaxed);
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        let mut next = std::mem::replace(&mut self.above, Above::Nobody);
        while let Above::Doomed(doomed) = next {
            next = match Arc::into_inner(doomed) {
                Some(mut doomed) => std::mem::replace(&mut doomed.above, Above::Nobody),
                None => Above::Nobody,
            };
        }
    }
}

impl Engine<'_> {
    /// Deletes these entries of a directory: files at once, directories by whoever comes next.
    pub fn doom(&self, parent: Arc<Doomed>, names: Names) {
        let mut directories = Names::default();
        match parent.place.handle() {
            Ok(handle) => {
                for name in names.from(0) {
                    self.doom_one(&parent, handle.as_fd(), name.text, name.kind, &mut directories);
                }
            }
            Err(errno) => {
                parent.kept.store(true, Ordering::Relaxed);
                self.trouble(parent.place.path(), Side::Destination.at("open the directory")(errno));
            }
        }
        self.hand_out_doomed(parent, directories);
    }

    /// Empties a directory, and removes it once nothing is left in it.
    pub fn doom_directory(&self, parent: &Arc<Doomed>, name: &Name<'_>, buffer: &mut Buffer) {
        match parent.place.enter(name.text) {
            Ok((place, _)) => {
                let above = Above::Doomed(Arc::clone(parent));
                // It may have been opened again for this.
                parent.place.park();
                self.empty(Doomed::new(above, place, parent.limited), buffer);
            }
            Err(errno) => {
                let outcome = match errno {
                    Errno::NOENT => Ok(()),
                    // Somebody put something else there.
                    Errno::NOTDIR | Errno::LOOP => self.unlink(parent, name.text),
                    errno => Err(Side::Destination.at("open the directory to delete it")(errno)),
                };
                if let Err(trouble) = outcome {
                    self.keep(parent, name.text, trouble);
                }
                self.is_gone(parent);
            }
        }
    }

    fn unlink(&self, parent: &Doomed, name: &CStr) -> Result<(), Trouble> {
        let at = Side::Destination.at("delete");
        let handle = parent.place.handle().map_err(at)?;
        self.remove(parent, handle.as_fd(), name, AtFlags::empty()).map_err(|trouble| match trouble {
            Removal::Refused(trouble) => trouble,
            Removal::Directory => at(Errno::ISDIR),
        })
    }

    fn empty(&self, doomed: Arc<Doomed>, buffer: &mut Buffer) {
        let mut directories = Names::default();
        let enough = |found| self.allowance.as_ref().is_some_and(|allowance| found >= allowance.left());
        let mut unlisted = false;
        let listed = doomed.place.handle().and_then(|handle| {
            listing::read(handle.as_fd(), buffer, &mut |found| {
                self.doom_one(&doomed, handle.as_fd(), found.name, found.kind, &mut directories);
                unlisted = enough(directories.len() as u64);
                if unlisted || self.is_stopping() { Err(Errno::CANCELED) } else { Ok(()) }
            })
        });
        match listed {
            Ok(()) => {}
            Err(Errno::CANCELED) if self.is_stopping() => return,
            Err(Errno::CANCELED) if unlisted => doomed.unlisted.store(true, Ordering::Relaxed),
            Err(errno) => {
                doomed.kept.store(true, Ordering::Relaxed);
                self.trouble(
                    doomed.place.path(),
                    Side::Destination.at("list the directory to delete it")(errno),
                );
            }
        }
        doomed.place.park();
        self.hand_out_doomed(doomed, directories);
    }

    fn hand_out_doomed(&self, parent: Arc<Doomed>, directories: Names) {
        parent.expect(directories.len());
        self.queue.push_doomed(Arc::clone(&parent), Arc::new(directories));
        self.is_gone(&parent);
    }

    fn doom_one(
        &self,
        parent: &Arc<Doomed>,
        directory: BorrowedFd<'_>,
        name: &CStr,
        kind: FileType,
        directories: &mut Names,
    ) {
        if parent.limited && self.is_left_out(&parent.place, name, kind.is_dir()) {
            parent.kept.store(true, Ordering::Relaxed);
            return;
        }
        let removed = match is_directory(directory, name, kind) {
            true => Err(Removal::Directory),
            false => self.remove(parent, directory, name, AtFlags::empty()),
        };
        match removed {
            Ok(()) => {}
            Err(Removal::Directory) => {
                if !self.move_up(parent, directory, name) {
                    directories.push(name, FileType::Directory);
                }
            }
            Err(Removal::Refused(trouble)) => self.keep(parent, name, trouble),
        }
    }

    fn keep(&self, parent: &Doomed, name: &CStr, trouble: Trouble) {
        parent.kept.store(true, Ordering::Relaxed);
        self.trouble(parent.place.path_of(name), trouble);
    }

    /// Removes one entry; what is gone already is removed.
    fn remove(
        &self,
        parent: &Doomed,
        directory: BorrowedFd<'_>,
        name: &CStr,
        flags: AtFlags,
    ) -> Result<(), Removal> {
        self.may_delete(parent.limited).map_err(Removal::Refused)?;
        let count = || {
            if parent.limited {
                self.control.delete_one()
            }
        };
        if self.options.dry_run {
            count();
            return Ok(());
        }
        match unlinkat(directory, name, flags) {
            Ok(()) => {
                count();
                parent.touch();
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => Err(Removal::Directory),
            Err(errno) => Err(Removal::Refused(Side::Destination.at("delete")(errno))),
        }
    }

    /// A directory in this one is gone, or its listing is done. The last one removes it, and perhaps those above it.
    fn is_gone(&self, doomed: &Arc<Doomed>) {
        let mut next = Some(Arc::clone(doomed));
        while let Some(doomed) = next.take() {
            if doomed.pending.fetch_sub(1, Ordering::AcqRel) != 1 || self.is_stopping() {
                return;
            }
            match &doomed.above {
                Above::Nobody => self.queue.close(),
                Above::Directory(dir) => self.is_settled(dir),
                Above::Way(way) => self.way_is_clear(way, !doomed.kept.load(Ordering::Relaxed)),
                Above::Doomed(above) => match self.remove_emptied(&doomed, above) {
                    Emptied::Settled => next = Some(Arc::clone(above)),
                    Emptied::Again => {
                        // As if it had just been found; the one above still waits for it.
                        let names = Names::one(doomed.place.name(), FileType::Directory, true);
                        self.queue.push_doomed(Arc::clone(above), Arc::new(names));
                    }
                },
            }
        }
    }

    fn remove_emptied(&self, doomed: &Doomed, above: &Doomed) -> Emptied {
        if doomed.kept.load(Ordering::Relaxed) {
            above.kept.store(true, Ordering::Relaxed);
            return Emptied::Settled;
        }
        doomed.place.close();
        if doomed.unlisted.load(Ordering::Relaxed) {
            return Emptied::Again;
        }
        let name = doomed.place.name();
        let removed = match above.place.handle() {
            Ok(handle) => self.remove(above, handle.as_fd(), name, AtFlags::REMOVEDIR),
            Err(errno) => Err(Removal::Refused(Side::Destination.at("open the directory")(errno))),
        };
        match removed {
            Ok(()) => {}
            // Some file systems pass over entries while others are removed; or somebody made a new one.
            Err(Removal::Directory) if above.again.fetch_add(1, Ordering::Relaxed) < AGAIN_MAX => {
                return Emptied::Again;
            }
            Err(Removal::Directory) => {
                self.keep(above, name, Side::Destination.at("delete the directory")(Errno::NOTEMPTY));
            }
            Err(Removal::Refused(trouble)) => self.keep(above, name, trouble),
        }
        Emptied::Settled
    }
}

/// Some file systems do not say: to find it out by a failed removal would use up what may be removed.
fn is_directory(directory: BorrowedFd<'_>, name: &CStr, kind: FileType) -> bool {
    match kind {
        FileType::Unknown => Stat::of(directory, name).is_ok_and(|stat| stat.kind.is_dir()),
        kind => kind.is_dir(),
    }
}

/// What became of a directory that ought to be empty.
enum Emptied {
    /// It is gone, or it stays and that is noted.
    Settled,
    /// There is something in it.
    Again,
}

/// Why an entry was not removed.
enum Removal {
    /// It is a directory, or one that is not empty.
    Directory,
    /// See the trouble.
    Refused(Trouble),
}
