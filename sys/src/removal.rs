//! Deleting a tree that other people filled: by descriptors, never through a link or into another file system, with three
//! of them open however deep it is, and a little at a time.
//!
//! What lies deep is moved up: a folder that is not empty gives its subfolders to the tree's root under new names and is
//! removed. So every step takes something away, and a tree that was left half deleted is just a smaller one.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, openat2, renameat, unlinkat};
use rustix::io::Errno;

/// Names for what is moved up, tried until one is free. They begin with the time, so they rarely are not.
const MOVED_PREFIX: &str = ".wsfs-moved-";

/// How far the deletion of a tree is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Emptied {
    /// Files and folders removed or moved up in this call.
    pub entries: u64,
    /// Nothing is left, not even its root.
    pub done: bool,
}

/// Says whether one more entry may be removed after so many of this call. Asked before each: a count or a clock.
pub type GoOn<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Removes entries of the tree `name` in `parent`, as many as `go_on` lets it, and its root last. A tree that is not there
/// is done.
///
/// # Errors
/// What the kernel says; `XDEV` where another file system is mounted in the tree: it stays. Everything that was removed
/// until then is gone.
pub fn remove_some(parent: BorrowedFd<'_>, name: &str, go_on: GoOn<'_>) -> Result<Emptied, Errno> {
    let root = match open_folder(parent, name) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(Emptied { entries: 0, done: true }),
        // Somebody put a file or a link where a folder was.
        Err(Errno::NOTDIR | Errno::LOOP) => {
            unlinkat(parent, name, AtFlags::empty())?;
            return Ok(Emptied { entries: 1, done: true });
        }
        Err(errno) => return Err(errno),
    };
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let mut work = Work { root, entries: 0, go_on, stamp, moved: 0 };
    loop {
        match work.pass()? {
            Pass::Removed => {}
            Pass::Stopped => return Ok(Emptied { entries: work.entries, done: false }),
            Pass::Empty => break,
        }
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(Emptied { entries: work.entries + 1, done: true }),
        // A client that has it open made something in it meanwhile.
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Emptied { entries: work.entries, done: false }),
        Err(errno) => Err(errno),
    }
}

/// What came of going over the root's entries.
enum Pass {
    /// There were some.
    Removed,
    /// There are some, and they have to wait.
    Stopped,
    /// There were none.
    Empty,
}

struct Work<'a> {
    root: OwnedFd,
    entries: u64,
    go_on: GoOn<'a>,
    stamp: u128,
    moved: u64,
}

impl Work<'_> {
    fn may_go_on(&mut self) -> bool {
        (self.go_on)(self.entries)
    }

    /// Goes over the root's entries once.
    fn pass(&mut self) -> Result<Pass, Errno> {
        let mut pass = Pass::Empty;
        for entry in Dir::read_from(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name) {
                continue;
            }
            if !self.may_go_on() {
                return Ok(Pass::Stopped);
            }
            pass = Pass::Removed;
            self.remove(name)?;
        }
        Ok(pass)
    }

    /// Removes one entry of the root; of a folder that is too large, a part.
    fn remove(&mut self, name: &CStr) -> Result<(), Errno> {
        if unlink(self.root.as_fd(), name)? == Unlinked::NotEmpty {
            self.flatten(name)?;
        } else {
            self.entries += 1;
        }
        Ok(())
    }

    fn flatten(&mut self, name: &CStr) -> Result<(), Errno> {
        let folder = match open_folder(self.root.as_fd(), name) {
            Ok(folder) => folder,
            // It is no longer what it was.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let inner = entry.file_name();
            if is_dots(inner) {
                continue;
            }
            if !self.may_go_on() {
                return Ok(());
            }
            if unlink(folder.as_fd(), inner)? == Unlinked::NotEmpty {
                self.move_up(folder.as_fd(), inner)?;
            }
            self.entries += 1;
        }
        match unlinkat(&self.root, name, AtFlags::REMOVEDIR) {
            // Not empty: the next pass takes what came meanwhile.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn move_up(&mut self, from: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        loop {
            self.moved += 1;
            let new = format!("{MOVED_PREFIX}{}-{}", self.stamp, self.moved);
            // NFS knows no rename that replaces nothing. What this one could replace is as doomed as what it moves.
            match renameat(from, name, &self.root, new.as_str()) {
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR) => {}
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }
}

#[derive(Debug, Eq, PartialEq)]
enum Unlinked {
    Gone,
    NotEmpty,
}

/// Removes a file, a link itself, or an empty folder.
fn unlink(folder: BorrowedFd<'_>, name: &CStr) -> Result<Unlinked, Errno> {
    let removed = match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(folder, name, AtFlags::REMOVEDIR),
        other => other,
    };
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(Unlinked::Gone),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Unlinked::NotEmpty),
        Err(errno) => Err(errno),
    }
}

fn open_folder<P: rustix::path::Arg>(parent: BorrowedFd<'_>, name: P) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // One name, so nothing to race with; an NFS client mounts what its server has mounted there as soon as it is entered.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(parent, name, flags, Mode::empty(), resolve)
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    /// Calls until it is done; gives back how often.
    fn remove_all(parent: &Path, name: &str, entries_max: u64) -> u64 {
        let parent = open(parent);
        for calls in 1..100_000 {
            let emptied = remove_some(parent.as_fd(), name, &mut |entries| entries < entries_max).unwrap();
            // A folder that gives up its last entry goes with it, and so does the root.
            assert!(emptied.entries <= entries_max + 1, "{emptied:?}");
            if emptied.done {
                return calls;
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn a_tree_goes_a_little_at_a_time_and_what_links_point_at_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, tree) = (dir.path().join("outside"), dir.path().join("tree"));
        fs::create_dir_all(outside.join("deep")).unwrap();
        fs::write(outside.join("deep/file"), "precious").unwrap();
        for folder in ["a/b/c", "a/d", "e"] {
            fs::create_dir_all(tree.join(folder)).unwrap();
            for file in 0..10 {
                fs::write(tree.join(folder).join(file.to_string()), "x").unwrap();
            }
            symlink(&outside, tree.join(folder).join("out")).unwrap();
            symlink("..", tree.join(folder).join("up")).unwrap();
        }
        symlink(outside.join("deep/file"), tree.join("file")).unwrap();
        fs::hard_link(outside.join("deep/file"), tree.join("e/same")).unwrap();
        assert!(remove_all(dir.path(), "tree", 7) > 5);
        assert!(!tree.exists());
        assert_eq!(fs::read_to_string(outside.join("deep/file")).unwrap(), "precious");
    }

    #[test]
    fn depth_costs_no_descriptors_and_no_stack() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        let mut here = open(&dir.path().join("tree"));
        for _ in 0..3000 {
            rustix::fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
            here = rustix::fs::openat(&here, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        drop(here);
        remove_all(dir.path(), "tree", 500);
        assert!(!dir.path().join("tree").exists());
    }

    #[test]
    fn a_tree_that_is_gone_is_done_and_a_link_in_its_place_is_removed_itself() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(remove_all(dir.path(), "nothing", 1), 1);
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/file"), "x").unwrap();
        symlink("outside", dir.path().join("tree")).unwrap();
        assert_eq!(remove_all(dir.path(), "tree", 1), 1);
        assert!(!dir.path().join("tree").is_symlink() && dir.path().join("outside/file").exists());
    }

    #[test]
    fn a_clock_can_stop_it_between_any_two_entries_and_the_next_call_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..4 {
            fs::create_dir_all(dir.path().join(format!("tree/{n}/deep/er"))).unwrap();
        }
        let parent = open(dir.path());
        let mut asked = 0;
        // Time that is over at every third question.
        let mut clock = |_: u64| {
            asked += 1;
            asked % 3 != 0
        };
        let mut calls = 0;
        while !remove_some(parent.as_fd(), "tree", &mut clock).unwrap().done {
            calls += 1;
            assert!(calls < 1000, "it does not end");
        }
        assert!(calls > 3, "{calls}: the clock stopped nothing");
        assert!(!dir.path().join("tree").exists());
        // No time at all: nothing goes.
        fs::create_dir_all(dir.path().join("other/x")).unwrap();
        let emptied = remove_some(parent.as_fd(), "other", &mut |_| false).unwrap();
        assert_eq!(emptied, Emptied { entries: 0, done: false });
        assert!(dir.path().join("other/x").exists());
    }

    #[test]
    fn what_could_be_in_the_way_of_a_move_is_doomed_too() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        let root = open(&tree);
        let (mut go_on, stamp) = (|_: u64| true, 7);
        let mut work = Work { root, entries: 0, go_on: &mut go_on, stamp, moved: 0 };
        // Its next names: a file, a folder with something in it, an empty folder.
        fs::write(tree.join(format!("{MOVED_PREFIX}7-1")), "x").unwrap();
        fs::create_dir_all(tree.join(format!("{MOVED_PREFIX}7-2/full"))).unwrap();
        fs::create_dir(tree.join(format!("{MOVED_PREFIX}7-3"))).unwrap();
        let from = open(&tree.join("a"));
        work.move_up(from.as_fd(), c"b").unwrap();
        assert!(tree.join(format!("{MOVED_PREFIX}7-3/c")).exists() && !tree.join("a/b").exists());
        assert!(tree.join(format!("{MOVED_PREFIX}7-1")).is_file());
    }

    #[test]
    fn names_that_look_like_moved_ones_are_only_names() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..5 {
            fs::create_dir_all(dir.path().join(format!("tree/{MOVED_PREFIX}{n}/{MOVED_PREFIX}{n}/x")))
                .unwrap();
        }
        remove_all(dir.path(), "tree", 3);
        assert!(!dir.path().join("tree").exists());
    }
}
