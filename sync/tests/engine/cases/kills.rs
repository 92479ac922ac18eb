//! A copy is killed before and after each of its system calls, in every thread. What lies under a final name is then the old
//! file or the new one; the next run completes the copy and leaves nothing of the dead one.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use workspacefs_sync::{Control, DeleteLimit, Options, Verify};

use crate::model::build::{noise, set_mtime};
use crate::step::killed_at;
use crate::tree::{Kind, Terms, Tree, assert_same, look, names};
use crate::world::{World, delete, earlier, mirror, open, workers};

/// More stops than any of these copies has.
const STOPS_MAX: usize = 20_000;

/// Where a victim works.
pub struct Paths {
    pub source: PathBuf,
    pub destination: PathBuf,
    pub manifest: PathBuf,
    pub earlier: PathBuf,
    pub earlier_manifest: PathBuf,
}

pub fn paths(folder: &Path) -> Paths {
    let [source, destination, earlier] = ["source", "destination", "earlier"].map(|name| folder.join(name));
    let [manifest, earlier_manifest] =
        ["manifests/manifest", "earlier.manifest"].map(|name| folder.join(name));
    Paths { source, destination, manifest, earlier, earlier_manifest }
}

/// What a victim is asked for.
pub fn options(what: &str, paths: &Paths) -> Options {
    let (count, manifest) = match what {
        "one" => (1, false),
        "two" | "large" => (2, false),
        "manifest" | "earlier" => (2, true),
        other => panic!("no victim {other:?}"),
    };
    Options {
        delete: Some(DeleteLimit::NONE),
        checksum: manifest,
        manifest: manifest.then(|| paths.manifest.clone()),
        earlier: (what == "earlier").then(|| earlier(&paths.earlier, Some(&paths.earlier_manifest))),
        ..workers(count)
    }
}

/// Everything that a run does in as few entries as can be.
fn fill_source(source: &Path) {
    fs::create_dir_all(source.join("folder")).unwrap();
    fs::write(source.join("folder/new"), noise(1, 5000)).unwrap();
    fs::write(source.join("changed"), noise(2, 3000)).unwrap();
    fs::hard_link(source.join("changed"), source.join("twin")).unwrap();
    fs::write(source.join("instead of a folder"), noise(3, 100)).unwrap();
    symlink("changed", source.join("link")).unwrap();
}

fn fill_destination(destination: &Path) {
    fs::create_dir_all(destination.join("instead of a folder")).unwrap();
    fs::write(destination.join("instead of a folder/x"), "").unwrap();
    fs::write(destination.join("changed"), noise(4, 2000)).unwrap();
    fs::write(destination.join("extra"), "").unwrap();
    fs::write(destination.join(".wsfs-sync-0123456789abcdef-7"), "of a copy that died before").unwrap();
}

/// Kills the copy at each of its stops in turn.
fn each_step(world: &World, what: &str, fill: [fn(&Path); 2]) {
    let folder = world.memory("inside", "mode=0755");
    let paths = paths(&folder);
    fs::create_dir(&paths.source).unwrap();
    fs::create_dir(folder.join("manifests")).unwrap();
    fs::create_dir(&paths.earlier).unwrap();
    fill[0](&paths.source);
    if what == "earlier" {
        copy_earlier(&paths);
    }
    let (source, earlier) = (look(&paths.source), look(&paths.earlier));
    let mut stops = 0;
    loop {
        assert!(stops < STOPS_MAX, "the copy does not end");
        let _ = fs::remove_dir_all(&paths.destination);
        fs::create_dir(&paths.destination).unwrap();
        fill[1](&paths.destination);
        if what == "earlier" {
            // A new copy has no manifest yet.
            let _ = fs::remove_file(&paths.manifest);
        }
        let before = look(&paths.destination);
        let killed = killed_at(what, &folder, stops);
        let context = format!("killed at stop {stops}");
        assert_old_or_new(&look(&paths.destination), &before, &source, &context);
        let run = mirror(&paths.source, &paths.destination, &options(what, &paths));
        assert_same(&look(&paths.destination), &source, Terms::PLAIN);
        assert_eq!(look(&paths.earlier), earlier, "the earlier copy was changed, {context}");
        if !killed {
            assert_eq!(run.report.files.done.files, 0, "a whole copy is repeated: {:?}", run.report);
            break;
        }
        if options(what, &paths).manifest.is_some() {
            assert_manifest(&paths, &source, &context);
        }
        stops += 1;
    }
    assert!(stops > 100, "only {stops} schedules: were the system calls seen?");
    println!("{stops} schedules");
}

/// A copy of the source as it was; of some of its files the content, the mode or the names change then.
fn copy_earlier(paths: &Paths) {
    let manifest = Some(paths.earlier_manifest.clone());
    mirror(&paths.source, &paths.earlier, &Options { checksum: true, manifest, ..workers(2) });
    fs::write(paths.source.join("folder/later"), noise(5, 4000)).unwrap();
    fs::write(paths.source.join("instead of a folder"), noise(6, 200)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(paths.source.join("folder/other mode"), mode).unwrap();
}

/// Some of it is linked already, and then the source changed.
fn begin_destination(destination: &Path) {
    fill_destination(destination);
    let earlier = destination.with_file_name("earlier");
    fs::create_dir(destination.join("folder")).unwrap();
    for name in ["folder/other mode", "twin"] {
        fs::hard_link(earlier.join(name), destination.join(name)).unwrap();
    }
}

/// Under each name lies what was there or what is to come, whole.
fn assert_old_or_new(now: &Tree, before: &Tree, source: &Tree, context: &str) {
    for (path, entry) in now {
        if path.to_string_lossy().contains(".wsfs-sync-") {
            continue;
        }
        let known =
            [before, source].iter().any(|tree| tree.get(path).is_some_and(|known| known.kind == entry.kind));
        assert!(known, "{path:?} is neither old nor new, {context}");
    }
    for (path, entry) in before.iter().filter(|(path, _)| source.contains_key(*path)) {
        let gone = !now.contains_key(path) && !matches!(entry.kind, Kind::Directory);
        assert!(!gone, "{path:?} is neither old nor new but gone, {context}");
    }
}

/// It says of each file what lies there, and no work in progress is left.
fn assert_manifest(paths: &Paths, source: &Tree, context: &str) {
    let control = Control::new();
    let report = workspacefs_sync::verify(
        std::os::fd::AsFd::as_fd(&open(&paths.destination)),
        &paths.manifest,
        Verify::Checksum,
        None,
        &control,
    )
    .unwrap_or_else(|error| panic!("{error:?}, {context}"));
    let files = source.values().filter(|entry| matches!(entry.kind, Kind::File { .. })).count();
    assert!(report.wrong.is_empty(), "{report:?}, {context}");
    assert_eq!(report.checked.files, files as u64, "{context}");
    assert_eq!(names(paths.manifest.parent().unwrap()), [Path::new(""), Path::new("manifest")], "{context}");
}

pub fn a_copy_killed_at_any_step_is_completed_by_the_next(world: &World) {
    each_step(world, "one", [fill_source, fill_destination]);
}

pub fn a_copy_with_two_workers_killed_at_any_step_is_completed_by_the_next(world: &World) {
    each_step(world, "two", [fill_source, fill_destination]);
}

pub fn a_copy_with_a_manifest_killed_at_any_step_is_completed_by_the_next(world: &World) {
    each_step(world, "manifest", [fill_source, fill_destination]);
}

pub fn a_copy_that_links_from_an_earlier_one_killed_at_any_step_leaves_that_as_it_was(world: &World) {
    fn fill(source: &Path) {
        fill_source(source);
        fs::write(source.join("folder/other mode"), noise(7, 100)).unwrap();
    }
    each_step(world, "earlier", [fill, begin_destination]);
}

/// In chunks, with holes, so that the many bytes cost no time.
pub fn a_copy_of_a_large_file_killed_at_any_step_is_completed_by_the_next(world: &World) {
    use std::os::unix::fs::FileExt;
    fn sparse(root: &Path) {
        let file = fs::File::create(root.join("large")).unwrap();
        file.set_len(70 << 20).unwrap();
        for at in [0, 20 << 20, (70 << 20) - 5000] {
            file.write_all_at(&noise(at + 1, 5000), at).unwrap();
        }
    }
    fn older(root: &Path) {
        fs::write(root.join("large"), "older").unwrap();
        set_mtime(&root.join("large"), (1, 0));
    }
    each_step(world, "large", [sparse, older]);
}

pub fn a_deletion_killed_at_any_step_is_completed_by_the_next(world: &World) {
    let folder = world.memory("inside", "mode=0755");
    let paths = paths(&folder);
    fs::create_dir(&paths.source).unwrap();
    fs::write(paths.source.join("stays"), "stays").unwrap();
    let mut stops = 0;
    loop {
        let below = paths.destination.join("a/b");
        fs::create_dir_all(&below).unwrap();
        (0..5).for_each(|n| fs::write(below.join(format!("{n}")), "").unwrap());
        symlink("../source", paths.destination.join("link")).unwrap();
        let killed = killed_at("delete", &folder, stops);
        if fs::symlink_metadata(&paths.destination).is_ok() {
            assert!(killed, "it says that it is done and is not");
            let report = delete(&folder, "destination");
            assert!(
                report.notes.is_empty() && report.stopped.is_none(),
                "killed at stop {stops}: {report:?}"
            );
        }
        assert_eq!(names(&folder), [Path::new(""), Path::new("source"), Path::new("source/stays")]);
        if !killed {
            break;
        }
        stops += 1;
    }
    assert!(fs::metadata(paths.source.join("stays")).unwrap().nlink() == 1);
    assert!(stops > 50, "only {stops} schedules: were the system calls seen?");
    println!("{stops} schedules");
}
