//! A refresh beside what lies there, taking away what does not serve any more, and looking at it again.

use std::fs;
use std::os::unix::fs::symlink;

use workspacefs_api::PathState::{Evicted, Partial, Whole};
use workspacefs_api::mover::FailureReason;

use crate::tree::{inode, look, names};
use crate::world::World;

#[test]
fn a_refresh_links_what_is_unchanged_follows_deletions_and_leaves_the_earlier_one_alone() {
    let world = World::new();
    for folder in ["a", "b"] {
        for name in ["same", "same too", "changed", "gone", "in/gone"] {
            world.write(&format!("{folder}/{name}"), format!("{folder} {name}"));
        }
        symlink("same", world.source().join(folder).join("link")).unwrap();
    }
    world.fill(1, &["/a", "/b"], &[]).made(1);
    let first = look(&world.data(1));
    fs::remove_file(world.source().join("a/gone")).unwrap();
    fs::remove_dir_all(world.source().join("a/in")).unwrap();
    world.write("a/changed", "something else");
    world.write("a/new", "new");
    world.fill(2, &["/a", "/b"], &["--earlier", "1"]).made(2).states(&[Whole, Whole]);
    assert_eq!(look(&world.data(1)), first);
    assert_eq!(look(&world.data(2)), look(&world.source()));
    let same = |name: &str| inode(&world.data(1).join(name)) == inode(&world.data(2).join(name));
    for name in ["a/same", "a/same too", "b/changed", "b/in/gone"] {
        assert!(same(name), "{name} was copied");
    }
    assert!(!same("a/changed"));
    world.write("a/new", "newer");
    let said = world.fill(3, &["/a", "/b"], &["--earlier", "2", "--remove", "1"]).made(3);
    assert_eq!(
        (said.outcome.present, names(&world.target())),
        (vec![2, 3], vec!["2".to_owned(), "3".to_owned(), "lock".to_owned()])
    );
    // Nothing to link from is no reason to fail.
    world.fill(4, &["/a", "/b"], &["--earlier", "1"]).made(4);
    assert_eq!(look(&world.data(4)), look(&world.source()));
}

#[test]
fn a_refresh_that_finds_nothing_changed_writes_nothing_and_the_earlier_generation_is_as_of_now() {
    let world = World::new();
    for (name, content) in [("a/in/file", "one"), ("b/file", "other")] {
        world.write(name, content);
    }
    symlink("file", world.source().join("b/link")).unwrap();
    fs::hard_link(world.source().join("b/file"), world.source().join("b/second")).unwrap();
    let first = world.fill(1, &["/a/in", "/b"], &[]).made(1).outcome;
    let before = (look(&world.target()), inode(&world.data(1).join("b/file")));
    // What lies beside a path gives the folder above it another time.
    world.write("a/beside", "nobody asked for it");
    let said = world.fill(2, &["/a/in", "/b"], &["--earlier", "1"]).made(1).states(&[Whole, Whole]);
    assert_eq!(said.outcome.paths, first.paths);
    assert!(said.outcome.as_of >= first.as_of);
    assert_eq!((look(&world.target()), inode(&world.data(1).join("b/file"))), before);
}

#[test]
fn whatever_of_the_source_has_changed_makes_a_new_generation() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let at = |world: &World, name: &str| world.source().join(name);
    let keep_time = |path: &std::path::Path, change: &dyn Fn()| {
        let modified = fs::symlink_metadata(path).unwrap().modified().unwrap();
        change();
        fs::File::open(path).unwrap().set_modified(modified).unwrap();
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&World));
    let changes: [Change<'_>; 11] = [
        ("a new file", &|world| world.write("a/in/new", "new")),
        ("a new empty folder", &|world| fs::create_dir(at(world, "a/in/new")).unwrap()),
        ("a file is gone", &|world| fs::remove_file(at(world, "a/in/other")).unwrap()),
        ("a folder is gone", &|world| fs::remove_dir(at(world, "a/in/empty")).unwrap()),
        ("other content of the same length and time", &|world| {
            let file = at(world, "a/in/file");
            keep_time(&file, &|| fs::write(&file, "CONTENT").unwrap());
        }),
        ("a link that leads elsewhere", &|world| {
            let link = at(world, "a/in/link");
            let times = fs::symlink_metadata(&link).unwrap();
            fs::remove_file(&link).unwrap();
            symlink("other", &link).unwrap();
            let time = nix::sys::time::TimeSpec::from_duration(
                times.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap(),
            );
            nix::sys::stat::utimensat(
                nix::fcntl::AT_FDCWD,
                &link,
                &time,
                &time,
                nix::sys::stat::UtimensatFlags::NoFollowSymlink,
            )
            .unwrap();
        }),
        ("the mode of a file", &|world| {
            fs::set_permissions(at(world, "a/in/file"), fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("the owner of the folder", &|world| chown(at(world, "a/in"), Some(7), None).unwrap()),
        ("the mode of a folder above", &|world| {
            fs::set_permissions(at(world, "a"), fs::Permissions::from_mode(0o700)).unwrap();
        }),
        ("the time of a folder", &|world| {
            fs::File::open(at(world, "a/in/empty")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }),
        ("an access control list's like", &|world| {
            let name = c"user.note";
            rustix::fs::setxattr(at(world, "a/in/empty"), name, b"x", rustix::fs::XattrFlags::empty())
                .unwrap();
        }),
    ];
    for (what, change) in changes {
        let world = World::new();
        for name in ["file", "other"] {
            world.write(&format!("a/in/{name}"), "content");
        }
        fs::create_dir(at(&world, "a/in/empty")).unwrap();
        symlink("file_", at(&world, "a/in/link")).unwrap();
        world.fill(1, &["/a/in"], &[]).made(1);
        world.fill(2, &["/a/in"], &["--earlier", "1"]).made(1);
        change(&world);
        let said = world.fill(2, &["/a/in"], &["--earlier", "1"]);
        assert_eq!(said.outcome.generation, Some(2), "{what}: {said:?}");
        assert_eq!(look(&world.data(2).join("a/in")), look(&at(&world, "a/in")), "{what}");
    }
}

#[test]
fn the_earlier_generation_is_not_kept_where_it_is_not_what_is_asked_for() {
    let world = World::new();
    for name in ["a/file", "b/file"] {
        world.write(name, "content");
    }
    world.fill(1, &["/a"], &["--verify", "size"]).made(1);
    // Other paths, and what was verified by size only.
    world.fill(2, &["/a", "/b"], &["--earlier", "1", "--verify", "size"]).made(2);
    world.fill(3, &["/a", "/b"], &["--earlier", "2"]).made(3);
    world.fill(4, &["/a", "/b"], &["--earlier", "3", "--verify", "size"]).made(3);
    // A lower limit.
    world.fill(4, &["/a", "/b"], &["--earlier", "3", "--capacity", "8"]).made(4).states(&[Whole, Evicted]);
    world.fill(5, &["/a"], &["--earlier", "4"]).made(5);
    // It has lost a file.
    fs::remove_file(world.data(5).join("a/file")).unwrap();
    world.fill(6, &["/a"], &["--earlier", "5"]).made(6);
    assert_eq!(fs::read_to_string(world.data(6).join("a/file")).unwrap(), "content");
}

#[test]
fn a_generation_of_another_source_is_neither_said_again_nor_gone_on_with_nor_linked_from() {
    let world = World::new();
    world.write("a/file", "first");
    let fill = |number, identity, earlier: &[&str]| {
        world.fill(number, &["/a"], &[&["--identity", identity], earlier].concat())
    };
    let read = |number| fs::read_to_string(world.data(number).join("a/file")).unwrap();
    fill(1, "first", &[]).made(1);
    fill(1, "first", &[]).made(1);
    // Of the same size, time and owner: by these it would be the same file.
    let modified = fs::metadata(world.source().join("a/file")).unwrap().modified().unwrap();
    world.write("a/file", "other");
    fs::File::open(world.source().join("a/file")).unwrap().set_modified(modified).unwrap();
    let said = fill(1, "other", &[]).failed(FailureReason::Failed);
    assert!(said.outcome.failure.unwrap().message.contains("copy of another source"));
    assert_eq!((said.outcome.present, read(1)), (vec![1], "first".to_owned()));
    // As it was cut in the middle of its work.
    fs::rename(world.target().join("1"), world.target().join("filling-1")).unwrap();
    fill(1, "other", &[]).made(1);
    assert_eq!(read(1), "other");
    let before = inode(&world.data(1).join("a/file"));
    fill(2, "third", &["--earlier", "1"]).made(2);
    assert_ne!(inode(&world.data(2).join("a/file")), before);
    fill(3, "other", &["--earlier", "1"]).made(1);
}

#[test]
fn what_a_mover_left_that_did_not_write_down_its_source_is_begun_anew_and_serves_as_the_earlier_one() {
    let world = World::new();
    world.write("a/file", "content");
    let whole = world.fill(1, &["/a"], &[]).made(1);
    let record = fs::read_to_string(world.target().join("1/paths.json")).unwrap();
    assert!(!record.contains("identity"), "as it was written of old: {record}");
    let fill =
        |number, earlier: &[&str]| world.fill(number, &["/a"], &[&["--identity", "s"], earlier].concat());
    let said = fill(1, &[]).failed(FailureReason::Failed);
    assert!(said.outcome.failure.unwrap().message.contains("does not say of which source"));
    assert_eq!(fill(2, &["--earlier", "1"]).made(1).outcome.paths, whole.outcome.paths);
    world.write("a/new", "new");
    fill(2, &["--earlier", "1"]).made(2);
    assert_eq!(inode(&world.data(1).join("a/file")), inode(&world.data(2).join("a/file")));
    // In the middle of its work.
    let left = world.target().join("filling-3");
    fs::create_dir_all(left.join("data/a")).unwrap();
    fs::write(left.join("data/a/left"), "x").unwrap();
    fs::write(left.join("filling.json"), r#"{"asOf":1000,"earlier":null}"#).unwrap();
    assert_ne!(fill(3, &[]).made(3).outcome.as_of, Some(1000));
    assert_eq!(names(&world.data(3).join("a")), ["file", "new"]);
    assert_eq!(names(&world.target()), ["1", "2", "3", "lock"]);
}

#[test]
fn a_mode_that_changes_while_a_fill_is_cut_does_not_reach_the_earlier_generation() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.write("a/file", "content");
    world.fill(1, &["/a"], &[]).made(1);
    let first = look(&world.data(1));
    // As a run leaves it that was killed before its last step.
    world.write("a/new", "new");
    world.fill(2, &["/a"], &["--earlier", "1"]).made(2);
    fs::rename(world.target().join("2"), world.target().join("filling-2")).unwrap();
    fs::set_permissions(world.source().join("a/file"), fs::Permissions::from_mode(0o640)).unwrap();
    for earlier in ["1", "9"] {
        world.fill(2, &["/a"], &["--earlier", earlier]).made(2);
        assert_eq!(look(&world.data(1)), first);
        assert_eq!(look(&world.data(2)), look(&world.source()));
        fs::rename(world.target().join("2"), world.target().join("filling-2")).unwrap();
    }
    // What it was begun with is gone, and yet the file may have other names.
    fs::rename(world.target().join("1"), world.target().join("5")).unwrap();
    fs::set_permissions(world.source().join("a/file"), fs::Permissions::from_mode(0o604)).unwrap();
    world.fill(2, &["/a"], &[]).made(2);
    assert_eq!(look(&world.data(5)), first);
    assert_eq!(look(&world.data(2)), look(&world.source()));
}

#[test]
fn what_other_runs_left_goes_and_what_has_another_name_stays() {
    let world = World::new();
    world.write("a/file", "x");
    for left in ["filling-1/data/a", "filling-7/data/a", "removing-3/data", "note"] {
        fs::create_dir_all(world.target().join(left)).unwrap();
    }
    world.run(&["--remove", "9"]);
    assert_eq!(names(&world.target()), ["filling-1", "filling-7", "lock", "note"]);
    world.fill(7, &["/a"], &[]).made(7);
    assert_eq!(names(&world.target()), ["7", "lock", "note"]);
}

#[test]
fn generations_can_be_removed_alone_and_all_of_it_at_once() {
    let world = World::new();
    world.write("a/file", "x");
    (1..4).for_each(|generation| drop(world.fill(generation, &["/a"], &[]).made(generation)));
    fs::remove_dir_all(world.source()).unwrap();
    let said = world.run(&["--remove", "1", "--remove", "2"]);
    assert_eq!((said.code, said.outcome.present), (Some(0), vec![3]));
    fs::create_dir_all(world.target().join("filling-9/data/x")).unwrap();
    let said = world.run(&["--remove-all"]);
    assert_eq!((said.code, said.outcome), (Some(0), Default::default()));
    assert_eq!(names(&world.target()), Vec::<String>::new());
}

#[test]
fn a_refresh_does_not_read_what_it_links_and_a_scrub_does() {
    let world = World::new();
    world.write("a/file", "content");
    world.fill(1, &["/a"], &[]).made(1);
    let copy = world.data(1).join("a/file");
    let modified = fs::metadata(&copy).unwrap().modified().unwrap();
    fs::write(&copy, "CONTENT").unwrap();
    fs::File::open(&copy).unwrap().set_modified(modified).unwrap();
    world.fill(2, &["/a"], &["--earlier", "1"]).made(1).states(&[Whole]);
    world.write("a/new", "new");
    world.fill(2, &["/a"], &["--earlier", "1"]).made(2).states(&[Whole]);
    assert_eq!(inode(&copy), inode(&world.data(2).join("a/file")));
    let said = world.run(&["--scrub", "--generation", "2"]).failed(FailureReason::NothingWhole);
    said.states(&[Partial]).says(0, "first file: has other content");
}

#[test]
fn a_scrub_takes_out_the_path_that_is_not_what_it_was_and_that_is_remembered() {
    let world = World::new();
    world.write("a/file", "content");
    world.write("b/file", "content");
    world.fill(1, &["/a", "/b"], &[]).made(1);
    let scrub = || world.run(&["--scrub", "--generation", "1"]);
    scrub().made(1).states(&[Whole, Whole]);
    fs::write(world.data(1).join("a/file"), "CONTENT").unwrap();
    let said = scrub().made(1).states(&[Partial, Whole]).says(0, "first file: has other content");
    let again = world.fill(1, &["/a", "/b"], &[]).made(1);
    assert_eq!(again.outcome, said.outcome);
    fs::remove_dir_all(world.data(1).join("b")).unwrap();
    scrub().failed(FailureReason::NothingWhole).states(&[Partial, Partial]);
    world.run(&["--scrub", "--generation", "2"]).failed(FailureReason::GenerationGone);
}

#[test]
fn a_scrub_of_a_generation_that_lost_a_part_says_that_it_is_gone_and_not_that_it_failed() {
    let world = World::new();
    world.write("a/file", "content");
    for (number, part) in [(1, "data"), (2, "manifest"), (3, "paths.json")] {
        let number = number.to_string();
        world.fill(number.parse().unwrap(), &["/a"], &[]).made(number.parse().unwrap());
        let part = world.target().join(&number).join(part);
        let left = part.with_extension("away");
        fs::rename(&part, &left).unwrap();
        world.run(&["--scrub", "--generation", &number]).failed(FailureReason::GenerationGone);
        // What has its name and is something else is no better.
        fs::write(&part, "{").unwrap();
        world.run(&["--scrub", "--generation", &number]).failed(FailureReason::GenerationGone);
        fs::remove_file(&part).unwrap();
        fs::rename(&left, &part).unwrap();
        world.run(&["--scrub", "--generation", &number]).made(number.parse().unwrap());
    }
}
