//! Symbolic links are copied, never followed; hard links are names of one file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use workspacefs_sync::{DeleteLimit, Keep, Options, Problem};

use crate::judge;
use crate::tree::{Terms, assert_same, look, traces};
use crate::world::{World, mirror, two_in, workers};

fn mirroring() -> Options {
    Options { delete: Some(DeleteLimit::NONE), ..workers(3) }
}

pub fn links_are_copied_as_they_are_and_never_followed(world: &World) {
    let (source, destination, outside) =
        (world.dir("source"), world.dir("destination"), world.dir("outside"));
    fs::write(outside.join("file"), "outside").unwrap();
    // In the source: to a file, a directory, nothing, itself, upwards, and as long as a link can be.
    let outside_text = outside.to_str().unwrap();
    let long = "x/".repeat(2_040);
    for (name, target) in [
        ("to-file", "file"),
        ("to-outside", outside_text),
        ("to-nothing", "nothing"),
        ("to-itself", "to-itself"),
        ("up", "../../.."),
        ("long", long.as_str()),
    ] {
        symlink(target, source.join(name)).unwrap();
    }
    for folder in ["folder", "deep/er"] {
        fs::create_dir_all(source.join(folder)).unwrap();
        fs::write(source.join(folder).join("file"), "inside").unwrap();
    }
    fs::write(source.join("file"), "inside").unwrap();
    // In the destination: links outside where files and directories are to come.
    symlink(&outside, destination.join("folder")).unwrap();
    symlink(outside.join("file"), destination.join("file")).unwrap();
    fs::create_dir(destination.join("deep")).unwrap();
    symlink(&outside, destination.join("deep/er")).unwrap();
    symlink(&outside, destination.join("extra")).unwrap();
    let before = traces(&outside);
    mirror(&source, &destination, &mirroring());
    assert_eq!(crate::tree::changes(&before, &traces(&outside)), "");
    assert_same(&look(&destination), &look(&source), Terms::PLAIN);
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
}

pub fn hard_links_stay_hard_links_within_the_set_only(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::create_dir(source.join("c")).unwrap();
    fs::write(source.join("a/first"), "one file").unwrap();
    for name in ["a/b/second", "c/third", "fourth", "left.out"] {
        fs::hard_link(source.join("a/first"), source.join(name)).unwrap();
    }
    let content = crate::model::build::noise(1, 20 << 20);
    fs::write(source.join("large"), &content).unwrap();
    fs::hard_link(source.join("large"), source.join("c/large")).unwrap();
    let options = Options { filter: crate::world::filter(&["left.out"]), ..mirroring() };
    let run = mirror(&source, &destination, &options);
    assert_eq!(run.last.bytes_read, 8 + content.len() as u64, "one file is read once: {:?}", run.report);
    let inode = |name: &str| fs::metadata(destination.join(name)).unwrap().ino();
    for name in ["a/b/second", "c/third", "fourth"] {
        assert_eq!(inode(name), inode("a/first"), "{name}");
    }
    assert_eq!(fs::metadata(destination.join("fourth")).unwrap().nlink(), 4);
    assert_eq!(inode("large"), inode("c/large"));
    // One name written anew in the source, as editors do: that one leaves the set.
    fs::write(source.join("new"), "another file").unwrap();
    fs::rename(source.join("new"), source.join("fourth")).unwrap();
    mirror(&source, &destination, &options);
    assert_eq!(fs::read(destination.join("fourth")).unwrap(), b"another file");
    assert_ne!(inode("fourth"), inode("a/first"));
    assert_eq!(inode("c/third"), inode("a/first"));
    // All of it changed in place: they stay one.
    fs::write(source.join("a/first"), "changed through one name").unwrap();
    mirror(&source, &destination, &options);
    assert_eq!(fs::read(destination.join("c/third")).unwrap(), b"changed through one name");
    assert_eq!(inode("c/third"), inode("a/first"));
    fs::remove_file(source.join("left.out")).unwrap();
    mirror(&source, &destination, &options);
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
}

/// A directory stands where one of the names belongs, and nothing may be deleted.
pub fn what_is_in_the_way_of_one_name_is_in_the_way_of_no_other(world: &World) {
    for (n, blocked, free) in [(1, "a", "b"), (2, "b", "a")] {
        let (source, destination) = (world.dir(&format!("source{n}")), world.dir(&format!("destination{n}")));
        fs::write(source.join("a"), "one file").unwrap();
        fs::hard_link(source.join("a"), source.join("b")).unwrap();
        fs::create_dir(destination.join(blocked)).unwrap();
        let report = crate::world::run(&source, &destination, &workers(1)).report;
        let noted: Vec<_> = report.notes.iter().map(|note| (note.path.as_path(), &note.problem)).collect();
        assert_eq!(noted, [(Path::new(blocked), &Problem::InTheWay)], "{report:?}");
        assert_eq!(fs::read(destination.join(free)).unwrap(), b"one file");
    }
}

/// Two files of the source cannot be one in the destination: each has its own mode.
pub fn files_that_are_one_in_the_destination_only_become_two(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    for (name, mode) in [("a", 0o600), ("b", 0o644)] {
        fs::write(source.join(name), "same").unwrap();
        fs::set_permissions(source.join(name), fs::Permissions::from_mode(mode)).unwrap();
        crate::model::build::set_mtime(&source.join(name), (1_000, 0));
    }
    fs::write(destination.join("a"), "same").unwrap();
    crate::model::build::set_mtime(&destination.join("a"), (1_000, 0));
    fs::hard_link(destination.join("a"), destination.join("b")).unwrap();
    mirror(&source, &destination, &mirroring());
    let mode = |root: &Path, name: &str| fs::metadata(root.join(name)).unwrap().mode();
    for name in ["a", "b"] {
        assert_eq!(mode(&destination, name), mode(&source, name), "{name}");
    }
    let second = mirror(&source, &destination, &mirroring()).report;
    assert_eq!(second.files.done.files, 0, "{second:?}");
}

/// Nor where only one of them has an extended attribute.
pub fn files_with_other_attributes_that_are_one_in_the_destination_only_become_two(world: &World) {
    let [source, destination] = two_in(&world.memory("inside", "mode=0755"));
    let options = Options { keep: Keep { xattrs: true, ..Keep::default() }, ..mirroring() };
    for root in [&source, &destination] {
        fs::write(root.join("a"), "same").unwrap();
        crate::model::build::set_mtime(&root.join("a"), (1_000, 0));
    }
    fs::copy(source.join("a"), source.join("b")).unwrap();
    crate::model::build::set_mtime(&source.join("b"), (1_000, 0));
    rustix::fs::lsetxattr(source.join("b"), "user.b", b"b", rustix::fs::XattrFlags::empty()).unwrap();
    fs::hard_link(destination.join("a"), destination.join("b")).unwrap();
    mirror(&source, &destination, &options);
    assert_same(&look(&destination), &look(&source), Terms { xattrs: true, ..Terms::PLAIN });
    let second = mirror(&source, &destination, &options).report;
    assert_eq!(second.files.done.files, 0, "{second:?}");
}
