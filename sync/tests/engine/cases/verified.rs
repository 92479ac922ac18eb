//! Copies whose manifest is kept: what changes in the destination by itself is found.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use workspacefs_sync::{Control, Options, Problem, Verify, VerifyReport};

use crate::model::build::{noise, set_mtime};
use crate::tree::{Terms, assert_same, look};
use crate::world::{World, earlier, eventually, mirror, open, run_with, two_in, workers};

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

/// What is linked from an earlier copy is in the manifest as it was in that one's; what that does not vouch for is
/// copied.
pub fn a_manifest_takes_over_what_the_earlier_one_says(world: &World) {
    let folder = world.memory("inside", "mode=0755");
    let [source, first] = two_in(&folder);
    for name in ["linked", "changes", "unknown"] {
        fs::write(source.join(name), name).unwrap();
    }
    // It is in the copy, and the run that copied it wrote no manifest.
    let unknown = Options { paths: vec!["unknown".into()], ..workers(1) };
    mirror(&source, &first, &unknown);
    let manifest = world.path("first.manifest");
    mirror(&source, &first, &Options { paths: vec!["linked".into(), "changes".into()], ..hashed(&manifest) });
    fs::write(source.join("changes"), "has changed").unwrap();

    let linked =
        |copy: &Path, name: &str| [copy, &first].map(|root| fs::metadata(root.join(name)).unwrap().ino());
    let is_linked =
        |copy: &Path| ["linked", "changes", "unknown"].map(|name| linked(copy, name)).map(|[a, b]| a == b);
    for (name, given, links, read) in [
        // Vouched for: nothing of it is read.
        ("second", Some(manifest.as_path()), [true, false, false], 11 + 7),
        // Believed: read for its digest.
        ("third", None, [true, false, true], 11 + 7 + 6),
    ] {
        let (copy, manifest) = (world.dir(&format!("inside/{name}")), world.path(name));
        let options = Options { earlier: Some(earlier(&first, given)), ..hashed(&manifest) };
        let run = mirror(&source, &copy, &options);
        assert_eq!((is_linked(&copy), run.last.bytes_read), (links, read), "{name}: {:?}", run.report);
        let report = verify(&copy, &manifest, Verify::Checksum);
        assert_eq!((report.checked.files, report.wrong.len()), (3, 0), "{name}: {report:?}");
        assert_eq!(mirror(&source, &copy, &options).last.bytes_read, 0, "{name}");
        assert_eq!(verify(&copy, &manifest, Verify::Checksum).checked.files, 3, "{name}");
    }
}

/// Also where the earlier copy's manifest vouches for it; nothing else is left under its name, or changed.
pub fn what_became_something_else_in_the_earlier_copy_is_copied(world: &World) {
    let folder = world.memory("inside", "mode=0755");
    let [source, first] = two_in(&folder);
    let became = ["cut", "later", "open", "link", "folder", "gone"];
    for name in became.iter().chain(&["good"]) {
        fs::write(source.join(name), name).unwrap();
    }
    let manifest = world.path("first.manifest");
    mirror(&source, &first, &hashed(&manifest));
    let outside = folder.join("outside");
    fs::write(&outside, "outside").unwrap();
    let times = fs::metadata(first.join("cut")).unwrap();
    fs::write(first.join("cut"), "cu").unwrap();
    set_mtime(&first.join("cut"), (times.mtime(), times.mtime_nsec()));
    set_mtime(&first.join("later"), (times.mtime() + 1, 0));
    fs::set_permissions(first.join("open"), fs::Permissions::from_mode(0o666)).unwrap();
    for name in ["link", "folder", "gone"] {
        fs::remove_file(first.join(name)).unwrap();
    }
    symlink(&outside, first.join("link")).unwrap();
    fs::create_dir(first.join("folder")).unwrap();
    let before = look(&first);

    let second = world.dir("inside/second");
    let options =
        Options { earlier: Some(earlier(&first, Some(&manifest))), ..hashed(&world.path("second")) };
    let report = mirror(&source, &second, &options).report;
    assert_eq!((report.files.done.files, report.files.unchanged.files), (6, 1), "{report:?}");
    assert_same(&look(&second), &look(&source), Terms::PLAIN);
    assert_eq!(look(&first), before, "the earlier copy was changed");
    assert_eq!(fs::metadata(&outside).unwrap().nlink(), 1);
}

/// The manifest says what was copied, whatever became of the source while its second name was read for the digest.
pub fn a_second_name_that_changes_while_it_is_read_is_not_vouched_for(world: &World) {
    const SIZE: usize = 4 << 20;
    let [source, destination] = two_in(&world.memory("inside", "mode=0755"));
    fs::write(source.join("a"), noise(1, SIZE)).unwrap();
    fs::hard_link(source.join("a"), source.join("b")).unwrap();
    let manifest = world.path("manifest");
    let options = Options {
        bandwidth: std::num::NonZeroU64::new(8 << 20),
        workers: workers(1).workers,
        ..hashed(&manifest)
    };
    let control = Control::new();
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("it is read once", || control.snapshot().bytes_read > SIZE as u64 + (1 << 20));
            File::options().write(true).open(source.join("a")).unwrap().write_all_at(&[1; 9], 0).unwrap();
        });
        run_with(&source, &destination, &options, &control).report
    });
    let noted: Vec<_> = report.notes.iter().map(|note| &note.problem).collect();
    assert_eq!(noted, [&Problem::Changing], "{report:?}");
    let verified = verify(&destination, &manifest, Verify::Checksum);
    assert_eq!((verified.checked.files, verified.wrong.len()), (1, 0), "{verified:?}");
    mirror(&source, &destination, &Options { bandwidth: None, ..options });
    assert_eq!(verify(&destination, &manifest, Verify::Checksum).checked.files, 2);
}
