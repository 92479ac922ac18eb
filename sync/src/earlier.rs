//! Files that are unchanged since an earlier copy of the same source: linked from there. That copy is only looked at;
//! what cannot be linked is copied.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, linkat, unlinkat};
use rustix::io::Errno;

use crate::SyncError;
use crate::compare::Verdict;
use crate::copy::{is_untouched, open_source};
use crate::digest::Digest;
use crate::engine::Engine;
use crate::files::{Outcome, Subject, named};
use crate::manifest::Ordinal;
use crate::options::Options;
use crate::place::{Budget, Crossing, Handle, Place, open_beneath};
use crate::pump::reading;
use crate::report::Problem;
use crate::setup::lies_in;
use crate::stat::Stat;
use crate::temporary::{Temporary, link};
use crate::trouble::{Side, Trouble};
use crate::worker::Worker;

/// What the manifest is to say of a file that was not copied.
enum Words {
    /// Nothing, or what it says already.
    None,
    /// What the earlier copy's manifest says.
    Earlier(Ordinal),
    /// With this digest, if one was asked for.
    New(Option<Digest>),
}

/// Opens the earlier copy, if there is one. It and the destination lie side by side.
pub(crate) fn open(
    options: &Options,
    destination: (BorrowedFd<'_>, &Stat),
    budget: &Arc<Budget>,
) -> Result<Option<Arc<Place>>, SyncError> {
    let Some(earlier) = &options.earlier else { return Ok(None) };
    let opened = Place::root(earlier.directory.as_fd(), Crossing::Refused, budget);
    let (place, stat) = opened.map_err(SyncError::Earlier)?;
    let handle = place.handle().map_err(SyncError::Earlier)?;
    if lies_in(handle.as_fd(), destination.1) || lies_in(destination.0, &stat) {
        return Err(SyncError::EarlierNested);
    }
    Ok(Some(place))
}

impl Engine<'_> {
    /// Links a file from the earlier copy if it is unchanged there. None where it has to be copied.
    pub fn link_from_earlier(
        &self,
        worker: &mut Worker,
        subject: &Subject<'_>,
    ) -> Result<Option<Outcome>, Trouble> {
        let Some(earlier) = subject.earlier else { return Ok(None) };
        if let Some(linked) = self.link_by_name(subject, earlier)? {
            return Ok(linked.then_some(Outcome::Linked));
        }
        // What is compared is what is linked, whatever somebody may put in its place. Whatever it is that keeps us from it, a
        // copy is as good.
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let opened = open_beneath(earlier.as_fd(), subject.name, flags, Mode::empty(), Crossing::Refused);
        let Ok(file) = opened else { return Ok(None) };
        let Ok(there) = Stat::of_open(file.as_fd()) else { return Ok(None) };
        if self.verdict(subject, Some(&there)) != Verdict::Same {
            return Ok(None);
        }
        let Some(words) = self.words(worker, subject)? else { return Ok(None) };
        let is_linked = subject.existing.is_some_and(|existing| existing.id == there.id);
        let (from, to) = (named(subject.source, subject.name), named(earlier, subject.name));
        let are_known = matches!(words, Words::Earlier(_));
        if !are_known && self.attributes_differ(from, to)? {
            return Ok(None);
        }
        if let Some(destination) = subject.destination.filter(|_| !is_linked && !self.options.dry_run)
            && !self.place_from_earlier(subject, file.as_fd(), destination)?
        {
            return Ok(None);
        }
        self.record(subject, words);
        Ok(Some(Outcome::Linked))
    }

    /// Links what the earlier copy's manifest vouches for by its name, and only then looks at what was linked: two calls for a
    /// file instead of four. What is not the file that was meant is gone again at once, and no manifest ever vouched for it.
    /// False where it has to be copied, none where this is not the way.
    fn link_by_name(&self, subject: &Subject<'_>, earlier: &Handle) -> Result<Option<bool>, Trouble> {
        let (Some(journal), Some(destination)) = (&self.journal, subject.destination) else {
            return Ok(None);
        };
        if subject.existing.is_some() || self.options.dry_run {
            return Ok(None);
        }
        let Some(ordinal) = journal.find_earlier(&subject.path(), &subject.stat) else { return Ok(None) };
        let (from, to) = (earlier.as_fd(), destination.as_fd());
        match linkat(from, subject.name, to, subject.name, AtFlags::empty()) {
            // Somebody else has made that since we looked.
            Err(Errno::EXIST) => return Ok(None),
            Err(errno) if is_copy_as_good(errno) => return Ok(Some(false)),
            linked => linked.map_err(Side::Destination.at("make the hard link"))?,
        }
        subject.dir.touch();
        let there = Stat::of(to, subject.name).ok();
        if self.verdict(subject, there.as_ref()) == Verdict::Same {
            journal.take_over(ordinal);
            return Ok(Some(true));
        }
        unlinkat(to, subject.name, AtFlags::empty()).map_err(Side::Destination.at("remove the hard link"))?;
        Ok(Some(false))
    }

    /// None if the earlier copy's manifest does not vouch for the file, or the source is no longer what it was.
    fn words(&self, worker: &mut Worker, subject: &Subject<'_>) -> Result<Option<Words>, Trouble> {
        match &self.journal {
            None => Ok(Some(Words::None)),
            Some(journal) if journal.has_earlier() => {
                Ok(journal.find_earlier(&subject.path(), &subject.stat).map(Words::Earlier))
            }
            Some(_) => Ok(self.reread(worker, subject)?.map(Words::New)),
        }
    }

    fn record(&self, subject: &Subject<'_>, words: Words) {
        match (words, &self.journal) {
            (Words::Earlier(ordinal), Some(journal)) => journal.take_over(ordinal),
            (Words::New(digest), _) => self.is_placed(subject, &subject.stat, digest),
            (Words::Earlier(_) | Words::None, _) => {}
        }
    }

    /// What lies under one more name of a file is known; the manifest has a line for each name.
    pub fn record_link(&self, worker: &mut Worker, subject: &Subject<'_>) -> Result<(), Trouble> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let (path, stat) = (subject.path(), &subject.stat);
        let words = match journal.knows(&path, stat.size, stat.mtime, stat.ctime) {
            true => Words::None,
            false => match journal.find_earlier(&path, stat) {
                Some(ordinal) => Words::Earlier(ordinal),
                None => {
                    let digest = self.reread(worker, subject)?;
                    Words::New(digest.ok_or(Trouble::Problem(Problem::Changing))?)
                }
            },
        };
        self.record(subject, words);
        Ok(())
    }

    /// Reads a file of the source for its digest, if one was asked for. Nothing if it is not what it was.
    fn reread(&self, worker: &mut Worker, subject: &Subject<'_>) -> Result<Option<Option<Digest>>, Trouble> {
        if !self.options.checksum {
            return Ok(Some(None));
        }
        let stat = &subject.stat;
        let source = open_source(subject.source.as_fd(), subject.name, OFlags::empty())?;
        let mut hasher = blake3::Hasher::new();
        let mut update = |bytes: &[u8]| {
            hasher.update(bytes);
        };
        self.pump(&mut reading(&source, stat.is_sparse(), &mut update), worker.bytes(), 0, stat.size)?;
        let untouched = is_untouched(stat, source.as_fd())?;
        Ok(untouched.then(|| Some(*hasher.finalize().as_bytes())))
    }

    /// False where it has to be copied.
    fn place_from_earlier(
        &self,
        subject: &Subject<'_>,
        file: BorrowedFd<'_>,
        destination: &Arc<Handle>,
    ) -> Result<bool, Trouble> {
        let at = |step| Side::Destination.at(step);
        let replacing =
            || Temporary::make(destination, &self.temporaries, |directory, name| link(file, directory, name));
        let made = match subject.existing {
            None => match link(file, destination.as_fd(), subject.name) {
                // Somebody else has made that since we looked.
                Err(Errno::EXIST) => replacing().map(Some),
                linked => linked.map(|()| None),
            },
            Some(_) => replacing().map(Some),
        };
        let made = match made {
            Ok(made) => made,
            Err(errno) if is_copy_as_good(errno) => return Ok(false),
            Err(errno) => return Err(at("make the hard link")(errno)),
        };
        let placed = made.map_or(Ok(()), |made| made.place(subject.name));
        placed.map_err(|errno| match errno {
            Errno::ISDIR => Trouble::Problem(Problem::InTheWay),
            errno => at("give the file its name")(errno),
        })?;
        subject.dir.touch();
        Ok(true)
    }
}

/// A link cannot be made, and that says nothing about a copy: a limit of names, another file system or one without
/// links, a file of somebody else's, one that is gone.
pub(crate) fn is_copy_as_good(errno: Errno) -> bool {
    use Errno as E;
    matches!(errno, E::MLINK | E::PERM | E::NOTSUP | E::NOSYS | E::XDEV | E::NOENT | E::ACCESS)
}
