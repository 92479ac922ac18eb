//! The trash of a whole agent on a real disk.

use std::fs::File;
use std::time::{Duration, Instant};

use super::server::Server;
use crate::world::{Image, names, text};

/// Entries per second, and how many in a tenth of one.
const RATE: usize = 50;
const PER_SLICE: usize = RATE / 10;

const FILES: usize = 300;

/// It looks into the trash twice a minute.
const TIME_MAX: Duration = Duration::from_secs(90);

pub fn a_removed_folder_is_emptied_at_the_rate_that_the_agent_was_told() {
    let image = Image::blank(640);
    let rate = format!("--trash-entries-per-second={RATE}");
    let storage = ["--device", text(image.device()), "--trash-keep-seconds=0", &rate];
    let server = Server::start(&[], &storage).ready();
    server.make_file_system(200);
    let folder = server.mount.path().join("export").join(server.make_claim("a", 100).folder);
    for n in 0..FILES {
        File::create(folder.join(n.to_string())).unwrap();
    }
    server.remove_claim("a");
    let trash = server.mount.path().join("trash");
    // A folder that has just gone counts as empty.
    let left = || names(&trash).iter().flat_map(|name| std::fs::read_dir(trash.join(name))).flatten().count();
    let asked = Instant::now();
    let until = |fits: &dyn Fn(usize) -> bool| loop {
        let left = left();
        if fits(left) {
            break (left, Instant::now());
        }
        assert!(asked.elapsed() < TIME_MAX, "{left} files are left\n{}", server.said());
        std::thread::sleep(Duration::from_millis(10));
    };
    let (first, began) = until(&|left| left < FILES);
    let (last, ended) = until(&|left| left == 0);
    let took = ended - began;
    println!("  {} files in {:.1} s", first - last, took.as_secs_f32());
    // The slice under way at the first look, and the one at the last, may have been whole.
    let slices = (first - last).saturating_sub(2 * PER_SLICE) / PER_SLICE;
    let at_least = Duration::from_millis(100) * u32::try_from(slices).unwrap();
    assert!(slices > 40 && took >= at_least, "{} files went in {took:?}", first - last);
    // It is not waited for: the folder's record goes when it is empty.
    until(&|_| names(&trash).is_empty());
}
