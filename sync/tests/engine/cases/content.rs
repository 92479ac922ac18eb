//! What is in files, at sizes where something changes: buffers, chunks, holes; and how quickly it may be read.

use std::fs::{self, File};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use workspacefs_sync::Options;

use crate::judge;
use crate::model::build::noise;
use crate::mounts::{Disk, FileSystem};
use crate::tree::{Terms, assert_same, look};
use crate::world::{World, mirror, two_in, workers};

const MIB: u64 = 1 << 20;

pub fn sizes_around_every_edge_are_copied(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    let edges = [1, 512, 4096, 64 << 10, 128 << 10, 256 << 10, 512 << 10, MIB, 2 * MIB, 4 * MIB, 8 * MIB];
    fs::write(source.join("0"), "").unwrap();
    for edge in edges {
        for size in [edge - 1, edge, edge + 1] {
            fs::write(source.join(format!("{size}")), noise(size + 1, size as usize)).unwrap();
        }
    }
    let run = mirror(&source, &destination, &workers(3));
    assert_eq!(run.last.bytes_read, run.report.files.found.bytes);
    assert_same(&look(&destination), &look(&source), Terms::PLAIN);
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
}

pub fn large_files_are_copied_whole_by_any_number_of_workers(world: &World) {
    let source = world.memory("source", "mode=0755");
    let sizes = [16 * MIB - 1, 16 * MIB, 32 * MIB + 1, 64 * MIB + 4097, 100 * MIB];
    for size in sizes {
        fs::write(source.join(format!("{size}")), noise(size, size as usize)).unwrap();
    }
    let all = look(&source);
    for (count, checksum) in [(1, false), (2, true), (7, false), (64, true)] {
        let destination = world.memory(&format!("destination-{count}"), "mode=0755");
        let run = mirror(&source, &destination, &Options { checksum, ..workers(count) });
        assert_eq!(run.last.bytes_read, sizes.iter().sum::<u64>());
        assert_same(&look(&destination), &all, Terms::PLAIN);
        crate::mounts::program("umount", &[crate::mounts::text(&destination)]);
    }
}

/// Where data lies in a sparse file: pieces of 4 KiB at these places, and its length.
const SPARSE: [(&str, &[u64], u64); 6] = [
    ("all-hole", &[], 5 * MIB),
    ("begins", &[0], 40 * MIB),
    ("ends", &[40 * MIB - 4096], 40 * MIB),
    ("middle", &[10 * MIB], 40 * MIB + 1),
    ("chunks", &[8 * MIB - 4096, 16 * MIB, 64 * MIB - 4096, 64 * MIB], 200 * MIB),
    ("small", &[65_536], 300_000),
];

pub fn holes_stay_holes(world: &World) {
    for memory in [true, false] {
        let folder = if memory { world.memory("memory", "mode=0755") } else { world.dir("disk") };
        let [source, destination] = two_in(&folder);
        for (name, places, size) in SPARSE {
            let file = File::create(source.join(name)).unwrap();
            file.set_len(size).unwrap();
            places.iter().for_each(|at| file.write_all_at(&noise(at + 1, 4096), *at).unwrap());
        }
        mirror(&source, &destination, &workers(3));
        assert_same(&look(&destination), &look(&source), Terms::PLAIN);
        for (name, places, _) in SPARSE {
            let allocated = |root: &Path| fs::metadata(root.join(name)).unwrap().blocks() * 512;
            let (was, is) = (allocated(&source), allocated(&destination));
            // A file system may allocate some more around each piece.
            assert!(is <= was + 64 * 1024 * (places.len() as u64 + 1), "{name}: {was} bytes became {is}");
        }
    }
}

/// Where copy_file_range and clones work, they are another way to the same content.
pub fn large_files_are_copied_on_file_systems_that_share_blocks(world: &World) {
    let disk = Disk::new(FileSystem::Xfs, &world.path("disk"), 400);
    let [source, destination] = two_in(disk.path());
    for size in [0, 1, 4097, MIB + 1, 20 * MIB + 5, 66 * MIB] {
        fs::write(source.join(format!("{size}")), noise(size + 1, size as usize)).unwrap();
    }
    let file = File::create(source.join("sparse")).unwrap();
    file.set_len(50 * MIB).unwrap();
    file.write_all_at(&noise(5, 10_000), 30 * MIB).unwrap();
    drop(file);
    for (name, checksum) in [("plain", false), ("hashed", true)] {
        let destination = destination.join(name);
        fs::create_dir(&destination).unwrap();
        mirror(&source, &destination, &Options { checksum, ..workers(3) });
        assert_same(&look(&destination), &look(&source), Terms::PLAIN);
    }
    // A copy is a file of its own: what is written to it shows in no other.
    let before = look(&source);
    File::options().write(true).open(destination.join("plain/1")).unwrap().write_all_at(b"!", 0).unwrap();
    let large = destination.join(format!("plain/{}", 66 * MIB));
    File::options().write(true).open(large).unwrap().write_all_at(b"!!!!", 40 * MIB).unwrap();
    assert_same(&look(&source), &before, Terms::PLAIN);
}

/// Too quick is never right; too slow may be this machine's other work, so that is measured again.
pub fn no_more_is_read_in_a_second_than_the_limit(world: &World) {
    const RATE: u64 = 6 * MIB;
    const BYTES: u64 = 18 * MIB;
    let ideal = Duration::from_secs_f64(BYTES as f64 / RATE as f64);
    // Many small files, and one that is read in chunks.
    for (name, files) in [("small", 288), ("large", 1)] {
        let source = world.memory(&format!("{name}-source"), "mode=0755");
        for n in 0..files {
            fs::write(source.join(format!("{n}")), noise(n + 1, (BYTES / files) as usize)).unwrap();
        }
        let mut measured = Vec::new();
        for attempt in 0..3 {
            let destination = world.memory(&format!("{name}-destination-{attempt}"), "mode=0755");
            let options = Options { bandwidth: NonZeroU64::new(RATE), ..workers(4) };
            let elapsed = mirror(&source, &destination, &options).report.elapsed;
            assert!(elapsed >= ideal.mul_f64(0.75), "{name}: {elapsed:?} instead of {ideal:?}");
            measured.push(elapsed);
            if elapsed <= ideal.mul_f64(1.25) {
                break;
            }
        }
        println!("{name}: {measured:?} for {ideal:?}");
        assert!(
            measured.iter().any(|elapsed| *elapsed <= ideal.mul_f64(1.25)),
            "{name}: {measured:?} for {ideal:?}"
        );
    }
}
