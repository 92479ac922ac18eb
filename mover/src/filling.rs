//! The folder of a generation that is being filled.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, fsync, renameat, syncfs, unlinkat};
use rustix::io::Errno;

use crate::abort::{Abort, at_target};
use crate::generation;
use crate::meter::Meter;
use crate::names::{self, DATA, EMPTY, MANIFEST, SCRATCH};
use crate::path::CachePath;
use crate::record::{self, BEGINNING, Beginning, RECORD, Record};
use crate::removal;
use crate::target::{self, Target};

/// See the module.
#[derive(Debug)]
pub(crate) struct Filling {
    number: i64,
    folder: OwnedFd,
    data: OwnedFd,
    manifests: OwnedFd,
    empty: OwnedFd,
    pub beginning: Beginning,
}

impl Filling {
    /// Makes it, or goes on with what a run that was cut has left: as of when that began to read, and linked from what
    /// that linked from, whatever is said now. It is of this source: [`forget_others`] was called.
    pub fn open(
        target: &Target,
        number: i64,
        earlier: Option<i64>,
        identity: Option<&str>,
    ) -> Result<Self, Errno> {
        let folder = target::make(target.as_fd(), &names::filling(number))?;
        let beginning = match record::read(folder.as_fd(), BEGINNING)? {
            Some(beginning) => beginning,
            None => {
                let beginning = Beginning { as_of: now(), earlier, identity: identity.map(str::to_owned) };
                record::write(folder.as_fd(), BEGINNING, &beginning)?;
                beginning
            }
        };
        let [data, manifests, empty] = [DATA, MANIFEST, EMPTY].map(|name| target::make(folder.as_fd(), name));
        Ok(Self { number, data: data?, manifests: manifests?, empty: empty?, folder, beginning })
    }

    /// Where the paths lie.
    pub fn data(&self) -> BorrowedFd<'_> {
        self.data.as_fd()
    }

    /// A folder with nothing in it.
    pub fn empty(&self) -> BorrowedFd<'_> {
        self.empty.as_fd()
    }

    /// The folder of a path, made if it is missing.
    pub fn make(&self, path: &CachePath) -> Result<OwnedFd, Errno> {
        let mut folder = target::open(self.data(), ".")?;
        for name in path.relative().split('/') {
            folder = target::make(folder.as_fd(), name)?;
        }
        Ok(folder)
    }

    /// A folder for files that have not their names yet, made if it is missing. It goes with the commit, and is empty then.
    pub fn scratch(&self) -> Result<OwnedFd, Errno> {
        target::make(self.folder.as_fd(), SCRATCH)
    }

    /// The manifest of the path with this number.
    pub fn manifest(&self, number: usize) -> PathBuf {
        generation::manifest(self.manifests.as_fd(), number)
    }

    /// Forgets what was said of the path with this number.
    pub fn forget(&self, number: usize) -> Result<(), Errno> {
        for name in ["", ".partial", ".partial.new"].map(|end| format!("{number}{end}")) {
            target::found(unlinkat(&self.manifests, name, AtFlags::empty()))?;
        }
        Ok(())
    }

    /// Gives it its final name, once all of it is safe from a power cut.
    pub fn commit(&self, target: &Target, record: &Record) -> Result<(), Abort> {
        record::write(self.folder.as_fd(), RECORD, record).map_err(at_target("write down what is whole"))?;
        for folder in [EMPTY, SCRATCH] {
            target::found(unlinkat(&self.folder, folder, AtFlags::REMOVEDIR))
                .map_err(at_target("remove a folder"))?;
        }
        let at = at_target("make it safe from a power cut");
        syncfs(target.as_fd()).and_then(|()| fsync(&self.folder)).map_err(at)?;
        let (from, to) = (names::filling(self.number), names::generation(self.number));
        renameat(target.as_fd(), from, target.as_fd(), to).map_err(at_target("give it its final name"))?;
        fsync(target.as_fd()).map_err(at)
    }
}

/// Takes away what was begun under this number of another source, or of nobody knows which: it is begun anew.
pub(crate) fn forget_others(
    target: &Target,
    number: i64,
    identity: Option<&str>,
    workers: Option<NonZeroUsize>,
    meter: &Meter,
) -> Result<(), Abort> {
    let (name, at) = (names::filling(number), at_target("read what was begun"));
    let Some(folder) = target::found(target::open(target.as_fd(), &name)).map_err(at)? else { return Ok(()) };
    let begun = record::read::<Beginning>(folder.as_fd(), BEGINNING).map_err(at)?;
    if begun.and_then(|begun| begun.identity).as_deref() == identity {
        return Ok(());
    }
    // Renamed first: of one that is cut while it goes nothing is taken for a beginning.
    let (gone, at) = (names::removing(number), at_target("rename what was begun of another source"));
    renameat(target.as_fd(), &name, target.as_fd(), &gone)
        .and_then(|()| fsync(target.as_fd()))
        .map_err(at)?;
    removal::delete(target.as_fd(), gone.as_ref(), workers, meter)
}

/// Seconds since 1970, UTC. A clock before that is not set.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
