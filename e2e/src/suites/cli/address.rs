//! By `WFS_URL` and `WFS_TOKEN`, as scripts do it: the documented forms, folders with names of all kinds, times and modes, and the exit
//! codes.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Result, ensure};
use serde_json::json;

use super::FS;
use super::desk::{Desk, shop};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{Shop, digest};
use crate::suites::pod::PodSpec;

const POD: &str = "user";
/// Of a file, to the nanosecond.
const MODIFIED: Duration = Duration::new(1_234_567_890, 123_456_789);
/// Names that somebody mistakes for something else.
const NAMES: [&str; 6] = ["a b c.txt", "日本語/é.txt", "50% off", "-dash'", "it's $HOME", "q?x=1#y"];

pub fn cases() -> Vec<Case> {
    cases![
        the_documented_forms_upload_download_and_delete_with_names_times_and_modes,
        exit_codes_tell_what_was_wrong_from_some_of_it_and_from_nothing,
    ]
}

async fn the_documented_forms_upload_download_and_delete_with_names_times_and_modes(
    context: Context,
) -> Result<()> {
    let Shop { door, token, .. } = shop(&context).await?;
    context.start([PodSpec::new(POD).claim(FS, "/data")]).await?;
    let desk = Desk::with_token(&context, &door, &token)?;
    desk.write("a.txt", "one")?;
    desk.storage(&["upload", "a.txt", "/d/a.txt"]).await?.ended(0)?;
    ensure!(context.exec(POD, "cat /data/d/a.txt").await? == "one", "a pod sees another file");
    desk.storage(&["download", "/d/a.txt", "back.txt"]).await?.ended(0)?;
    ensure!(desk.read("back.txt")? == b"one", "what came back is another file");

    for name in NAMES {
        desk.write(&format!("data set/{name}"), name)?;
    }
    desk.write("data set/run", "#!/bin/sh")?;
    fs::create_dir_all(desk.path("data set/empty"))?;
    fs::set_permissions(desk.path("data set/run"), fs::Permissions::from_mode(0o751))?;
    File::open(desk.path("data set/run"))?.set_modified(UNIX_EPOCH + MODIFIED)?;
    for (way, target) in [(&["-r"][..], "/by api"), (&["-r", "-p", "--rsync"], "/by rsync")] {
        let words = [&["upload"], way, &["data set", target]].concat();
        let said = desk.storage(&words).await?.ended(0)?;
        ensure!(!said.stderr.contains("over the file API"), "rsync was not used: {said:?}");
        arrived(&context, &format!("/data{target}/data set")).await?;
    }
    let again = ["upload", "-r", "--update", "-o", "json", "data set", "/by api"];
    let again = desk.storage(&again).await?.ended(0)?.report()?;
    ensure!(again["files"]["done"]["files"] == 0, "files that are there were sent again: {again}");

    desk.storage(&["download", "-r", "/by rsync/data set", "got"]).await?.ended(0)?;
    for name in NAMES {
        let got = desk.read(&format!("got/data set/{name}"))?;
        ensure!(got == name.as_bytes(), "{name:?} came back as another file");
    }
    desk.storage(&["rm", "/d/a.txt"]).await?.ended(0)?;
    ensure!(context.exec(POD, "ls /data/d").await?.is_empty(), "it was not deleted");
    Ok(())
}

/// A pod finds the folder whole, with the time and the mode of what has them.
async fn arrived(context: &Context, folder: &str) -> Result<()> {
    let found = context.exec(POD, &format!("cd '{folder}' && find . -type f | wc -l && ls -d empty")).await?;
    let found: Vec<&str> = found.split_whitespace().collect();
    ensure!(found == [(NAMES.len() + 1).to_string().as_str(), "empty"], "in {folder} there is {found:?}");
    let sums = context
        .exec(POD, &format!("cd '{folder}' && find . -type f -exec cat {{}} \\; -exec echo \\;"))
        .await?;
    for name in NAMES {
        ensure!(sums.lines().any(|line| line == name), "in {folder} {name:?} is not: {sums}");
    }
    let run = context.exec(POD, &format!("stat -c '%a %Y' '{folder}/run'")).await?;
    ensure!(run == format!("751 {}", MODIFIED.as_secs()), "{folder}/run has mode and time {run}");
    Ok(())
}

async fn exit_codes_tell_what_was_wrong_from_some_of_it_and_from_nothing(context: Context) -> Result<()> {
    let Shop { door, token, files } = shop(&context).await?;
    let mut desk = Desk::with_token(&context, &door, &token)?;
    desk.write("some/good", "good")?;
    // What is wrong with the command line is told before anything is sent.
    for wrong in [
        &["rm", "/"][..],
        &["rm", "a/../b"],
        &["upload", "some", "/x"],
        &["upload", "some/good", "../x"],
        &["no-such-verb"],
        &["ls", "--no-such-flag"],
    ] {
        desk.storage(wrong).await?.ended(2)?.says_why()?;
    }
    ensure!(files.list("").await?.is_empty(), "something was made by a command line that is wrong");
    // Some of it.
    symlink("good", desk.path("some/link"))?;
    desk.storage(&["upload", "-r", "some", "/"]).await?.ended(3)?.complains("link")?;
    let good = files.get("content/some/good").await?.expect(200)?;
    ensure!(digest(&good.body) == digest(b"good"), "the rest was not done");
    desk.storage(&["cat", "nowhere", "some/good"]).await?.ended(3)?.prints("good")?;
    desk.storage(&["upload", "-r", "--links", "skip", "some", "/"]).await?.ended(0)?;
    // Nothing.
    desk.storage(&["upload", "missing", "/x"]).await?.ended(1)?.complains("missing")?;
    desk.storage(&["download", "/nowhere"]).await?.ended(1)?.complains("/nowhere")?;
    desk.storage(&["ls", "-f", "missing"]).await?.ended(1)?.says_why()?;
    let said = desk.storage(&["ls", "nowhere", "-o", "json"]).await?.ended(1)?.report()?;
    ensure!(said != json!({}), "a script is told nothing");
    // Another certificate than the one that is believed.
    desk.set("WFS_CA", format!("sha256:{}", "ab".repeat(32)));
    desk.storage(&["ls"]).await?.ended(1)?.complains("cannot reach the gateway").map(drop)
}
