//! The files of a generation in the making. All calls block.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, fchmod, futimens, linkat, mkdirat,
    openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use workspacefs_sync::Version;
use workspacefs_sys::beneath;

use super::sweep;

const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const RULES: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// See the module.
#[derive(Debug)]
pub(crate) struct Tree {
    data: OwnedFd,
    /// Where files are that have not their own name yet: of the same file system, and nothing else is there.
    scratch: OwnedFd,
    /// The same tree of the generation before.
    earlier: Option<OwnedFd>,
    next: AtomicU64,
    /// Held by whoever gives a file its name.
    closed: RwLock<bool>,
}

/// A file that has not its own name yet. It goes if it gets none.
#[derive(Debug)]
pub(crate) struct Writing {
    tree: Arc<Tree>,
    file: File,
    name: String,
    is_placed: bool,
}

impl Tree {
    /// Empties `scratch`, where a run that was cut may have left files.
    pub fn new(data: OwnedFd, scratch: OwnedFd, earlier: Option<OwnedFd>) -> Result<Self, Errno> {
        // Pods come in by it.
        fchmod(&data, Mode::from_raw_mode(FOLDER_MODE))?;
        let tree = Self { data, scratch, earlier, next: AtomicU64::new(0), closed: RwLock::default() };
        sweep::sweep(tree.scratch.as_fd(), &super::claims::Claims::default())?;
        Ok(tree)
    }

    pub fn data(&self) -> BorrowedFd<'_> {
        self.data.as_fd()
    }

    /// Whether a file of this size and time lies there.
    pub fn has(&self, path: &Path, version: &Version) -> Result<bool, Errno> {
        has(self.data(), path, version)
    }

    /// Gives a file of the generation before its name here too. False where there is none of this size and time, or it cannot
    /// be.
    pub fn link(&self, path: &Path, version: &Version) -> Result<bool, Errno> {
        let Some(earlier) = &self.earlier else { return Ok(false) };
        let Ok(true) = has(earlier.as_fd(), path, version) else { return Ok(false) };
        let (Ok(parent), Some(name)) = (parent(earlier.as_fd(), path), path.file_name()) else {
            return Ok(false);
        };
        let temporary = self.temporary();
        match linkat(&parent, name, &self.scratch, &*temporary, AtFlags::empty()) {
            Ok(()) => {}
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS)) => return Err(errno),
            // Whatever else it is that keeps us from it, a copy is as good.
            Err(_) => return Ok(false),
        }
        let placed = self.place(&temporary, path);
        if placed.is_err() {
            // What cannot be removed now goes at the next run's begin.
            let _ = unlinkat(&self.scratch, &*temporary, AtFlags::empty());
        }
        placed.map(|()| true)
    }

    /// Begins a file.
    pub fn begin(self: &Arc<Self>) -> Result<Writing, Errno> {
        let name = self.temporary();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.scratch, &*name, flags, Mode::RUSR | Mode::WUSR)?);
        Ok(Writing { tree: Arc::clone(self), file, name, is_placed: false })
    }

    /// Takes a file away; it need not be there.
    pub fn remove(&self, path: &Path) -> Result<(), Errno> {
        remove(self.data(), path)
    }

    /// No file has its name here from now on: what threads are still at work with does not come into what is swept.
    pub fn close(&self) {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// What lies in the way is of an older listing.
    fn place(&self, temporary: &str, path: &Path) -> Result<(), Errno> {
        let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err(Errno::CANCELED);
        }
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = match parent(self.data(), path) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.make(path.parent().unwrap_or(Path::new("")))?
            }
            opened => opened?,
        };
        match renameat(&self.scratch, temporary, &parent, name) {
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                sweep::remove(parent.as_fd(), &text(name)?)?;
                renameat(&self.scratch, temporary, &parent, name)?;
            }
            renamed => renamed?,
        }
        // Two names of one file: then the rename has left both.
        match unlinkat(&self.scratch, temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn make(&self, folder: &Path) -> Result<OwnedFd, Errno> {
        let mut at = openat(&self.data, c".", FOLDER, Mode::empty())?;
        for name in folder {
            at = match openat(&at, name, FOLDER, Mode::empty()) {
                Err(Errno::NOENT) => make(at.as_fd(), name)?,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    // Another thread may have done it.
                    let _ = unlinkat(&at, name, AtFlags::empty());
                    make(at.as_fd(), name)?
                }
                opened => opened?,
            };
        }
        Ok(at)
    }

    fn temporary(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }
}

impl Writing {
    /// Writes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.file.write_all(bytes).map_err(|error| crate::abort::errno(&error))
    }

    /// Gives it its name.
    pub fn place(mut self, path: &Path, modified: i64) -> Result<(), Errno> {
        fchmod(&self.file, Mode::from_raw_mode(FILE_MODE))?;
        let time = Timespec { tv_sec: modified, tv_nsec: 0 };
        futimens(&self.file, &Timestamps { last_access: time, last_modification: time })?;
        self.tree.place(&self.name, path)?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_placed {
            // What cannot be removed now goes at the next run's begin.
            let _ = unlinkat(&self.tree.scratch, &*self.name, AtFlags::empty());
        }
    }
}

/// Takes away what lies at a path beneath a root; it need not be there.
pub(crate) fn remove(root: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    match (parent(root, path), path.file_name()) {
        (Ok(parent), Some(name)) => sweep::remove(parent.as_fd(), &text(name)?),
        (Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP), _) | (_, None) => Ok(()),
        (Err(errno), _) => Err(errno),
    }
}

/// By the time another file of the same size is known, which no journal was told of any more.
fn has(root: BorrowedFd<'_>, path: &Path, version: &Version) -> Result<bool, Errno> {
    let parent = match parent(root, path) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
        opened => opened?,
    };
    match statat(&parent, path.file_name().unwrap_or_default(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            let is_as_large = u64::try_from(stat.st_size) == Ok(version.size);
            Ok(is_file && is_as_large && stat.st_mtime == version.modified.seconds)
        }
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn parent(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    beneath::resolved(root, folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty(), RULES)
}

fn make(folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    match mkdirat(folder, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let made = openat(folder, name, FOLDER, Mode::empty())?;
    // Whatever the umask is.
    fchmod(&made, Mode::from_raw_mode(FOLDER_MODE))?;
    Ok(made)
}

fn text(name: &OsStr) -> Result<CString, Errno> {
    CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use workspacefs_sync::Time;

    use super::*;

    /// As it is written by [`World::write`], with so many bytes.
    fn version(size: u64) -> Version {
        Version { size, modified: Time { seconds: 1_700_000_000, nanoseconds: 0 }, mark: 0 }
    }

    struct World {
        dir: tempfile::TempDir,
        tree: Arc<Tree>,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            OwnedFd::from(File::open(dir.path().join(name)).unwrap())
        };
        std::fs::create_dir_all(dir.path().join("scratch")).unwrap();
        std::fs::write(dir.path().join("scratch/0"), "of a run that was cut").unwrap();
        let tree = Tree::new(folder("data"), folder("scratch"), Some(folder("earlier"))).unwrap();
        World { tree: Arc::new(tree), dir }
    }

    impl World {
        fn write(&self, path: &str, content: &str) {
            let mut writing = self.tree.begin().unwrap();
            writing.write(content.as_bytes()).unwrap();
            writing.place(path.as_ref(), 1_700_000_000).unwrap();
        }

        fn read(&self, path: &str) -> String {
            std::fs::read_to_string(self.dir.path().join(path)).unwrap()
        }

        fn scratch(&self) -> usize {
            std::fs::read_dir(self.dir.path().join("scratch")).unwrap().count()
        }
    }

    #[test]
    fn a_file_is_there_once_it_is_whole_and_what_lies_in_its_way_goes() {
        let world = world();
        assert_eq!(world.scratch(), 0);
        let mut cut = world.tree.begin().unwrap();
        cut.write(b"x").unwrap();
        assert_eq!(world.scratch(), 1);
        drop(cut);
        assert_eq!(world.scratch(), 0);
        for (path, content) in [("a/b/c", "1"), ("a/b", "2"), ("a", "3"), ("a/b/c", "4"), ("a/b/c", "5")] {
            world.write(path, content);
            assert_eq!(world.read(&format!("data/{path}")), content);
            let has = |version| world.tree.has(path.as_ref(), &version).unwrap();
            let later = Time { seconds: 1_700_000_001, nanoseconds: 0 };
            assert!(has(version(1)) && !has(version(2)) && !has(Version { modified: later, ..version(1) }));
        }
        let metadata = std::fs::metadata(world.dir.path().join("data/a/b/c")).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.mtime()), (0o644, 1_700_000_000));
        let folder = std::fs::metadata(world.dir.path().join("data/a")).unwrap();
        assert_eq!((folder.permissions().mode() & 0o7777, world.scratch()), (0o755, 0));
        world.tree.remove("a/b/c".as_ref()).unwrap();
        world.tree.remove("a/b/c/d".as_ref()).unwrap();
        assert!(!world.tree.has("a/b/c".as_ref(), &version(1)).unwrap());
    }

    #[test]
    fn nothing_has_its_name_any_more_once_it_is_closed() {
        let world = world();
        let mut writing = world.tree.begin().unwrap();
        writing.write(b"x").unwrap();
        world.tree.close();
        assert_eq!(writing.place("a".as_ref(), 0), Err(Errno::CANCELED));
        assert!(!world.dir.path().join("data/a").exists() && world.scratch() == 0);
    }

    #[test]
    fn no_link_is_followed_out_of_the_tree() {
        let world = world();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("x"), "theirs").unwrap();
        symlink(outside.path(), world.dir.path().join("data/a")).unwrap();
        assert!(!world.tree.has("a/x".as_ref(), &version(6)).unwrap());
        world.tree.remove("a/x".as_ref()).unwrap();
        world.write("a/x", "ours");
        assert_eq!(std::fs::read_to_string(outside.path().join("x")).unwrap(), "theirs");
        assert_eq!(world.read("data/a/x"), "ours");
    }

    #[test]
    fn a_file_of_the_generation_before_gets_a_second_name_and_is_never_written_to() {
        let world = world();
        std::fs::create_dir_all(world.dir.path().join("earlier/a")).unwrap();
        let earlier = world.dir.path().join("earlier/a/x");
        std::fs::write(&earlier, "12345").unwrap();
        let link = |path: &str, size| world.tree.link(path.as_ref(), &version(size)).unwrap();
        assert!(!link("a/x", 5), "of another time");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        File::open(&earlier).unwrap().set_modified(time).unwrap();
        assert!(!link("a/x", 4) && !link("a/y", 5));
        // Twice: a run that was cut has it already.
        assert!(link("a/x", 5) && link("a/x", 5));
        let inode = |path: &str| std::fs::metadata(world.dir.path().join(path)).unwrap().ino();
        assert_eq!((inode("data/a/x"), world.scratch()), (inode("earlier/a/x"), 0));
        world.write("a/x", "new");
        assert_eq!(
            (world.read("data/a/x"), world.read("earlier/a/x")),
            ("new".to_owned(), "12345".to_owned())
        );
    }
}
