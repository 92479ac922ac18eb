//! What is done about a file with several names; see [`crate::links`] for who does what.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, linkat};
use rustix::io::Errno;

use crate::directory::Dir;
use crate::earlier::is_copy_as_good;
use crate::engine::Engine;
use crate::files::{Outcome, Subject};
use crate::links::{Claim, There, Waiting};
use crate::progress::What;
use crate::report::Problem;
use crate::stat::Stat;
use crate::temporary::Temporary;
use crate::trouble::{Side, Trouble};
use crate::worker::Worker;

/// The name of a file under which it was copied.
#[derive(Clone, Copy)]
pub(crate) struct First<'a> {
    /// Of the source.
    pub stat: Stat,
    pub dir: &'a Arc<Dir>,
    pub name: &'a CStr,
}

impl Engine<'_> {
    /// A file with more than one name.
    pub fn linked(&self, worker: &mut Worker, subject: &Subject<'_>) -> Result<Outcome, Trouble> {
        let waiting = Waiting {
            dir: Arc::clone(subject.dir),
            name: subject.name.to_owned(),
            stat: subject.stat,
            existing: subject.existing,
        };
        match self.links.claim(waiting) {
            Claim::First => {
                let outcome = self.regular(worker, subject);
                match &outcome {
                    // Whoever carries it on tells the others.
                    Ok(Outcome::Handed) => {}
                    Ok(outcome) => {
                        let told = First { stat: subject.stat, dir: subject.dir, name: subject.name };
                        self.first_name_is_done(worker, told, *outcome);
                    }
                    Err(trouble) => self.first_name_failed(subject.stat, trouble),
                }
                outcome
            }
            Claim::Waits => Ok(Outcome::Handed),
            Claim::Link(waiting, there) => self.link(worker, &waiting, &there),
            Claim::Failed(trouble) => Err(trouble),
        }
    }

    /// Makes those that waited for the first name links to it.
    pub fn first_name_is_done(&self, worker: &mut Worker, first: First<'_>, outcome: Outcome) {
        let there = self.find_first(first, outcome);
        for waiting in self.links.resolve(first.stat.id, there.clone()) {
            let outcome = match &there {
                Ok(there) => self.link(worker, &waiting, there),
                Err(trouble) => Err(trouble.clone()),
            };
            self.settle_waiting(&waiting, outcome);
        }
    }

    fn find_first(&self, first: First<'_>, outcome: Outcome) -> Result<There, Trouble> {
        let mut there =
            There { directory: first.dir.destination.clone(), name: first.name.to_owned(), id: None };
        // A dry run that would copy it has nothing to look at, and one that would link it only what it would link.
        let place = match (self.options.dry_run, outcome) {
            (true, Outcome::Linked) => &first.dir.earlier,
            (false, _) | (true, Outcome::Unchanged) => &there.directory,
            (true, _) => return Ok(there),
        };
        let at = Side::Destination.at("look at the destination");
        let place = place.as_ref().ok_or(Trouble::Stopped)?;
        let copy = place.handle().and_then(|handle| Stat::of(handle.as_fd(), first.name)).map_err(at)?;
        there.id = Some(copy.id);
        Ok(there)
    }

    /// Those that waited for the first name fail with it if it is the file's fault; otherwise another is the first.
    pub fn first_name_failed(&self, stat: Stat, trouble: &Trouble) {
        let files_own = match trouble {
            Trouble::Call { side, .. } => *side == Side::Source,
            Trouble::Problem(problem) => *problem == Problem::Changing,
            Trouble::Vanished | Trouble::Stopped => false,
        };
        let waiting = match files_own {
            true => self.links.resolve(stat.id, Err(trouble.clone())),
            false => self.links.give_up(stat.id),
        };
        for waiting in waiting {
            match files_own {
                true => self.settle_waiting(&waiting, Err(trouble.clone())),
                false => self.look_again(&waiting.dir, &waiting.name, waiting.stat.size),
            }
        }
    }

    fn settle_waiting(&self, waiting: &Waiting, outcome: Result<Outcome, Trouble>) {
        match outcome {
            Ok(outcome) => self.count_outcome(&waiting.dir, waiting.stat.size, outcome),
            Err(Trouble::Stopped) => {}
            Err(trouble) => {
                self.failed(
                    What::File,
                    waiting.stat.size,
                    waiting.dir.source.path_of(&waiting.name),
                    trouble,
                );
                self.file_is_settled(&waiting.dir);
            }
        }
    }

    fn link(&self, worker: &mut Worker, waiting: &Waiting, there: &There) -> Result<Outcome, Trouble> {
        let handles = self.handles(&waiting.dir)?;
        let subject = handles.subject(&waiting.dir, &waiting.name, waiting.stat, waiting.existing);
        let same = waiting.existing.is_some_and(|existing| Some(existing.id) == there.id);
        if !same && !self.options.dry_run {
            match self.place_link(&subject, there) {
                Ok(()) => {}
                Err(errno) if is_copy_as_good(errno) => return self.regular(worker, &subject),
                Err(errno) => return Err(Side::Destination.at("make the hard link")(errno)),
            }
        }
        self.record_link(worker, &subject)?;
        let earlier = || subject.earlier.and_then(|earlier| Stat::of(earlier.as_fd(), subject.name).ok());
        Ok(match (same, there.id) {
            (true, _) => Outcome::Unchanged,
            (false, Some(id)) if earlier().is_some_and(|earlier| earlier.id == id) => Outcome::Linked,
            (false, _) => Outcome::Done,
        })
    }

    fn place_link(&self, subject: &Subject<'_>, there: &There) -> Result<(), Errno> {
        let (Some(from), Some(destination)) = (&there.directory, subject.destination) else { return Ok(()) };
        let from = from.handle()?;
        let made = Temporary::make(destination, &self.temporaries, |directory, name| {
            linkat(from.as_fd(), &there.name, directory, name, AtFlags::empty())
        })?;
        made.place(subject.name)?;
        subject.dir.touch();
        Ok(())
    }
}
