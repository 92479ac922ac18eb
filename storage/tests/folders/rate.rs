//! The rate at which the trash is emptied, on the real clock. A busy computer only makes it lower, so what is claimed here
//! holds on any.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use workspacefs_storage::emptier;
use workspacefs_storage::folders::types::Disposal;

use crate::world::{A, KEEP, World, claim, claim_key, claim_place, file_system};

/// Ten in each tenth of a second.
const RATE: u64 = 100;
const SLICE: Duration = Duration::from_millis(100);
const PER_SLICE: usize = 10;

/// Time for a computer that does something else.
const TIME_MAX: Duration = Duration::from_secs(60);

/// A disk with so many folders in the trash, whose time has come, each with so many files.
fn full_trash(folders: usize, files: usize) -> World {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 50)).unwrap();
    for folder in 0..folders {
        let name = format!("pvc-{folder}");
        world.folders.ensure_claim(&claim(A, &name, 1)).unwrap();
        for file in 0..files {
            world.disk.write(&claim_place(A, &name), &file.to_string(), 1).unwrap();
        }
        world.folders.remove_claim(&claim_key(A, &name), Disposal::Trash).unwrap();
    }
    world.wait(KEEP);
    world
}

/// Files and folders on the disk.
fn entries(world: &World) -> usize {
    world.disk.content().folders.values().map(|folder| 1 + folder.files.len()).sum()
}

/// Lets the emptier work and watches it: never is more gone than the rate allows. Gives how long it took.
fn watched(world: &World) -> Duration {
    let before = entries(world);
    // The FileSystem's own folder stays.
    let doomed = before - 1;
    std::thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let started = Instant::now();
        scope.spawn(move || emptier::run(&world.folders, RATE, &stopped));
        let took = loop {
            let gone = before - entries(world);
            // Read after the entries: time that passes in between only allows more.
            let took = started.elapsed();
            let slices = usize::try_from(took.as_millis() / SLICE.as_millis()).unwrap() + 1;
            assert!(gone <= slices * PER_SLICE, "{gone} entries are gone after {took:?}");
            if gone == doomed {
                break took;
            }
            assert!(took < TIME_MAX, "only {gone} of {doomed} entries are gone");
            std::thread::sleep(Duration::from_millis(2));
        };
        drop(stop);
        took
    })
}

#[test]
fn a_large_folder_is_emptied_at_the_limited_rate() {
    let world = full_trash(1, 79);
    let took = watched(&world);
    // The first of eight slices begins at once.
    assert!(took >= 7 * SLICE, "80 entries went in {took:?}");
}

#[test]
fn many_small_folders_are_emptied_at_the_same_rate() {
    let world = full_trash(40, 1);
    let took = watched(&world);
    assert!(took >= 7 * SLICE, "80 entries went in {took:?}");
    world.check();
}

#[test]
fn an_emptier_that_is_told_to_stop_stops_in_the_middle() {
    let world = full_trash(1, 2000);
    std::thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let folders = &world.folders;
        let emptier = scope.spawn(move || emptier::run(folders, RATE, &stopped));
        while entries(&world) == 2002 {
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(stop);
        emptier.join().unwrap();
    });
    assert!(entries(&world) > 2, "it went on to the end");
}
