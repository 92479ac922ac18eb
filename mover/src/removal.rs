//! Taking away generations, and whatever a run that was cut has left.

use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, fsync, renameat, unlinkat};
use workspacefs_runtime::chain;
use workspacefs_sync::{DeleteOptions, Errno, Stop};

use crate::abort::{Abort, at_target};
use crate::meter::Meter;
use crate::names::{self, Kept, LOCK};
use crate::target::Target;

/// Which of the generations in work stay.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fillings {
    /// All.
    Stay,
    /// Only this one, as long as it is not whole.
    Only(i64),
}

/// Takes away these generations, and what other runs have left.
pub(crate) fn generations(
    target: &Target,
    remove: &[i64],
    fillings: Fillings,
    workers: Option<NonZeroUsize>,
    meter: &Meter,
) -> Result<(), Abort> {
    let kept = target.kept().map_err(at_target("list the cache's folder"))?;
    for number in kept.iter().filter_map(|kept| going(*kept, remove)) {
        // Renamed first: what has a final name is whole, also while it goes.
        let (from, to) = (names::generation(number), names::removing(number));
        renameat(target.as_fd(), from, target.as_fd(), to).map_err(at_target("rename a generation"))?;
        fsync(target.as_fd()).map_err(at_target("rename a generation"))?;
    }
    let kept = target.kept().map_err(at_target("list the cache's folder"))?;
    let leftovers = kept.iter().filter_map(|one| leftover(*one, &kept, fillings));
    // One that stays is no reason to leave the others.
    let deleted = leftovers.map(|name| delete(target.as_fd(), name.as_ref(), workers, meter));
    deleted.fold(Ok(()), Result::and)
}

/// Takes away everything.
pub(crate) fn everything(target: &Target, workers: Option<NonZeroUsize>, meter: &Meter) -> Result<(), Abort> {
    let at = at_target("list the cache's folder");
    let present = target.present().map_err(at)?;
    generations(target, &present, Fillings::Stay, workers, meter)?;
    for name in target.names().map_err(at)?.iter().filter(|name| *name != LOCK) {
        delete(target.as_fd(), name, workers, meter)?;
    }
    unlinkat(target.as_fd(), LOCK, AtFlags::empty()).map_err(at_target("remove the lock"))
}

/// Deletes a tree.
pub(crate) fn delete(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    workers: Option<NonZeroUsize>,
    meter: &Meter,
) -> Result<(), Abort> {
    let options = DeleteOptions { workers, ..DeleteOptions::default() };
    let report = meter
        .run(|control| workspacefs_sync::delete(parent, name, &options, control))
        .map_err(|error| at_target("delete what is not wanted any more")(Errno::from(error)))?;
    match (&report.stopped, report.notes.first()) {
        (Some(Stop::Cancelled), _) => Err(Abort::Interrupted),
        (Some(stop), _) => Err(Abort::from(stop)),
        (None, None) => Ok(()),
        (None, Some(note)) => {
            let message = format!("cannot delete {:?}: {}", note.path, chain(&note.problem));
            Err(report
                .refused()
                .map_or(Abort::Other(message), at_target("delete what is not wanted any more")))
        }
    }
}

fn going(kept: Kept, remove: &[i64]) -> Option<i64> {
    match kept {
        Kept::Generation(number) if remove.contains(&number) => Some(number),
        _ => None,
    }
}

/// What of `all` has no use for anybody.
fn leftover(one: Kept, all: &[Kept], fillings: Fillings) -> Option<String> {
    match (one, fillings) {
        (Kept::Removing(number), _) => Some(names::removing(number)),
        (Kept::Filling(number), Fillings::Only(wanted)) => {
            let is_wanted = number == wanted && !all.contains(&Kept::Generation(number));
            (!is_wanted).then(|| names::filling(number))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_of_no_use_is_left_over() {
        let all = [
            Kept::Generation(1),
            Kept::Removing(2),
            Kept::Filling(3),
            Kept::Filling(4),
            Kept::Filling(1),
            Kept::Other,
        ];
        let of = |fillings| {
            all.iter().filter_map(|one| leftover(*one, &all, fillings)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(Fillings::Stay), "removing-2");
        assert_eq!(of(Fillings::Only(4)), "removing-2 filling-3 filling-1");
        assert_eq!(of(Fillings::Only(1)), "removing-2 filling-3 filling-4 filling-1");
    }

    #[test]
    fn a_generation_goes_under_a_name_that_is_not_final_and_everything_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["1/data", "2/data", "filling-3/data", "removing-9"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let target = Target::open(dir.path()).unwrap();
        generations(&target, &[1, 7], Fillings::Stay, None, &Meter::new(0)).unwrap();
        let mut names = target.names().unwrap();
        names.sort();
        assert_eq!(names, ["2", "filling-3", "lock"]);
        everything(&target, None, &Meter::new(0)).unwrap();
        assert_eq!(target.names().unwrap().len(), 0);
    }
}
