//! Looking at files: what is there already stays, the rest is copied.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, readlinkat, symlinkat, utimensat};
use rustix::io::Errno;

use crate::abilities::timestamps;
use crate::attributes::Named;
use crate::compare::{Terms, Verdict, may_be_coarse, verdict};
use crate::directory::Dir;
use crate::doom::{Doomed, Way};
use crate::engine::Engine;
use crate::names::{Name, Names};
use crate::place::{Crossing, Handle, open_beneath};
use crate::progress::{Place as Counted, What};
use crate::queue::Files;
use crate::report::{Counts, Problem};
use crate::stat::Stat;
use crate::temporary::Temporary;
use crate::trouble::{Side, Trouble};
use crate::worker::Worker;

/// A file that is looked at, with what both sides say of it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub dir: &'a Arc<Dir>,
    pub source: &'a Arc<Handle>,
    /// None in a dry run where its directory would have to be made.
    pub destination: Option<&'a Arc<Handle>>,
    pub name: &'a CStr,
    pub stat: Stat,
    /// In the destination.
    pub existing: Option<Stat>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Unchanged,
    Done,
    /// Others carry it on, and will count it.
    Handed,
    /// It is a directory, and counts as one.
    Directory,
}

impl Engine<'_> {
    /// Looks at some files of a directory and copies what has to be.
    pub fn files(&self, worker: &mut Worker, files: Files<Dir>) {
        let dir = &files.directory;
        self.control.at(worker.number, Some(dir.source.path()));
        let handles = self.handles(dir);
        let mut names = files.names.within(&files.piece);
        while let Some(name) = names.next() {
            if self.is_stopping() {
                return;
            }
            let outcome = match &handles {
                Ok((source, destination)) => self.file(worker, dir, source, destination.as_ref(), &name),
                Err(trouble) => Err((trouble.clone(), 0)),
            };
            match outcome {
                Ok(Outcome::Handed) => {
                    // A large file: its chunks come first, the other files of this batch after it.
                    let piece = names.at..files.piece.end;
                    self.queue.push_files(Files {
                        directory: Arc::clone(dir),
                        names: Arc::clone(&files.names),
                        piece,
                    });
                    return;
                }
                Ok(_) => {}
                Err((Trouble::Stopped, _)) => return,
                Err((trouble, bytes)) => {
                    self.failed(What::File, bytes, dir.source.path_of(name.text), trouble);
                    self.file_is_settled(dir);
                }
            }
        }
    }

    /// Both sides' descriptors of a directory.
    pub fn handles(&self, dir: &Dir) -> Result<(Arc<Handle>, Option<Arc<Handle>>), Trouble> {
        let source = dir.source.handle().map_err(Side::Source.at("open the source directory"))?;
        let destination = match &dir.destination {
            Some(place) => {
                Some(place.handle().map_err(Side::Destination.at("open the destination directory"))?)
            }
            None => None,
        };
        Ok((source, destination))
    }

    /// Counts the file itself where it has an outcome; with an error come the bytes to count.
    fn file(
        &self,
        worker: &mut Worker,
        dir: &Arc<Dir>,
        source: &Arc<Handle>,
        destination: Option<&Arc<Handle>>,
        name: &Name<'_>,
    ) -> Result<Outcome, (Trouble, u64)> {
        let at = |step| Side::Source.at(step);
        let stat = match Stat::of(source.as_fd(), name.text) {
            Ok(stat) => stat,
            // Nobody listed it: it was asked for by its name.
            Err(Errno::NOENT) if dir.selection.is_some() => {
                return Err((at("find what was chosen")(Errno::NOENT), 0));
            }
            Err(Errno::NOENT) => return Err((Trouble::Vanished, 0)),
            Err(errno) => return Err((at("look at the source file")(errno), 0)),
        };
        if stat.kind.is_dir() {
            return Ok(self.is_directory(dir, name));
        }
        if dir.selection.below(name.text).is_some() {
            return Err((at("find what was chosen below it")(Errno::NOTDIR), 0));
        }
        let bytes = stat.bytes();
        self.control.count_many(What::File, Counted::Found, Counts { files: 0, bytes });
        let with_bytes = |trouble| (trouble, bytes);
        let existing = match (destination, name.both) {
            (Some(destination), true) => match Stat::of(destination.as_fd(), name.text) {
                Ok(stat) => Some(stat),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(with_bytes(Side::Destination.at("look at the destination")(errno))),
            },
            _ => None,
        };
        let subject = Subject { dir, source, destination, name: name.text, stat, existing };
        let outcome = match stat.kind {
            FileType::RegularFile | FileType::Symlink if existing.is_some_and(|file| file.kind.is_dir()) => {
                self.clear_the_way(&subject)
            }
            FileType::RegularFile if stat.links > 1 => self.linked(worker, &subject),
            FileType::RegularFile => self.regular(worker, &subject),
            FileType::Symlink => self.symlink(&subject),
            special => Err(Trouble::Problem(Problem::Special(kind_name(special)))),
        };
        let outcome = outcome.map_err(with_bytes)?;
        self.count_outcome(dir, bytes, outcome);
        Ok(outcome)
    }

    pub fn count_outcome(&self, dir: &Arc<Dir>, bytes: u64, outcome: Outcome) {
        let place = match outcome {
            Outcome::Unchanged => Counted::Unchanged,
            Outcome::Done => Counted::Done,
            Outcome::Handed | Outcome::Directory => return,
        };
        self.control.count(What::File, place, bytes);
        self.file_is_settled(dir);
    }

    /// It was listed as a file, or as nothing in particular.
    fn is_directory(&self, dir: &Arc<Dir>, name: &Name<'_>) -> Outcome {
        self.control.count(What::Directory, Counted::Found, 0);
        self.control.uncount_file();
        if self.is_left_out(&dir.source, name.text, true) {
            self.control.count(What::Directory, Counted::Skipped, 0);
        } else {
            dir.expect(1, 0);
            self.push_directory(dir, name.text, name.both);
        }
        self.file_is_settled(dir);
        Outcome::Directory
    }

    pub fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        let terms = |step| Terms { owner: self.keeps_owner(), step };
        let found = verdict(&subject.stat, subject.existing.as_ref(), terms(self.abilities.step()));
        match (found, &subject.existing, subject.destination) {
            (Verdict::Copy, Some(existing), Some(destination))
                if may_be_coarse(&subject.stat, existing) && !self.options.dry_run =>
            {
                let step = self.abilities.find_step(destination, &self.temporaries);
                verdict(&subject.stat, Some(existing), terms(step))
            }
            _ => found,
        }
    }

    /// A regular file, whatever other names it has.
    pub fn regular(&self, worker: &mut Worker, subject: &Subject<'_>) -> Result<Outcome, Trouble> {
        let known = || {
            self.journal.as_ref().is_none_or(|journal| {
                let stat = &subject.stat;
                journal.knows(&subject.path(), stat.size, stat.mtime, stat.ctime)
            })
        };
        match self.verdict(subject) {
            // What no manifest vouches for may be what a power cut left.
            Verdict::Same if known() => self.same(subject),
            Verdict::Attributes if !self.options.dry_run && known() => match self.settle_existing(subject) {
                Ok(()) => Ok(Outcome::Done),
                // It cannot even be opened, or is no longer what it was: a new one has the right mode.
                Err(_) => self.copy(worker, subject),
            },
            Verdict::InTheWay => Err(Trouble::Problem(Problem::InTheWay)),
            Verdict::Same | Verdict::Attributes | Verdict::Copy => self.copy(worker, subject),
        }
    }

    fn same(&self, subject: &Subject<'_>) -> Result<Outcome, Trouble> {
        let Some(destination) = subject.destination.filter(|_| self.keeps_attributes()) else {
            return Ok(Outcome::Unchanged);
        };
        let changed =
            self.copy_attributes(named(subject.source, subject.name), named(destination, subject.name))?;
        Ok(if changed { Outcome::Done } else { Outcome::Unchanged })
    }

    /// Owner and mode of a file whose content is right.
    fn settle_existing(&self, subject: &Subject<'_>) -> Result<(), Trouble> {
        let at = |step| Side::Destination.at(step);
        let (Some(destination), Some(existing)) = (subject.destination, &subject.existing) else {
            return Err(Trouble::Stopped);
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open_beneath(destination.as_fd(), subject.name, flags, Mode::empty(), Crossing::Refused)
            .map_err(at("open the destination file"))?;
        let now = Stat::of_open(file.as_fd()).map_err(at("look at the destination file"))?;
        if now.id != existing.id {
            return Err(Trouble::Vanished);
        }
        self.settle(file.as_fd(), &now, &subject.stat)?;
        self.copy_attributes(named(subject.source, subject.name), named(destination, subject.name))?;
        Ok(())
    }

    /// A directory stands where a file is to be: first it has to go, as far as that was asked for; then the file is looked
    /// at again.
    fn clear_the_way(&self, subject: &Subject<'_>) -> Result<Outcome, Trouble> {
        let Some(place) = subject.dir.destination.as_ref().filter(|_| self.options.delete.is_some()) else {
            return Err(Trouble::Problem(Problem::InTheWay));
        };
        let way =
            Way { dir: Arc::clone(subject.dir), name: subject.name.to_owned(), bytes: subject.stat.bytes() };
        self.doom(Doomed::in_the_way(way, place), Names::one(subject.name, FileType::Directory, true));
        Ok(Outcome::Handed)
    }

    /// What was in the way of a file is gone, or stays.
    pub fn way_is_clear(&self, way: &Way, gone: bool) {
        match gone {
            true if self.options.dry_run => self.count_outcome(&way.dir, way.bytes, Outcome::Done),
            true => self.look_again(&way.dir, &way.name, way.bytes),
            false => {
                let trouble = Trouble::Problem(Problem::InTheWay);
                self.failed(What::File, way.bytes, way.dir.source.path_of(&way.name), trouble);
                self.file_is_settled(&way.dir);
            }
        }
    }

    /// Begins anew with a file that was looked at before, and whose bytes were counted then.
    pub fn look_again(&self, dir: &Arc<Dir>, name: &CStr, bytes: u64) {
        let names = Names::one(name, FileType::RegularFile, true);
        self.control.uncount_bytes(bytes);
        let piece = 0..names.end();
        self.queue.push_files(Files { directory: Arc::clone(dir), names: Arc::new(names), piece });
    }

    fn symlink(&self, subject: &Subject<'_>) -> Result<Outcome, Trouble> {
        match self.verdict(subject) {
            Verdict::Same => return self.same(subject),
            Verdict::InTheWay => return Err(Trouble::Problem(Problem::InTheWay)),
            Verdict::Attributes | Verdict::Copy => {}
        }
        if self.options.dry_run {
            return Ok(Outcome::Done);
        }
        let Some(destination) = subject.destination else { return Ok(Outcome::Done) };
        let target = readlinkat(subject.source.as_fd(), subject.name, Vec::new())
            .map_err(Side::Source.at("read the link"))?;
        let at = |step| Side::Destination.at(step);
        let made = Temporary::make(destination, &self.temporaries, |directory, name| {
            symlinkat(&*target, directory, name)
        })
        .map_err(at("make the link"))?;
        self.settle_link(made.directory(), made.name(), &subject.stat)?;
        if self.keeps_attributes() {
            let to = Named { directory: made.directory(), name: made.name() };
            self.copy_attributes(named(subject.source, subject.name), to)?;
        }
        let times = timestamps(subject.stat.mtime);
        utimensat(made.directory(), made.name(), &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(at("set the time"))?;
        made.place(subject.name).map_err(at("give the link its name"))?;
        subject.dir.touch();
        Ok(Outcome::Done)
    }
}

fn named<'a>(handle: &'a Arc<Handle>, name: &'a CStr) -> Named<'a> {
    Named { directory: handle.as_fd(), name }
}

impl Subject<'_> {
    pub fn path(&self) -> std::path::PathBuf {
        self.dir.source.path_of(self.name)
    }
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        _ => "file of an unknown kind",
    }
}
