//! A run from beginning to end.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::syncfs;
use rustix::io::Errno;

use crate::SyncError;
use crate::comparison::Comparison;
use crate::confirm::{Confirm, Confirmed, confirmed};
use crate::directory::Dir;
use crate::earlier;
use crate::engine::Engine;
use crate::listing::Buffer;
use crate::manifest::{Entry, Journal};
use crate::options::Options;
use crate::place::{Budget, Crossing, Place};
use crate::progress::{Control, What};
use crate::report::{Problem, Report, Stop};
use crate::selection::Selection;
use crate::setup::{Division, is_network, lies_in, lock, reads_directly};
use crate::trouble::Trouble;
use crate::worker::Worker;

/// A worker's calls are not deep, and there may be many workers.
const STACK_BYTES: usize = 512 * 1024;

/// Makes the directory `destination` what `source` is, as far as the options say. Blocks until it is done; `control` shows
/// how far it is and can end it. Anything that goes wrong with a path stands in the report, with the kernel's answer.
///
/// Both are descriptors of directories, which may be opened with O_PATH. Mount points in the source are part of it; in the
/// destination they are not entered (XDEV).
///
/// # Errors
/// [`SyncError`]: the run did not begin, and nothing was changed.
pub fn sync(
    source: BorrowedFd<'_>,
    destination: BorrowedFd<'_>,
    options: &Options,
    control: &Control,
) -> Result<Report, SyncError> {
    begin(source, destination, options, Purpose::Copy(None), control)
}

/// As [`sync`], for a run with a manifest, which then vouches only for what was confirmed: files are read back while others
/// are copied. What earlier runs vouched for is believed.
///
/// # Errors
/// As [`sync`].
pub fn sync_confirmed(
    source: BorrowedFd<'_>,
    destination: BorrowedFd<'_>,
    options: &Options,
    confirm: &Confirm<'_>,
    control: &Control,
) -> Result<Report, SyncError> {
    begin(source, destination, options, Purpose::Copy(Some(confirm)), control)
}

/// What a run is for.
pub(crate) enum Purpose<'a> {
    /// To copy, and perhaps to read back what was copied.
    Copy(Option<&'a Confirm<'a>>),
    /// To see whether there is anything to copy, by the manifest of what was copied.
    Compare(Option<&'a Path>),
}

pub(crate) fn begin(
    source: BorrowedFd<'_>,
    destination: BorrowedFd<'_>,
    options: &Options,
    purpose: Purpose<'_>,
    control: &Control,
) -> Result<Report, SyncError> {
    let selection = Selection::of(&options.paths).map_err(SyncError::Path)?;
    let network = is_network(source) || is_network(destination);
    let division = Division { direct: reads_directly(source), ..Division::of(options.workers, network) };
    let budget = Budget::new(division.directories_open_max);
    let source = Place::root(source, Crossing::Allowed, &budget).map_err(SyncError::Source)?;
    let destination = Place::root(destination, Crossing::Refused, &budget).map_err(SyncError::Destination)?;
    let handles = (
        source.0.handle().map_err(SyncError::Source)?,
        destination.0.handle().map_err(SyncError::Destination)?,
    );
    if lies_in(handles.0.as_fd(), &destination.1) || lies_in(handles.1.as_fd(), &source.1) {
        return Err(SyncError::Nested);
    }
    let earlier = earlier::open(options, (handles.1.as_fd(), &destination.1), &budget)?;
    if !options.dry_run {
        lock(handles.1.as_fd()).map_err(|_| SyncError::Busy)?;
    }
    let mut engine = Engine::new(options, control, Arc::clone(&destination.0), division);
    engine.source = Some(Arc::clone(&source.0));
    match purpose {
        Purpose::Copy(confirm) => engine.begin_manifest(confirm)?,
        Purpose::Compare(manifest) => {
            engine.comparison = Some(Comparison::open(manifest, options.checksum)?);
        }
    }
    let root = Dir::new(None, source, Some((destination.0, Some(destination.1))), earlier, selection);
    run(&engine, division, || engine.list(&root, &mut Buffer::default()));
    drop(root);
    Ok(report(engine))
}

/// Begins with `first` and works until everything has its outcome. This thread is the first worker: who asks for one
/// stays alone.
pub(crate) fn run(engine: &Engine<'_>, division: Division, first: impl FnOnce()) {
    engine.control.begin(division.workers);
    first();
    std::thread::scope(|scope| {
        for number in 1..division.workers {
            let worker = std::thread::Builder::new().name(format!("sync-{number}")).stack_size(STACK_BYTES);
            // With fewer it takes longer.
            if worker.spawn_scoped(scope, move || Worker::new(number).run(engine)).is_err() {
                break;
            }
        }
        Worker::new(0).run(engine);
    });
}

impl<'a> Engine<'a> {
    fn begin_manifest(&mut self, confirm: Option<&'a Confirm<'a>>) -> Result<(), SyncError> {
        let options = self.options;
        let Some(path) = options.manifest.as_ref().filter(|_| !options.dry_run) else { return Ok(()) };
        let earlier = options.earlier.as_ref().and_then(|earlier| earlier.manifest.as_deref());
        let journal = Journal::open(path, options.checksum, earlier).map_err(SyncError::Manifest)?;
        self.journal = Some(if confirm.is_some() { journal.commit_often() } else { journal });
        self.confirm = confirm;
        Ok(())
    }

    /// Writes down what is safely in the destination, once in a while.
    pub fn commit_if_due(&self) {
        if self.journal.as_ref().is_some_and(Journal::is_due) {
            self.commit();
        }
    }

    fn commit(&self) {
        let Some(journal) = &self.journal else { return };
        let confirmed = |entries| self.confirmed(entries);
        let confirm = self.confirm.is_some().then_some(&confirmed as &dyn Fn(_) -> _);
        if let Err(errno) = journal.commit(|| self.sync_destination(), confirm) {
            self.end(Stop::Manifest(errno));
        }
    }

    /// Those that are in the destination as they were written. The others were counted as done, and are no longer.
    fn confirmed(&self, entries: Vec<Entry>) -> Result<Vec<Entry>, Errno> {
        let Some(confirm) = self.confirm else { return Ok(entries) };
        let destination = self.destination.handle()?;
        let said = confirm(destination.as_fd(), &entries);
        let Confirmed { good, bad } = confirmed(entries, said).map_err(|stop| {
            self.end(stop);
            Errno::CANCELED
        })?;
        for (Entry { path, size, .. }, difference) in bad {
            self.control.uncount_done(size);
            self.failed(What::File, size, path, Trouble::Problem(Problem::NotAsWritten(difference)));
        }
        Ok(good)
    }

    fn sync_destination(&self) -> Result<(), Errno> {
        syncfs(&*self.destination.handle()?)
    }
}

fn report(mut engine: Engine<'_>) -> Report {
    engine.commit();
    let stopped = engine.take_stop();
    let stopped = match (engine.journal.take(), stopped) {
        (Some(journal), None) => journal.complete().err().map(Stop::Manifest),
        (_, stopped) => stopped,
    };
    if stopped.is_some() {
        engine.count_rest();
    }
    let control = engine.control;
    let report = Report {
        files: control.tally(What::File),
        directories: control.tally(What::Directory),
        deleted: control.deleted(),
        owners_not_kept: engine.owners_not_kept.load(Ordering::Relaxed),
        leftovers: engine.leftovers.load(Ordering::Relaxed),
        notes: engine.take_notes(),
        stopped,
        elapsed: control.elapsed(),
    };
    control.end();
    report
}
