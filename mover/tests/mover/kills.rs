//! A mover is killed at one step after the other. The next one completes the generation, nothing is there twice, and no
//! half generation has a final name.

use std::fs;
use std::os::unix::fs::symlink;

use workspacefs_api::PathState::Whole;

use crate::step::killed_at;
use crate::tree::{inode, look, names};
use crate::world::{World, noise};

/// So many steps are tried, spread over the whole run.
const KILLS: usize = 320;

fn fill_source(world: &World) {
    for folder in ["a", "b"] {
        world.write(&format!("{folder}/same"), noise(1, 5000));
        world.write(&format!("{folder}/changed"), noise(2, 3000));
        world.write(&format!("{folder}/in/gone"), "gone");
        symlink("same", world.source().join(folder).join("link")).unwrap();
    }
}

fn change_source(world: &World) {
    for folder in ["a", "b"] {
        world.write(&format!("{folder}/changed"), noise(3, 4000));
        world.write(&format!("{folder}/new"), noise(4, 1000));
        fs::remove_dir_all(world.source().join(folder).join("in")).unwrap();
    }
}

#[test]
fn a_refresh_killed_at_any_step_is_completed_by_the_next() {
    let world = World::in_memory();
    fill_source(&world);
    world.fill(1, &["/a", "/b"], &[]).made(1);
    world.fill(2, &["/a", "/b"], &[]).made(2);
    let first = look(&world.data(1));
    change_source(&world);
    let source = look(&world.source());
    let arguments = ["--earlier", "2", "--remove", "1", "--workers", "2"];
    let prepare = || {
        // Both older generations, as they were.
        let _ = world.run(&["--remove", "3"]);
        if !world.data(1).exists() {
            copy_of_second(&world);
        }
    };
    let command = world.fill_command(3, &["/a", "/b"], &arguments);
    prepare();
    let stops = killed_at(&command, usize::MAX).unwrap();
    assert!(stops > 1000, "only {stops} steps: were the system calls seen?");
    let mut killed = 0;
    for number in 0..KILLS {
        prepare();
        let at = number * stops / KILLS;
        killed += usize::from(killed_at(&command, at).is_none());
        let context = format!("killed at stop {at} of {stops}");
        for name in names(&world.target()).iter().filter(|name| name.parse::<i64>().is_ok()) {
            let expected = if name == "3" { &source } else { &first };
            assert!(look(&world.target().join(name).join("data")) == *expected, "{name} is half, {context}");
        }
        let said = world.fill(3, &["/a", "/b"], &arguments).made(3).states(&[Whole, Whole]);
        assert_eq!(said.outcome.present, [2, 3], "{context}");
        assert_eq!(names(&world.target()), ["2", "3", "lock"], "{context}");
        assert!(look(&world.data(3)) == source, "{context}");
        assert!(look(&world.data(2)) == first, "{context}");
        let same = |name: &str| inode(&world.data(2).join(name)) == inode(&world.data(3).join(name));
        assert!(same("a/same") && same("b/same"), "copied and not linked, {context}");
        assert_eq!(names(&world.target().join("3/manifest")), ["0", "1"], "{context}");
    }
    assert!(killed > KILLS * 9 / 10, "only {killed} of {KILLS} were killed");
}

/// Generation 1 again, with nothing that it shares with another.
fn copy_of_second(world: &World) {
    let [from, to] = ["2", "1"].map(|name| world.target().join(name));
    let status = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}
