//! Each verb: what it prints, what it asks, what it refuses.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::World;

/// A few files whose times are known.
fn world() -> World {
    let world = World::new();
    world.gateway.write("a b/one.txt", "one");
    world.gateway.write("a b/deep/two", "two two");
    world.gateway.write("é", "");
    for path in ["a b/one.txt", "a b/deep/two", "a b/deep", "a b", "é"] {
        let path = world.gateway.root().join(path);
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        let mode = if path.is_dir() { 0o755 } else { 0o640 };
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let file = File::open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::new(1_700_000_000, 5)).unwrap();
    }
    world
}

#[test]
fn ls_lists_a_folder_in_two_round_trips() {
    let world = world();
    world.storage(&["ls"]).ended(0).prints("a b/\né\n");
    assert_eq!(world.gateway.seen().len(), 2, "the version, and the folder");
    world.storage(&["ls", "/a b"]).ended(0).prints("deep/\none.txt\n");
    world.storage(&["ls", "-R", "a b"]).ended(0).prints("/a b:\ndeep/\none.txt\n\n/a b/deep:\ntwo\n");
    let size = fs::metadata(world.gateway.root().join("a b/deep")).unwrap().len();
    world.storage(&["ls", "-l", "a b/"]).ended(0).prints(&format!(
        "drwxr-xr-x     0     0 {size:>14} 2023-11-14 22:13:20 deep/\n\
         -rw-r-----     0     0              3 2023-11-14 22:13:20 one.txt\n"
    ));
    let said = world.storage(&["ls", "a b", "-o", "json"]).ended(0);
    let lines: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[1]["path"], &lines[1]["size"]), (&json!("a%20b/one.txt"), &json!(3)));
    // A file is listed too.
    world.storage(&["ls", "/a b/one.txt"]).ended(0).prints("one.txt\n");
    world.storage(&["ls", "nowhere"]).ended(1).complains("there is no such file or folder");
}

#[test]
fn ls_goes_through_all_pages() {
    let world = World::new();
    for number in 0..2500 {
        world.gateway.write(&format!("d/{number:04}"), "");
    }
    let said = world.storage(&["ls", "d"]).ended(0);
    assert_eq!(said.stdout.lines().count(), 2500);
    assert_eq!(world.gateway.seen().len(), 4);
}

#[test]
fn find_stat_cat_and_du_print_what_they_find() {
    let world = world();
    world.storage(&["find", "--name", "O"]).ended(0).prints("/a b/one.txt\n/a b/deep/two\n");
    world.storage(&["find", "a b", "--name", "deep", "--type", "file"]).ended(0).prints("");
    world.storage(&["find", "--name", "o", "--limit", "1"]).ended(0).complains("there are more");
    let said = world.storage(&["stat", "a b/one.txt"]).ended(0);
    let etag = said.stdout.lines().last().unwrap().to_owned();
    said.prints(&format!(
        "path:     /a b/one.txt\ntype:     file\nsize:     3 (3 B)\nmodified: 2023-11-14T22:13:20.000000005Z\n\
         mode:     0640 (-rw-r-----)\nowner:    0:0\n{etag}\n"
    ));
    world.storage(&["cat", "a b/one.txt", "é", "a b/deep/two"]).ended(0).prints("onetwo two");
    world.storage(&["cat", "a b"]).ended(1).complains("/a b: it is a folder");
    world.storage(&["cat", "no", "a b/one.txt"]).ended(3).prints("one");
    world.storage(&["du", "a b"]).ended(0).prints("10 B   2 files, 1 folder   /a b\n");
    world.storage(&["du"]).ended(0).prints(
        "used:      600 B\navailable: 400 B\ncapacity:  1000 B\ninodes:    5 of 10\ntrash:     7 B in 0 deletions\n",
    );
    let said = world.storage(&["du", "/", "-o", "json"]).ended(0);
    assert_eq!(said.report(), json!({"path": "", "bytes": 10, "files": 3, "folders": 2}));
}

#[test]
fn folders_and_names_are_made_moved_copied_and_deleted() {
    let world = world();
    world.storage(&["mkdir", "x/y", "z"]).ended(0).prints("made /x/y\nmade /z\n");
    world.storage(&["mkdir", "z"]).ended(1).complains("/z: there is a folder of that name");
    world.storage(&["mkdir", "-p", "z", "-q"]).ended(0).prints("");
    world.storage(&["mkdir", "-p", "é"]).ended(1);
    world.storage(&["mv", "é", "z/"]).ended(0).prints("moved /é to /z/é\n");
    world.storage(&["mv", "z/é", "new/place/e"]).ended(0);
    world.storage(&["mv", "new/place/e", "z"]).ended(1).complains("/z/ puts it into a folder");
    world.storage(&["cp", "a b", "copy"]).ended(1).complains("wfs storage cp -r");
    world.storage(&["cp", "-r", "a b", "copy"]).ended(0).prints("copied /a b to /copy: 2 files, 10 B\n");
    assert_eq!(world.gateway.read("copy/deep/two"), b"two two");
    world.storage(&["cp", "nowhere", "c"]).ended(1).complains("there is no such");
    world.storage(&["rm", "copy"]).ended(1).complains("wfs storage rmdir");
    world.storage(&["rmdir", "copy/one.txt"]).ended(1).complains("wfs storage rm");
    world.storage(&["rmdir", "copy"]).ended(1).complains("rmdir -r");
    world.storage(&["rmdir", "-r", "copy"]).ended(0).prints("deleted /copy (wfs storage trash restore t0)\n");
    world.storage(&["rm", "new/place/e", "nowhere"]).ended(3).complains("/nowhere: there is no such");
    world.storage(&["rm", "a b/one.txt", "--permanent"]).ended(0).prints("deleted /a b/one.txt\n");
}

/// With -o json what fails has a line of its own; a sum of which some is missing is no failure of all.
#[test]
fn programs_hear_of_each_path_that_fails() {
    let world = world();
    let said = world
        .storage(&["stat", "nowhere", "é", "-o", "json"])
        .ended(3)
        .complains("/nowhere: there is no such");
    let lines: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let message = "there is no such file or folder";
    assert_eq!(lines[0], json!({"path": "nowhere", "error": {"code": "NotFound", "message": message}}));
    assert_eq!((lines.len(), &lines[1]["path"]), (2, &json!("%C3%A9")));
    world.storage(&["rm", "a b", "-o", "json"]).ended(1).says(r#""code":null"#);
    let refused = br#"{"code": "Forbidden", "message": "you may not"}"#;
    world.gateway.told().instead = Some(("list/a%20b/deep", 403, refused.to_vec()));
    let said = world.storage(&["du", "a b", "-o", "json"]).ended(3);
    assert!(
        said.stdout.contains(r#""bytes":3"#) && said.stdout.contains("could not be counted"),
        "{}",
        said.stdout
    );
    let said = world.storage(&["ls", "-R", "a b", "-o", "json"]).ended(3);
    let error = json!({"path": "a%20b/deep", "error": {"code": "Forbidden", "message": "you may not"}});
    assert_eq!(said.report(), error);
}

#[test]
fn the_trash_is_listed_and_gives_back() {
    let world = world();
    world.storage(&["rm", "a b/one.txt", "é", "-q"]).ended(0).prints("");
    world.storage(&["trash", "ls"]).ended(0).prints(
        "ID   DELETED                BY     EXPIRES                SIZE   PATH\n\
         t0   2026-01-02T03:04:05Z   jane   2026-02-02T03:04:05Z   5 B    /a b/one.txt\n\
         t1   2026-01-02T03:04:05Z   jane   2026-02-02T03:04:05Z   5 B    /é\n",
    );
    world.storage(&["trash", "restore", "t0"]).ended(0).prints("restored /a b/one.txt\n");
    world.storage(&["trash", "restore", "t1", "else/where"]).ended(0).prints("restored /else/where\n");
    world.storage(&["trash", "restore", "t1"]).ended(1).complains("nothing of that id");
    world.storage(&["trash", "restore", "../x"]).ended(2).complains("not an id");
    world.storage(&["trash", "empty"]).ended(2);
    world.storage(&["trash", "empty", "--yes"]).ended(0);
}

#[test]
fn an_import_takes_its_keys_from_the_environment_or_a_file_and_tells_them_nobody() {
    let world = World::new();
    let command = |arguments: &[&str]| {
        let mut command = world.command(&[&["storage", "import"], arguments].concat());
        command.env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "canary-secret");
        let said = crate::Said::by(command);
        assert!(!format!("{}{}", said.stdout, said.stderr).contains("canary-secret"));
        said
    };
    command(&["s3", "b", "in here", "--prefix", "p/"]).ended(0).prints("3 of 3 objects, 300 B of 300 B\n");
    assert_eq!(
        world.gateway.told().imports[0],
        json!({"provider": "s3", "bucket": "b", "accessKeyId": "AKID", "secretAccessKey": "canary-secret",
            "prefix": "p/", "destination": "in%20here"})
    );
    command(&["s3", "partly", "x"]).ended(3).complains("k0: 403");
    command(&["r2", "b", "x"]).ended(2).complains("--endpoint");
    command(&["s3", "b", "../x"]).ended(2);
    command(&["s3", "b", "x", "--no-wait"]).ended(0).says("import i1 is begun");
    command(&["ls"]).ended(0).prints(
        "ID   STATE     BUCKET   DESTINATION   OBJECTS   FAILED   BYTES\n\
         i1   running   b        /in here      3/3       0        300 B\n",
    );
    command(&["show", "i1"]).ended(0).says("done: 3 of 3 objects");
    command(&["cancel", "i1"]).ended(0);
    world.write("keys", "[default]\naws_access_key_id = A\naws_secret_access_key = of-file\n");
    world.storage(&["import", "s3", "b", "x", "--credentials-file", "keys"]).ended(0);
    assert_eq!(world.gateway.told().imports.last().unwrap()["secretAccessKey"], "of-file");
    // Neither, and nobody to ask.
    world.storage(&["import", "s3", "b", "x"]).ended(2).complains("AWS_SECRET_ACCESS_KEY");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_sent() {
    let world = World::new();
    world.write("file", "");
    fs::create_dir(world.path("folder")).unwrap();
    for (arguments, why) in [
        (&["rm", "/"][..], "the root of a file system cannot be deleted"),
        (&["rm", "a", "/"], "root"),
        (&["rmdir", "-r", "//"], "root"),
        (&["rm", ""], "empty path"),
        (&["ls", ""], "empty path"),
        (&["rm", "a/../b"], "a/../b"),
        (&["cat", ".."], "holds no segment"),
        (&["mv", "/", "x"], "root"),
        (&["mv", "a", "a/b"], "lies in it"),
        (&["cp", "-r", "a", "a/"], "lies in it"),
        (&["rm", ".workspacefs/x"], "workspacefs' own"),
        (&["upload", "folder", "x"], "-r uploads it"),
        (&["upload", "", "x"], "empty path"),
        (&["upload", "file/", "x"], "folder"),
        (&["upload", "file", "../x"], "holds no segment"),
        (&["upload", "/dev/null", "x"], "neither a file nor a folder"),
        (&["download", "/"], "-r downloads it"),
        (&["upload", "file", "x", "--parallel", "0"], "1 to 256"),
        (&["ls", "-f", "No/Name"], "small letters"),
        (&["ls", "-n", "a/b"], "small letters"),
    ] {
        let said = world.storage(arguments);
        // A file that is named as a folder is the kernel's to refuse.
        assert!(
            matches!(said.code, Some(2)) || arguments[1] == "file/",
            "{arguments:?}: {:?} {}",
            said.code,
            said.stderr
        );
        assert!(said.stderr.contains(why) || arguments[1] == "file/", "{arguments:?}: {}", said.stderr);
    }
    world.storage(&["upload", "missing", "x"]).ended(1).complains("cannot open missing: No such file");
    assert_eq!(world.gateway.seen(), Vec::<String>::new());
}

#[test]
fn names_of_any_bytes_go_there_and_back() {
    let world = World::new();
    let names: [&[u8]; 7] =
        [b"\xff\xfe", b"a b", b"q?x=1#y", b"%41", b"back\\slash", b"line\nend", "\u{202e}gnp.exe".as_bytes()];
    for name in names {
        fs::create_dir_all(world.path("src").join(OsStr::from_bytes(name))).unwrap();
        fs::write(world.path("src").join(OsStr::from_bytes(name)).join(OsStr::from_bytes(name)), name)
            .unwrap();
    }
    world.storage(&["upload", "-r", "src/", "/"]).ended(0);
    world.storage(&["download", "-r", "/", "back"]).ended(0);
    for name in names {
        let name = OsStr::from_bytes(name);
        assert_eq!(fs::read(world.path("back").join(name).join(name)).unwrap(), name.as_bytes());
    }
    let said = world.storage(&["ls"]).ended(0);
    assert_eq!(said.stdout.lines().count(), names.len(), "{}", said.stdout);
    assert!(
        said.stdout.contains("\"line\\nend\"/") && said.stdout.contains("\"\\xFF\\xFE\"/"),
        "{}",
        said.stdout
    );
    // One that no shell can hold in UTF-8 is typed by its bytes.
    let mut command = world.command(&["storage", "cat"]);
    command.arg(OsStr::from_bytes(b"\xff\xfe/\xff\xfe"));
    assert_eq!(command.output().unwrap().stdout, b"\xff\xfe");
}
