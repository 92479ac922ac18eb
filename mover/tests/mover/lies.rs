//! Lies that a process can meet: something is done to its files while it works.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use workspacefs_api::PathState::{Evicted, Partial, Whole};

use crate::tree::look;
use crate::world::{Said, World, fill_up, memory, noise, own_mounts};

/// A process, slow enough that something can be done to its first file while it copies the second one, which lies in
/// the folder: before either is read back.
fn meanwhile(world: &World, second: &str, act: impl FnOnce(&Path)) -> Said {
    world.write("a/1", noise(1, 1 << 20));
    world.write(&format!("{second}/2"), noise(2, 6 << 20));
    let paths = if second == "a" { &["/a"][..] } else { &["/a", "/b"] };
    let mut command = world.fill_command(1, paths, &["--bandwidth", "2097152", "--workers", "2"]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    let filling = world.target().join("filling-1/data");
    let waits_for = if second == "a" { filling.join("a/1") } else { filling.join(second) };
    while !waits_for.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not get there");
        std::thread::sleep(Duration::from_millis(1));
    }
    act(&filling.join("a/1"));
    world.said(child.wait_with_output().unwrap())
}

#[test]
fn a_bit_that_flips_on_the_target_is_found_and_the_file_copied_again() {
    let world = World::new();
    let said = meanwhile(&world, "a", |copy| {
        let modified = fs::metadata(copy).unwrap().modified().unwrap();
        let mut bytes = fs::read(copy).unwrap();
        bytes[77_777] ^= 4;
        fs::write(copy, bytes).unwrap();
        fs::File::open(copy).unwrap().set_modified(modified).unwrap();
    });
    let said = said.made(1).states(&[Whole]);
    let found = "first 1: is not what was written: has other content";
    assert!(said.stderr.contains(found), "{}", said.stderr);
    assert_eq!(look(&world.data(1)), look(&world.source()));
}

#[test]
fn a_copy_that_is_cut_short_is_found_and_the_file_copied_again() {
    let world = World::new();
    let said = meanwhile(&world, "a", |copy| {
        fs::OpenOptions::new().write(true).open(copy).unwrap().set_len(1000).unwrap();
    });
    let said = said.made(1).states(&[Whole]);
    assert!(said.stderr.contains("has 1000 bytes instead of 1048576"), "{}", said.stderr);
    assert_eq!(look(&world.data(1)), look(&world.source()));
}

#[test]
fn a_source_that_is_written_to_all_the_time_is_never_called_whole_with_a_mixture() {
    let world = World::in_memory();
    let write = |byte: u8| fs::write(world.source().join("a/file"), vec![byte; 1 << 20]).unwrap();
    world.write("a/file", "");
    write(0);
    world.write("b/file", "x");
    let over = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..250).cycle().take_while(|_| over.load(Ordering::Relaxed) == 0).for_each(write);
        });
        for generation in 1..20 {
            let said = world.fill(generation, &["/a", "/b"], &[]).made(generation);
            match said.outcome.paths[0].state {
                Whole => {
                    let bytes = fs::read(world.data(generation).join("a/file")).unwrap();
                    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a mixture");
                }
                state => assert_eq!((state, said.outcome.paths[1].state), (Partial, Whole)),
            }
        }
        over.store(1, Ordering::Relaxed);
    });
}

#[test]
fn a_target_that_is_filled_up_by_others_meanwhile_is_not_called_whole() {
    own_mounts();
    let world = World::new();
    memory(&world.target(), "size=8m");
    let said = meanwhile(&world, "b", |_| fill_up(&world.target()));
    said.made(1).states(&[Whole, Evicted]);
    assert_eq!(look(&world.data(1).join("a")), look(&world.source().join("a")));
}
