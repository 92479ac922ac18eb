//! A run that is told to end, and the one after it.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use workspacefs_api::mover::FailureReason;

use crate::tree::{inode, look, names};
use crate::world::World;

/// A run that would take 20 seconds, at its second path.
fn begin(world: &World) -> Child {
    world.write("a/file", vec![1; 1 << 20]);
    for number in 0..20 {
        world.write(&format!("b/{number}"), vec![2; 1 << 20]);
    }
    let mut command = world.fill_command(1, &["/a", "/b"], &["--bandwidth", "1048576", "--workers", "1"]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    let place = world.target().join("filling-1/data/b");
    while !fs::read_dir(&place).is_ok_and(|entries| entries.count() >= 3) {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not get to the second path");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn a_run_that_is_told_to_end_says_so_and_the_next_one_goes_on() {
    let world = World::new();
    let child = begin(&world);
    let told = Instant::now();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let said = world.said(child.wait_with_output().unwrap()).failed(FailureReason::Interrupted);
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    assert_eq!(said.outcome.present, Vec::<i64>::new());
    assert_eq!(names(&world.target()), ["filling-1", "lock"]);
    // What is done is not copied again.
    let copied = inode(&world.target().join("filling-1/data/a/file"));
    world.fill(1, &["/a", "/b"], &[]).made(1);
    assert_eq!(inode(&world.data(1).join("a/file")), copied);
    assert_eq!(look(&world.data(1)), look(&world.source()));
}
