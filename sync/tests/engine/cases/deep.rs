//! Trees that are deeper than a path may be long and wider than a process may have descriptors.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, statat, symlinkat};
use rustix::process::{Resource, Rlimit, setrlimit};
use workspacefs_sync::Options;

use crate::world::{World, mirror, open, two_in, workers};

pub const LEVELS: usize = 1_000;
/// In the deep tree and in the wide one.
pub const FILES: u64 = 1_000 + 1_600;
const NAME: &str = "directory";
const STACK_BYTES: usize = 128 * 1024;
const DESCRIPTORS: u64 = 256;

/// What few processes have to do with.
pub fn on_a_small_stack_with_few_descriptors(run: impl FnOnce() + Send) {
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) }).unwrap();
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run).unwrap().join().unwrap();
    });
}

fn enter(directory: &OwnedFd, name: &str) -> OwnedFd {
    openat(directory, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).unwrap()
}

fn write(directory: &OwnedFd, name: &str, content: &str) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    rustix::io::write(openat(directory, name, flags, Mode::RUSR).unwrap(), content.as_bytes()).unwrap();
}

/// A thousand directories in each other, with a file in each; a link at the bottom.
pub fn build(root: &Path) {
    let mut here = open(root);
    for level in 0..LEVELS {
        write(&here, "file", &format!("level {level}"));
        mkdirat(&here, NAME, Mode::RWXU).unwrap();
        here = enter(&here, NAME);
    }
    symlinkat("anywhere", &here, "bottom").unwrap();
}

fn assert_whole(root: &Path) {
    let mut here = open(root);
    for level in 0..LEVELS {
        let mut content = [0; 64];
        let file = openat(&here, "file", OFlags::RDONLY, Mode::empty()).unwrap();
        let length = rustix::io::read(file, &mut content).unwrap();
        assert_eq!(&content[..length], format!("level {level}").as_bytes());
        here = enter(&here, NAME);
    }
    let target = rustix::fs::readlinkat(here.as_fd(), "bottom", Vec::new()).unwrap();
    assert_eq!(target.as_bytes(), b"anywhere");
}

pub fn a_path_of_nine_thousand_characters_is_copied_on_a_small_stack_with_few_descriptors(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let [source, destination] = two_in(&inside);
    build(&source);
    const { assert!(LEVELS * (NAME.len() + 1) > 9_000) };
    on_a_small_stack_with_few_descriptors(|| {
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = descriptors();
        for options in [Options::default(), workers(1), workers(64)] {
            let run = crate::world::run(&source, &destination, &options);
            assert!(run.report.is_complete(), "{options:?}: {:?}", run.report);
            assert_eq!(run.report.directories.found.files, LEVELS as u64);
            assert_eq!(run.report.files.found.files, LEVELS as u64 + 1);
            assert_eq!(descriptors(), before, "descriptors are left open");
        }
        assert_whole(&destination);
        let second = crate::world::run(&source, &destination, &workers(8)).report;
        assert_eq!((second.files.done.files, second.directories.done.files), (0, 0), "{second:?}");
    });
}

pub fn build_wide(root: &Path) {
    for n in 0..40 {
        for m in 0..40 {
            let folder = root.join(format!("{n}/{m}/leaf"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("file"), format!("{n} {m}")).unwrap();
        }
    }
}

/// Many directories side by side, each with directories in it: more are in work at a time than may be open.
pub fn a_wide_tree_is_copied_with_few_descriptors(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let [source, destination] = ["source", "destination"].map(|name| inside.join(name));
    build_wide(&source);
    std::fs::create_dir(&destination).unwrap();
    on_a_small_stack_with_few_descriptors(|| {
        let run = mirror(&source, &destination, &workers(64));
        assert_eq!(run.report.files.done.files, 1_600);
        assert_eq!(run.report.directories.done.files, 40 + 2 * 1_600);
    });
    crate::judge::assert_satisfied(&source, &destination, crate::tree::Terms::PLAIN);
    let bottom = statat(open(&destination), "39/39/leaf/file", AtFlags::empty()).unwrap();
    assert_eq!(bottom.st_size, 5);
}
