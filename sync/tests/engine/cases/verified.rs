//! Copies whose manifest is kept: what changes in the destination by itself is found.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use workspacefs_sync::{Control, Options, Verify, VerifyReport};

use crate::model::build::{noise, set_mtime};
use crate::world::{World, mirror, open, workers};

const FLIPPED: u64 = 1_000;
const OTHERS: u64 = 200;

fn verify(destination: &Path, manifest: &Path, mode: Verify) -> VerifyReport {
    workspacefs_sync::verify(open(destination).as_fd(), manifest, mode, None, &Control::new())
        .unwrap_or_else(|error| panic!("{error:?}"))
}

fn hashed(manifest: &Path) -> Options {
    Options { checksum: true, manifest: Some(manifest.into()), ..workers(3) }
}

fn accused(report: &VerifyReport) -> BTreeSet<PathBuf> {
    report.wrong.iter().map(|wrong| wrong.path.clone()).collect()
}

pub fn every_bit_that_is_flipped_is_found(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    let manifest = world.path("manifest");
    let name = |n: u64| PathBuf::from(format!("{}/{n}", n % 16));
    for n in 0..FLIPPED + OTHERS {
        fs::create_dir_all(source.join(format!("{}", n % 16))).unwrap();
        fs::write(source.join(name(n)), noise(n + 1, 1 + (n * 7) as usize % 9_000)).unwrap();
    }
    // In chunks, and in the second of them.
    fs::write(source.join("large"), noise(3, 20 << 20)).unwrap();
    mirror(&source, &destination, &hashed(&manifest));
    let report = verify(&destination, &manifest, Verify::Checksum);
    assert_eq!((report.checked.files, report.wrong.len()), (FLIPPED + OTHERS + 1, 0), "{report:?}");

    let flip = |path: &Path, bit: u64| {
        let path = destination.join(path);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let times = fs::metadata(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, bit / 8).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8).unwrap();
        use std::os::unix::fs::MetadataExt;
        set_mtime(&path, (times.mtime(), times.mtime_nsec()));
    };
    let mut flipped: BTreeSet<PathBuf> = (0..FLIPPED).map(name).collect();
    for n in 0..FLIPPED {
        let bits = fs::metadata(destination.join(name(n))).unwrap().len() * 8;
        flip(&name(n), n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % bits);
    }
    flip(Path::new("large"), (15 << 20) * 8 + 3);
    flipped.insert("large".into());
    let report = verify(&destination, &manifest, Verify::Checksum);
    assert_eq!(accused(&report), flipped);
    // The quick look cannot see them, and says nothing else either.
    assert!(verify(&destination, &manifest, Verify::Size).wrong.is_empty());
    println!("{FLIPPED} of {FLIPPED} found");
}

/// Also those that an earlier run copied, and not those that are gone.
pub fn a_manifest_lists_every_file_that_a_run_saw(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    let manifest = world.path("manifest");
    for name in ["stays", "changes", "goes", "twin"] {
        fs::write(source.join(name), name).unwrap();
    }
    // Filled before anybody thought of a manifest: what lies there is hashed too, or copied again.
    mirror(&source, &destination, &workers(2));
    mirror(&source, &destination, &hashed(&manifest));
    let report = verify(&destination, &manifest, Verify::Checksum);
    assert_eq!((report.checked.files, report.wrong.len()), (4, 0), "{report:?}");

    fs::remove_file(source.join("goes")).unwrap();
    fs::write(source.join("changes"), "has changed").unwrap();
    fs::remove_file(source.join("twin")).unwrap();
    fs::hard_link(source.join("stays"), source.join("twin")).unwrap();
    std::os::unix::fs::symlink("stays", source.join("link")).unwrap();
    let options = Options { delete: Some(workspacefs_sync::DeleteLimit::NONE), ..hashed(&manifest) };
    mirror(&source, &destination, &options);
    let report = verify(&destination, &manifest, Verify::Checksum);
    assert_eq!((report.checked.files, report.wrong.len()), (3, 0), "{report:?}");
    let again = mirror(&source, &destination, &options);
    assert_eq!(again.last.bytes_read, 0, "what the manifest knows is not read again: {:?}", again.report);
    assert_eq!(verify(&destination, &manifest, Verify::Checksum).checked.files, 3);
}
