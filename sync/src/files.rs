//! Looking at files: what is there already stays, the rest is copied.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, readlinkat, symlinkat, utimensat};
use rustix::io::Errno;

use crate::abilities::timestamps;
use crate::attributes::Bearer;
use crate::compare::{Terms, Verdict, is_another_too, may_be_coarse, verdict};
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
    /// The directory in the earlier copy.
    pub earlier: Option<&'a Arc<Handle>>,
}

/// The descriptors of a directory.
pub(crate) struct Handles {
    pub source: Arc<Handle>,
    /// None in a dry run where it would have to be made.
    pub destination: Option<Arc<Handle>>,
    /// None where the earlier copy has none.
    pub earlier: Option<Arc<Handle>>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Unchanged,
    /// Unchanged since the earlier copy, and linked from there.
    Linked,
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
                Ok(handles) => self.file(worker, dir, handles, &name),
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

    /// The descriptors of a directory.
    pub fn handles(&self, dir: &Dir) -> Result<Handles, Trouble> {
        let source = dir.source.handle().map_err(Side::Source.at("open the source directory"))?;
        let destination = match &dir.destination {
            Some(place) => {
                Some(place.handle().map_err(Side::Destination.at("open the destination directory"))?)
            }
            None => None,
        };
        // One that cannot be opened again has nothing to link from.
        let earlier = dir.earlier.as_ref().and_then(|earlier| earlier.handle().ok());
        Ok(Handles { source, destination, earlier })
    }

    /// Counts the file itself where it has an outcome; with an error come the bytes to count.
    fn file(
        &self,
        worker: &mut Worker,
        dir: &Arc<Dir>,
        handles: &Handles,
        name: &Name<'_>,
    ) -> Result<Outcome, (Trouble, u64)> {
        let at = |step| Side::Source.at(step);
        let stat = match Stat::of(handles.source.as_fd(), name.text) {
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
        let existing = match (&handles.destination, name.both) {
            (Some(destination), true) => match Stat::of(destination.as_fd(), name.text) {
                Ok(stat) => Some(stat),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(with_bytes(Side::Destination.at("look at the destination")(errno))),
            },
            _ => None,
        };
        let subject = handles.subject(dir, name.text, stat, existing);
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
            Outcome::Unchanged | Outcome::Linked => Counted::Unchanged,
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

    /// What is compared, where times are kept in such steps.
    pub fn terms(&self, step: u64) -> Terms {
        Terms { owner: self.keeps_owner(), step, shared: self.options.earlier.is_some() }
    }

    /// `there`: what the destination has, or the earlier copy.
    pub fn verdict(&self, subject: &Subject<'_>, there: Option<&Stat>) -> Verdict {
        let found = verdict(&subject.stat, there, self.terms(self.abilities.step()));
        match (found, there, subject.destination) {
            (Verdict::Copy, Some(there), Some(destination))
                if may_be_coarse(&subject.stat, there) && !self.options.dry_run =>
            {
                let step = self.abilities.find_step(destination, &self.temporaries);
                verdict(&subject.stat, Some(there), self.terms(step))
            }
            _ => found,
        }
    }

    /// A regular file, whatever other names it has.
    pub fn regular(&self, worker: &mut Worker, subject: &Subject<'_>) -> Result<Outcome, Trouble> {
        if let Some(comparison) = &self.comparison {
            let same = self.verdict(subject, subject.existing.as_ref()) == Verdict::Same;
            let vouched = same && comparison.vouches(subject);
            return Ok(if vouched { Outcome::Unchanged } else { Outcome::Done });
        }
        let known = || {
            self.journal.as_ref().is_none_or(|journal| {
                let stat = &subject.stat;
                journal.knows(&subject.path(), stat.size, stat.mtime, stat.ctime)
            })
        };
        let settled = match self.verdict(subject, subject.existing.as_ref()) {
            // What no manifest vouches for may be what a power cut left.
            Verdict::Same if known() => self.same(subject)?,
            // If it cannot even be opened, or is no longer what it was, a new one has the right mode.
            Verdict::Attributes if known() => self.settle_existing(subject).ok().map(|()| Outcome::Done),
            Verdict::InTheWay => return Err(Trouble::Problem(Problem::InTheWay)),
            Verdict::Same | Verdict::Attributes | Verdict::Copy => None,
        };
        match settled {
            Some(outcome) => Ok(outcome),
            None => match self.link_from_earlier(worker, subject)? {
                Some(outcome) => Ok(outcome),
                None => self.copy(worker, subject),
            },
        }
    }

    /// None where it has other extended attributes and cannot be changed in place.
    fn same(&self, subject: &Subject<'_>) -> Result<Option<Outcome>, Trouble> {
        let (Some(destination), Some(existing)) = (subject.destination, &subject.existing) else {
            return Ok(Some(Outcome::Unchanged));
        };
        let (from, to) = (named(subject.source, subject.name), named(destination, subject.name));
        Ok(match is_another_too(&subject.stat, existing, self.terms(self.abilities.step())) {
            true => (!self.attributes_differ(from, to)?).then_some(Outcome::Unchanged),
            false if self.copy_attributes(from, to)? => Some(Outcome::Done),
            false => Some(Outcome::Unchanged),
        })
    }

    /// Owner and mode of a file whose content is right.
    fn settle_existing(&self, subject: &Subject<'_>) -> Result<(), Trouble> {
        let at = |step| Side::Destination.at(step);
        let (Some(destination), Some(existing)) = (subject.destination, &subject.existing) else {
            return Err(Trouble::Stopped);
        };
        if self.options.dry_run {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open_beneath(destination.as_fd(), subject.name, flags, Mode::empty(), Crossing::Refused)
            .map_err(at("open the destination file"))?;
        let now = Stat::of_open(file.as_fd()).map_err(at("look at the destination file"))?;
        if now.id != existing.id {
            return Err(Trouble::Vanished);
        }
        self.settle(file.as_fd(), &now, &subject.stat)?;
        self.copy_attributes(named(subject.source, subject.name), Bearer::Open(file.as_fd()))?;
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
        let same = match self.verdict(subject, subject.existing.as_ref()) {
            // Where links are made anew for each copy, nobody has looked at the targets until now.
            Verdict::Same if self.comparison.is_some() && !self.same_target(subject)? => None,
            Verdict::Same => self.same(subject)?,
            Verdict::InTheWay => return Err(Trouble::Problem(Problem::InTheWay)),
            Verdict::Attributes | Verdict::Copy => None,
        };
        match (same, subject.destination.filter(|_| !self.options.dry_run)) {
            (Some(outcome), _) => Ok(outcome),
            (None, None) => Ok(Outcome::Done),
            (None, Some(destination)) => self.make_symlink(subject, destination),
        }
    }

    fn same_target(&self, subject: &Subject<'_>) -> Result<bool, Trouble> {
        let read = |directory: &Handle| readlinkat(directory.as_fd(), subject.name, Vec::new());
        let wanted = read(subject.source).map_err(Side::Source.at("read the link"))?;
        let there = subject.destination.map(|directory| read(directory));
        let there = there.transpose().map_err(Side::Destination.at("read the link"))?;
        Ok(there.is_some_and(|there| there == wanted))
    }

    fn make_symlink(&self, subject: &Subject<'_>, destination: &Arc<Handle>) -> Result<Outcome, Trouble> {
        let target = readlinkat(subject.source.as_fd(), subject.name, Vec::new())
            .map_err(Side::Source.at("read the link"))?;
        let at = |step| Side::Destination.at(step);
        let made = Temporary::make(destination, &self.temporaries, |directory, name| {
            symlinkat(&*target, directory, name)
        })
        .map_err(at("make the link"))?;
        self.settle_link(made.directory(), made.name(), &subject.stat)?;
        if self.keeps_attributes() {
            let to = Bearer::Named(made.directory(), made.name());
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

impl Handles {
    /// A file in the directory, with what is known of it.
    pub fn subject<'a>(
        &'a self,
        dir: &'a Arc<Dir>,
        name: &'a CStr,
        stat: Stat,
        existing: Option<Stat>,
    ) -> Subject<'a> {
        let (destination, earlier) = (self.destination.as_ref(), self.earlier.as_ref());
        Subject { dir, source: &self.source, destination, name, stat, existing, earlier }
    }
}

pub(crate) fn named<'a>(handle: &'a Arc<Handle>, name: &'a CStr) -> Bearer<'a> {
    Bearer::Named(handle.as_fd(), name)
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
