//! What is done about a file with several names; see [`crate::links`] for who does what.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, linkat};
use rustix::io::Errno;

use crate::copy::open_source;
use crate::directory::Dir;
use crate::engine::Engine;
use crate::files::{Outcome, Subject};
use crate::links::{Claim, There, Waiting};
use crate::progress::What;
use crate::pump::reading;
use crate::stat::Stat;
use crate::temporary::Temporary;
use crate::trouble::{Side, Trouble};
use crate::worker::Worker;

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
                    Ok(_) => self.first_name_is_done(worker, subject.stat, subject.dir, subject.name),
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
    pub fn first_name_is_done(&self, worker: &mut Worker, stat: Stat, dir: &Arc<Dir>, name: &CStr) {
        let at = Side::Destination.at("look at the destination");
        let Some(place) = &dir.destination else { return };
        let there = place.handle().and_then(|handle| Stat::of(handle.as_fd(), name)).map_err(at);
        let there =
            there.map(|copy| There { directory: Arc::clone(place), name: name.to_owned(), id: copy.id });
        for waiting in self.links.resolve(stat.id, there.clone()) {
            let outcome = match &there {
                Ok(there) => self.link(worker, &waiting, there),
                Err(trouble) => Err(trouble.clone()),
            };
            self.settle_waiting(&waiting, outcome);
        }
    }

    /// Those that waited for the first name fail with it.
    pub fn first_name_failed(&self, stat: Stat, trouble: &Trouble) {
        for waiting in self.links.resolve(stat.id, Err(trouble.clone())) {
            self.settle_waiting(&waiting, Err(trouble.clone()));
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
        let (source, destination) = self.handles(&waiting.dir)?;
        let Some(destination) = destination else { return Ok(Outcome::Done) };
        let subject = Subject {
            dir: &waiting.dir,
            source: &source,
            destination: Some(&destination),
            name: &waiting.name,
            stat: waiting.stat,
            existing: waiting.existing,
        };
        let same = waiting.existing.is_some_and(|existing| existing.id == there.id);
        if !same {
            if waiting.existing.is_some_and(|existing| existing.kind.is_dir()) {
                self.clear_the_way(&subject)?;
            }
            match self.place_link(&subject, there) {
                Ok(()) => {}
                // A limit of names, a file system without links: a copy is as good.
                Err(Errno::MLINK | Errno::PERM | Errno::NOTSUP | Errno::XDEV | Errno::NOENT) => {
                    return self.regular(worker, &subject);
                }
                Err(errno) => return Err(Side::Destination.at("make the hard link")(errno)),
            }
        }
        self.record_link(worker, &subject)?;
        Ok(if same { Outcome::Unchanged } else { Outcome::Done })
    }

    fn place_link(&self, subject: &Subject<'_>, there: &There) -> Result<(), Errno> {
        let from = there.directory.handle()?;
        let Some(destination) = subject.destination else { return Ok(()) };
        let made = Temporary::make(destination, &self.temporaries, |directory, name| {
            linkat(from.as_fd(), &there.name, directory, name, AtFlags::empty())
        })?;
        made.place(subject.name)?;
        subject.dir.touch();
        Ok(())
    }

    /// Each name has its own line in the manifest; the content is read again for its hash.
    fn record_link(&self, worker: &mut Worker, subject: &Subject<'_>) -> Result<(), Trouble> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let stat = subject.stat;
        if journal.knows(&subject.path(), stat.size, stat.mtime, stat.ctime) {
            return Ok(());
        }
        let mut digest = None;
        if self.options.checksum {
            let source = open_source(subject.source.as_fd(), subject.name)?;
            let mut hasher = blake3::Hasher::new();
            let mut update = |bytes: &[u8]| {
                hasher.update(bytes);
            };
            self.pump(&mut reading(&source, stat.is_sparse(), &mut update), worker.bytes(), 0, stat.size)?;
            digest = Some(*hasher.finalize().as_bytes());
        }
        self.is_placed(subject, &stat, digest);
        Ok(())
    }
}
