//! Making room: what was deleted and can be restored takes space, and gives way, oldest first, to what is written.

use rustix::fs::fstatvfs;

use crate::error::Error;
use crate::root::Root;
use crate::trash;

/// Does it; where the file system is full, once more for each thing that went from the trash.
///
/// # Errors
/// Those of `work`; `Quota` once nothing more can go from the trash.
pub fn with_room<T>(root: &Root, mut work: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        let emptied = root.turns.emptied();
        match work() {
            Err(Error::Quota) if empty_one(root, emptied)? => {}
            other => return other,
        }
    }
}

/// Deletes the oldest thing in the trash that can be deleted for good; false where there is none. Where others found the file
/// system full too, one of them does it for all who found so by then: `emptied` is how often room had been made before.
///
/// # Errors
/// [`Error`].
pub fn empty_one(root: &Root, emptied: u64) -> Result<bool, Error> {
    let Some(_turn) = root.turns.room(emptied) else { return Ok(true) };
    match trash::delete_oldest(root) {
        Ok(Some(went)) => {
            root.turns.did_empty();
            tracing::info!(id = went.id, "the file system is full: the oldest of the trash went");
            Ok(true)
        }
        Ok(None) => Ok(false),
        // On a full file system its folder cannot even be made: then nothing is in it.
        Err(Error::Quota) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Empties the trash until so many bytes are free, if that is enough: what cannot fit takes nothing with it. Over NFS a write that
/// does not fit is told of when it is too late to write once more, so this is asked for beforehand wherever the size is
/// known. That it does not fit all the same is for the writing to find.
///
/// # Errors
/// [`Error`].
pub fn make_room(root: &Root, bytes: u64) -> Result<(), Error> {
    let mut can_fit = None;
    loop {
        let emptied = root.turns.emptied();
        let Ok(stat) = fstatvfs(root.as_fd()) else { return Ok(()) };
        let of = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        // A file system that does not know counts nothing, or says 0 of 0.
        if stat.f_blocks == 0 || of(stat.f_bavail) >= bytes || of(stat.f_blocks) < bytes {
            return Ok(());
        }
        let missing = bytes - of(stat.f_bavail);
        if !*can_fit.get_or_insert_with(|| could_fit(root, missing)) || !empty_one(root, emptied)? {
            return Ok(());
        }
    }
}

/// Makes room for so many bytes of which the file system did not take all, once what it took is gone again: the oldest of the trash
/// until as much went, if that and what is free are enough. For where more seems free than there is, as under a quota that
/// the server does not tell. True where there is more room now, `emptied` being how often it had been made before.
pub fn make_way(root: &Root, bytes: u64, emptied: u64) -> bool {
    let bytes = bytes.max(1);
    let Some(_turn) = root.turns.room(emptied) else { return true };
    // What cannot be measured counts nothing.
    let _ = trash::measure(root);
    let free = fstatvfs(root.as_fd()).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    if !could_fit(root, bytes.saturating_sub(free)) {
        return false;
    }
    let mut gone = 0;
    while gone < bytes
        && let Ok(Some(went)) = trash::delete_oldest(root)
    {
        root.turns.did_empty();
        gone += went.bytes.max(1);
        tracing::info!(
            id = went.id,
            "the file system took less than it seemed to: the oldest of the trash went"
        );
    }
    gone > 0
}

/// Whether the trash holds so much. Only where it depends on folders that were not measured yet they are now.
fn could_fit(root: &Root, missing: u64) -> bool {
    let holds = || trash::usage(root).map_or((false, true), |(usage, known)| (usage.bytes >= missing, known));
    match holds() {
        (false, false) => {
            // What cannot be measured counts nothing.
            let _ = trash::measure(root);
            holds().0
        }
        (enough, _) => enough,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use workspacefs_files_proto::FilePath;

    use super::*;
    use crate::root::Owner;

    #[test]
    fn of_many_who_find_it_full_at_once_one_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path(), Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(name), name).unwrap();
            trash::put(&root, &FilePath::decode(name).unwrap(), false, "jane").unwrap();
        }
        let together = Barrier::new(8);
        let write = || {
            let mut is_full = true;
            with_room(&root, || {
                // As many as there are find it full at the same time, and then none.
                if std::mem::take(&mut is_full) {
                    together.wait();
                    return Err(Error::Quota);
                }
                Ok(())
            })
        };
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|_| scope.spawn(write)).collect();
            assert!(writers.into_iter().all(|writer| writer.join().unwrap() == Ok(())));
        });
        assert_eq!(trash::usage(&root).unwrap().0.entries, 2);
    }
}
