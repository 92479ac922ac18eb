//! A directory that is being mirrored: what is still to be done in it, and what is done last.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::abilities::set_mtime;
use crate::attributes::Bearer;
use crate::compare::same_attributes;
use crate::comparison::Comparison;
use crate::engine::Engine;
use crate::place::Place;
use crate::progress::{Place as Counted, What};
use crate::report::Stop;
use crate::selection::Selection;
use crate::stat::Stat;
use crate::trouble::{Side, Trouble};

/// See the module.
#[derive(Debug)]
pub(crate) struct Dir {
    pub parent: Option<Arc<Dir>>,
    pub source: Arc<Place>,
    /// None in a dry run where it would have to be made.
    pub destination: Option<Arc<Place>>,
    /// The same in the earlier copy; None where that has none, or there is no such copy.
    pub earlier: Option<Arc<Place>>,
    /// The source's.
    pub stat: Stat,
    /// The destination's as it was found; None where this run made it.
    pub existing: Option<Stat>,
    pub selection: Selection,
    /// Something in the destination's was made, removed or replaced, so its time has to be set.
    touched: AtomicBool,
    /// It could not be listed, so what lies in it is not known: where it counts then.
    unknown: OnceLock<Counted>,
    /// Names, and deletions, that have no outcome yet, and one for the listing.
    pending: AtomicUsize,
    /// Of these, files.
    files: AtomicUsize,
}

impl Dir {
    pub fn new(
        parent: Option<Arc<Self>>,
        source: (Arc<Place>, Stat),
        destination: Option<(Arc<Place>, Option<Stat>)>,
        earlier: Option<Arc<Place>>,
        selection: Selection,
    ) -> Arc<Self> {
        let (destination, existing) = destination.map_or((None, None), |(place, stat)| (Some(place), stat));
        let (source, stat) = source;
        Arc::new(Self {
            parent,
            source,
            destination,
            earlier,
            stat,
            existing,
            selection,
            touched: AtomicBool::new(false),
            unknown: OnceLock::new(),
            pending: AtomicUsize::new(1),
            files: AtomicUsize::new(0),
        })
    }

    pub fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    /// It could not be listed: it counts as failed, or as skipped where it is gone.
    pub fn cannot_be_listed(&self, gone: bool) {
        let _ = self.unknown.set(if gone { Counted::Skipped } else { Counted::Failed });
    }

    /// So much more is to be done in it.
    pub fn expect(&self, directories: usize, files: usize) {
        self.pending.fetch_add(directories + files, Ordering::Relaxed);
        self.files.fetch_add(files, Ordering::Relaxed);
    }

    /// Closes its descriptors, if there are too many and no file needs them.
    pub fn park(&self) {
        if self.files.load(Ordering::Relaxed) == 0 {
            self.places().for_each(|place| place.park());
        }
    }

    fn places(&self) -> impl Iterator<Item = &Arc<Place>> {
        [Some(&self.source), self.destination.as_ref(), self.earlier.as_ref()].into_iter().flatten()
    }

    fn path(&self) -> std::path::PathBuf {
        self.source.path()
    }
}

impl Drop for Dir {
    /// One after the other: a tree can be deeper than the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(dir) = next {
            next = Arc::into_inner(dir).and_then(|mut dir| dir.parent.take());
        }
    }
}

impl Engine<'_> {
    /// A file of the directory has its outcome.
    pub fn file_is_settled(&self, dir: &Arc<Dir>) {
        if dir.files.fetch_sub(1, Ordering::Relaxed) == 1 {
            dir.park();
        }
        self.is_settled(dir);
    }

    /// Something in the directory has its outcome. The last one finishes it, and perhaps those above it.
    pub fn is_settled(&self, dir: &Arc<Dir>) {
        let mut next = Some(Arc::clone(dir));
        while let Some(dir) = next {
            if dir.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
                return;
            }
            self.finish(&dir);
            next = dir.parent.clone();
            if next.is_none() {
                self.queue.close();
            }
        }
    }

    fn finish(&self, dir: &Dir) {
        self.finish_and_count(dir);
        // The table of hard links may keep it long.
        dir.places().for_each(|place| place.close());
    }

    fn finish_and_count(&self, dir: &Dir) {
        // The root is nobody's entry.
        let counted = dir.parent.is_some();
        match self.finish_attributes(dir) {
            Ok(changed) if counted => {
                let place = match dir.unknown.get() {
                    Some(place) => *place,
                    None if changed => Counted::Done,
                    None => Counted::Unchanged,
                };
                self.control.count(What::Directory, place, 0);
            }
            Ok(true) if self.comparison.is_some() => self.end(Stop::Different),
            Ok(_) => {}
            Err(trouble) if counted => self.failed(What::Directory, 0, dir.path(), trouble),
            Err(trouble) => self.trouble(dir.path(), trouble),
        }
    }

    /// Says whether the directory is new or was another.
    fn finish_attributes(&self, dir: &Dir) -> Result<bool, Trouble> {
        let terms = self.terms(self.abilities.step());
        let same = dir.existing.is_some_and(|existing| same_attributes(&dir.stat, &existing, terms));
        let Some(place) = dir.destination.as_ref() else { return Ok(true) };
        let at = |step| Side::Destination.at(step);
        let touched = dir.touched.load(Ordering::Relaxed);
        let same_time =
            dir.existing.is_some_and(|existing| dir.stat.mtime.is_kept_as(existing.mtime, terms.step))
                && !touched;
        // A time alone does not make it another directory; a copy that is the same all the same has it.
        let minds_times = self.comparison.as_ref().is_some_and(Comparison::minds_times);
        let mut changed = !same || (minds_times && !same_time);
        if (same && same_time || self.options.dry_run) && !self.keeps_attributes() {
            return Ok(changed);
        }
        let handle = place.handle().map_err(at("open the destination directory"))?;
        let directory = handle.as_fd();
        if !same && !self.options.dry_run {
            let now = match dir.existing {
                Some(existing) => existing,
                None => Stat::of_open(directory).map_err(at("look at the destination directory"))?,
            };
            self.settle(directory, &now, &dir.stat)?;
        }
        if self.keeps_attributes() {
            let source = dir.source.handle().map_err(Side::Source.at("open the source directory"))?;
            let from = Bearer::Named(source.as_fd(), c".");
            changed |= self.copy_attributes(from, Bearer::Named(directory, c"."))?;
        }
        if !same_time && !self.options.dry_run {
            set_mtime(directory, dir.stat.mtime).map_err(at("set the time"))?;
        }
        Ok(changed)
    }
}
