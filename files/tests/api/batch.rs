//! Archives that are unpacked: what comes to be, what does not, and what is said of it.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use workspacefs_files_proto::tar::{END, Member, MemberKind, padding};
use workspacefs_sys::filesystem::{Access, Context};

use crate::harness::{Answer, Server};
use crate::process::Process;

/// An archive under construction.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn file(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.hashed(name, content, None)
    }

    fn hashed(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>, sha256: Option<&str>) -> Self {
        let size = content.as_ref().len() as u64;
        self.announced(name, size, sha256).bytes(content.as_ref()).filled(size)
    }

    /// A file of which nothing comes yet.
    fn announced(mut self, name: impl AsRef<[u8]>, size: u64, sha256: Option<&str>) -> Self {
        let member = Member {
            name: name.as_ref().to_vec(),
            kind: MemberKind::File,
            size,
            mode: 0o4640,
            modified: 1_234_567_890_123_456_789,
            sha256: sha256.map(str::to_owned),
        };
        member.write(&mut self.0);
        self
    }

    /// Whatever the kind, as another program writes it.
    fn other(mut self, kind: tar::EntryType, name: &str, target: &str) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_link_name(target).unwrap();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn filled(mut self, size: u64) -> Self {
        self.0.resize(self.0.len() + padding(size), 0);
        self
    }

    fn end(self) -> Vec<u8> {
        self.bytes(&END).0
    }
}

async fn unpack(server: &Server, target: &str, body: impl AsRef<[u8]>) -> Answer {
    server.ask("POST", target).header("Content-Type", "application/x-tar").body(body).send().await
}

/// Path and code of each entry that was refused.
fn refused(lines: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines
        .iter()
        .filter(|line| line["path"].is_string())
        .map(|line| (text(&line["path"]), text(&line["error"]["code"])))
        .collect()
}

/// The last line, without those before it.
fn last(answer: Answer) -> Value {
    answer.ok().lines().pop().unwrap()
}

#[tokio::test]
async fn what_programs_of_others_pack_is_unpacked_whatever_its_names() {
    for format in ["gnu", "pax", "ustar"] {
        let server = Server::start().await;
        let source = tempfile::tempdir().unwrap();
        // What is older has no room for more.
        let deep = format!("{}/{}", "d".repeat(60), "e".repeat(60));
        let long = if format == "ustar" { "l".repeat(90) } else { "l".repeat(255) };
        for name in [
            &b"a"[..],
            b"not\xffutf8\n",
            b"back\\slash",
            b"%41",
            b"sub/x",
            format!("{deep}/{long}").as_bytes(),
        ] {
            let path = source.path().join("top").join(OsStr::from_bytes(name));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name.repeat(300)).unwrap();
        }
        fs::write(source.path().join("top/large"), vec![7; 3 << 20]).unwrap();
        fs::create_dir(source.path().join("top/empty")).unwrap();
        fs::set_permissions(source.path().join("top/a"), fs::Permissions::from_mode(0o751)).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(1_234_567_890);
        fs::File::open(source.path().join("top/a")).unwrap().set_modified(time).unwrap();
        for from in ["top", "./top"] {
            let packed = Command::new("tar")
                .args(["-c", "--format", format, from])
                .current_dir(source.path())
                .output();
            let packed = packed.unwrap();
            assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
            let answer = unpack(&server, "/v1/archive/x/y?parents=true&overwrite=true", &packed.stdout).await;
            assert_eq!(answer.get("content-type"), Some("application/x-ndjson"));
            let said = last(answer);
            assert_eq!(
                (&said["done"], &said["files"], &said["failed"]),
                (&json!(true), &json!(7), &json!(0)),
                "{format}"
            );
        }
        let same =
            Command::new("diff").arg("-r").args([source.path().join("top"), server.path("x/y/top")]).output();
        let same = same.unwrap();
        assert!(same.status.success(), "{format}: {}", String::from_utf8_lossy(&same.stdout));
        let got = fs::metadata(server.path("x/y/top/a")).unwrap();
        assert_eq!((got.mode() & 0o7777, got.modified().unwrap()), (0o751, time));
        assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
    }
}

#[tokio::test]
async fn times_are_kept_to_the_nanosecond_and_no_set_user_id_bit_is() {
    let server = Server::start().await;
    let said =
        last(unpack(&server, "/v1/archive", Tar::default().file("f", "x").file("d/e", "yz").end()).await);
    assert_eq!(said, json!({"done": true, "files": 2, "bytes": 3, "failed": 0}));
    let got = fs::metadata(server.path("f")).unwrap();
    assert_eq!((got.mode() & 0o7777, got.mtime(), got.mtime_nsec()), (0o640, 1_234_567_890, 123_456_789));
    assert_eq!(server.read("d/e").as_deref(), Some("yz"));
}

#[tokio::test]
async fn hostile_entries_are_refused_by_name_and_the_rest_is_there() {
    use tar::EntryType;
    let server = Server::start().await;
    server.write("in/x", "");
    server.write(".workspacefs/cache", "hidden");
    symlink("../..", server.path("in/up")).unwrap();
    symlink(".", server.path("in/self")).unwrap();
    let long = "n".repeat(256);
    let tar = Tar::default()
        .file("../secret", "evil")
        .file("a/../../secret", "evil")
        .file("/etc/passwd", "evil")
        .file("a\0b", "cut off in the header")
        .file("./fine", "fine")
        .file([&b"long/".repeat(30)[..], b"nul\0byte"].concat(), "evil")
        .file(&long, "too long")
        .file("up/secret", "evil")
        .file("", "no name")
        .file(".", "no name")
        .other(EntryType::Symlink, "link", "../..")
        .file("link/secret", "into a folder of that name")
        .other(EntryType::Link, "hard", "/etc/passwd")
        .other(EntryType::Char, "null", "x")
        .other(EntryType::Fifo, "fifo", "x")
        .other(EntryType::Directory, "folder/", "x")
        .file("folder/last", "last");
    let answer = unpack(&server, "/v1/archive/in", tar.end()).await.ok();
    let lines = answer.lines();
    let mut told = refused(&lines);
    told.sort();
    let mut expected: Vec<(String, String)> = [
        ("in/../secret", "BadPath"),
        ("in/a/../../secret", "BadPath"),
        ("in//etc/passwd", "BadRequest"),
        (&*format!("in/{}nul%00byte", "long/".repeat(30)), "BadPath"),
        (&*format!("in/{long}"), "BadPath"),
        ("in/up/secret", "NotFound"),
        ("in", "IsDirectory"),
        ("in/.", "BadPath"),
        ("in/link", "NotRegular"),
        ("in/hard", "NotRegular"),
        ("in/null", "NotRegular"),
        ("in/fifo", "NotRegular"),
    ]
    .map(|(path, code)| (path.to_owned(), code.to_owned()))
    .to_vec();
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(lines.last().unwrap()["failed"], told.len());
    for (path, content) in
        [("in/fine", "fine"), ("in/a", "cut off in the header"), ("in/folder/last", "last")]
    {
        assert_eq!(server.read(path).as_deref(), Some(content), "{path}");
    }
    assert!(!server.path("in/link").is_symlink());

    // The hidden folders, by name and through a link.
    let hidden = |path: &str| Tar::default().file(path, "evil").end();
    for (target, name) in [
        ("/v1/archive", ".workspacefs/new"),
        ("/v1/archive/", ".WorkspaceFS-files/uploads/new"),
        ("/v1/archive/in", "self/self/up/new"),
        ("/v1/archive/in/self", "../.workspacefs/new"),
    ] {
        let lines = unpack(&server, target, hidden(name)).await.ok().lines();
        assert_eq!(refused(&lines).len(), 1, "{name}: {lines:?}");
    }
    for target in ["/v1/archive/.workspacefs", "/v1/archive/in/up", "/v1/archive/none"] {
        unpack(&server, target, hidden("x")).await.is(404, "NotFound");
        unpack(&server, &format!("{target}/../y"), hidden("x")).await.is(400, "BadPath");
    }
    unpack(&server, "/v1/archive/in/x", hidden("y")).await.is(409, "NotDirectory");
    unpack(&server, "/v1/archive/in?replace=true", hidden("y")).await.is(400, "BadRequest");
    assert_eq!(fs::read_to_string(server.dir.path().join("secret")).unwrap(), "SECRET");
    assert_eq!(fs::read_dir(server.dir.path()).unwrap().count(), 2, "nothing was made outside");
    assert_eq!(fs::read_dir(server.path(".workspacefs")).unwrap().count(), 1);
}

#[tokio::test]
async fn what_is_no_archive_is_refused_before_anything_is_made() {
    let server = Server::start().await;
    for body in [&b""[..], b"x", &[b'x'; 10_000], b"PK\x03\x04"] {
        unpack(&server, "/v1/archive/new?parents=true", body).await.is(400, "BadRequest");
    }
    assert!(!server.path("new").exists());
    let said = last(unpack(&server, "/v1/archive/new?parents=true", END).await);
    assert_eq!(said, json!({"done": true, "files": 0, "bytes": 0, "failed": 0}));
    assert!(server.path("new").is_dir());
}

#[tokio::test]
async fn files_that_are_there_are_replaced_only_where_that_is_asked_for_and_folders_never() {
    let server = Server::start().await;
    server.write("f", "old");
    server.write("d/x", "old");
    let tar =
        || Tar::default().file("f", "new").file("d", "new").file("f/below", "new").file("g", "new").end();
    let lines = unpack(&server, "/v1/archive", tar()).await.ok().lines();
    let of = |path: &str| {
        let all = refused(&lines);
        all.iter().find(|(of, _)| of == path).map(|(_, code)| code.clone())
    };
    assert_eq!(of("f").as_deref(), Some("Exists"));
    assert_eq!(of("d").as_deref(), Some("IsDirectory"));
    assert_eq!(of("f/below").as_deref(), Some("NotDirectory"));
    assert_eq!(
        (of("g"), server.read("f").as_deref(), server.read("g").as_deref()),
        (None, Some("old"), Some("new"))
    );
    let lines = unpack(&server, "/v1/archive?overwrite=true", tar()).await.ok().lines();
    assert_eq!(refused(&lines).len(), 2);
    assert_eq!((server.read("f").as_deref(), server.read("d/x").as_deref()), (Some("new"), Some("old")));
}

#[tokio::test]
async fn of_two_entries_with_one_name_the_later_one_wins() {
    let server = Server::start().await;
    let mut tar = Tar::default();
    for n in 0..200 {
        tar = tar.file("same", n.to_string()).file(format!("other{n}"), "x");
    }
    let said = last(unpack(&server, "/v1/archive?overwrite=true", tar.end()).await);
    assert_eq!((&said["files"], &said["failed"]), (&json!(400), &json!(0)));
    assert_eq!(server.read("same").as_deref(), Some("199"));
}

#[tokio::test]
async fn a_content_that_is_not_what_its_checksum_says_gets_no_name() {
    let server = Server::start().await;
    let right = "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=";
    let tar = Tar::default()
        .hashed("right", "hello world", Some(right))
        .hashed("wrong", "hello World", Some(right))
        .hashed("large", vec![7; 2 << 20], Some(right))
        .hashed("none", "hello world", Some("none"))
        .file("last", "x");
    let lines = unpack(&server, "/v1/archive", tar.end()).await.ok().lines();
    let mut told = refused(&lines);
    told.sort();
    let expected = [("large", "ChecksumMismatch"), ("none", "BadRequest"), ("wrong", "ChecksumMismatch")];
    assert_eq!(told, expected.map(|(path, code)| (path.to_owned(), code.to_owned())));
    assert_eq!(server.read("right").as_deref(), Some("hello world"));
    assert!(["wrong", "large", "none"].iter().all(|name| !server.path(name).exists()));
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
}

#[tokio::test]
async fn of_an_archive_that_breaks_off_what_was_whole_is_there_and_nothing_else() {
    let server = Server::start().await;
    let begun = || Tar::default().file("a", "whole").file("b", vec![7; 2 << 20]);
    // The end is missing, a content is, a size lies, a header is damaged.
    let damaged = begun().bytes(&[b'?'; 512]).end();
    let bodies = [
        (begun().0, 0),
        (begun().announced("cut", 1000, None).bytes(&[7; 500]).0, 0),
        (begun().announced("cut", 3 << 20, None).bytes(&vec![7; 2 << 20]).0, 0),
        (begun().announced("cut", u64::MAX - 5000, None).bytes(&[7; 5000]).0, 0),
        (begun().announced("cut", 1000, None).bytes(&[7; 500]).0, 500),
        (damaged, 0),
    ];
    for (body, missing) in bodies {
        let mut ask = server.ask("POST", "/v1/archive?overwrite=true").body(&body);
        if missing > 0 {
            ask = ask.promise(body.len() + missing);
        }
        let answer = ask.send().await;
        if missing == 0 {
            let line = last(answer);
            assert_eq!(line["error"]["code"], "BadRequest", "{line}");
        }
        for _ in 0..200 {
            if server.path("b").exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(server.read("a").as_deref(), Some("whole"));
        assert_eq!(fs::metadata(server.path("b")).unwrap().len(), 2 << 20);
        assert!(!server.path("cut").exists());
        assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
        fs::remove_file(server.path("b")).unwrap();
    }
}

#[tokio::test]
async fn it_is_said_how_far_it_is_while_it_comes_and_a_caller_who_goes_ends_it() {
    let server = Server::start().await;
    let begun = Tar::default().file("a", "whole").announced("cut", 1000, None).bytes(&[7; 500]).0;
    let mut streams = Vec::new();
    for user in ["joe"; 8].into_iter().chain(["jane"; 8]) {
        let ask = server.ask("POST", "/v1/archive?overwrite=true").user(user).body(&begun).promise(1 << 20);
        let mut stream = ask.begin().await;
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains(r#""failed":0}"#) {
            let mut piece = [0; 1000];
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0);
            said.extend_from_slice(&piece[..read]);
        }
        streams.push(stream);
        if streams.len() == 8 {
            // Nobody has more than half of the places.
            server.ask("POST", "/v1/archive").user("joe").body(END).send().await.is(429, "Busy");
        }
    }
    unpack(&server, "/v1/archive", END).await.is(429, "Busy");
    server.post("/v1/bundle", json!({"files": []})).await.is(429, "Busy");
    // Others are not in their way.
    server.put("/v1/content/other", "x").await.is(201, "");
    let mut one = streams.pop().unwrap();
    drop(streams);
    // The one who stays gets to the end.
    one.write_all(&Tar::default().bytes(&[7; 500]).filled(1000).file("b", "b").end()).await.unwrap();
    let rest = (1 << 20) - begun.len() - 500 - padding(1000) - 512 * 3 - END.len();
    // Of nanoseconds there is a description before the header.
    let _ = one.write_all(&vec![0; rest]).await;
    for _ in 0..200 {
        if server.path("b").exists() && unpack(&server, "/v1/archive", END).await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!((server.read("a").as_deref(), server.read("b").as_deref()), (Some("whole"), Some("b")));
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
    unpack(&server, "/v1/archive", END).await.ok();
}

#[tokio::test]
async fn on_a_full_file_system_what_fits_is_there_the_rest_is_named_and_the_trash_gives_way() {
    let context = Context::open("tmpfs").unwrap();
    context.set("size", "8m").unwrap();
    let mount = context.mount(Access::Full).unwrap();
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let server = Server::start_on(tempfile::tempdir().unwrap(), Path::new(&path)).await;
    server.put("/v1/content/deleted", vec![7; 3 << 20]).await.is(201, "");
    server.delete("/v1/content/deleted").await.ok();
    let mut tar = Tar::default();
    for n in 0..200 {
        tar = tar.file(format!("many/{n}"), vec![7; 100_000]);
    }
    let lines = unpack(&server, "/v1/archive", tar.end()).await.ok().lines();
    let (told, said) = (refused(&lines), lines.last().unwrap());
    assert!(told.iter().all(|(_, code)| code == "QuotaExceeded"), "{told:?}");
    let there = said["files"].as_u64().unwrap();
    assert!(said["done"] == true && there + told.len() as u64 == 200, "{said}");
    // More than fits beside what was deleted.
    assert!((55..84).contains(&there), "{there}");
    let listed = server.get("/v1/list/many?limit=1000").await.ok().json();
    let sizes: Vec<_> = listed["entries"].as_array().unwrap().iter().map(|entry| &entry["size"]).collect();
    assert!(sizes.len() as u64 == there && sizes.iter().all(|size| **size == 100_000), "{}", sizes.len());
    assert_eq!(server.get("/v1/trash").await.json()["entries"], json!([]));
    server.delete("/v1/content/many?recursive=true&permanent=true").await.is(204, "");
    assert_eq!(
        last(unpack(&server, "/v1/archive", Tar::default().file("fits", "x").end()).await)["files"],
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_entries_and_sizes_that_lie_take_no_more_memory_than_a_few() {
    const BYTES_MAX: u64 = 96_000_000;
    let files = Process::start().await;
    let rest = files.peak_bytes();
    let mut tar = Tar::default();
    for n in 0..100_000 {
        // Three in four are refused: what they say takes the caller's time, not our memory.
        let name = if n % 4 == 0 { format!("d{}/{n}", n % 100) } else { format!("../{n}") };
        tar = tar.file(name, "content");
    }
    for n in 0..40 {
        tar = tar.file(format!("small{n}"), vec![7; 1 << 20]).file(format!("large{n}"), vec![7; 3 << 20]);
    }
    let body = tar.announced("lies", 1 << 62, None).bytes(&[7; 4096]).0;
    let answer = files.ask("POST", "/v1/archive?overwrite=true", body).await.ok();
    let lines = answer.lines();
    assert_eq!(
        (refused(&lines).len(), &lines.last().unwrap()["error"]["code"]),
        (75_000, &json!("BadRequest"))
    );
    assert_eq!(fs::read_dir(files.dir.path().join("root/d0")).unwrap().count(), 1000);
    assert_eq!(fs::metadata(files.dir.path().join("root/large39")).unwrap().len(), 3 << 20);
    assert!(!files.dir.path().join("root/lies").exists());
    let peak = files.peak_bytes();
    println!("{} MB at rest, {} MB at the most", rest / 1_000_000, peak / 1_000_000);
    assert!(peak <= BYTES_MAX, "{peak} bytes, {rest} at rest");
}
