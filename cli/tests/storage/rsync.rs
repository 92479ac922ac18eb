//! `upload --rsync`: the real rsync here, the real daemon behind the gateway.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Command, Stdio};

use axum::http::Method;
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gateway::{Gateway, TOKEN, error};
use crate::{Said, World};

const FALLBACK: &str = "files that differ go over the file API";

/// What the gateway says below `/api/rsync`: as `files` does, and a daemon per connection.
pub fn answer(gateway: &Gateway, method: &Method, upgrade: OnUpgrade) -> Response {
    let (config, cut) = {
        let told = gateway.told();
        (told.rsync.clone(), told.cut_rsync)
    };
    if method == Method::GET {
        return axum::Json(json!({"enabled": config.is_some()})).into_response();
    }
    if take_busy(gateway) {
        return error(429, "Busy", "the rsync daemon starts: try again in a moment");
    }
    let Some(config) = config else { return error(404, "NotFound", "there is none") };
    let (ours, daemons) = std::os::unix::net::UnixStream::pair().unwrap();
    let daemons: std::os::fd::OwnedFd = daemons.into();
    let mut daemon = Command::new("rsync");
    daemon.arg("--daemon").arg(format!("--config={}", config.display()));
    daemon.stdin(daemons.try_clone().unwrap()).stdout(Stdio::from(daemons)).stderr(Stdio::null());
    let mut daemon = daemon.spawn().unwrap();
    std::thread::spawn(move || daemon.wait());
    ours.set_nonblocking(true).unwrap();
    let mut ours = tokio::net::UnixStream::from_std(ours).unwrap();
    tokio::spawn(async move {
        let mut caller = TokioIo::new(upgrade.await.unwrap());
        let Some(cut) = cut else {
            let _ = tokio::io::copy_bidirectional(&mut caller, &mut ours).await;
            return;
        };
        let (mut from, mut to) = tokio::io::split(caller);
        let (mut from_daemon, mut to_daemon) = ours.split();
        let back = tokio::io::copy(&mut from_daemon, &mut to);
        let forth = async {
            let (mut passed, mut bytes) = (0, vec![0; 4096]);
            while passed < cut {
                let read = from.read(&mut bytes).await.unwrap();
                passed += read;
                to_daemon.write_all(&bytes[..read]).await.unwrap();
            }
        };
        // Then both are dropped, as when the process is killed.
        tokio::select! { _ = back => {}, () = forth => {} }
    });
    let mut answer = axum::http::StatusCode::SWITCHING_PROTOCOLS.into_response();
    answer.headers_mut().insert("connection", "upgrade".parse().unwrap());
    answer.headers_mut().insert("upgrade", "wsfs-rsync".parse().unwrap());
    answer
}

fn take_busy(gateway: &Gateway) -> bool {
    let mut told = gateway.told();
    let is_busy = told.busy_rsync > 0;
    told.busy_rsync -= usize::from(is_busy);
    is_busy
}

/// With a daemon that makes what is missing above, as ours has done before each transfer.
fn world() -> World {
    let world = World::new();
    let config = world.path("rsyncd.conf");
    let root = world.gateway.root();
    let id = if rustix::process::geteuid().is_root() { "uid = 0\ngid = 0\n" } else { "" };
    world.write(
        "rsyncd.conf",
        format!(
            "{id}use chroot = no\nmunge symlinks = no\nlog file = {}\n[volume]\npath = {}\nread only = no\nwrite only = yes\n\
             pre-xfer exec = mkdir -p \"$RSYNC_MODULE_PATH/$(dirname \"${{RSYNC_REQUEST#volume/}}\")\"\n",
            world.path("rsyncd.log").display(),
            root.display(),
        ),
    );
    world.gateway.told().rsync = Some(config);
    world
}

/// `wfs` that finds rsync.
fn storage(world: &World, arguments: &[&str]) -> Said {
    let mut command = world.command(&[&["storage"], arguments].concat());
    command.env("PATH", std::env::var_os("PATH").unwrap());
    Said::by(command)
}

#[test]
fn a_folder_goes_by_rsync_through_the_gateway() {
    let world = world();
    world.write("data/a b/c d.txt", "content");
    world.write("data/empty", "");
    symlink("a b", world.path("data/link")).unwrap();
    let said = storage(&world, &["upload", "-r", "-p", "--rsync", "data", "/deep er/it's $HOME"]).ended(0);
    assert!(!said.stderr.contains(FALLBACK), "{}", said.stderr);
    assert_eq!(world.gateway.read("deep er/it's $HOME/data/a b/c d.txt"), b"content");
    let there = world.gateway.root().join("deep er/it's $HOME/data");
    assert!(there.join("link").is_symlink() && there.join("empty").is_file());
    let modified = |path: std::path::PathBuf| path.metadata().unwrap().mtime();
    assert_eq!(modified(there.join("empty")), modified(world.path("data/empty")));
    let seen = world.gateway.seen();
    let of_rsync = |request: &&String| request.contains("/api/rsync");
    assert_eq!(seen.iter().filter(of_rsync).count(), 2, "asked once, gone through once: {seen:?}");
    assert!(
        !seen.iter().any(|request| request.contains("/content/") || request.contains("/uploads")),
        "{seen:?}"
    );
}

#[test]
fn a_file_and_what_is_in_a_folder_land_where_the_file_api_puts_them() {
    let world = world();
    world.write("-f", "1");
    world.write("h:g", "2");
    world.write("d/x", "3");
    storage(&world, &["upload", "--rsync", "./-f", "/a/-f"]).ended(0);
    storage(&world, &["upload", "--rsync", "h:g", "/b/"]).ended(0);
    storage(&world, &["upload", "-r", "--rsync", "d/", "/-c"]).ended(0);
    storage(&world, &["upload", "-r", "--rsync", "d/", "/"]).ended(0);
    for (path, content) in [("a/-f", "1"), ("b/h:g", "2"), ("-c/x", "3"), ("x", "3")] {
        assert_eq!(world.gateway.read(path), content.as_bytes(), "{path}");
    }
    world.write("d/x", "changed");
    storage(&world, &["upload", "-r", "--rsync", "--no-overwrite", "d/", "/"]).ended(0);
    assert_eq!(world.gateway.read("x"), b"3");
}

#[test]
fn a_link_that_is_typed_is_the_file_that_it_leads_to() {
    let world = world();
    world.write("data/file", "content");
    symlink("data/file", world.path("link")).unwrap();
    storage(&world, &["upload", "--rsync", "link", "/x/"]).ended(0);
    assert!(!world.gateway.root().join("x/link").is_symlink());
    assert_eq!(world.gateway.read("x/link"), b"content");
}

#[test]
fn where_rsync_cannot_be_a_line_says_so_and_the_file_api_does_it() {
    let world = World::new();
    world.write("d/x", "3");
    storage(&world, &["upload", "-r", "--rsync", "d/", "/e"]).ended(0).complains(FALLBACK);
    assert_eq!(world.gateway.read("e/x"), b"3");
    let world = self::world();
    world.write("d/x", "3");
    storage(&world, &["upload", "-r", "--rsync", "d/", "/a*b"]).ended(0).complains("patterns");
    assert_eq!(world.gateway.read("a*b/x"), b"3");
    // No rsync on this machine.
    let mut command = world.command(&["storage", "upload", "-r", "--rsync", "d/", "/g"]);
    command.env("PATH", world.path("nothing"));
    Said::by(command).ended(0).complains("no rsync on this machine");
    assert_eq!(world.gateway.read("g/x"), b"3");
}

#[test]
fn a_gateway_that_is_gone_in_the_middle_is_an_exit_code_and_the_next_run_goes_on() {
    let world = world();
    world.write("d/big", vec![7; 8 << 20]);
    world.write("d/small", "s");
    world.gateway.told().cut_rsync = Some(1 << 20);
    let said = storage(&world, &["upload", "-r", "--rsync", "d/", "/e"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    world.gateway.told().cut_rsync = None;
    storage(&world, &["upload", "-r", "--rsync", "d/", "/e"]).ended(0);
    assert!(world.gateway.read("e/big") == vec![7; 8 << 20]);
}

#[test]
fn a_daemon_that_starts_still_is_waited_for_and_not_for_ever() {
    let world = world();
    world.write("d/x", "3");
    world.gateway.told().busy_rsync = 3;
    let said = storage(&world, &["upload", "-r", "--rsync", "d/", "/e"]).ended(0);
    assert!(!said.stderr.contains(FALLBACK), "{}", said.stderr);
    assert_eq!((world.gateway.read("e/x").as_slice(), world.gateway.told().busy_rsync), (&b"3"[..], 0));
    world.gateway.told().busy_rsync = usize::MAX;
    let said = storage(&world, &["upload", "-r", "--rsync", "d/", "/f"]).complains("the rsync daemon starts");
    assert!(said.code != Some(0) && !world.gateway.root().join("f").exists(), "{:?}", said.code);
}

#[test]
fn what_the_gateway_refuses_is_told_and_nothing_is_sent() {
    let world = world();
    world.write("d/x", "3");
    world.gateway.told().tokens.clear();
    storage(&world, &["upload", "-r", "--rsync", "d/", "/e"]).ended(1).complains("the token is not known");
    assert!(!world.gateway.root().join("e").exists());
}

#[test]
fn a_script_gets_one_line_and_the_token_is_in_no_command_line() {
    let world = world();
    world.write("d/x", "3");
    let seen = world.path("seen");
    // Instead of rsync: tells how it was called.
    world.write(
        "bin/rsync",
        format!("#!/bin/sh\necho \"$@\" \"$RSYNC_CONNECT_PROG\" > '{}'\nexit 23\n", seen.display()),
    );
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(world.path("bin/rsync"), mode).unwrap();
    let mut command = world.command(&["storage", "upload", "-r", "--rsync", "-o", "json", "d/", "/e"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
    let said = Said::by(command).ended(3);
    assert_eq!(
        said.report(),
        json!({"type": "report", "phase": "upload", "by": "rsync", "exit_code": 3, "outcome": "partial", "rsync_code": 23})
    );
    let called = fs::read_to_string(seen).unwrap();
    assert!(called.contains("rsync-tunnel") && !called.contains(TOKEN), "{called}");
}
