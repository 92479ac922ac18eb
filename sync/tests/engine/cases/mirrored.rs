//! What goes in the destination and what stays: deletions, their limit, filters, chosen paths, dry runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, lsetxattr};
use workspacefs_sync::{DeleteLimit, Keep, Options, Problem};

use crate::model::build::set_mtime;
use crate::tree::{Terms, assert_same, look, names, temporaries, traces};
use crate::world::{World, filter, mirror, run, two_in, workers};

fn deleting(entries_max: u64) -> Options {
    Options { delete: Some(DeleteLimit { entries_max }), ..workers(2) }
}

fn two(world: &World) -> [PathBuf; 2] {
    two_in(&world.memory("inside", "mode=0755"))
}

/// Also a directory in whose place a file belongs: until it may go, it is where it was, and the file is not.
pub fn a_limit_of_deletions_is_kept_and_what_it_saves_keeps_its_name(world: &World) {
    let [source, destination] = two(world);
    fs::write(source.join("taken"), "a file").unwrap();
    for folder in ["taken", "extra"] {
        fs::create_dir(destination.join(folder)).unwrap();
        (0..3).for_each(|n| fs::write(destination.join(folder).join(format!("{n}")), "mine").unwrap());
    }
    let mut was = names(&destination);
    for limit in [0, 1, 2] {
        let report = run(&source, &destination, &deleting(limit)).report;
        assert_eq!(report.deleted, limit, "{report:?}");
        assert!(report.notes.iter().any(|note| note.problem == Problem::DeleteLimit), "{report:?}");
        assert!(!report.is_complete());
        assert_eq!(temporaries(&destination), Vec::<PathBuf>::new(), "{report:?}");
        // What was there is there, but for what the limit allowed; nothing is hidden under another name.
        let now: Vec<_> = names(&destination).into_iter().filter(|path| was.contains(path)).collect();
        assert_eq!(was.len() as u64 - now.len() as u64, limit, "{report:?}");
        was = now;
    }
    mirror(&source, &destination, &deleting(100));
    assert_same(&look(&destination), &look(&source), Terms::PLAIN);
}

/// A file or a link in the place of anything else is replaced, a directory only where something may be deleted.
pub fn without_the_right_to_delete_only_directories_are_in_the_way(world: &World) {
    let [source, destination] = two(world);
    fs::create_dir(source.join("directory")).unwrap();
    fs::write(source.join("directory/file"), "new").unwrap();
    std::os::unix::fs::symlink("new", source.join("link")).unwrap();
    fs::write(source.join("file"), "new").unwrap();
    fs::write(source.join("blocked"), "new").unwrap();
    fs::write(destination.join("directory"), "old").unwrap();
    fs::write(destination.join("link"), "old").unwrap();
    std::os::unix::fs::symlink("old", destination.join("file")).unwrap();
    fs::create_dir(destination.join("blocked")).unwrap();
    fs::write(destination.join("blocked/mine"), "mine").unwrap();
    fs::write(destination.join("extra"), "mine").unwrap();
    let report = run(&source, &destination, &workers(2)).report;
    let noted: Vec<_> = report.notes.iter().map(|note| (note.path.as_path(), &note.problem)).collect();
    assert_eq!(noted, [(Path::new("blocked"), &Problem::InTheWay)]);
    assert_eq!((report.deleted, report.files.failed.files, report.files.done.files), (0, 1, 3), "{report:?}");
    assert_eq!(fs::read(destination.join("blocked/mine")).unwrap(), b"mine");
    assert_eq!(fs::read(destination.join("extra")).unwrap(), b"mine");
    assert_eq!(fs::read(destination.join("directory/file")).unwrap(), b"new");
}

/// Neither copied nor deleted, wherever it lies: a directory that goes stays with what stays in it.
pub fn what_is_left_out_stays_where_everything_else_goes(world: &World) {
    let [source, destination] = two(world);
    for (root, folder) in [(&source, "both"), (&destination, "both"), (&destination, "extra/inner")] {
        fs::create_dir_all(root.join(folder)).unwrap();
        for name in ["taken", "out.skip", "keep.skip"] {
            fs::write(root.join(folder).join(name), folder).unwrap();
        }
    }
    fs::write(source.join("both/out.skip"), "another").unwrap();
    fs::create_dir_all(destination.join("whole.skip/inner")).unwrap();
    fs::create_dir(destination.join("extra/empty")).unwrap();
    let options = Options { filter: filter(&["*.skip", "!keep.skip"]), ..deleting(u64::MAX) };
    let foretold = run(&source, &destination, &Options { dry_run: true, ..options.clone() }).report;
    let report = run(&source, &destination, &options).report;
    let expected = [
        "",
        "both",
        "both/keep.skip",
        "both/out.skip",
        "both/taken",
        "extra",
        "extra/inner",
        "extra/inner/out.skip",
        "whole.skip",
        "whole.skip/inner",
    ];
    assert_eq!(names(&destination), expected.map(PathBuf::from), "{report:?}");
    assert_eq!(fs::read(destination.join("both/out.skip")).unwrap(), b"both");
    assert_eq!((report.deleted, foretold.deleted), (3, 3), "{report:?}");
    assert!(report.is_complete(), "{report:?}");
}

pub fn chosen_paths_take_the_directories_above_them_and_nothing_beside(world: &World) {
    let [source, destination] = two(world);
    for folder in ["a/b/c", "a/other", "d"] {
        fs::create_dir_all(source.join(folder)).unwrap();
        fs::create_dir_all(destination.join(folder)).unwrap();
        fs::write(source.join(folder).join("file"), "x").unwrap();
        fs::write(destination.join(folder).join("extra"), "x").unwrap();
    }
    fs::set_permissions(source.join("a"), fs::Permissions::from_mode(0o2750)).unwrap();
    set_mtime(&source.join("a"), (1_000, 5));
    let options = Options { paths: vec!["a/b".into(), "d/file".into()], ..deleting(u64::MAX) };
    let report = mirror(&source, &destination, &options).report;
    let expected =
        ["", "a", "a/b", "a/b/c", "a/b/c/file", "a/other", "a/other/extra", "d", "d/extra", "d/file"];
    assert_eq!(names(&destination), expected.map(PathBuf::from), "{report:?}");
    assert_eq!((report.deleted, report.files.found.files), (1, 2), "{report:?}");
    let [copy, original] = [&destination, &source].map(|root| look(root)[Path::new("a")].clone());
    assert_eq!((copy.mode, copy.mtime), (original.mode, original.mtime));
}

pub fn a_dry_run_foretells_attributes_too(world: &World) {
    let [source, destination] = two(world);
    fs::create_dir(source.join("directory")).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    mirror(&source, &destination, &workers(2));
    for name in ["directory", "file"] {
        lsetxattr(source.join(name), "user.new", b"x", XattrFlags::empty()).unwrap();
    }
    let options = Options { keep: Keep { owner: true, xattrs: true, acls: false }, ..workers(2) };
    let before = traces(&destination);
    let foretold = run(&source, &destination, &Options { dry_run: true, ..options.clone() }).report;
    assert_eq!(crate::tree::changes(&before, &traces(&destination)), "");
    let report = mirror(&source, &destination, &options).report;
    assert_eq!((foretold.files, foretold.directories), (report.files, report.directories));
    assert_eq!((report.files.done.files, report.directories.done.files), (1, 1), "{report:?}");
}
