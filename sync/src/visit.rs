//! Listing a directory on both sides, and what follows from the names alone.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::fs::{AtFlags, FileType, Mode, mkdirat, unlinkat};
use rustix::io::Errno;

use crate::directory::Dir;
use crate::doom::Doomed;
use crate::engine::Engine;
use crate::listing::{self, Buffer, Listing};
use crate::names::{Name, Names};
use crate::place::Place;
use crate::progress::{Place as Counted, What};
use crate::queue::Files;
use crate::report::Counts;
use crate::selection::Selection;
use crate::stat::Stat;
use crate::temporary::is_temporary;
use crate::trouble::{Side, Trouble};

type Found = (Arc<Place>, Stat);
/// A directory of the destination, and what it was before; nothing if it was made.
type Target = (Arc<Place>, Option<Stat>);

impl Engine<'_> {
    /// Opens a directory of `parent` on both sides, lists it and hands out what is in it.
    pub fn visit(&self, parent: &Arc<Dir>, name: &Name<'_>, buffer: &mut Buffer) {
        let began = Instant::now();
        let visited = self.open(parent, name);
        self.observe(1, began.elapsed());
        // It may have been opened again for this.
        parent.park();
        match visited {
            Ok(dir) => self.list(&dir, buffer),
            Err(trouble) => {
                self.failed(What::Directory, 0, parent.source.path_of(name.text), trouble);
                self.is_settled(parent);
            }
        }
    }

    fn open(&self, parent: &Arc<Dir>, name: &Name<'_>) -> Result<Arc<Dir>, Trouble> {
        let source = match parent.source.enter(name.text) {
            Ok(source) => source,
            // It is gone, or something else is there now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(Trouble::Vanished),
            Err(errno) => return Err(Side::Source.at("open the source directory")(errno)),
        };
        let destination = match &parent.destination {
            Some(destination) => self.enter_or_make(parent, destination, name, &source)?,
            None => None,
        };
        // Whatever it is that keeps us from linking, copies are as good.
        let earlier = parent.earlier.as_ref().and_then(|earlier| earlier.enter(name.text).ok());
        let earlier = earlier.map(|(place, _)| place);
        let selection = parent.selection.below(name.text);
        Ok(Dir::new(Some(Arc::clone(parent)), source, destination, earlier, selection))
    }

    /// The directory in the destination, and what it was before. None in a dry run that would make it.
    fn enter_or_make(
        &self,
        parent: &Dir,
        destination: &Arc<Place>,
        name: &Name<'_>,
        source: &Found,
    ) -> Result<Option<Target>, Trouble> {
        let at = |step| Side::Destination.at(step);
        let enter = || destination.enter(name.text);
        if name.both {
            match enter() {
                Ok((place, stat)) => return Ok(Some((place, Some(stat)))),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(at("open the destination directory")(errno)),
            }
        }
        if self.options.dry_run {
            return Ok(None);
        }
        parent.touch();
        let handle = destination.handle().map_err(at("open the destination directory"))?;
        // It has to take entries now, whatever its final mode.
        let mode = Mode::from_raw_mode(self.first_mode(&source.1) | 0o700);
        let mut made = mkdirat(&*handle, name.text, mode);
        if made == Err(Errno::EXIST) {
            match unlinkat(&*handle, name.text, AtFlags::empty()) {
                // A file or a link.
                Ok(()) | Err(Errno::NOENT) => made = mkdirat(&*handle, name.text, mode),
                Err(Errno::ISDIR) => {}
                Err(errno) => return Err(at("remove what is in the directory's place")(errno)),
            }
        }
        match made {
            Ok(()) => {
                let place = enter().map_err(at("open the destination directory"))?.0;
                Ok(Some((place, None)))
            }
            Err(Errno::EXIST) => {
                let (place, stat) = enter().map_err(at("open the destination directory"))?;
                Ok(Some((place, Some(stat))))
            }
            Err(errno) => Err(at("make the directory")(errno)),
        }
    }

    /// Lists it on both sides and hands out what is to be done in it.
    pub fn list(&self, dir: &Arc<Dir>, buffer: &mut Buffer) {
        let mut only_there = Vec::new();
        match self.compare_listings(dir, buffer, &mut only_there) {
            Ok(listing) => self.hand_out(dir, listing, only_there),
            // Nothing below it is known, and nothing in the destination is taken for surplus.
            Err(trouble) => {
                dir.cannot_be_listed(trouble == Trouble::Vanished);
                self.trouble(dir.source.path(), trouble);
            }
        }
        self.is_settled(dir);
    }

    fn compare_listings(
        &self,
        dir: &Dir,
        buffer: &mut Buffer,
        only_there: &mut Vec<(CString, FileType)>,
    ) -> Result<Listing, Trouble> {
        let mut listing = match &dir.selection {
            Selection::All => self.source_listing(dir, buffer)?,
            Selection::Some(names) => {
                let mut listing = Listing::default();
                for name in names.names() {
                    self.add(dir, &mut listing, listing::Found { name, kind: FileType::Unknown, inode: 0 })
                        .map_err(Side::Source.at("list the source directory"))?;
                }
                listing
            }
        };
        if let (Some(destination), Some(_)) = (&dir.destination, &dir.existing) {
            let at = Side::Destination.at("list the destination directory");
            let handle = destination.handle().map_err(at)?;
            *only_there = listing.compare(handle.as_fd(), buffer).map_err(at)?;
        }
        Ok(listing)
    }

    fn source_listing(&self, dir: &Dir, buffer: &mut Buffer) -> Result<Listing, Trouble> {
        let at = |errno| match errno {
            // It was removed while it was read.
            Errno::NOENT => Trouble::Vanished,
            errno => Side::Source.at("list the source directory")(errno),
        };
        let mut listing = Listing::default();
        let handle = dir.source.handle().map_err(at)?;
        listing::read(handle.as_fd(), buffer, &mut |found| self.add(dir, &mut listing, found)).map_err(at)?;
        Ok(listing)
    }

    /// Adds an entry, unless it is left out.
    fn add(&self, dir: &Dir, listing: &mut Listing, found: listing::Found<'_>) -> Result<(), Errno> {
        match self.is_left_out(&dir.source, found.name, found.kind.is_dir()) {
            true => listing.leave_out(found.kind.is_dir()),
            false => listing.push(found)?,
        }
        Ok(())
    }

    /// Whether the filter leaves out what is in a directory of either side.
    pub fn is_left_out(&self, directory: &Place, name: &CStr, is_directory: bool) -> bool {
        let filter = &self.options.filter;
        !filter.is_empty() && filter.leaves_out(&directory.path_of(name), is_directory)
    }

    fn hand_out(&self, dir: &Arc<Dir>, listing: Listing, only_there: Vec<(CString, FileType)>) {
        self.count_listed(&listing);
        let (directories, files) = listing.into_parts();
        let (directories, files) = (Arc::new(directories), Arc::new(files));
        dir.expect(directories.len(), files.len());
        self.surplus(dir, only_there);
        dir.park();
        let piece = 0..files.end();
        // Directories lie on a stack: what is pushed last comes first, and files come before all of them anyway.
        self.queue.push_directories(Arc::clone(dir), directories);
        self.queue.push_files(Files { directory: Arc::clone(dir), names: files, piece });
    }

    /// Counted once both sides are listed: then each of them will have an outcome.
    fn count_listed(&self, listing: &Listing) {
        let parts = [
            (What::Directory, listing.directories.len(), listing.left_out_directories),
            (What::File, listing.others.len(), listing.left_out_others),
        ];
        for (what, taken, left_out) in parts {
            let counts = |files: usize| Counts { files: files as u64, bytes: 0 };
            self.control.count_many(what, Counted::Found, counts(taken + left_out));
            self.control.count_many(what, Counted::Skipped, counts(left_out));
        }
    }

    /// What only the destination has: left-overs of ours go, other things where that was asked for.
    fn surplus(&self, dir: &Arc<Dir>, only_there: Vec<(CString, FileType)>) {
        let Some(destination) = &dir.destination else { return };
        let delete = self.options.delete.is_some() && matches!(dir.selection, Selection::All);
        let (mut surplus, mut leftovers) = (Names::default(), Names::default());
        for (name, kind) in only_there {
            if is_temporary(&name) {
                leftovers.push(&name, kind);
            } else if delete {
                surplus.push(&name, kind);
            }
        }
        if self.options.dry_run {
            leftovers = Names::default();
        }
        self.leftovers.fetch_add(leftovers.len() as u64, Ordering::Relaxed);
        for (doomed, limited) in [(surplus, true), (leftovers, false)] {
            if !doomed.is_empty() {
                dir.expect(1, 0);
                self.doom(Doomed::in_directory(dir, destination, limited), doomed);
            }
        }
    }

    /// A directory that the listing did not call one, or that stands in the place of a file.
    pub fn push_directory(&self, dir: &Arc<Dir>, name: &CStr, both: bool) {
        let names = Names::one(name, FileType::Directory, both);
        self.queue.push_directories(Arc::clone(dir), Arc::new(names));
    }

    /// Files that no worker will look at any more count with what was left out.
    pub fn count_rest(&self) {
        for what in [What::File, What::Directory] {
            let tally = self.control.tally(what);
            let rest = |of: fn(&Counts) -> u64| {
                let settled = [tally.done, tally.unchanged, tally.failed, tally.skipped].iter().map(of).sum();
                of(&tally.found).saturating_sub(settled)
            };
            let counts = Counts { files: rest(|counts| counts.files), bytes: rest(|counts| counts.bytes) };
            self.control.count_many(what, Counted::Skipped, counts);
        }
    }
}
