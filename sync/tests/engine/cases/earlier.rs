//! What is unchanged since an earlier copy is linked from there, and the earlier copy stays as it was.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, lsetxattr};
use workspacefs_sync::{Control, DeleteLimit, Keep, Options, SyncError, sync};

use super::deep;
use crate::judge;
use crate::model::build::{acl, noise, set_mtime};
use crate::mounts::{Disk, FileSystem};
use crate::tree::{Terms, Tree, assert_same, look, names, traces};
use crate::world::{World, earlier, mirror, open, run, two_in, workers};

const LARGE: usize = 20 << 20;

/// A source and its first copy.
struct Copies {
    folder: PathBuf,
    source: PathBuf,
    first: PathBuf,
    before: Tree,
}

impl Copies {
    /// `fill` writes the source.
    fn new(world: &World, options: &Options, fill: impl FnOnce(&Path)) -> Self {
        let folder = world.memory("inside", "mode=0755");
        let [source, first] = two_in(&folder);
        fill(&source);
        mirror(&source, &first, options);
        let before = look(&first);
        Self { folder, source, first, before }
    }

    fn options(&self, options: Options) -> Options {
        Options { earlier: Some(earlier(&self.first, None)), ..options }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Whether a name is the same file in both.
    fn is_linked(&self, copy: &Path, name: &str) -> bool {
        inode(&self.first.join(name)) == inode(&copy.join(name))
    }

    /// Content, attributes, times and inodes; only links and ctime may be others.
    fn assert_first_is_as_it_was(&self) {
        assert_eq!(look(&self.first), self.before, "the earlier copy was changed");
    }
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn set_xattr(path: &Path, value: &[u8]) {
    lsetxattr(path, "user.new", value, XattrFlags::empty()).unwrap();
}

/// With links, folders, and a file that is copied in chunks.
fn fill(source: &Path) {
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::create_dir(source.join("empty")).unwrap();
    for (name, length) in [("small", 5), ("a/medium", 300_000), ("a/b/large", LARGE), ("a/changes", 6)] {
        fs::write(source.join(name), noise(length as u64, length)).unwrap();
    }
    fs::write(source.join("a/goes"), "goes").unwrap();
    symlink("small", source.join("link")).unwrap();
}

pub fn what_is_unchanged_is_linked_and_not_read(world: &World) {
    let copies = Copies::new(world, &workers(3), fill);
    let source = &copies.source;
    fs::write(source.join("a/changes"), "changed").unwrap();
    fs::write(source.join("a/new"), "new").unwrap();
    fs::remove_file(source.join("a/goes")).unwrap();
    let second = copies.folder("second");
    let options = copies.options(workers(3));
    let foretold = run(source, &second, &Options { dry_run: true, ..options.clone() }).report;
    assert_eq!(names(&second), [Path::new("")]);
    let copied = mirror(source, &second, &options);
    let report = &copied.report;
    assert_eq!((foretold.files, foretold.directories), (report.files, report.directories));
    assert_eq!((report.files.unchanged.files, report.files.done.files), (3, 3), "{report:?}");
    assert_eq!(copied.last.bytes_read, 10, "only what is new is read: {report:?}");
    let linked = ["small", "a/medium", "a/b/large", "link", "a/changes"];
    assert_eq!(linked.map(|name| copies.is_linked(&second, name)), [true, true, true, false, false]);
    judge::assert_satisfied(source, &second, Terms::PLAIN);
    copies.assert_first_is_as_it_was();
    // Again, into the same: nothing is left to do.
    let before = traces(&second);
    let again = mirror(source, &second, &options).report;
    assert_eq!((again.files.done.files, again.directories.done.files), (0, 0), "{again:?}");
    assert_eq!(crate::tree::changes(&before, &traces(&second)), "");
    // One that is missing, in a directory that has its time already.
    fs::remove_file(second.join("a/medium")).unwrap();
    let folder = fs::metadata(source.join("a")).unwrap();
    set_mtime(&second.join("a"), (folder.mtime(), folder.mtime_nsec()));
    mirror(source, &second, &options);
    assert!(copies.is_linked(&second, "a/medium"));
    judge::assert_satisfied(source, &second, Terms::PLAIN);
}

/// In a new destination, and in one that a cut run has linked already.
pub fn a_file_with_other_attributes_is_copied_and_the_earlier_one_stays_as_it_was(world: &World) {
    let keep = Keep { owner: true, xattrs: true, acls: true };
    let plain = Options { keep, ..workers(2) };
    let names = ["mode", "owner", "xattr", "acl", "time", "gains", "same"];
    let copies = Copies::new(world, &plain, |source| {
        names.iter().for_each(|name| fs::write(source.join(name), name).unwrap());
        fs::write(source.join("names"), "three").unwrap();
        ["names2", "names3"]
            .iter()
            .for_each(|name| fs::hard_link(source.join("names"), source.join(name)).unwrap());
    });
    let (source, options) = (&copies.source, copies.options(plain));
    let begun = copies.folder("begun");
    mirror(source, &begun, &options);
    // Of a file with several names only one was linked.
    fs::remove_file(begun.join("names2")).unwrap();
    fs::remove_file(begun.join("names3")).unwrap();
    let kept = fs::metadata(source.join("time")).unwrap();
    set_mode(&source.join("mode"), 0o600);
    chown(source.join("owner"), Some(12), Some(34)).unwrap();
    set_xattr(&source.join("xattr"), b"x");
    lsetxattr(source.join("acl"), "system.posix_acl_access", &acl(0o644, 4, 4), XattrFlags::empty()).unwrap();
    set_mtime(&source.join("time"), (kept.mtime() - 1, 0));
    set_mode(&source.join("names"), 0o600);
    // It has as many names as in both copies together, one of them beside the source.
    fs::hard_link(source.join("gains"), copies.folder.join("gained")).unwrap();
    set_mode(&source.join("gains"), 0o600);
    for copy in [copies.folder("new"), begun] {
        let report = mirror(source, &copy, &options).report;
        let linked: Vec<_> = names.into_iter().filter(|name| copies.is_linked(&copy, name)).collect();
        assert_eq!(linked, ["same"], "{report:?}");
        assert!(
            !copies.is_linked(&copy, "names") && inode(&copy.join("names")) == inode(&copy.join("names2"))
        );
        assert_same(&look(&copy), &look(source), Terms { owner: true, xattrs: true, acls: true });
        copies.assert_first_is_as_it_was();
        assert_eq!(mirror(source, &copy, &options).report.files.done.files, 0);
    }
}

pub fn names_of_one_file_stay_names_of_one_file(world: &World) {
    let set = ["a/first", "b/second", "third"];
    let copies = Copies::new(world, &workers(3), |source| {
        ["a", "b"].iter().for_each(|folder| fs::create_dir(source.join(folder)).unwrap());
        fs::write(source.join(set[0]), "one file").unwrap();
        set[1..].iter().for_each(|name| fs::hard_link(source.join(set[0]), source.join(name)).unwrap());
    });
    let (source, options) = (&copies.source, copies.options(workers(3)));
    let second = copies.folder("second");
    let foretold = run(source, &second, &Options { dry_run: true, ..options.clone() }).report;
    let linked = mirror(source, &second, &options);
    assert_eq!(foretold.files, linked.report.files);
    assert_eq!((linked.report.files.unchanged.files, linked.last.bytes_read), (3, 0), "{:?}", linked.report);
    assert!(set.iter().all(|name| copies.is_linked(&second, name)));
    // All of it changed through one name: one new file.
    fs::write(source.join("third"), "all of it is another").unwrap();
    let third = copies.folder("third");
    mirror(source, &third, &options);
    assert!(set.iter().all(|name| inode(&third.join(name)) == inode(&third.join(set[0]))));
    assert!(!copies.is_linked(&third, set[0]));
    assert_same(&look(&third), &look(source), Terms::PLAIN);
    // One name leaves the set.
    fs::write(source.join("new"), "its own").unwrap();
    fs::rename(source.join("new"), source.join("third")).unwrap();
    let fourth = copies.folder("fourth");
    mirror(source, &fourth, &options);
    assert_same(&look(&fourth), &look(source), Terms::PLAIN);
    copies.assert_first_is_as_it_was();
}

/// What only the earlier copy has does not come along, and what the destination has too much goes where that was asked
/// for.
pub fn what_is_gone_from_the_source_does_not_come_back(world: &World) {
    let copies = Copies::new(world, &workers(2), fill);
    let source = &copies.source;
    fs::remove_dir_all(source.join("a")).unwrap();
    fs::write(source.join("a"), "a file now").unwrap();
    let second = copies.folder("second");
    // As a cut run left it, which saw the source as it was then.
    for name in ["small", "a/goes", "a/medium"] {
        fs::create_dir_all(second.join(name).parent().unwrap()).unwrap();
        fs::hard_link(copies.first.join(name), second.join(name)).unwrap();
    }
    fs::hard_link(copies.first.join("small"), second.join(".wsfs-sync-0123456789abcdef-7")).unwrap();
    let options = copies.options(Options { delete: Some(DeleteLimit::NONE), ..workers(2) });
    let report = mirror(source, &second, &options).report;
    assert_eq!((report.deleted, report.leftovers), (3, 1), "{report:?}");
    assert_same(&look(&second), &look(source), Terms::PLAIN);
    copies.assert_first_is_as_it_was();
}

/// ext4 gives a file 65,000 names.
pub fn a_file_with_as_many_names_as_it_can_have_is_copied(world: &World) {
    const NAMES_MAX: u64 = 65_000;
    let disk = Disk::new(FileSystem::Ext4, &world.path("disk"), 64);
    let [source, first] = two_in(disk.path());
    for name in ["full", "other"] {
        fs::write(source.join(name), name).unwrap();
    }
    mirror(&source, &first, &workers(2));
    let aside = disk.path().join("aside");
    fs::create_dir(&aside).unwrap();
    (2..NAMES_MAX).for_each(|n| fs::hard_link(first.join("full"), aside.join(format!("{n}"))).unwrap());
    for (copy, linked) in [("second", true), ("third", false)] {
        let copy = disk.path().join(copy);
        fs::create_dir(&copy).unwrap();
        let options = Options { earlier: Some(earlier(&first, None)), ..workers(2) };
        mirror(&source, &copy, &options);
        let is_linked = |name: &str| inode(&copy.join(name)) == inode(&first.join(name));
        assert_eq!((is_linked("full"), is_linked("other")), (linked, true));
        assert_same(&look(&copy), &look(&source), Terms::PLAIN);
    }
    assert_eq!(fs::metadata(first.join("full")).unwrap().nlink(), NAMES_MAX);
}

pub fn from_another_file_system_everything_is_copied(world: &World) {
    let copies = Copies::new(world, &workers(2), fill);
    let destination = world.memory("elsewhere", "mode=0755");
    let report = mirror(&copies.source, &destination, &copies.options(workers(2))).report;
    assert_eq!(report.files.done.files, 6, "{report:?}");
    assert_same(&look(&destination), &look(&copies.source), Terms::PLAIN);
    copies.assert_first_is_as_it_was();
}

pub fn a_link_in_the_earlier_copy_is_not_followed(world: &World) {
    let copies = Copies::new(world, &workers(2), fill);
    // What lies behind them is what would be linked.
    let outside = copies.folder("outside");
    for name in ["a", "small"] {
        fs::rename(copies.first.join(name), outside.join(name)).unwrap();
        symlink(outside.join(name), copies.first.join(name)).unwrap();
    }
    let before = traces(&outside);
    let second = copies.folder("second");
    let report = mirror(&copies.source, &second, &copies.options(workers(2))).report;
    assert_eq!(report.files.unchanged.files, 0, "{report:?}");
    assert_same(&look(&second), &look(&copies.source), Terms::PLAIN);
    assert_eq!(crate::tree::changes(&before, &traces(&outside)), "");
}

pub fn an_earlier_copy_in_the_destination_is_refused(world: &World) {
    let (source, outer, inner) = (world.dir("source"), world.dir("outer"), world.dir("outer/a/inner"));
    fs::write(source.join("file"), "x").unwrap();
    let before = names(&outer);
    for (destination, first) in [(&outer, &outer), (&outer, &inner), (&inner, &outer)] {
        let options = Options { earlier: Some(earlier(first, None)), ..Options::default() };
        let refused = sync(open(&source).as_fd(), open(destination).as_fd(), &options, &Control::new());
        assert!(matches!(refused, Err(SyncError::EarlierNested)), "{refused:?}");
    }
    assert_eq!(names(&outer), before);
}

/// A third side beside the two, and no more descriptors.
pub fn deep_and_wide_trees_are_linked_with_few_descriptors(world: &World) {
    let [source, first] = two_in(&world.memory("inside", "mode=0755"));
    fs::create_dir(source.join("deep")).unwrap();
    deep::build(&source.join("deep"));
    deep::build_wide(&source.join("wide"));
    run(&source, &first, &workers(8));
    for count in [1, 64] {
        let second = world.dir(&format!("inside/second{count}"));
        let options = Options { earlier: Some(earlier(&first, None)), ..workers(count) };
        deep::on_a_small_stack_with_few_descriptors(|| {
            let report = run(&source, &second, &options).report;
            assert!(report.is_complete(), "{report:?}");
            // But for the symbolic link at the bottom.
            assert_eq!(
                (report.files.done.files, report.files.unchanged.files),
                (1, deep::FILES),
                "{report:?}"
            );
        });
    }
}
