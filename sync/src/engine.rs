//! What all workers of a run share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::abilities::Abilities;
use crate::allowance::Allowance;
use crate::chunked::Large;
use crate::comparison::Comparison;
use crate::confirm::Confirm;
use crate::directory::Dir;
use crate::doom::Doomed;
use crate::links::Links;
use crate::locked::lock;
use crate::manifest::Journal;
use crate::options::{DeleteLimit, Options};
use crate::pace::Pace;
use crate::place::Place;
use crate::progress::{Control, Place as Counted, What};
use crate::queue::Queue;
use crate::rate::Limiter;
use crate::report::{Note, Problem, Stop};
use crate::setup::Division;
use crate::stat::Stat;
use crate::temporary::TemporaryNames;
use crate::trouble::{Meaning, Side, Trouble, meaning};

/// See the module.
pub(crate) struct Engine<'a> {
    pub options: &'a Options,
    pub control: &'a Control,
    pub queue: Queue<Dir, Doomed, Large>,
    pub pace: Pace,
    pub temporaries: TemporaryNames,
    pub abilities: Abilities,
    pub links: Links,
    pub journal: Option<Journal>,
    /// Reads back what is written down in it.
    pub confirm: Option<&'a Confirm<'a>>,
    /// Nothing is copied; the first difference ends the run.
    pub comparison: Option<Comparison>,
    /// Bytes per second.
    pub bandwidth: Option<Limiter>,
    /// Deletions per second.
    pub deletions: Option<Limiter>,
    /// Deletions of this run.
    pub allowance: Option<Allowance>,
    /// Directories that were moved up instead of entered.
    pub moved: AtomicU64,
    /// The roots; a deletion has none to read from.
    pub source: Option<Arc<Place>>,
    pub destination: Arc<Place>,
    pub leftovers: AtomicU64,
    pub owners_not_kept: AtomicU64,
    deletions_begun: AtomicU64,
    notes: Mutex<Vec<Note>>,
    stopping: AtomicBool,
    stop: Mutex<Option<Stop>>,
}

impl<'a> Engine<'a> {
    pub fn new(
        options: &'a Options,
        control: &'a Control,
        destination: Arc<Place>,
        division: Division,
    ) -> Self {
        Self {
            options,
            control,
            queue: Queue::new(division.workers),
            pace: Pace::new(division.workers, division.processors),
            temporaries: TemporaryNames::new(),
            abilities: Abilities::new(division.direct),
            links: Links::default(),
            journal: None,
            confirm: None,
            comparison: None,
            bandwidth: options.bandwidth.map(Limiter::new),
            deletions: None,
            allowance: None,
            moved: AtomicU64::new(0),
            source: None,
            destination,
            leftovers: AtomicU64::new(0),
            owners_not_kept: AtomicU64::new(0),
            deletions_begun: AtomicU64::new(0),
            notes: Mutex::default(),
            stopping: AtomicBool::new(false),
            stop: Mutex::default(),
        }
    }

    /// Whether workers are to let go of what they have in hand.
    pub fn is_stopping(&self) -> bool {
        if self.control.is_cancelled() && !self.stopping.load(Ordering::Relaxed) {
            self.end(Stop::Cancelled);
        }
        if self.comparison.is_some() && self.control.differs() {
            self.end(Stop::Different);
        }
        self.stopping.load(Ordering::Relaxed)
    }

    /// Ends the run early. The first reason counts.
    pub fn end(&self, why: Stop) {
        lock(&self.stop).get_or_insert(why);
        self.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
    }

    pub fn note(&self, path: PathBuf, problem: Problem) {
        lock(&self.notes).push(Note { path, problem });
    }

    /// Counts something that is not done, and says why.
    pub fn failed(&self, what: What, bytes: u64, path: PathBuf, trouble: Trouble) {
        let place = match &trouble {
            Trouble::Vanished | Trouble::Stopped | Trouble::Problem(Problem::Special(_)) => Counted::Skipped,
            Trouble::Call { .. } | Trouble::Problem(_) => Counted::Failed,
        };
        self.trouble(path, trouble);
        self.control.count(what, place, bytes);
    }

    /// Writes down what went wrong, and ends the run where it means that.
    pub fn trouble(&self, path: PathBuf, trouble: Trouble) {
        match trouble {
            Trouble::Stopped => {}
            Trouble::Vanished => self.note(path, Problem::Vanished),
            Trouble::Problem(problem) => self.note(path, problem),
            Trouble::Call { side, step, errno } => {
                if self.is_the_sides(side, errno) {
                    let path = path.clone();
                    self.end(match side {
                        Side::Source => Stop::Source { path, errno },
                        Side::Destination => Stop::Destination { path, errno },
                    });
                }
                self.note(path, Problem::Failed { step, errno });
            }
        }
    }

    fn is_the_sides(&self, side: Side, errno: Errno) -> bool {
        match meaning(side, errno) {
            Meaning::Path => false,
            Meaning::Side => true,
            Meaning::AskRoot => {
                let root = match side {
                    Side::Source => self.source.as_ref(),
                    Side::Destination => Some(&self.destination),
                };
                root.is_some_and(|root| match root.handle() {
                    Ok(handle) => Stat::of_open_now(std::os::fd::AsFd::as_fd(&*handle)).is_err(),
                    Err(_) => true,
                })
            }
        }
    }

    /// Whether one more entry may be deleted; waits where the rate says so. Left-overs of ours are not `limited`.
    pub fn may_delete(&self, limited: bool) -> Result<(), Trouble> {
        // Counted only where it matters: all workers would write to the same number.
        if let Some(limit) = self.options.delete.filter(|limit| limited && *limit != DeleteLimit::NONE)
            && self.deletions_begun.fetch_add(1, Ordering::Relaxed) >= limit.entries_max
        {
            return Err(Trouble::Problem(Problem::DeleteLimit));
        }
        if let Some(limiter) = &self.deletions {
            limiter.take(1, || self.is_stopping());
        }
        if self.is_stopping() {
            return Err(Trouble::Stopped);
        }
        // The last question: what is taken is used, whatever others do meanwhile.
        if self.allowance.as_ref().is_some_and(|allowance| !allowance.take()) {
            self.end(Stop::Limit);
            return Err(Trouble::Stopped);
        }
        Ok(())
    }

    /// So many bytes are about to be read; waits where the rate says so.
    pub fn may_read(&self, bytes: u64) -> Result<(), Trouble> {
        if let Some(limiter) = &self.bandwidth {
            limiter.take(bytes, || self.is_stopping());
        }
        if self.is_stopping() { Err(Trouble::Stopped) } else { Ok(()) }
    }

    /// Lets as many work as the latency of the last operations allows.
    pub fn observe(&self, operations: u64, latency: std::time::Duration) {
        if let Some(limit) = self.pace.observe(operations, latency) {
            self.queue.set_limit(limit);
        }
    }

    pub fn take_notes(&self) -> Vec<Note> {
        std::mem::take(&mut lock(&self.notes))
    }

    pub fn take_stop(&self) -> Option<Stop> {
        lock(&self.stop).take()
    }
}
