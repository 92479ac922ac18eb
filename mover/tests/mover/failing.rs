//! Sources and targets that fail.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::mount::umount;
use workspacefs_api::PathState::{Evicted, Whole};
use workspacefs_api::mover::FailureReason;

use crate::tree::{look, names};
use crate::world::{World, memory, noise, own_mounts, read_only};

#[test]
fn a_target_without_room_for_a_path_takes_the_others() {
    own_mounts();
    let world = World::new();
    memory(&world.target(), "size=4m");
    fills_beside_what_does_not_fit(&world);
}

#[test]
fn a_disk_without_room_for_a_path_takes_the_others() {
    own_mounts();
    let world = World::new();
    let image = world.path("image");
    fs::File::create(&image).unwrap().set_len(6 << 20).unwrap();
    program("mkfs.ext4", &["-q", "-F", "-m", "0", "-O", "^has_journal", text(&image)]);
    fs::create_dir(world.target()).unwrap();
    program("mount", &["-o", "loop", text(&image), text(&world.target())]);
    fills_beside_what_does_not_fit(&world);
    umount(&world.target()).unwrap();
}

fn fills_beside_what_does_not_fit(world: &World) {
    world.write("first/file", noise(1, 500_000));
    for number in 0..8 {
        world.write(&format!("large/{number}"), noise(number, 1 << 20));
    }
    world.write("last/file", noise(2, 500_000));
    let said = world.fill(1, &["/first", "/large", "/last"], &[]).made(1);
    let said = said.states(&[Whole, Evicted, Whole]).says(1, "8388608 bytes").says(1, "bytes are free");
    assert_eq!((said.outcome.paths[1].files, said.outcome.paths[2].bytes), (0, 500_000));
    assert_eq!(names(&world.data(1)), ["first", "last"]);
    for name in ["first", "last"] {
        assert_eq!(look(&world.data(1).join(name)), look(&world.source().join(name)));
    }
    let said = world.fill(2, &["/large"], &["--earlier", "1"]).failed(FailureReason::TargetFull);
    assert_eq!(said.states(&[Evicted]).says(0, "8388608 bytes").outcome.present, [1]);
}

#[test]
fn a_target_that_cannot_be_written_and_a_source_that_is_not_there_are_told_apart() {
    own_mounts();
    let world = World::new();
    world.write("a/file", "x");
    world.fill(1, &["/a"], &[]).made(1);
    read_only(&world.target());
    let said = world.fill(2, &["/a"], &[]).failed(FailureReason::TargetUnavailable);
    assert!(said.outcome.failure.unwrap().message.contains("Read-only file system"));
    umount(&world.target()).unwrap();
    fs::remove_dir_all(world.source()).unwrap();
    world.fill(2, &["/a"], &[]).failed(FailureReason::SourceUnreachable);
    assert_eq!(names(&world.target()), ["1", "lock"]);
}

#[test]
fn what_cannot_be_removed_keeps_no_generation_from_being_made_but_is_told_to_who_asked_for_it_alone() {
    own_mounts();
    let world = World::new();
    world.write("a/file", "x");
    (1..3).for_each(|generation| drop(world.fill(generation, &["/a"], &[]).made(generation)));
    let mounted = world.data(1).join("a");
    memory(&mounted, "size=1m");
    let said = world.fill(3, &["/a"], &["--remove", "1", "--remove", "2"]).made(3);
    assert_eq!(said.outcome.present, [3]);
    assert_eq!(names(&world.target()), ["3", "lock", "removing-1"]);
    assert!(world.run(&["--remove", "1"]).outcome.failure.is_some());
    umount(&world.target().join("removing-1/data/a")).unwrap();
    assert_eq!(world.run(&["--remove", "1"]).outcome.failure, None);
    assert_eq!(names(&world.target()), ["3", "lock"]);
}

#[test]
fn a_target_that_lies_in_the_path_is_refused() {
    let world = World::new();
    // The path is all that is here, the target too.
    let name = format!("/{}", world.path("").file_name().unwrap().to_str().unwrap());
    let mut command = world.command(&["--generation", "1", "--path", &name]);
    command.arg("--source").arg(world.path("").parent().unwrap());
    world.said_by(command).failed(FailureReason::Failed);
}

fn program(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
