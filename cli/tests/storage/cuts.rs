//! Connections that break, servers that go and come back, tokens that expire, processes that are killed: what is resumed, and
//! what is said.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::{Said, World};

/// As large as it takes to be sent in pieces, and no piece like another.
fn large() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40_000_000);
    for number in 0..10_000_u32 {
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&[number.to_le_bytes()[0]; 3996]);
    }
    bytes
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn count(requests: &[String], what: &str) -> usize {
    requests.iter().filter(|request| request.contains(what)).count()
}

#[test]
fn an_upload_goes_on_where_it_was_cut() {
    let world = World::new();
    world.write("large", large());
    for (before, method) in
        [(true, "PATCH"), (false, "PATCH"), (true, "POST"), (false, "POST"), (true, "HEAD")]
    {
        let fault = (1, method);
        {
            let mut told = world.gateway.told();
            (told.break_before, told.break_after) = if before { (fault, (0, "")) } else { ((0, ""), fault) };
            if method == "HEAD" {
                told.break_after = (1, "PATCH");
            }
        }
        world.storage(&["upload", "large", "/"]).ended(0);
        assert!(world.gateway.read("large") == large(), "{method} {before}");
        fs::remove_file(world.gateway.root().join("large")).unwrap();
        let told = world.gateway.told();
        assert_eq!((told.break_before.0, told.break_after.0), (0, 0), "the fault was met");
    }
}

#[test]
fn the_last_piece_arrives_although_nobody_says_so() {
    let world = World::new();
    // Two pieces of 16 MiB: the last is the first PATCH.
    world.write("large", &large()[..20 << 20]);
    world.gateway.told().break_after = (1, "PATCH");
    world.storage(&["upload", "large", "/"]).ended(0);
    assert!(world.gateway.read("large") == large()[..20 << 20]);
}

#[test]
fn a_small_file_is_sent_again_and_where_it_may_replace_nothing_it_is_looked_at() {
    let world = World::new();
    world.write("small", "small");
    world.gateway.told().break_after = (1, "PUT");
    world.storage(&["upload", "small", "/"]).ended(0);
    assert_eq!(count(&world.gateway.seen(), "PUT "), 2);
    world.gateway.told().break_after = (1, "PUT");
    world.storage(&["upload", "small", "/once", "--no-overwrite"]).ended(0);
    assert_eq!(count(&world.gateway.seen(), "PUT "), 1);
    assert_eq!(world.gateway.read("once"), b"small");
}

#[test]
fn a_move_is_not_repeated_when_nobody_knows_what_came_of_it() {
    let world = World::new();
    world.gateway.write("a", "a");
    world.gateway.told().break_after = (1, "POST");
    world.storage(&["mv", "a", "b"]).ended(1).complains("the connection to the gateway broke");
    assert_eq!(count(&world.gateway.seen(), "POST "), 1);
    assert_eq!(world.gateway.read("b"), b"a");
}

#[test]
fn a_download_and_a_cat_go_on_where_they_were_cut() {
    let world = World::new();
    world.gateway.write("large", large());
    world.gateway.told().cut_content = (2, 11_000_001);
    world.storage(&["download", "large"]).ended(0);
    assert!(world.read("large") == large());
    let requests = world.gateway.seen();
    assert_eq!(count(&requests, "GET /wfs/v1/workspaces/team-a/filesystems/default/api/content/large"), 3);
    world.gateway.told().cut_content = (2, 11_000_001);
    let output = world.command(&["storage", "cat", "large"]).output().unwrap();
    assert!(output.status.success() && output.stdout == large());
}

#[test]
fn a_file_that_changes_on_the_server_is_never_mixed() {
    let world = World::new();
    world.gateway.write("large", large());
    world.gateway.told().cut_content = (1, 11_000_001);
    let mut other = large();
    other.reverse();
    // The first cut comes 50 ms after its piece; the change has to come between the two requests.
    let child = world
        .command(&["storage", "download", "large"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.unwrap();
    until("it is cut", || world.gateway.told().cut_content.0 == 0);
    fs::write(world.gateway.root().join("large"), &other).unwrap();
    Said::of(child.wait_with_output().unwrap()).ended(0);
    let got = world.read("large");
    assert!(got == other || got == large(), "a mix");
}

#[test]
fn a_killed_upload_and_a_killed_download_are_gone_on_with_by_the_next_run() {
    let world = World::new();
    world.write("large", large());
    // The process waits for a server that does not answer, and is killed.
    world.gateway.told().break_before = (1000, "PATCH");
    let mut child = world
        .command(&["storage", "upload", "large", "/"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the first piece is there", || !world.gateway.told().uploads.is_empty());
    until("the second is tried", || world.gateway.told().break_before.0 < 1000);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(!world.gateway.root().join("large").exists());
    world.gateway.told().break_before = (0, "");
    world.gateway.seen();
    world.storage(&["upload", "large", "/"]).ended(0);
    let requests = world.gateway.seen();
    assert_eq!(count(&requests, "POST "), 0, "no new upload: {requests:?}");
    assert!(world.gateway.read("large") == large());

    world.gateway.told().cut_content = (1000, 9_000_000);
    let mut child = world
        .command(&["storage", "download", "large", "back"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("it was cut", || world.gateway.told().cut_content.0 <= 998);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!world.path("back").exists());
    world.gateway.told().cut_content = (0, 0);
    world.storage(&["download", "large", "back"]).ended(0);
    assert!(world.read("back") == large());
    let left = fs::read_dir(world.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with(".wfs-")).count(), 0);
}

#[test]
fn a_changed_local_file_begins_anew_and_is_not_mixed_with_what_was_sent() {
    let world = World::new();
    world.write("large", large());
    world.gateway.told().break_before = (1000, "PATCH");
    let mut command = world.command(&["storage", "upload", "large", "/"]);
    command.env("WFS_PATIENCE_SECONDS", "1");
    Said::by(command).ended(1).complains("the connection to the gateway broke");
    world.gateway.told().break_before = (0, "");
    let mut other = large();
    other.reverse();
    world.write("large", &other);
    world.storage(&["upload", "large", "/"]).ended(0);
    assert!(world.gateway.read("large") == other);
}

#[test]
fn a_token_that_expires_in_the_middle_is_renewed_from_its_file_or_told() {
    let world = World::new();
    world.write("large", large());
    world.write("token", "first\n");
    world.gateway.told().tokens = vec!["first".into()];
    world.gateway.told().break_before = (3, "PATCH");
    let mut command = world.command(&["storage", "upload", "large", "/", "--token-file", "token"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it has begun", || !world.gateway.told().uploads.is_empty());
    world.gateway.told().tokens = vec!["second".into()];
    world.write("token", "second\n");
    Said::of(child.wait_with_output().unwrap()).ended(0);
    assert!(world.gateway.read("large") == large());
    world.storage(&["ls"]).ended(1).complains("the token is not known");
}

#[test]
fn a_right_that_goes_in_the_middle_is_told_in_the_gateways_words() {
    let world = World::new();
    world.write("large", large());
    {
        let mut told = world.gateway.told();
        (told.break_after, told.forget_at) = ((1, "PATCH"), Some("HEAD"));
    }
    world.storage(&["upload", "large", "/x"]).ended(1).complains("/x: the token is not known");
    assert!(!world.gateway.root().join("x").exists());
}

#[test]
fn of_an_import_ctrl_c_ends_the_looking_on_and_says_so() {
    let world = World::new();
    let running = serde_json::json!({
        "id": "i1", "provider": "s3", "bucket": "b", "prefix": null, "endpoint": null, "destination": "x", "state": "running",
        "objects": {"total": 3, "done": 1, "skipped": 0, "failed": 0}, "bytes": {"total": 300, "done": 100}, "bySize": 0,
        "rate": 100, "etaSeconds": null, "failures": [], "message": "", "startedAt": "2026-01-01T00:00:00.000000000Z",
        "endedAt": null, "startedBy": "jane",
    });
    world.gateway.told().instead = Some(("imports/i1", 200, running.to_string().into_bytes()));
    let mut command = world.command(&["storage", "import", "s3", "b", "x"]);
    command.env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "secret");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it has begun", || {
        count(
            &world.gateway.told().requests,
            "GET /wfs/v1/workspaces/team-a/filesystems/default/api/imports/i1",
        ) > 0
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    Said::of(child.wait_with_output().unwrap())
        .ended(130)
        .complains("runs on: wfs storage import ls shows it");
}

#[test]
fn ctrl_c_ends_it_and_says_how_to_go_on() {
    let world = World::new();
    world.write("large", large());
    world.gateway.told().break_before = (1000, "PATCH");
    let mut command = world.command(&["storage", "upload", "large", "/"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it has begun", || !world.gateway.told().uploads.is_empty());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    Said::of(child.wait_with_output().unwrap()).ended(130).complains("goes on from here");
}
