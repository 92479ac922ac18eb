//! Much of it: many files, and a file that is larger than memory should be. What the process takes at most is the same as for little.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::{SeekFrom, seek, statvfs};
use rustix::io::Errno;

use crate::{Said, World};

const MIB: u64 = 1 << 20;
/// What the folders of the largest case take in memory, files and what the kernel knows of them.
const ROOM_BYTES: u64 = 3 << 30;

/// With all files in memory where there is room: it is the process that is measured, and a disk that syncs slowly takes minutes.
fn world() -> World {
    let memory = Path::new("/dev/shm");
    let has_room = statvfs(memory).is_ok_and(|stat| stat.f_bavail * stat.f_frsize > ROOM_BYTES);
    if has_room { World::real_in(memory) } else { World::real() }
}

/// Runs it; what it said, and the most memory that it had, bytes.
fn measured(world: &World, arguments: &[&str]) -> (Said, u64) {
    let begun = Instant::now();
    let mut command = world.command(&[&["storage"], arguments].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // A process that has ended, and was not asked for its end yet, has none.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        peak = kilobytes.map_or(peak, |kilobytes| kilobytes << 10);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(peak > 0, "it was never seen");
    println!("{arguments:?}: {:.1} MiB, {:.1} s", peak as f64 / MIB as f64, begun.elapsed().as_secs_f64());
    (Said::of(child.wait_with_output().unwrap()), peak)
}

#[test]
fn ten_times_as_many_files_take_no_more_memory() {
    many(2_000, 20_000);
}

/// Not than two thousand: the allocator keeps some memory for each thread, and its threads come and go for a while.
#[test]
#[ignore = "half a minute of two processors"]
fn a_hundred_thousand_files_take_no_more_memory_than_twenty_thousand() {
    many(20_000, 120_000);
}

/// So many of `files` by themselves, and then all others.
fn many(few: usize, files: usize) {
    const MORE_BYTES_MAX: u64 = 24 * MIB;
    const BYTES_MAX: u64 = 96 * MIB;
    let world = world();
    let folder = |number: usize| format!("{}/{}", if number < few { "few" } else { "many" }, number / 500);
    for number in 0..files {
        let folder = world.path(&folder(number));
        if number % 500 == 0 {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(number.to_string()), folder.as_os_str().len().to_string()).unwrap();
        } else {
            // More names of one file cost the disk little.
            let first = folder.join((number - number % 500).to_string());
            fs::hard_link(first, folder.join(number.to_string())).unwrap();
        }
    }
    let compare = |of_few: &[&str], of_many: &[&str], done: &str| {
        let (said, less) = measured(&world, of_few);
        said.ended(0).says(&format!("{},000 files {done}", few / 1000));
        let (said, more) = measured(&world, of_many);
        said.ended(0).says(&format!("{},000 files {done}", (files - few) / 1000));
        assert!(more < less + MORE_BYTES_MAX && more < BYTES_MAX, "{less} bytes for few, {more} for many");
    };
    compare(&["upload", "-r", "few", "/"], &["upload", "-r", "many", "/"], "uploaded");
    compare(&["download", "-r", "/few", "back"], &["download", "-r", "/many", "back"], "downloaded");
    for number in 0..files {
        let name = format!("{}/{number}", folder(number));
        let there = fs::read(world.path("back").join(&name)).unwrap();
        assert!(there == fs::read(world.path(&name)).unwrap(), "{number}");
    }
}

#[test]
fn a_sparse_file_of_a_gibibyte_takes_the_memory_of_a_few_pieces_and_no_room() {
    sparse((1 << 30) + 5);
}

#[test]
#[ignore = "minutes: each byte is hashed three times"]
fn a_sparse_file_of_fifty_gibibytes_takes_the_memory_of_a_few_pieces_and_no_room() {
    sparse((50 << 30) + 5);
}

fn sparse(length: u64) {
    const MEMORY_BYTES_MAX: u64 = 128 * MIB;
    let world = world();
    let file = File::create(world.path("sparse")).unwrap();
    file.set_len(length).unwrap();
    for (at, mark) in [(0, "begin"), (length / 10 * 7, "middle"), (length - 3, "end")] {
        file.write_all_at(mark.as_bytes(), at).unwrap();
    }
    let (said, up) = measured(&world, &["upload", "sparse", "/"]);
    said.ended(0).says("1 file uploaded");
    let (said, down) = measured(&world, &["download", "sparse", "back"]);
    said.ended(0).says("1 file downloaded");
    assert!(up < MEMORY_BYTES_MAX && down < MEMORY_BYTES_MAX, "{up} up, {down} down");
    for copy in [world.gateway.root().join("sparse"), world.path("back")] {
        same(&world.path("sparse"), &copy);
        let taken = fs::metadata(&copy).unwrap().blocks() * 512;
        assert!(taken < 64 * MIB, "{} takes {taken} bytes", copy.display());
    }
}

/// Byte by byte, but for where neither has any.
fn same(one: &Path, other: &Path) {
    let files = [one, other].map(|path| File::open(path).unwrap());
    let length = files[0].metadata().unwrap().len();
    assert_eq!(length, files[1].metadata().unwrap().len());
    let mut seen = 0;
    for (from, to) in files.iter().flat_map(|file| parts(file, length)) {
        for at in (from..to).step_by(MIB as usize) {
            let read = |file: &File| {
                let mut bytes = vec![0; MIB.min(to - at) as usize];
                file.read_exact_at(&mut bytes, at).unwrap();
                bytes
            };
            assert!(read(&files[0]) == read(&files[1]), "they differ from {at} on");
            seen += 1;
        }
    }
    assert!(seen >= 6, "of each the three marks at least");
}

/// Where a file has bytes: what lies between reads as zeros.
fn parts(file: &File, length: u64) -> Vec<(u64, u64)> {
    let (mut parts, mut at) = (Vec::new(), 0);
    while at < length {
        let from = match seek(file, SeekFrom::Data(at)) {
            Ok(from) => from,
            Err(Errno::NXIO) => break,
            Err(errno) => panic!("{errno}"),
        };
        at = seek(file, SeekFrom::Hole(from)).unwrap();
        parts.push((from, at));
    }
    parts
}
