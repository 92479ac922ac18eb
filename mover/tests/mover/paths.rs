//! What comes of each path, whatever becomes of the others.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use workspacefs_api::PathState::{Evicted, Missing, NotAFolder, Partial, Whole};
use workspacefs_api::mover::FailureReason;

use crate::tree::{look, names};
use crate::world::World;

#[test]
fn what_is_no_folder_is_left_out_and_no_link_is_followed() {
    let world = World::new();
    world.write("good/file", "x");
    world.write("real/inner/file", "x");
    for name in ["file", "other"] {
        world.write(name, "x");
        symlink("real", world.source().join(format!("to {name}"))).unwrap();
    }
    let paths =
        ["/file", "/other/x", "/to file", "/to other/inner", "/none", "/none too", "/real/none", "/good"];
    let states = [NotAFolder, NotAFolder, NotAFolder, NotAFolder, Missing, Missing, Missing, Whole];
    let said = world.fill(1, &paths, &[]).made(1).states(&states);
    assert_eq!(names(&world.data(1)), ["good"]);
    assert!(said.outcome.paths.iter().take(7).all(|path| !path.message.is_empty()));
}

#[test]
fn a_path_with_a_file_that_cannot_be_copied_is_partial_and_names_it() {
    let world = World::new();
    for folder in ["a", "b"] {
        world.write(&format!("{folder}/file"), "x");
    }
    for name in ["a/x.fifo", "a/y.fifo"] {
        mknodat(CWD, world.source().join(name), FileType::Fifo, Mode::RWXU, 0).unwrap();
    }
    let said = world.fill(1, &["/a", "/b"], &[]).made(1).states(&[Partial, Whole]);
    let said = said.says(0, "2 files, first x.fifo: a FIFO is not copied");
    assert_eq!(said.outcome.paths[0].files, 1);
}

#[test]
fn a_file_that_may_not_be_read_and_an_owner_that_may_not_be_kept_are_told() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let world = World::new();
    for name in ["closed/one", "closed/two", "owned/file", "good/file"] {
        world.write(name, "x");
    }
    let nobody = |name: &str| chown(world.path(name), Some(65534), Some(65534)).unwrap();
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(world.target()).unwrap();
    fs::write(world.path("outcome"), "").unwrap();
    for name in ["source", "target", "outcome", "source/good", "source/good/file"] {
        nobody(name);
    }
    nobody("source/closed");
    for name in ["closed/one", "closed/two"] {
        fs::set_permissions(world.source().join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let said = world.fill_as_nobody(1, &["/closed", "/owned", "/good"]).made(1);
    let said = said.states(&[Partial, Partial, Whole]).says(0, "2 files, first one: cannot open");
    said.says(0, "Permission denied").says(1, "owner");
}

#[test]
fn a_generation_without_a_whole_path_is_not_made_and_what_was_there_stays() {
    let world = World::new();
    world.write("a/file", "x");
    world.fill(1, &["/a"], &[]).made(1);
    let before = look(&world.data(1));
    mknodat(CWD, world.source().join("a/fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let said = world.fill(2, &["/a", "/none"], &["--earlier", "1"]).failed(FailureReason::NothingWhole);
    assert_eq!(said.states(&[Partial, Missing]).outcome.present, [1]);
    assert_eq!(look(&world.data(1)), before);
    fs::remove_file(world.source().join("a/fifo")).unwrap();
    world.fill(2, &["/a", "/none"], &["--earlier", "1"]).made(2).states(&[Whole, Missing]);
    assert_eq!(look(&world.data(2)), look(&world.source()));
}

#[test]
fn paths_beyond_the_capacity_are_left_out() {
    let world = World::new();
    for (name, length) in [("a/file", 3000), ("b/file", 5000), ("c/file", 1000)] {
        world.write(name, vec![1; length]);
    }
    let paths = ["/a", "/b", "/c"];
    let said = world.fill(1, &paths, &["--capacity", "9000"]).made(1);
    said.states(&[Whole, Whole, Whole]);
    let said = world.fill(2, &paths, &["--capacity", "8999", "--earlier", "1"]).made(2);
    said.states(&[Whole, Whole, Evicted]).says(2, "its 1000 bytes").says(2, "the limit is 8999 bytes");
    assert_eq!(names(&world.data(2)), ["a", "b"]);
    let said = world.fill(3, &paths, &["--capacity", "4000"]).made(3);
    said.states(&[Whole, Evicted, Whole]);
    let said = world.fill(4, &paths, &["--capacity", "999"]).failed(FailureReason::TargetFull);
    said.states(&[Evicted, Evicted, Evicted]);
}

#[test]
fn a_path_that_is_gone_since_a_fill_was_cut_is_not_left_over() {
    let world = World::new();
    world.write("a/file", "x");
    world.write("b/file", "x");
    world.fill(1, &["/a", "/b"], &[]).made(1);
    fs::rename(world.target().join("1"), world.target().join("filling-1")).unwrap();
    fs::remove_dir_all(world.source().join("b")).unwrap();
    world.fill(1, &["/a", "/b"], &[]).made(1).states(&[Whole, Missing]);
    assert_eq!(names(&world.data(1)), ["a"]);
    assert_eq!(names(&world.target().join("1/manifest")), ["0"]);
}
