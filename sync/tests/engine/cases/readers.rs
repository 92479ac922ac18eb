//! Readers open files of the destination by name all the time while it is refreshed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::words::{WORD, is_uniform, parse, uniform};
use crate::world::{World, mirror, workers};

const VERSIONS: u64 = 60;
/// In words of eight bytes; the last one is copied in chunks.
const FILES: [(&str, usize); 4] =
    [("small", 1), ("page", 512), ("folder/mega", 131_073), ("folder/large", 2_500_000)];

pub fn a_reader_sees_old_or_new_whole_during_every_refresh(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let (source, destination) = (inside.join("source"), inside.join("destination"));
    fs::create_dir_all(source.join("folder")).unwrap();
    fs::create_dir(&destination).unwrap();
    write(&source, 1);
    mirror(&source, &destination, &workers(2));
    let (over, newest, read) = (AtomicBool::new(false), AtomicU64::new(1), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let readers: Vec<_> = FILES
            .iter()
            .map(|file| {
                let (over, newest, read, destination) = (&over, &newest, &read, &destination);
                scope.spawn(move || {
                    let mut last = 0;
                    while !over.load(Ordering::Relaxed) {
                        last = look(destination, file, last, newest);
                        read.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for version in 2..=VERSIONS {
            newest.store(version, Ordering::SeqCst);
            write(&source, version);
            mirror(&source, &destination, &workers(2));
            if readers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let read = read.into_inner();
    println!("{read} read during {VERSIONS} refreshes");
    assert!(read > 200, "only {read} read");
}

/// Of another length in each version: one that is cut shows as well as one that is mixed.
fn length(words: usize, version: u64) -> usize {
    words + (version % 5) as usize
}

fn write(source: &Path, version: u64) {
    for (name, words) in FILES {
        fs::write(source.join(name), uniform(version, length(words, version))).unwrap();
    }
    for (name, target) in [("link", format!("{version}")), ("twin", String::new())] {
        let _ = fs::remove_file(source.join(name));
        match name {
            "link" => symlink(target, source.join(name)).unwrap(),
            _ => fs::hard_link(source.join("page"), source.join(name)).unwrap(),
        }
    }
}

/// Looks at a file once; gives back its version, which never goes back.
fn look(destination: &Path, (name, words): &(&str, usize), last: u64, newest: &AtomicU64) -> u64 {
    let bytes = fs::read(destination.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!bytes.is_empty(), "{name} is empty");
    let seen = parse(&bytes);
    let version = seen[0];
    assert!(is_uniform(&seen), "{name} is mixed");
    assert_eq!(bytes.len(), length(*words, version) * WORD, "{name} is cut");
    assert!((last..=newest.load(Ordering::SeqCst)).contains(&version), "{name}: {version} after {last}");
    // Links and other names of a file are there all the time too.
    fs::read_link(destination.join("link")).unwrap_or_else(|error| panic!("link: {error}"));
    let twin = fs::read(destination.join("twin")).unwrap_or_else(|error| panic!("twin: {error}"));
    assert!(is_uniform(&parse(&twin)) && !twin.is_empty(), "twin is mixed");
    version
}
