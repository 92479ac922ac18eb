//! The real daemon, run by the real program, and the real client, on loopback.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, Instant};

use crate::world::World;

#[test]
fn a_folder_arrives_and_the_folders_above_it_are_made() {
    let world = World::start(&[]);
    world.write("src/a b/c.txt", "content");
    symlink("a b", world.local("src/link")).unwrap();
    world.upload(&["-a"], "src/", "deep/er/new name/").ended(0);
    assert_eq!(world.read("deep/er/new name/a b/c.txt"), "content");
    assert_eq!(
        fs::read_link(world.root("deep/er/new name/link")).unwrap().to_str(),
        Some("a b"),
        "as it was sent"
    );
    let mode = world.root("deep/er").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "as the file system's folders");
    // As lep does it: one file, and a folder into a folder.
    world.upload(&["-v", "--progress", "--partial"], "src/a b/c.txt", "x/y/z.txt").ended(0);
    assert_eq!(world.read("x/y/z.txt"), "content");
    world.upload(&["-va"], "src", "src").ended(0);
    assert_eq!(world.read("src/src/a b/c.txt"), "content");
}

#[test]
fn a_second_run_sends_what_changed() {
    let world = World::start(&[]);
    world.write("src/a", "1");
    world.write("src/b", "2");
    world.upload(&["-a"], "src/", "d").ended(0);
    world.write("src/b", "longer");
    let said = world.upload(&["-ai"], "src/", "d").ended(0);
    assert!(said.stdout.contains(" b\n") && !said.stdout.contains(" a\n"), "{}", said.stdout);
    assert_eq!(world.read("d/b"), "longer");
}

#[test]
fn what_leads_elsewhere_is_refused_and_nothing_is_made() {
    let world = World::start(&[]);
    world.write("src/f", "x");
    fs::create_dir(world.dir.path().join("outside")).unwrap();
    fs::create_dir(world.root("real")).unwrap();
    symlink("../outside", world.root("out")).unwrap();
    symlink("real", world.root("inside")).unwrap();
    fs::create_dir(world.root(".workspacefs-files")).unwrap();
    fs::write(world.root("file"), "x").unwrap();
    for (to, why) in [
        ("../outside/x", "the path is refused"),
        ("a/../../outside/x", "the path is refused"),
        ("out/x", "symbolic link"),
        ("out/x/y/", "symbolic link"),
        ("out/", "symbolic link"),
        ("inside/x/y", "symbolic link"),
        (".workspacefs-files/x", "there is no such folder"),
        (".WORKSPACEFS/x", "there is no such folder"),
        ("file/x/y", "is a file"),
        ("-x", "begins with -"),
    ] {
        let said = world.upload(&["-r"], "src/", to);
        assert_ne!(said.code, Some(0), "{to}");
        // An option is refused by the daemon itself.
        assert!(said.stderr.contains(why) || said.stderr.contains("refuse"), "{to}: {}", said.stderr);
    }
    assert_eq!(world.names("."), [".workspacefs-files", "file", "inside", "out", "real"]);
    for empty in ["real", ".workspacefs-files", "../outside"] {
        assert_eq!(world.names(empty), Vec::<String>::new(), "{empty}");
    }
}

#[test]
fn what_is_hidden_is_neither_written_nor_taken_away_by_a_tree_that_has_its_name() {
    let world = World::start(&[]);
    fs::create_dir_all(world.root(".workspacefs-files/uploads")).unwrap();
    fs::write(world.root(".workspacefs-files/uploads/1"), "theirs").unwrap();
    world.write("src/.workspacefs-files/uploads/1", "mine");
    world.write("src/g", "g");
    let _ = world.upload(&["-a"], "src/", "");
    assert_eq!(world.read(".workspacefs-files/uploads/1"), "theirs");
    assert_eq!(world.read("g"), "g");
}

#[test]
fn nothing_is_deleted_read_or_written_in_place() {
    let world = World::start(&[]);
    world.write("src/f", "x");
    fs::write(world.root("kept"), "kept").unwrap();
    for option in [
        "--delete",
        "--delete-after",
        "--force",
        "--inplace",
        "--append",
        "--backup",
        "--keep-dirlinks",
        "--temp-dir=x",
        "--link-dest=x",
        "--remove-source-files",
        "-M--fake-super",
    ] {
        let said = world.upload(&["-a", option], "src/", "d");
        assert_ne!(said.code, Some(0), "{option}");
        assert!(said.stderr.contains("refuse"), "{option}: {}", said.stderr);
    }
    let said = world.download("kept", "back");
    assert!(said.code != Some(0) && said.stderr.contains("write only"), "{}", said.stderr);
    assert_eq!(world.names("."), ["kept"]);
    assert!(!world.local("back").exists());
}

#[test]
fn owners_are_the_file_systems_and_no_bit_gives_rights() {
    let world = World::start(&[]);
    world.write("src/f", "x");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    std::os::unix::fs::chown(world.local("src/f"), Some(4321), Some(4321)).unwrap();
    fs::set_permissions(world.local("src/f"), fs::Permissions::from_mode(0o6755)).unwrap();
    world.upload(&["-a"], "src/", "d").ended(0);
    let found = world.root("d/f").metadata().unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (0, 0, 0o755));
}

#[test]
fn it_runs_as_root_without_any_capability() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"];
    let world = World::start_by(&bare, &[]);
    world.write("src/f", "x");
    std::os::unix::fs::chown(world.local("src/f"), Some(4321), Some(4321)).unwrap();
    world.upload(&["-a"], "src/", "a/b").ended(0);
    assert_eq!(world.read("a/b/f"), "x");
}

#[test]
fn past_the_gateway_only_whoever_knows_the_secret_gets_in() {
    let world = World::start(&["--expose=127.0.0.1:0", "--user=team-a"]);
    world.write("src/f", "x");
    let secret = world.secret();
    world.past("team-a", &secret.password, "src/", "a/b").ended(0);
    assert_eq!(world.read("a/b/f"), "x");
    let other = World::start(&["--expose=127.0.0.1:0", "--user=team-b"]).secret();
    for (user, password) in [
        ("team-a", "wrong"),
        ("team-a", ""),
        ("team-a", &other.password),
        ("team-b", &other.password),
        ("root", &secret.password),
    ] {
        let said = world.past(user, password, "src/", "c");
        assert_eq!(said.code, Some(5), "{user} {}", said.stderr);
    }
    assert_eq!(world.names("."), ["a"]);
}

#[test]
fn a_secret_is_another_after_its_time_and_what_began_by_it_ends() {
    let world = World::start(&["--expose=127.0.0.1:0", "--user=team-a", "--rotate-seconds=2"]);
    world.write("src/f", "x");
    let first = world.secret();
    // A connection that says nothing more.
    let idle = std::net::TcpStream::connect(("127.0.0.1", first.port)).unwrap();
    let since = Instant::now();
    while world.secret().password == first.password {
        assert!(since.elapsed() < Duration::from_secs(20), "it stays");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(world.past("team-a", &first.password, "src/", "a").code, Some(5));
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut said = Vec::new();
    let _ = std::io::Read::read_to_end(&mut &idle, &mut said);
    assert!(said.starts_with(b"@RSYNCD: ") && since.elapsed() < Duration::from_secs(20), "it was ended");
}

#[test]
fn there_are_only_so_many_at_once_and_those_above_hear_it() {
    let world = World::start(&["--connections=1"]);
    world.write("src/f", "x");
    // One that has begun: it was asked for the module.
    let mut first = world.socket();
    std::io::Write::write_all(&mut first, b"@RSYNCD: 31.0 md5\nvolume\n").unwrap();
    let mut said = [0; 4096];
    let mut got = String::new();
    while !got.contains("@RSYNCD: OK") {
        let read = std::io::Read::read(&mut first, &mut said).unwrap();
        assert!(read > 0, "{got}");
        got.push_str(&String::from_utf8_lossy(&said[..read]));
    }
    let second = world.upload(&["-r"], "src/", "d");
    assert!(second.code != Some(0) && second.stderr.contains("max connections"), "{}", second.stderr);
    drop(first);
    let since = Instant::now();
    while world.upload(&["-r"], "src/", "d").code != Some(0) {
        assert!(since.elapsed() < Duration::from_secs(20), "its place stays taken");
    }
}

#[test]
fn nobody_else_gets_to_the_socket_and_the_secret() {
    let world = World::start(&["--expose=127.0.0.1:0", "--user=team-a"]);
    for name in ["socket", "exposed.json", "secrets"] {
        let mode = world.run(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn its_end_takes_the_daemons_along() {
    let mut world = World::start(&[]);
    let mut idle = world.socket();
    std::io::Read::read_exact(&mut idle, &mut [0; 8]).unwrap();
    world.stop();
    idle.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut rest = Vec::new();
    assert!(std::io::Read::read_to_end(&mut idle, &mut rest).is_ok(), "it was closed");
}
