//! Much of it: many files, and a file that is larger than memory should be. What the process takes at most is the same as for little.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::Duration;

use crate::{Said, World};

/// Runs it; what it said, and the most memory that it had, bytes.
fn measured(world: &World, arguments: &[&str]) -> (Said, u64) {
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
    (Said::of(child.wait_with_output().unwrap()), peak)
}

#[test]
fn ten_times_as_many_files_take_no_more_memory() {
    many(20_000);
}

#[test]
#[ignore = "minutes, of a disk that syncs slowly"]
fn a_hundred_thousand_files_take_no_more_memory_than_two_thousand() {
    many(100_000);
}

fn many(files: usize) {
    const FEW: usize = 2000;
    const MORE_BYTES_MAX: u64 = 24 << 20;
    let world = World::real();
    let folder = |number: usize| format!("{}/{}", if number < FEW { "few" } else { "many" }, number / 500);
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
    let (said, few) = measured(&world, &["upload", "-r", "few", "/"]);
    said.ended(0).says("2,000 files uploaded");
    let (said, many) = measured(&world, &["upload", "-r", "many", "/"]);
    said.ended(0).says(&format!("{},000 files uploaded", (files - FEW) / 1000));
    assert!(many < few + MORE_BYTES_MAX, "{few} bytes for few, {many} for many");
    let (said, few) = measured(&world, &["download", "-r", "/few", "back"]);
    said.ended(0).says("2,000 files downloaded");
    let (said, many) = measured(&world, &["download", "-r", "/many", "back"]);
    said.ended(0).says(&format!("{},000 files downloaded", (files - FEW) / 1000));
    assert!(many < few + MORE_BYTES_MAX, "{few} bytes for few, {many} for many");
    for number in 0..files {
        let name = format!("{}/{number}", folder(number));
        let there = fs::read(world.path("back").join(&name)).unwrap();
        assert!(there == fs::read(world.path(&name)).unwrap(), "{number}");
    }
}

#[test]
fn a_sparse_file_of_a_gibibyte_takes_the_memory_of_a_few_pieces() {
    const BYTES: u64 = (1 << 30) + 5;
    const MEMORY_BYTES_MAX: u64 = 128 << 20;
    let world = World::real();
    let file = File::create(world.path("sparse")).unwrap();
    file.set_len(BYTES).unwrap();
    let marks = [(0, "begin"), (700 << 20, "middle"), (BYTES - 3, "end")];
    for (at, mark) in marks {
        file.write_all_at(mark.as_bytes(), at).unwrap();
    }
    let (said, up) = measured(&world, &["upload", "sparse", "/"]);
    said.ended(0).says("1 file uploaded");
    let (said, down) = measured(&world, &["download", "sparse", "back"]);
    said.ended(0).says("1 file downloaded");
    assert!(up < MEMORY_BYTES_MAX && down < MEMORY_BYTES_MAX, "{up} up, {down} down");
    let same = std::process::Command::new("cmp").arg(world.path("sparse")).arg(world.path("back")).status();
    assert!(same.unwrap().success());
}
