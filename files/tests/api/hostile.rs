//! What bad input gets: issue 8's table, and the advisories against file managers.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde_json::json;
use workspacefs_files::Error;
use workspacefs_files::placing::Placing;
use workspacefs_files::root::{Owner, Root};
use workspacefs_files::write::NewFile;
use workspacefs_files_proto::FilePath;

use crate::harness::Server;

const ROUTES: [(&str, &str); 7] = [
    ("GET", "list"),
    ("GET", "stat"),
    ("GET", "content"),
    ("PUT", "content"),
    ("PUT", "folders"),
    ("DELETE", "content"),
    ("GET", "archive"),
];

#[tokio::test]
async fn dots_and_zeros_are_refused_before_anything_is_opened() {
    let server = Server::start().await;
    server.write("a/b", "");
    for path in [
        "..",
        "../secret",
        "a/../../secret",
        "%2e%2e/secret",
        ".%2E/secret",
        "a/%2e%2e/%2e%2e/secret",
        "a%00b",
        "..%2fsecret",
        "a%2Fb",
        "./a",
        "%zz",
    ] {
        for (method, route) in ROUTES {
            server.ask(method, &format!("/v1/{route}/{path}")).send().await.is(400, "BadPath");
        }
        let moved = server.post("/v1/move", json!({"from": path, "to": "x"})).await.is(400, "BadRequest");
        assert_eq!(moved.json()["field"], "from");
    }
    // A backslash and what looks like dots after a second decoding are names, of things that are not there.
    for path in [r"..\..\secret", r"a\..\..\secret", "%252e%252e/secret", "..%5C..%5Csecret"] {
        server.get(&format!("/v1/content/{path}")).await.is(404, "NotFound");
    }
    server.get(&format!("/v1/content/{}", "x".repeat(256))).await.is(400, "BadPath");
    server.get(&format!("/v1/content/{}", "x/".repeat(3000))).await.is(400, "BadPath");
}

#[tokio::test]
async fn a_symlink_that_leads_out_is_not_followed() {
    let server = Server::start().await;
    server.write(".workspacefs/cache/x", "hidden");
    server.write("in/x", "");
    for (link, target) in [
        ("up", ".."),
        ("abs", "/etc"),
        ("file", "../secret"),
        ("passwd", "/etc/passwd"),
        ("in/up", "../.."),
        ("proc", "/proc/self/root"),
        ("caches", ".workspacefs"),
        ("trash", ".workspacefs-files"),
        ("in/loop", "loop"),
        ("nested", "in/up"),
    ] {
        symlink(target, server.path(link)).unwrap();
    }
    for path in [
        "up/secret",
        "abs/passwd",
        "file",
        "passwd",
        "in/up/secret",
        "proc/etc/passwd",
        "caches/cache/x",
        "in/loop",
        "nested/secret",
    ] {
        server.get(&format!("/v1/content/{path}")).await.is(404, "NotFound");
    }
    for path in ["up", "abs", "in/up", "caches", "caches/cache", "trash", "trash/uploads", "proc"] {
        server.get(&format!("/v1/list/{path}")).await.is(404, "NotFound");
        server.get(&format!("/v1/archive/{path}")).await.is(404, "NotFound");
        server.get(&format!("/v1/search/{path}?name=x")).await.is(404, "NotFound");
    }
    for path in ["up/new", "abs/new", "caches/new", "trash/uploads/new", "in/up/new"] {
        server.put(&format!("/v1/content/{path}?parents=true"), "x").await.is(404, "NotFound");
        let made = server.ask("PUT", &format!("/v1/folders/{path}?parents=true")).send().await;
        assert!(matches!(made.status, 404 | 409), "{path}: {}", made.text());
        server.post("/v1/copy", json!({"from": "in/x", "to": path})).await.is(404, "NotFound");
        server.post("/v1/move", json!({"from": "in/x", "to": path})).await.is(404, "NotFound");
    }
    // In the place of a link, not where it leads.
    server.put("/v1/content/file", "mine").await.ok();
    assert_eq!(std::fs::read_to_string(server.dir.path().join("secret")).unwrap(), "SECRET");
    server.delete("/v1/content/up?recursive=true&permanent=true").await.is(204, "");
    assert!(server.dir.path().join("secret").exists());
    let names: Vec<_> =
        std::fs::read_dir(server.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing was made outside: {names:?}");
}

#[tokio::test]
async fn hidden_folders_are_neither_made_nor_entered_through_a_link_to_the_root() {
    let server = Server::start().await;
    server.write("in/x", "X");
    server.write("f", "F");
    symlink(".", server.path("link")).unwrap();
    symlink("..", server.path("in/up")).unwrap();
    let trashed = server.delete("/v1/content/f").await.ok().json()["trash"].as_str().unwrap().to_owned();
    for link in ["link", "in/up", "link/link"] {
        for hidden in [".workspacefs", ".workspacefs-files", ".WorkspaceFS", ".WORKSPACEFS-files"] {
            for below in ["new", "uploads/new", "uploads/new/newer"] {
                let path = format!("{link}/{hidden}/{below}");
                let made = server.ask("PUT", &format!("/v1/folders/{path}?parents=true")).send().await;
                made.is(404, "NotFound");
                server.put(&format!("/v1/content/{path}?parents=true"), "x").await.is(404, "NotFound");
                let moved = json!({"from": "in/x", "to": path, "parents": true});
                server.post("/v1/move", moved.clone()).await.is(404, "NotFound");
                server.post("/v1/copy", moved).await.is(404, "NotFound");
                let restored =
                    server.post(&format!("/v1/trash/{trashed}/restore"), json!({"to": path})).await;
                restored.is(404, "NotFound");
            }
            server.get(&format!("/v1/list/{link}/{hidden}")).await.is(404, "NotFound");
        }
    }
    // A server may take other names for the same than ASCII does: then they lead to the same.
    server.write(".workspacefs", "hidden");
    std::fs::hard_link(server.path(".workspacefs"), server.path("alias")).unwrap();
    server.get("/v1/content/alias").await.is(404, "NotFound");
    server.get("/v1/content/link/alias").await.is(404, "NotFound");
    server.put("/v1/content/link/alias", "x").await.is(404, "NotFound");
    std::fs::remove_file(server.path(".workspacefs")).unwrap();
    for hidden in [".WorkspaceFS", ".WORKSPACEFS-files"] {
        let made = server.ask("PUT", &format!("/v1/folders/{hidden}?parents=true")).send().await;
        made.is(404, "NotFound");
    }
    assert!(!server.path(".workspacefs").exists() && !server.path(".WorkspaceFS").exists());
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
    assert_eq!(server.read("in/x").as_deref(), Some("X"));
}

#[tokio::test]
async fn fifos_sockets_and_devices_are_seen_but_never_opened() {
    let server = Server::start().await;
    let special = |name: &str, kind, device| {
        mknodat(CWD, server.path(name), kind, Mode::RUSR | Mode::WUSR, device).unwrap()
    };
    special("fifo", FileType::Fifo, 0);
    special("zero", FileType::CharacterDevice, rustix::fs::makedev(1, 5));
    let _socket = std::os::unix::net::UnixListener::bind(server.path("socket")).unwrap();
    let all = async {
        for name in ["fifo", "zero", "socket"] {
            server.get(&format!("/v1/content/{name}")).await.is(409, "NotRegular");
            assert_eq!(server.get(&format!("/v1/stat/{name}")).await.ok().json()["type"], "other");
            server.post("/v1/copy", json!({"from": name, "to": "x"})).await.is(409, "NotRegular");
        }
        server.get("/v1/archive/?format=tar").await.ok();
        server.delete("/v1/content/zero?permanent=true").await.is(204, "");
        server.put("/v1/content/fifo", "a file now").await.ok();
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("something hangs");
}

/// As in a pod: root without capabilities.
#[test]
fn what_permissions_refuse_names_the_owner_and_the_mode() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let owner = Owner { uid: 0, gid: 0, mode: 0o755 };
    let root = Arc::new(Root::open(dir.path(), owner).unwrap());
    std::fs::create_dir(dir.path().join("theirs")).unwrap();
    std::fs::write(dir.path().join("theirs/f"), "x").unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    for (path, mode) in [("theirs", 0o700), ("file", 0o600)] {
        let path = dir.path().join(path);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&path, Some(1234), Some(1234)).unwrap();
    }
    let worker = std::thread::spawn(move || {
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
            .unwrap();
        let path = |text| FilePath::decode(text).unwrap();
        let refused = |result: Result<(), Error>, mode| {
            let error = result.unwrap_err();
            assert_eq!(error.code(), workspacefs_files_proto::Code::Forbidden, "{error}");
            let text = error.to_string();
            assert!(text.contains("uid 1234") && text.contains(mode), "{text}");
        };
        refused(root.file(&path("file")).map(drop), "0600");
        refused(root.file(&path("theirs/f")).map(drop), "0700");
        refused(root.listing(&path("theirs")).map(drop), "0700");
        refused(workspacefs_files::trash::put(&root, &path("theirs/f"), false, "jane").map(drop), "0700");
        let new = NewFile::create(&root).unwrap();
        refused(new.place(&Placing::new(path("theirs/new"))).map(drop), "0700");
    });
    worker.join().unwrap();
}

/// What root_squash comes to: the root is somebody else's, and this process may not even make its own folder there; or that folder
/// is from a time when it was somebody else.
#[test]
fn a_root_that_is_somebody_elses_is_named_with_its_owner_and_mode_by_all_that_writes() {
    for own_mode in [None, Some(0o500)] {
        let dir = tempfile::tempdir().unwrap();
        let served = dir.path().join("root");
        std::fs::create_dir(&served).unwrap();
        std::fs::write(served.join("f"), "x").unwrap();
        let mut theirs = vec![(served.clone(), 0o755)];
        if let Some(mode) = own_mode {
            for area in ["", "uploads", "finished", "trash", "imports"] {
                let area = served.join(".workspacefs-files").join(area);
                std::fs::create_dir_all(&area).unwrap();
                theirs.push((area, mode | 0o055));
            }
        }
        for (path, mode) in theirs {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(&path, Some(1234), Some(1234)).unwrap();
        }
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mode = if own_mode.is_some() { "0555" } else { "0755" };
        std::thread::spawn(move || {
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
                .unwrap();
            let root = Arc::new(Root::open(&served, Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap());
            let path = FilePath::decode("f").unwrap();
            root.file(&path).unwrap();
            let refused = |what: &str, result: Result<(), Error>| {
                let error = result.unwrap_err();
                assert_eq!(error.code(), workspacefs_files_proto::Code::Forbidden, "{what}: {error}");
                let text = error.to_string();
                assert!(text.contains("uid 1234") && text.contains(mode), "{what}: {text}");
            };
            refused("an upload", NewFile::create(&root).map(drop));
            refused("a deletion", workspacefs_files::trash::put(&root, &path, false, "jane").map(drop));
            if own_mode.is_none() {
                refused("the trash", workspacefs_files::trash::usage(&root).map(drop));
                refused("a folder", root.make_folder(root.as_fd(), b"new"));
            }
        })
        .join()
        .unwrap();
    }
}

#[tokio::test]
async fn a_caller_who_sends_nothing_does_not_stand_in_the_way_of_others() {
    let server = Server::start().await;
    let mut silent = Vec::new();
    for n in 0..100 {
        let target = format!("/v1/content/silent{n}");
        silent.push(server.ask("PUT", &target).body("x").promise(1000).begin().await);
    }
    let began = Instant::now();
    server.put("/v1/content/other", "x").await.is(201, "");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(silent);
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
}
