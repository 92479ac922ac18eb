//! Folders up and down: what arrives, with what attributes, and what is said of the rest.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use crate::World;

/// Content that no two files share.
fn content(number: usize) -> Vec<u8> {
    format!("{number} ").repeat(number % 50).into_bytes()
}

#[test]
fn a_tree_goes_up_and_down_with_its_times_and_modes() {
    let world = World::new();
    world.write("data/a/b/c", "deep");
    world.write("data/run", "#!/bin/sh");
    fs::create_dir_all(world.path("data/empty/folder")).unwrap();
    fs::set_permissions(world.path("data/run"), fs::Permissions::from_mode(0o751)).unwrap();
    let time = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    File::open(world.path("data/run")).unwrap().set_modified(time).unwrap();
    world.storage(&["upload", "-r", "data", "/x"]).ended(0).says("2 files uploaded (13 B)");
    assert_eq!(world.gateway.read("x/data/a/b/c"), b"deep");
    assert!(world.gateway.root().join("x/data/empty/folder").is_dir());
    let sent = fs::metadata(world.gateway.root().join("x/data/run")).unwrap();
    assert_eq!((sent.mode() & 0o7777, sent.modified().unwrap()), (0o751, time));
    // A folder gets its own time although files are made in it.
    let folder = world.gateway.root().join("x/data/a");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o550)).unwrap();
    File::open(&folder).unwrap().set_modified(time).unwrap();
    world.storage(&["download", "-r", "/x/data", "."]).ended(0);
    world.storage(&["download", "-r", "/x/data/", "flat"]).ended(0).says("2 files downloaded (13 B)");
    for base in ["data", "flat"] {
        assert_eq!(world.read(&format!("{base}/a/b/c")), b"deep");
        let got = fs::metadata(world.path(base).join("run")).unwrap();
        assert_eq!((got.mode() & 0o7777, got.modified().unwrap()), (0o751, time));
        let got = fs::metadata(world.path(base).join("a")).unwrap();
        assert_eq!((got.mode() & 0o7777, got.modified().unwrap()), (0o550, time));
        assert!(world.path(base).join("empty/folder").is_dir());
    }
    // Nothing of ours stays.
    let left: Vec<_> =
        fs::read_dir(world.path("flat")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".wfs-")), "{left:?}");
}

#[test]
fn where_a_file_lands_is_said_by_slashes() {
    let world = World::new();
    world.write("one", "1");
    for (arguments, lands) in [
        (["one", "two"], "two"),
        (["one", "/d/"], "d/one"),
        (["./one", "/"], "one"),
        (["one", "/d/e/f"], "d/e/f"),
    ] {
        world.storage(&["upload", arguments[0], arguments[1], "-q"]).ended(0).prints("");
        assert_eq!(world.gateway.read(lands), b"1", "{lands}");
    }
    // As `lep` has it, without a place: to the root.
    fs::remove_file(world.gateway.root().join("one")).unwrap();
    world.storage(&["upload", "one"]).ended(0);
    assert_eq!(world.gateway.read("one"), b"1");
    world.storage(&["upload", "one", "d"]).ended(1).complains("/d/ puts it into that folder");
    fs::create_dir(world.path("here")).unwrap();
    for (arguments, lands) in [
        (&["d/e/f"][..], "f"),
        (&["d/e/f", "g"], "g"),
        (&["d/e/f", "here"], "here/f"),
        (&["two", "here/"], "here/two"),
    ] {
        world.storage(&[&["download"], arguments].concat()).ended(0);
        assert_eq!(world.read(lands), b"1", "{lands}");
    }
    world.storage(&["download", "d/e"]).ended(1).complains("-r downloads it");
    world
        .storage(&["download", "d/e/f", "no/such/folder"])
        .ended(1)
        .complains("cannot open the folder no/such");
    world.storage(&["download", "nowhere"]).ended(1).complains("/nowhere: there is no such");
    // The forms that are documented for lep.
    world.write("folder/x", "x");
    world.storage(&["upload", "-r", "-p", "--rsync", "folder", "/lep"]).ended(0);
    assert_eq!(world.gateway.read("lep/folder/x"), b"x");
    // A folder does not replace a file, nor a file a folder.
    world.storage(&["upload", "-r", "folder/", "/two"]).ended(1).complains("/two is a file");
    fs::create_dir(world.path("here/sub")).unwrap();
    world.gateway.write("sub", "file");
    world.storage(&["download", "sub", "here"]).ended(1).complains("a folder of that name is in its place");
}

#[test]
fn ten_thousand_files_go_up_and_down_and_update_moves_none_of_them_again() {
    let world = World::new();
    for number in 0..10_000 {
        let path = world.path(&format!("many/{}/{number}", number % 40));
        if number < 40 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::write(path, content(number)).unwrap();
    }
    let said = world.storage(&["upload", "-r", "many/", "/", "-o", "json"]).ended(0).report();
    assert_eq!((&said["outcome"], &said["files"]["done"]["files"]), (&json!("done"), &json!(10_000)));
    world.gateway.seen();
    let again = world.storage(&["upload", "-r", "-u", "many/", "/", "-o", "json"]).ended(0).report();
    assert_eq!(
        (&again["files"]["done"]["files"], &again["files"]["unchanged"]["files"]),
        (&json!(0), &json!(10_000))
    );
    let requests = world.gateway.seen();
    assert!(
        requests.len() < 100,
        "one listing for each folder, not one request for each file: {}",
        requests.len()
    );
    world.storage(&["download", "-r", "/", "back"]).ended(0).says("10,000 files downloaded");
    for number in 0..10_000 {
        assert_eq!(world.read(&format!("back/{}/{number}", number % 40)), content(number), "{number}");
    }
    world.gateway.seen();
    fs::write(world.path("back/7/7"), "other").unwrap();
    world
        .storage(&["download", "-r", "--update", "/", "back"])
        .ended(0)
        .says("1 file downloaded (14 B), 9,999 unchanged");
    assert_eq!(world.gateway.seen().iter().filter(|request| request.contains("/content/")).count(), 1);
}

#[test]
fn links_are_told_and_special_files_are_left_out() {
    let world = World::new();
    world.write("data/file", "x");
    symlink("/etc/passwd", world.path("data/link")).unwrap();
    let fifo = world.path("data/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    world
        .storage(&["upload", "-r", "data", "/"])
        .ended(3)
        .complains("link: a symbolic link cannot be uploaded");
    world
        .storage(&["upload", "-r", "data", "/", "--links", "skip"])
        .ended(0)
        .says("1 file uploaded (1 B), 2 left out");
    assert!(!world.gateway.root().join("data/link").exists());
    symlink("file", world.gateway.root().join("data/link")).unwrap();
    world.storage(&["download", "-r", "data", "back"]).ended(3).complains("link: a symbolic link");
    world.storage(&["download", "-r", "data", "back", "--links=skip"]).ended(0);
}

#[test]
fn a_link_in_the_local_folder_leads_nowhere() {
    let world = World::new();
    world.gateway.write("d/sub/file", "of the server");
    fs::create_dir_all(world.path("outside")).unwrap();
    fs::create_dir_all(world.path("here/d")).unwrap();
    symlink(world.path("outside"), world.path("here/d/sub")).unwrap();
    world.storage(&["download", "-r", "d", "here"]).ended(1).complains("something else is in its place");
    assert_eq!(fs::read_dir(world.path("outside")).unwrap().count(), 0);
    // A file that is a link is replaced, not written through.
    fs::remove_file(world.path("here/d/sub")).unwrap();
    fs::create_dir(world.path("here/d/sub")).unwrap();
    world.write("outside/victim", "mine");
    symlink(world.path("outside/victim"), world.path("here/d/sub/file")).unwrap();
    world.storage(&["download", "-r", "d", "here"]).ended(0);
    assert_eq!(
        (world.read("here/d/sub/file").as_slice(), world.read("outside/victim").as_slice()),
        (&b"of the server"[..], &b"mine"[..])
    );
}

#[test]
fn what_a_server_names_leads_nowhere_else() {
    let world = World::new();
    let entry = |path: &str, kind: &str| {
        json!({"name": "x", "path": path, "type": kind, "size": 1, "modified": "2026-01-01T00:00:00Z", "mode": "4777",
            "uid": 0, "gid": 0, "etag": "\"1\""})
    };
    world.gateway.write("d/file", "x");
    for bad in ["../evil", "d/%2e%2e/evil", "d/..%2fevil", "elsewhere/evil", "d/a/evil", "", "d", "d/%00"] {
        for kind in ["file", "dir"] {
            world.gateway.told().listing =
                Some(json!({"entries": [entry(bad, kind)], "next": null, "sorted": true}));
            world.storage(&["download", "-r", "d", "here"]).ended(1);
            world.gateway.told().listing = None;
        }
    }
    let made: Vec<_> = fs::read_dir(world.path("here/d")).unwrap().collect();
    assert!(made.is_empty() && !world.path("evil").exists(), "{made:?}");
}

#[test]
fn a_sparse_file_is_byte_identical_and_stays_sparse() {
    let world = World::new();
    let file = File::create(world.path("sparse")).unwrap();
    file.set_len(80 << 20).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(b"middle", (40 << 20) + 77).unwrap();
    file.write_all_at(b"end", (80 << 20) - 3).unwrap();
    world.storage(&["upload", "sparse", "/"]).ended(0).says("1 file uploaded (80.00 MiB)");
    world.storage(&["download", "sparse", "back"]).ended(0);
    assert!(world.read("sparse") == world.read("back"));
    let found = fs::metadata(world.path("back")).unwrap();
    assert!(found.blocks() * 512 < 1 << 20, "{} bytes on disk", found.blocks() * 512);
}

#[test]
fn what_fails_is_named_and_all_the_rest_is_done() {
    let world = World::new();
    for name in ["a", "refused", "c/refused", "c/d"] {
        world.write(&format!("data/{name}"), name);
    }
    world.gateway.told().refuse = Some("refused");
    let said = world.storage(&["upload", "-r", "data/", "/", "-o", "json"]).ended(3);
    assert!(
        said.stderr.contains("c/refused: the folder is of uid 0") && said.stderr.contains("wfs: refused: "),
        "{}",
        said.stderr
    );
    let report = said.report();
    assert_eq!(
        (
            &report["exit_code"],
            &report["outcome"],
            &report["files"]["failed"]["files"],
            &report["problem_count"]
        ),
        (&json!(3), &json!("partial"), &json!(2), &json!(2))
    );
    assert_eq!(
        report["problems"][0],
        json!({"path": "c/refused", "code": "Forbidden", "message": "the folder is of uid 0 and mode 0755"})
    );
    assert_eq!(world.gateway.read("c/d"), b"c/d");
    // All of them: nothing was done.
    world.storage(&["upload", "data/refused", "/"]).ended(1);
    world
        .storage(&["upload", "data/a", "/a", "--no-overwrite"])
        .ended(1)
        .complains("there is a file of that name");
    assert_eq!(world.gateway.read("a"), b"a");
}

#[test]
fn a_full_file_system_ends_it_with_a_sentence_and_nothing_half_under_its_name() {
    let world = World::new();
    for number in 0..300 {
        world.write(&format!("data/{number}"), vec![b'x'; 1000]);
    }
    world.write("large", vec![b'y'; 40 << 20]);
    world.gateway.told().quota = Some(100_000);
    world.storage(&["upload", "-r", "data/", "/"]).ended(3).complains("stopped: the file system is full");
    let sizes: Vec<u64> = fs::read_dir(world.gateway.root())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert!(sizes.len() <= 100 && sizes.iter().all(|size| *size == 1000), "{sizes:?}");
    world.gateway.told().quota = Some(20 << 20);
    world.storage(&["upload", "large", "/"]).ended(1).complains("the file system is full");
    assert!(!world.gateway.root().join("large").exists());
}

#[test]
fn a_checksum_that_does_not_fit_is_told_and_the_file_stays_away() {
    let world = World::new();
    world.gateway.write("file", "content");
    world.gateway.told().digest = Some(false);
    world.storage(&["download", "file"]).ended(1).complains("another SHA-256");
    assert!(!world.path("file").exists());
    world.gateway.told().digest = Some(true);
    world.storage(&["download", "file"]).ended(0);
    assert_eq!(world.read("file"), b"content");
}

/// `wfs` of somebody who may read only what everybody may.
fn as_nobody(world: &World, arguments: &[&str]) -> crate::Said {
    use std::os::unix::process::CommandExt;
    assert!(rustix::process::getuid().is_root(), "this test changes users: run it as root");
    let program = world.path("wfs");
    let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_wfs")).arg(&program).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let of_root = world.command(arguments);
    let mut command = std::process::Command::new(program);
    let environment =
        of_root.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    command.args(arguments).env_clear().envs(environment).current_dir(world.dir.path());
    command.uid(65534).gid(65534);
    crate::Said::by(command)
}

#[test]
fn what_may_not_be_read_is_named_and_nothing_of_it_is_sent() {
    let world = World::new();
    for name in ["data/a", "data/closed", "data/shut/x", "alone"] {
        world.write(name, name);
    }
    for name in ["data/closed", "data/shut", "alone"] {
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o0)).unwrap();
    }
    as_nobody(&world, &["storage", "upload", "alone", "/"])
        .ended(1)
        .complains("cannot open alone: Permission denied");
    assert_eq!(world.gateway.seen(), Vec::<String>::new());
    let said = as_nobody(&world, &["storage", "upload", "-r", "data/", "/", "-o", "json"]).ended(3);
    assert!(
        said.stderr.contains("closed: cannot open the file: Permission denied")
            && said.stderr.contains("shut: cannot open the folder: Permission denied"),
        "{}",
        said.stderr
    );
    assert_eq!(said.report()["problem_count"], json!(2));
    assert_eq!(world.gateway.read("a"), b"data/a");
    assert!(!world.gateway.root().join("closed").exists() && !world.gateway.root().join("shut").exists());
}
