//! The same program against `files` itself, with a gateway that only signs: what the two make of the contract has to fit together.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::Stdio;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::json;

use crate::World;

fn large() -> Vec<u8> {
    (0..10_000_u32).flat_map(|number| number.to_le_bytes().repeat(1000)).collect()
}

#[test]
fn trees_go_up_and_down_with_times_modes_and_names_of_any_bytes() {
    let world = World::real();
    for (name, content) in
        [(&b"a b/\xff\xfe"[..], "1"), (b"q?x=1#y", "22"), (b"deep/er/%41", "333"), (b"back\\slash", "")]
    {
        let path = world.path("src").join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir_all(world.path("src/empty/one")).unwrap();
    let time = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    fs::set_permissions(world.path("src/back\\slash"), fs::Permissions::from_mode(0o751)).unwrap();
    File::open(world.path("src/back\\slash")).unwrap().set_modified(time).unwrap();
    world.storage(&["upload", "-r", "src", "/x"]).ended(0).says("4 files uploaded (6 B)");
    world.storage(&["upload", "-r", "-u", "src", "/x"]).ended(0).says("0 files uploaded (0 B), 4 unchanged");
    world.storage(&["download", "-r", "x/src", "back"]).ended(0).says("4 files downloaded");
    world.storage(&["download", "-r", "-u", "x/src", "back"]).ended(0).says("4 unchanged");
    let status = std::process::Command::new("diff")
        .arg("-r")
        .arg(world.path("src"))
        .arg(world.path("back/src"))
        .status();
    assert!(status.unwrap().success());
    let got = fs::metadata(world.path("back/src/back\\slash")).unwrap();
    assert_eq!((got.mode() & 0o7777, got.modified().unwrap()), (0o751, time));
    assert!(world.path("back/src/empty/one").is_dir());
}

#[test]
fn three_thousand_files_of_one_folder_come_page_by_page() {
    let world = World::real();
    for number in 0..3000 {
        world.write(&format!("many/{number}"), number.to_string());
    }
    world.storage(&["upload", "-r", "many/", "/"]).ended(0).says("3,000 files uploaded");
    assert_eq!(world.storage(&["ls"]).ended(0).stdout.lines().count(), 3000);
    world.storage(&["download", "-r", "/", "back"]).ended(0).says("3,000 files downloaded");
    for number in 0..3000 {
        assert_eq!(world.read(&format!("back/{number}")), number.to_string().as_bytes());
    }
}

#[test]
fn every_verb_is_understood() {
    let world = World::real();
    world.write("one.txt", "one");
    world.storage(&["mkdir", "x/y"]).ended(0).prints("made /x/y\n");
    world.storage(&["mkdir", "x/y"]).ended(1).complains("there is a folder of that name");
    world.storage(&["mkdir", "-p", "x/y"]).ended(0);
    world.storage(&["upload", "one.txt", "/x/y/"]).ended(0);
    world.storage(&["upload", "one.txt", "/x/y"]).ended(1).complains("/x/y/ puts it into that folder");
    world.storage(&["upload", "one.txt", "/x/y/", "--no-overwrite"]).ended(1);
    world.storage(&["ls", "x/y"]).ended(0).prints("one.txt\n");
    world.storage(&["ls", "x/y/one.txt"]).ended(0).prints("one.txt\n");
    world.storage(&["cat", "x/y/one.txt"]).ended(0).prints("one");
    world.storage(&["find", "--name", "ONE"]).ended(0).prints("/x/y/one.txt\n");
    world.storage(&["cp", "-r", "x", "z"]).ended(0).says("copied /x to /z: 1 file, 3 B");
    world.storage(&["mv", "z/y/one.txt", "new/two"]).ended(0).prints("moved /z/y/one.txt to /new/two\n");
    world.storage(&["mv", "new/two", "x/y/one.txt"]).ended(1).complains("--overwrite");
    world.storage(&["du", "/", "-o", "json"]).ended(0).says(r#""bytes":6"#);
    world.storage(&["du"]).ended(0).says("capacity:");
    world.storage(&["rmdir", "x"]).ended(1).complains("rmdir -r");
    world.storage(&["rmdir", "-r", "x"]).ended(0);
    world.storage(&["rm", "new/two", "--permanent"]).ended(0).prints("deleted /new/two\n");
    world.storage(&["stat", "new/two"]).ended(1);
    let trash = world.storage(&["trash", "ls", "-o", "json"]).ended(0).report();
    assert_eq!((&trash["path"], &trash["deletedBy"]), (&json!("x"), &json!("jane")));
    world.storage(&["trash", "restore", trash["id"].as_str().unwrap()]).ended(0).prints("restored /x\n");
    world.storage(&["trash", "restore", trash["id"].as_str().unwrap()]).ended(1);
    world.storage(&["trash", "empty", "--yes"]).ended(0);
    world.storage(&["ls", "nowhere"]).ended(1);
}

#[test]
fn large_files_are_gone_on_with_after_cuts_and_kills() {
    let world = World::real();
    world.write("large", large());
    for (before, method) in [(true, "PATCH"), (false, "PATCH"), (false, "POST")] {
        let fault = (1, method);
        {
            let mut told = world.gateway.told();
            (told.break_before, told.break_after) = if before { (fault, (0, "")) } else { ((0, ""), fault) };
        }
        world.storage(&["upload", "large", "/"]).ended(0);
        assert!(world.gateway.read("large") == large(), "{method} {before}");
        fs::remove_file(world.gateway.root().join("large")).unwrap();
    }
    world.gateway.told().break_before = (1000, "PATCH");
    let mut command = world.command(&["storage", "upload", "large", "/again"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while world.gateway.told().break_before.0 == 1000 {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    world.gateway.told().break_before = (0, "");
    world.gateway.seen();
    world.storage(&["upload", "large", "/again"]).ended(0);
    assert!(world.gateway.read("again") == large());
    assert!(
        !world.gateway.seen().iter().any(|request| request.starts_with("POST ")),
        "it is the same upload"
    );
    world.storage(&["download", "again"]).ended(0);
    assert!(world.read("again") == large());
}

#[test]
fn a_sparse_file_is_byte_identical() {
    let world = World::real();
    let file = File::create(world.path("sparse")).unwrap();
    file.set_len(50 << 20).unwrap();
    file.write_all_at(b"middle", (20 << 20) + 77).unwrap();
    file.write_all_at(b"end", (50 << 20) - 3).unwrap();
    world.storage(&["upload", "sparse", "/"]).ended(0);
    world.storage(&["download", "sparse", "back"]).ended(0);
    assert!(world.read("sparse") == world.read("back"));
}
