//! Emptying the share's trash, a slice at a time: one call removes as much of what has lain there long enough as its time and
//! count allow. It may be cut anywhere: what is half removed is removed further the next time.
//!
//! How long something has lain there is known from two things, of which the later counts: the time in its name, by the clock
//! of whoever moved it there, and its ctime, which the rename sets and nobody can set back. A tenant who still has it open
//! can only make it younger. Now is what the server says: a clock of ours that is wrong removes nothing early.
//!
//! A folder whose removal begins gets a mark in its name. From there on its ctime, which the removal changes, says nothing,
//! and nobody takes it for one that can be restored. Names that are not ours are nobody's to remove.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, Timespec, Timestamps, UTIME_NOW, fstat, futimens, renameat, statat};
use rustix::io::Errno;
use workspacefs_sync::{Control, DeleteOptions, delete};

use super::super::ShareError;
use super::super::protocol::{StuckInTrash, TrashSlice, TrashSwept};
use super::leaving::TRASH;
use super::reserved::{self, Ours};
use super::resolve::Share;
use super::words;

/// At the end of the name of a folder that is being removed.
pub(super) const MARK: &str = ".emptying";
/// So many threads remove at a time, for as long as the question lasts. Each mostly waits for the server; of the eight
/// threads with which the kernel's server long began by default, as many are left to people.
const WORKERS: Option<NonZeroUsize> = NonZeroUsize::new(4);
/// An answer is one message: no more folders than this are named in it.
const NAMED_MAX: usize = 64;

/// Something of ours in the trash.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Entry {
    name: String,
    /// When it came here, in seconds since 1970, as its name says. None: its removal has begun.
    came: Option<i64>,
}

/// Removes a part of what is due. A share without a trash of ours has nothing to remove.
pub(super) fn sweep(share: &Share, slice: &TrashSlice) -> Result<TrashSwept, ShareError> {
    let mut swept = TrashSwept::default();
    let trash = match reserved::open(share)? {
        Some(ours) => ours.find(TRASH)?,
        None => None,
    };
    let Some(trash) = trash else {
        return Ok(swept);
    };
    let mut entries = entries(&trash)?;
    entries.retain(|entry| !slice.except.contains(&entry.name));
    if entries.is_empty() {
        return Ok(swept);
    }
    // What was begun is finished first, then the oldest.
    entries.sort_by_key(|entry| entry.came);
    let now = servers_now(&trash)?;
    let until = Instant::now() + Duration::from_millis(slice.work_ms);
    let named = |swept: &TrashSwept| swept.emptied.len() + swept.stuck.len();
    for entry in entries {
        match is_due(&trash, &entry, now, slice.keep_seconds) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(errno) => {
                swept.stuck.push(StuckInTrash { name: entry.name, reason: words::text(errno) });
                continue;
            }
        }
        let is_over = swept.entries >= slice.entries_max || Instant::now() >= until;
        if named(&swept) >= NAMED_MAX || swept.entries > 0 && is_over {
            swept.more = true;
            break;
        }
        let options = DeleteOptions {
            entries_max: Some(slice.entries_max.saturating_sub(swept.entries)),
            time_max: Some(until.saturating_duration_since(Instant::now())),
            workers: WORKERS,
            ..DeleteOptions::default()
        };
        let Step { name, entries, done } = remove(&trash, &entry, &options);
        swept.entries += entries;
        match done {
            Ok(true) => swept.emptied.push(name),
            Ok(false) if entries == 0 && Instant::now() < until => {
                let reason = "somebody makes new things in it as fast as they go".into();
                swept.stuck.push(StuckInTrash { name, reason });
            }
            Ok(false) => {
                swept.more = true;
                break;
            }
            Err(errno) => swept.stuck.push(StuckInTrash { name, reason: words::text(errno) }),
        }
    }
    Ok(swept)
}

/// What came of removing a part of one folder.
struct Step {
    /// As the folder is called now.
    name: String,
    entries: u64,
    /// Whether nothing is left of it.
    done: Result<bool, Errno>,
}

/// Removes a part of one folder, under its mark.
fn remove(trash: &Ours, entry: &Entry, options: &DeleteOptions) -> Step {
    let fd = trash.folder().fd.as_fd();
    let name = match mark(trash, entry) {
        Ok(Some(name)) => name,
        // Somebody has restored it this very moment.
        Ok(None) => return Step { name: entry.name.clone(), entries: 0, done: Ok(true) },
        Err(errno) => return Step { name: entry.name.clone(), entries: 0, done: Err(errno) },
    };
    match delete(fd, name.as_ref(), options, &Control::new()) {
        Ok(report) => {
            let done = report.refused().map_or(Ok(report.is_done()), Err);
            Step { name, entries: report.deleted + report.moved, done }
        }
        Err(error) => Step { name, entries: 0, done: Err(error.into()) },
    }
}

/// Gives a folder its mark, and back its name with it; None if it is not there any more.
fn mark(trash: &Ours, entry: &Entry) -> Result<Option<String>, Errno> {
    if entry.came.is_none() {
        return Ok(Some(entry.name.clone()));
    }
    let fd = trash.folder().fd.as_fd();
    let marked = format!("{}{MARK}", entry.name);
    match renameat(fd, &entry.name, fd, &marked) {
        Ok(()) => Ok(Some(marked)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Everything in the trash that has a name of ours.
fn entries(trash: &Ours) -> Result<Vec<Entry>, ShareError> {
    let failed = |errno| trash.failed("list", "", errno);
    let mut found = Vec::new();
    for entry in Dir::read_from(&trash.folder().fd).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        found.extend(entry.file_name().to_str().ok().and_then(Entry::parse));
    }
    Ok(found)
}

impl Entry {
    /// Reads a name that [`super::leaving`] gave: `<name>.<unix seconds>.<eight digits>`, and our mark.
    fn parse(name: &str) -> Option<Self> {
        let (unmarked, marked) = match name.strip_suffix(MARK) {
            Some(unmarked) => (unmarked, true),
            None => (name, false),
        };
        let (rest, digits) = unmarked.rsplit_once('.')?;
        let (plain, seconds) = rest.rsplit_once('.')?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let ours = !plain.is_empty()
            && !plain.starts_with('.')
            && plain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && digits.len() == 8
            && digits.bytes().all(hex)
            && seconds.bytes().all(|b| b.is_ascii_digit());
        let came: i64 = seconds.parse().ok().filter(|_| ours)?;
        Some(Self { name: name.into(), came: (!marked).then_some(came) })
    }
}

fn is_due(trash: &Ours, entry: &Entry, now: i64, keep_seconds: u64) -> Result<bool, Errno> {
    let Some(came) = entry.came else {
        return Ok(true);
    };
    // Most are young, and their names say so: the server is not asked for them.
    if !is_old(came, i64::MIN, now, keep_seconds) {
        return Ok(false);
    }
    match statat(&trash.folder().fd, &entry.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(is_old(came, stat.st_ctime, now, keep_seconds)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether something has lain in the trash for long enough: by its name since `came`, by its ctime since `changed`.
fn is_old(came: i64, changed: i64, now: i64, keep_seconds: u64) -> bool {
    // A name from the future was given by a clock that was wrong.
    let came = if came > now { i64::MIN } else { came };
    let keep_seconds = i64::try_from(keep_seconds).unwrap_or(i64::MAX);
    now.saturating_sub(came.max(changed)) >= keep_seconds
}

/// What time it is on the server, in seconds since 1970: it stamps the trash, and says with what. That needs no space.
fn servers_now(trash: &Ours) -> Result<i64, ShareError> {
    let failed = |errno| trash.failed("ask for the time at", "", errno);
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    futimens(&trash.folder().fd, &Timestamps { last_access: now, last_modification: now }).map_err(failed)?;
    let stat = fstat(&trash.folder().fd).map_err(failed)?;
    Ok(stat.st_ctime)
}

#[cfg(test)]
pub(super) fn is_ours(name: &str) -> bool {
    Entry::parse(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_gave_are_ours_to_remove() {
        let came = |name: &str| Entry::parse(name).map(|entry| entry.came);
        assert_eq!(came("pvc-1.1700000000.00c0ffee"), Some(Some(1_700_000_000)));
        assert_eq!(came("team-a.data.1700000000.00c0ffee"), Some(Some(1_700_000_000)));
        assert_eq!(came("team-a.data.1700000000.00c0ffee.emptying"), Some(None));
        for foreign in [
            "",
            ".",
            "..",
            "by-hand",
            ".hidden.1700000000.00c0ffee",
            ".1700000000.00c0ffee",
            "a.1700000000",
            "a.1700000000.00C0FFEE",
            "a.1700000000.c0ffee",
            "a.1700000000.00c0ffee.bak",
            "a.-700000000.00c0ffee",
            "a.+700000000.00c0ffee",
            "a..00c0ffee",
            "a.99999999999999999999.00c0ffee",
            "a b.1700000000.00c0ffee",
            "a\n.1700000000.00c0ffee",
            "a.1700000000.00c0ffee.emptying.emptying",
            "a.emptying",
        ] {
            assert_eq!(came(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn the_later_of_name_and_ctime_counts_and_wrong_clocks_remove_nothing_early() {
        const DAY: u64 = 86_400;
        let (now, long_ago, just_now) = (1_700_000_000, 1_699_900_000, 1_699_999_000);
        for (came, changed, due) in [
            (long_ago, long_ago, true),
            (just_now, just_now, false),
            // It was moved by a driver whose clock was far behind.
            (0, just_now, false),
            // Its server keeps no ctime at a rename.
            (just_now, 0, false),
            // It was moved by a driver whose clock was ahead.
            (now + 1_000_000, just_now, false),
            (now + 1_000_000, long_ago, true),
            // The server's clock has been set back since.
            (long_ago, now + 1_000_000, false),
            (now - 86_400, now - 86_400, true),
            (now - 86_399, now - 86_400, false),
        ] {
            assert_eq!(is_old(came, changed, now, DAY), due, "{came} {changed}");
        }
        assert!(is_old(now, now, now, 0) && !is_old(0, 0, now, u64::MAX));
    }
}
