//! Whether a copy still is what its source is, without writing anything.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use workspacefs_sync::{Control, Options, Report, Stop, SyncError, compare};

use crate::tree::look;
use crate::world::{World, mirror, open, two_in, workers};

fn compared(source: &Path, copy: &Path, manifest: Option<&Path>, options: &Options) -> Report {
    let (from, to) = (open(source), open(copy));
    compare(from.as_fd(), to.as_fd(), manifest, options, &Control::new()).unwrap()
}

pub fn a_comparison_writes_nothing_and_finds_what_only_a_ctime_tells(world: &World) {
    let folder = world.dir("inside");
    let [source, copy] = two_in(&folder);
    fs::write(source.join("file"), "content").unwrap();
    fs::create_dir(source.join("folder")).unwrap();
    let manifest = folder.join("manifest");
    let options = Options { manifest: Some(manifest.clone()), checksum: true, ..workers(2) };
    mirror(&source, &copy, &options);
    let before = (look(&copy), fs::read(&manifest).unwrap());
    assert!(compared(&source, &copy, Some(&manifest), &options).is_unchanged());

    let modified = fs::metadata(source.join("file")).unwrap().modified().unwrap();
    fs::write(source.join("file"), "CONTENT").unwrap();
    fs::File::open(source.join("file")).unwrap().set_modified(modified).unwrap();
    assert!(!compared(&source, &copy, Some(&manifest), &options).is_unchanged());
    // Only a manifest knows that.
    assert!(compared(&source, &copy, None, &options).is_unchanged());
    fs::write(source.join("file"), "another length").unwrap();
    assert!(!compared(&source, &copy, None, &options).is_unchanged());
    assert_eq!((look(&copy), fs::read(&manifest).unwrap()), before);

    let missing = compare(
        open(&source).as_fd(),
        open(&copy).as_fd(),
        Some(&folder.join("none")),
        &options,
        &Control::new(),
    );
    assert!(matches!(missing, Err(SyncError::Manifest(_))), "{missing:?}");
}

pub fn the_first_difference_ends_a_comparison(world: &World) {
    const FOLDERS: u64 = 200;
    let [source, copy] = two_in(&world.dir("inside"));
    for folder in 0..FOLDERS {
        let folder = source.join(folder.to_string());
        fs::create_dir(&folder).unwrap();
        (0..20).for_each(|file| fs::write(folder.join(file.to_string()), "x").unwrap());
    }
    let options = workers(1);
    mirror(&source, &copy, &options);
    let same = compared(&source, &copy, None, &options);
    assert!(same.is_unchanged() && same.adds_up(), "{same:?}");
    assert_eq!((same.files.unchanged.files, same.directories.unchanged.files), (20 * FOLDERS, FOLDERS));
    // Each has one, so whichever comes first is the last.
    (0..FOLDERS).for_each(|folder| fs::write(source.join(format!("{folder}/new")), "new").unwrap());
    let report = compared(&source, &copy, None, &options);
    assert_eq!(report.stopped, Some(Stop::Different));
    assert!(!report.is_unchanged() && report.adds_up(), "{report:?}");
    assert!(report.files.unchanged.files < 4 * 20, "{report:?}");
}
