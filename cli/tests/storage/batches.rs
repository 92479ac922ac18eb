//! Small files go many in one request, against `files` itself: what arrives, and what becomes of those that cannot go so.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use workspacefs_files_proto::tar::{END, Member, MemberKind};

use crate::World;

const SMALL: usize = 600;

/// Small files in many folders, one too large to go with them, and names of any bytes.
fn tree(world: &World) {
    for number in 0..SMALL {
        world.write(&format!("src/{}/{number}", number % 20), number.to_string().repeat(number));
    }
    world.write("src/large", vec![7; 3 << 20]);
    fs::create_dir_all(world.path("src/empty/one")).unwrap();
    for name in [&b"not\xffutf8\n"[..], b"back\\slash", &[b'l'; 255], b"%41"] {
        fs::write(world.path("src/0").join(OsStr::from_bytes(name)), name).unwrap();
    }
    let time = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    fs::set_permissions(world.path("src/1/1"), fs::Permissions::from_mode(0o751)).unwrap();
    File::open(world.path("src/1/1")).unwrap().set_modified(time).unwrap();
}

#[track_caller]
fn same(world: &World, one: &str, other: impl AsRef<OsStr>) {
    let status =
        std::process::Command::new("diff").arg("-r").arg(world.path(one)).arg(other.as_ref()).output();
    let status = status.unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
}

fn count(requests: &[String], method: &str, route: &str) -> usize {
    let route = format!("/api/{route}/");
    requests.iter().filter(|request| request.starts_with(method) && request.contains(&route)).count()
}

#[test]
fn small_files_go_up_and_come_down_in_few_requests_with_times_modes_and_names() {
    let world = World::real();
    tree(&world);
    let said = world.storage(&["upload", "-r", "src", "/x", "-o", "json"]).ended(0).report();
    assert_eq!((&said["files"]["done"]["files"], &said["problem_count"]), (&json!(SMALL + 5), &json!(0)));
    let requests = world.gateway.seen();
    assert_eq!(
        (count(&requests, "PUT", "content"), count(&requests, "PATCH", "uploads")),
        (1, 0),
        "the large one"
    );
    assert!((1..20).contains(&count(&requests, "POST", "archive")), "{requests:?}");
    same(&world, "src", world.gateway.root().join("x/src"));
    world
        .storage(&["upload", "-r", "-u", "src", "/x"])
        .ended(0)
        .says("0 files uploaded (0 B), 605 unchanged");
    assert_eq!(count(&world.gateway.seen(), "POST", "archive"), 0);

    world.storage(&["download", "-r", "x/src", "back"]).ended(0).says("605 files downloaded");
    let requests = world.gateway.seen();
    assert_eq!(count(&requests, "GET", "content"), 1, "the large one");
    assert!((1..20).contains(&count(&requests, "POST", "bundle")), "{requests:?}");
    same(&world, "src", world.path("back/src"));
    for path in [world.gateway.root().join("x/src/1/1"), world.path("back/src/1/1")] {
        let got = fs::metadata(path).unwrap();
        assert_eq!((got.mode() & 0o7777, got.mtime(), got.mtime_nsec()), (0o751, 1_234_567_890, 123_456_789));
    }
    fs::write(world.path("back/src/2/2"), "changed").unwrap();
    fs::remove_file(world.path("back/src/3/3")).unwrap();
    world
        .storage(&["download", "-r", "-u", "x/src", "back"])
        .ended(0)
        .says("2 files downloaded (5 B), 603 unchanged");
    same(&world, "src", world.path("back/src"));
    assert!(
        fs::read_dir(world.path("back/src/2"))
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().starts_with(".wfs-") })
    );
}

#[test]
fn a_server_that_knows_no_batches_gets_each_file_by_itself() {
    let not_found = br#"{"code": "NotFound", "message": "there is no such file or folder"}"#.to_vec();
    let bad = br#"{"code": "BadRequest", "message": "this method is not for this address"}"#.to_vec();
    for (status, body) in [(404, not_found), (400, bad), (405, Vec::new())] {
        let world = World::real();
        tree(&world);
        world.gateway.told().instead = Some(("archive", status, body.clone()));
        world.storage(&["upload", "-r", "src", "/"]).ended(0).says("605 files uploaded");
        let requests = world.gateway.seen();
        assert_eq!(count(&requests, "PUT", "content"), SMALL + 5);
        assert!(requests.iter().filter(|request| request.contains("/api/archive")).count() <= 8);
        world.gateway.told().instead = Some(("bundle", status, body));
        world.storage(&["download", "-r", "src", "back"]).ended(0).says("605 files downloaded");
        let requests = world.gateway.seen();
        assert_eq!(count(&requests, "GET", "content"), SMALL + 5);
        assert!(requests.iter().filter(|request| request.contains("/api/bundle")).count() <= 8);
        same(&world, "src", world.path("back/src"));
    }
}

#[test]
fn what_is_refused_is_named_and_all_the_rest_is_done() {
    let world = World::real();
    for name in ["a", "taken", "c/taken", "c/d"] {
        world.write(&format!("data/{name}"), name);
    }
    fs::create_dir_all(world.gateway.root().join("taken/x")).unwrap();
    world.gateway.write("c/taken", "there");
    let said =
        world.storage(&["upload", "-r", "data/", "/", "--no-overwrite", "-o", "json"]).ended(3).report();
    assert_eq!(
        (&said["outcome"], &said["files"]["done"]["files"], &said["files"]["failed"]["files"]),
        (&json!("partial"), &json!(2), &json!(2))
    );
    let problems: Vec<_> = said["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (&problem["path"], &problem["code"]))
        .collect();
    assert_eq!(problems, [(&json!("c/taken"), &json!("Exists")), (&json!("taken"), &json!("IsDirectory"))]);
    assert_eq!(
        (world.gateway.read("c/taken"), world.gateway.read("c/d")),
        (b"there".to_vec(), b"c/d".to_vec())
    );
    // On this side: what cannot be opened says so, the rest arrives.
    fs::create_dir_all(world.path("back/a/in the way")).unwrap();
    world
        .storage(&["download", "-r", "/", "back"])
        .ended(3)
        .complains("a: a folder of that name is in its place");
    assert_eq!(world.read("back/c/d"), b"c/d");
}

#[test]
fn a_full_file_system_ends_it_with_a_sentence() {
    let world = World::real();
    for number in 0..50 {
        world.write(&format!("data/{number}"), "x");
    }
    let refused = (10..50).map(|number| {
        format!("{{\"path\":\"{number}\",\"error\":{{\"code\":\"QuotaExceeded\",\"message\":\"the file system is full\"}}}}\n")
    });
    let lines = refused
        .chain(["{\"done\":true,\"files\":10,\"bytes\":10,\"failed\":40}\n".into()])
        .collect::<String>();
    world.gateway.told().instead = Some(("archive", 200, lines.into_bytes()));
    let said = world
        .storage(&["upload", "-r", "data/", "/", "-o", "json"])
        .ended(3)
        .complains("stopped: the file system is full");
    let said = said.report();
    assert_eq!(
        (&said["files"]["done"]["files"], &said["files"]["failed"]["files"]),
        (&json!(10), &json!(40))
    );
    assert_eq!(said["stopped"]["code"], "QuotaExceeded");
}

#[test]
fn a_batch_whose_connection_broke_is_sent_again_and_where_it_may_replace_nothing_looked_at() {
    for arguments in [&["upload", "-r", "src", "/"][..], &["upload", "-r", "src", "/", "--no-overwrite"]] {
        for is_before in [true, false] {
            let world = World::real();
            for number in 0..SMALL {
                world.write(&format!("src/{}/{number}", number % 20), number.to_string());
            }
            {
                let mut told = world.gateway.told();
                *(if is_before { &mut told.break_before } else { &mut told.break_after }) = (1, "POST");
            }
            world.storage(arguments).ended(0).says("600 files uploaded");
            let told = world.gateway.told();
            assert_eq!((told.break_before.0, told.break_after.0), (0, 0), "the fault was met");
            drop(told);
            same(&world, "src", world.gateway.root().join("src"));
        }
    }
}

#[test]
fn an_archive_that_the_server_gave_up_is_made_good_file_by_file() {
    let world = World::real();
    tree(&world);
    let line = b"{\"error\":{\"code\":\"BadRequest\",\"message\":\"the content ended early\"}}\n";
    world.gateway.told().instead = Some(("archive", 200, line.to_vec()));
    world.storage(&["upload", "-r", "src", "/"]).ended(0).says("605 files uploaded");
    same(&world, "src", world.gateway.root().join("src"));
    for code in ["Busy", "TimedOut", "ChecksumMismatch"] {
        let lines = format!(
            "{{\"path\":\"again/a\",\"error\":{{\"code\":\"{code}\",\"message\":\"it may pass\"}}}}\n\
             {{\"done\":true,\"files\":1,\"bytes\":1,\"failed\":1}}\n"
        );
        world.gateway.told().instead = Some(("archive", 200, lines.into_bytes()));
        world.write("again/a", code);
        world.write("again/b", "b");
        world.storage(&["upload", "-r", "again", "/"]).ended(0).says("2 files uploaded");
        assert_eq!(world.gateway.read("again/a"), code.as_bytes());
    }
}

#[test]
fn a_bundle_that_breaks_is_gone_on_with_and_what_it_leaves_out_comes_by_itself() {
    let world = World::real();
    for number in 0..SMALL {
        world.gateway.write(&format!("d/{}/{number}", number % 20), number.to_string().repeat(100));
    }
    for bytes in [0, 100, 1536, 50_000] {
        world.gateway.told().cut_bundle = (2, bytes);
        world.storage(&["download", "-r", "d", "back"]).ended(0).says("600 files downloaded");
        assert_eq!(world.gateway.told().cut_bundle.0, 0);
        same(&world, "back/d", world.gateway.root().join("d"));
        fs::remove_dir_all(world.path("back")).unwrap();
    }
    world.gateway.seen();
    world.gateway.told().instead = Some(("bundle", 200, END.to_vec()));
    world.storage(&["download", "-r", "d", "back"]).ended(0).says("600 files downloaded");
    assert_eq!(count(&world.gateway.seen(), "GET", "content"), SMALL);
    same(&world, "back/d", world.gateway.root().join("d"));
}

#[test]
fn what_a_server_puts_into_a_bundle_leads_nowhere_else() {
    let world = World::real();
    world.gateway.write("d/a", "a");
    world.gateway.write("d/b", "b");
    let archive = |name: &str, size: u64, content: &[u8]| {
        let mut bytes = Vec::new();
        let name = name.as_bytes().to_vec();
        Member { name, kind: MemberKind::File, size, mode: 0o4777, modified: 5, sha256: None }
            .write(&mut bytes);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + 512 - content.len(), 0);
        [bytes, END.to_vec()].concat()
    };
    for (name, size) in [("../evil", 1), ("/evil", 1), ("c", 1), ("", 1), ("a", 1 << 40)] {
        world.gateway.told().instead = Some(("bundle", 200, archive(name, size, b"x")));
        world.storage(&["download", "-r", "d", "here"]).ended(1).complains("makes no sense");
        assert!(!world.path("evil").exists() && !world.path("here/evil").exists());
        assert_eq!(fs::read_dir(world.path("here/d")).unwrap().count(), 0, "{name}");
    }
    // One that is another than it was listed as comes by itself.
    world.gateway.told().instead = Some(("bundle", 200, archive("a", 1, b"x")));
    world.storage(&["download", "-r", "d", "here"]).ended(0);
    assert_eq!(world.read("here/d/a"), b"a");
}

#[test]
fn files_for_which_there_is_no_place_together_go_by_themselves() {
    for status in [429, 413] {
        let world = World::real();
        for number in 0..40 {
            world.write(&format!("src/{number}"), number.to_string());
        }
        world.gateway.told().instead = Some(("archive", status, b"{}".to_vec()));
        world.storage(&["upload", "-r", "src", "/"]).ended(0).says("40 files uploaded");
        world.gateway.told().instead = Some(("bundle", status, b"{}".to_vec()));
        world.storage(&["download", "-r", "src", "back"]).ended(0).says("40 files downloaded");
        same(&world, "src", world.path("back/src"));
    }
}
