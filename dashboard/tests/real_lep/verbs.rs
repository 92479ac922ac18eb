//! What people do with the client, and what they see.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use workspacefs_testkit::lep::{Client, NEW, OLD, Release};

use crate::server::{Server, TOKEN};

const BASE: &str = "/api/v2/workspaces/ws";
const MIB: u64 = 1 << 20;

fn client(server: &Server, release: Release) -> Client {
    Client::new(release, "ws", &server.url(BASE), TOKEN, &server.authority())
}

#[test]
fn every_verb_of_0_27_3_works() {
    every_verb(NEW);
}

#[test]
fn every_verb_of_0_22_5_works() {
    every_verb(OLD);
}

fn every_verb(release: Release) {
    let server = Server::start();
    let lep = client(&server, release);
    lep.storage(&["ls", "/"]).says("0 directories, 0 files");
    lep.storage(&["mkdir", "/d1/sub"]).says("Created directory /d1/sub.");
    assert!(server.files.path("d1/sub").is_dir());
    lep.write("a.txt", "one");
    lep.storage(&["upload", "a.txt"]).says("Uploaded file a.txt to /a.txt");
    lep.storage(&["upload", "a.txt", "/d1/"]).says("Uploaded file a.txt to /d1/a.txt");
    lep.storage(&["upload", "a.txt", "new/deep/b.txt"]).says("Uploaded file a.txt to new/deep/b.txt");
    assert_eq!(server.files.read("new/deep/b.txt").as_deref(), Some("one"));
    lep.write("a.txt", "two");
    lep.storage(&["upload", "a.txt", "/a.txt"]).says("Uploaded file");
    assert_eq!(server.files.read("a.txt").as_deref(), Some("two"), "replaced");
    lep.storage(&["ls", "/"]).says("d1/").says("new/").says("a.txt").says("2 directories, 1 file");
    lep.storage(&["ls", "d1/"]).says("sub/").says("1 directory, 1 file");
    lep.storage(&["download", "/d1/a.txt", "got.txt"]).says("Downloaded file /d1/a.txt to ");
    assert_eq!(lep.read("got.txt"), b"one");
    lep.storage(&["download", "a.txt"]).says("Downloaded");
    lep.storage(&["du"]).says("Total disk usage: ");
    lep.storage(&["ls-file-system"]).says("default");
    lep.storage(&["ls", "/", "-fs", "default"]).says("2 directories");
    lep.storage(&["rm", "/d1/a.txt"]).says("Deleted /d1/a.txt.");
    lep.storage(&["rmdir", "/d1/sub"]).says("Deleted /d1/sub.");
    assert!(!server.files.path("d1/sub").exists() && !server.files.path("d1/a.txt").exists());
    let trash = fs::read_dir(server.files.path(".workspacefs-files/trash")).unwrap().count();
    assert!(trash >= 2, "both are in the trash");
    // The group has a second name.
    lep.lep(&["file", "ls", "/"]).says("2 directories, 1 file");
}

#[test]
fn folders_are_removed_with_their_contents_only_where_that_is_said() {
    let server = Server::start();
    for release in [NEW, OLD] {
        server.files.write("full/x/f", "f");
        let lep = client(&server, release);
        lep.storage(&["rmdir", "/full"]).complains("409");
        assert!(server.files.path("full/x/f").exists());
    }
    client(&server, NEW).storage(&["rmdir", "-r", "/full"]).says("Deleted /full.");
    assert!(!server.files.path("full").exists());
}

#[test]
fn names_are_what_was_typed() {
    let server = Server::start();
    for release in [NEW, OLD] {
        let lep = client(&server, release);
        for name in ["a b c", "é", "e\u{301}", "日本語.txt", "50% off", "a&b;c", "-dash'", "new\u{a0}line"]
        {
            lep.write("local é.txt", name);
            let remote = format!("/names of {}/{name}", release.version);
            lep.storage(&["upload", "local é.txt", "--", &remote]).says("Uploaded file");
            assert_eq!(server.files.read(remote.trim_start_matches('/')).as_deref(), Some(name));
            lep.storage(&["download", "--", &remote, "back"]).says("Downloaded file");
            assert_eq!(lep.read("back"), name.as_bytes());
        }
        let folder = format!("/names of {}", release.version);
        lep.storage(&["ls", &folder]).says("日本語.txt").says("0 directories, 8 files");
        lep.storage(&["rm", &format!("{folder}/a b c")]).says("Deleted");
        lep.storage(&["rm", &format!("{folder}/日本語.txt")]).says("Deleted");
        lep.storage(&["ls", &folder]).says("0 directories, 6 files");
    }
}

#[test]
fn what_is_refused_is_said_and_changes_nothing() {
    let server = Server::start();
    server.files.write("d/f", "kept");
    for release in [NEW, OLD] {
        let lep = client(&server, release);
        for args in [&["ls", "/x"][..], &["rm", "/x"], &["rmdir", "/x"], &["download", "/x", "y"]] {
            lep.storage(args).complains("not found");
        }
        lep.storage(&["mkdir", "/d"]).complains("409");
        lep.storage(&["rm", "/d"]).complains("is a directory");
        lep.storage(&["rmdir", "/d/f"]).complains("is a file");
        lep.storage(&["download", "/d", "y"]).complains("is not a file");
        lep.write("large", vec![0; 8 << 20]);
        lep.storage(&["upload", "large", "/d"]).complains("409");
        let nothing = Client::new(release, "ws", &server.url(BASE), "wrong", &server.authority());
        nothing.storage(&["ls", "/"]).complains("not found");
        nothing.storage(&["mkdir", "/new"]).complains("401");
        nothing.write("file", vec![0; 4 << 20]);
        nothing.storage(&["upload", "file", "/new"]).complains("401");
        nothing.storage(&["du"]).complains("401");
        // Its rm finds no name for the root; the request itself is in the tests of the gateway.
        let root = lep.storage(&["rm", "/"]);
        assert_eq!(root.code, Some(1), "{root:?}");
        lep.storage(&["rm", "../../workspace"]).complains("not found");
        assert!(!server.files.path("new").exists());
        assert_eq!(server.files.read("d/f").as_deref(), Some("kept"));
    }
    client(&server, NEW).storage(&["mkdir", "/d"]).complains("something of that name is there already");
}

#[test]
fn a_service_account_needs_no_workspace_in_the_address_and_a_slash_at_its_end_is_no_harm() {
    let server = Server::start();
    server.files.write("d/f", "f");
    for (release, base) in
        [(NEW, "/api/v1"), (OLD, "/api/v1"), (NEW, "/api/v1/"), (OLD, "/api/v2/workspaces/ws/")]
    {
        let lep = Client::new(release, "ws", &server.url(base), TOKEN, &server.authority());
        lep.storage(&["ls", "/d"]).says("0 directories, 1 file");
        lep.storage(&["download", "/d/f", "back"]).says("Downloaded");
    }
}

#[test]
fn a_login_is_kept_and_needs_no_variables_afterwards() {
    let server = Server::start();
    server.files.write("d/f", "f");
    let lep = client(&server, NEW);
    let url = server.url(BASE);
    let login = lep.logged_in(&["workspace", "login", "-i", "ws", "-t", TOKEN, "--workspace-url", &url]);
    assert_eq!(login.code, Some(0), "{login:?}");
    lep.logged_in(&["storage", "ls", "/d"]).says("0 directories, 1 file");
    lep.logged_in(&["workspace", "status"]).says("ws");
    let lep = client(&server, NEW);
    let login = lep.logged_in(&["login", "-c", &format!("ws:{TOKEN}"), "-u", &url]);
    assert_eq!(login.code, Some(0), "{login:?}");
    lep.logged_in(&["storage", "ls", "/d"]).says("0 directories, 1 file");
    // Before 0.25 a login asks the vendor's own site: the file that it would write is enough.
    let lep = client(&server, OLD);
    let record = format!(
        "current_workspace: ws\nworkspaces:\n  ws: {{id: ws, url: '{url}', auth_token: {TOKEN}, display_name: ws}}\n"
    );
    lep.write("cache/workspace_info.yaml", record);
    lep.logged_in(&["storage", "ls", "/d"]).says("0 directories, 1 file");
}

#[test]
fn a_large_file_goes_up_and_down_through_little_memory() {
    let server = Server::start();
    for release in [NEW, OLD] {
        let lep = client(&server, release);
        generate(&lep.path("large"), 600 * MIB);
        let before = server.memory_bytes_max();
        lep.storage(&["upload", "large", "/large"]).says("Uploaded file");
        same(&lep.path("large"), &server.files.path("large"));
        fs::remove_file(lep.path("large")).unwrap();
        lep.storage(&["download", "/large", "back"]).says("Downloaded file");
        same(&lep.path("back"), &server.files.path("large"));
        let memory = server.memory_bytes_max();
        println!(
            "{}: the gateway's memory was {} MiB, then {} MiB",
            release.version,
            before / MIB,
            memory / MIB
        );
        assert!(memory < 100 * MIB, "{} MiB", memory / MIB);
        lep.storage(&["rm", "/large"]).says("Deleted");
    }
}

/// Numbers here and there, so that a piece at the wrong place is another file; holes between.
fn generate(path: &Path, bytes: u64) {
    let file = File::create(path).unwrap();
    file.set_len(bytes).unwrap();
    for at in (0..bytes).step_by(1 << 20) {
        file.write_all_at(&(at ^ 0x5a5a_5a5a).to_be_bytes().repeat(100), at + at % 4099).unwrap();
    }
}

fn same(a: &Path, b: &Path) {
    let (mut a, mut b) = (File::open(a).unwrap(), File::open(b).unwrap());
    assert_eq!(a.metadata().unwrap().len(), b.metadata().unwrap().len());
    let (mut from_a, mut from_b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for at in 0.. {
        let count = a.read(&mut from_a).unwrap();
        if count == 0 {
            return;
        }
        b.read_exact(&mut from_b[..count]).unwrap();
        assert!(from_a[..count] == from_b[..count], "they differ in block {at}");
    }
}
