//! The real clients, `leptonai` 0.27.3 and 0.22.5 from PyPI, unmodified: each verb of `lep storage` against the cluster, and their
//! `--rsync`, which speaks with the daemon's exposed port itself.

use anyhow::{Result, ensure};
use workspacefs_testkit::lep::{Client, NEW, OLD, Release};

use super::FS;
use super::desk::shop;
use super::front::Front;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{Content, MIB, Shop};
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

const POD: &str = "user";
const BIG: Content = Content("by lep");
const BIG_LENGTH: usize = 40 * MIB as usize + 17;

pub fn cases() -> Vec<Case> {
    let all = cases![
        every_verb_of_the_real_lep_0_27_3_works_on_the_cluster,
        every_verb_of_the_real_lep_0_22_5_works_on_the_cluster,
        the_real_lep_uploads_a_folder_by_rsync_to_the_exposed_port,
        the_real_lep_is_told_what_is_refused_and_nothing_changes,
    ];
    all.into_iter().map(|case| case.within(600)).collect()
}

async fn every_verb_of_the_real_lep_0_27_3_works_on_the_cluster(context: Context) -> Result<()> {
    every_verb(context, NEW).await
}

async fn every_verb_of_the_real_lep_0_22_5_works_on_the_cluster(context: Context) -> Result<()> {
    every_verb(context, OLD).await
}

async fn every_verb(context: Context, release: Release) -> Result<()> {
    let Shop { door, token, .. } = shop(&context).await?;
    context.start([PodSpec::new(POD).claim(FS, "/data")]).await?;
    let front = Front::before(&context, &door).await?;
    let client = front.client(release, context.namespace(), &token);
    let lep = context.blocking(move |_| written(client)).await?;
    let seen = context.exec(POD, "cd /data && cat a.txt d1/a.txt 'new/deep/é b.txt' && ls -d d1/sub").await?;
    ensure!(seen == "twooneoned1/sub", "a pod sees {seen:?}");
    let sum = context.exec(POD, "sha256sum /data/big").await?;
    ensure!(sum.starts_with(&BIG.digest(BIG_LENGTH as u64)), "a pod sees another file: {sum}");
    context.exec(POD, "printf 'of a pod' > /data/d1/pod").await?;
    context.blocking(move |_| read_and_deleted(&lep, release.version == NEW.version)).await?;
    let left = context.exec(POD, "cd /data && ls -d a.txt d1 big full 2>/dev/null || true").await?;
    let kept = if release.version == NEW.version { "a.txt\nd1" } else { "a.txt\nd1\nfull" };
    ensure!(left == kept, "of what was there is left {left:?}");
    Ok(())
}

/// Makes folders and files; panics, as the client's own checks do, where it is not told so.
fn written(lep: Client) -> Result<Client> {
    lep.storage(&["ls", "/"]).says("0 directories, 0 files");
    lep.storage(&["mkdir", "/d1/sub"]).says("Created directory /d1/sub.");
    lep.write("a.txt", "one");
    lep.storage(&["upload", "a.txt"]).says("Uploaded file a.txt to /a.txt");
    lep.storage(&["upload", "a.txt", "/d1/"]).says("Uploaded file a.txt to /d1/a.txt");
    lep.storage(&["upload", "a.txt", "new/deep/é b.txt"]).says("Uploaded file");
    lep.write("a.txt", "two");
    lep.storage(&["upload", "a.txt", "/a.txt"]).says("Uploaded file");
    lep.write("big", BIG.bytes(0, BIG_LENGTH));
    lep.storage(&["upload", "big", "/big"]).says("Uploaded file");
    lep.write("full", "full");
    lep.storage(&["upload", "full", "/full/x/f"]).says("Uploaded file");
    Ok(lep)
}

fn read_and_deleted(lep: &Client, is_new: bool) -> Result<()> {
    lep.storage(&["ls", "/"]).says("d1/").says("new/").says("a.txt").says("3 directories, 2 files");
    lep.storage(&["ls", "d1/"]).says("sub/").says("1 directory, 2 files");
    lep.storage(&["download", "/d1/pod", "got"]).says("Downloaded file");
    ensure!(lep.read("got") == b"of a pod", "what a pod wrote came as another file");
    lep.storage(&["download", "/big", "back"]).says("Downloaded file");
    ensure!(lep.read("back") == lep.read("big"), "what came back is another file");
    lep.storage(&["du"]).says("Total disk usage: ");
    lep.storage(&["ls-file-system"]).says(FS);
    lep.storage(&["ls", "/", "-fs", FS]).says("3 directories");
    lep.lep(&["file", "ls", "/"]).says("3 directories, 2 files");
    lep.storage(&["rm", "/big"]).says("Deleted /big.");
    lep.storage(&["rm", "/d1/a.txt"]).says("Deleted /d1/a.txt.");
    lep.storage(&["rmdir", "/d1/sub"]).says("Deleted /d1/sub.");
    lep.storage(&["rmdir", "/full"]).complains("409");
    // The older has no such flag.
    if is_new {
        lep.storage(&["rmdir", "-r", "/full"]).says("Deleted /full.");
    }
    Ok(())
}

async fn the_real_lep_uploads_a_folder_by_rsync_to_the_exposed_port(context: Context) -> Result<()> {
    let Shop { door, token, .. } = shop(&context).await?;
    exposed(&context, &door, &token).await?;
    context.start([PodSpec::new(POD).claim(FS, "/data")]).await?;
    let front = Front::before(&context, &door).await?;
    let namespace = context.namespace().to_owned();
    let upload = move |_: &crate::Cluster| -> Result<()> {
        let lep = front.client(NEW, &namespace, &token);
        lep.write("folder/a.txt", "one");
        lep.write("folder/deep/big", BIG.bytes(0, BIG_LENGTH));
        let said = lep.storage(&["upload", "-r", "-p", "--rsync", "folder", "/parents/are/made"]);
        ensure!(said.code == Some(0), "{said:?}");
        Ok(())
    };
    context.blocking(upload).await?;
    let there = "cd /data/parents/are/made/folder";
    let seen = context.exec(POD, &format!("{there} && cat a.txt && sha256sum deep/big")).await?;
    let expected = format!("one{}", BIG.digest(BIG_LENGTH as u64));
    ensure!(seen.starts_with(&expected), "a pod sees {seen:?}");
    Ok(())
}

async fn the_real_lep_is_told_what_is_refused_and_nothing_changes(context: Context) -> Result<()> {
    let Shop { door, token, files } = shop(&context).await?;
    files.put("folders/d", "").await?.expect(201)?;
    files.put("content/d/f", "kept").await?.expect(201)?;
    exposed(&context, &door, &token).await?;
    let front = Front::before(&context, &door).await?;
    let namespace = context.namespace().to_owned();
    let refused = move |_: &crate::Cluster| -> Result<()> {
        for release in [NEW, OLD] {
            let lep = front.client(release, &namespace, &token);
            for words in [&["ls", "/x"][..], &["rm", "/x"], &["rmdir", "/x"], &["download", "/x", "y"]] {
                lep.storage(words).complains("not found");
            }
            lep.storage(&["mkdir", "/d"]).complains("409");
            for words in [&["rm", "/"][..], &["rmdir", "/"], &["rm", "../../d/f"]] {
                let root = lep.storage(words);
                ensure!(root.code.is_some_and(|code| code != 0), "{words:?}: {root:?}");
            }
            let nobody = front.client(release, &namespace, "canary-no-token");
            nobody.storage(&["ls", "/"]).complains("not found");
            nobody.storage(&["mkdir", "/new"]).complains("401");
            nobody.write("x", "x");
            nobody.storage(&["upload", "x", "/x"]).complains("401");
            nobody.storage(&["du"]).complains("401");
        }
        let root = front.client(NEW, &namespace, &token).storage(&["rmdir", "-r", "/"]);
        ensure!(root.code.is_some_and(|code| code != 0), "the root was deleted: {root:?}");
        let nobody = front.client(NEW, &namespace, "canary-no-token");
        nobody.write("data/x", "x");
        let pushed = nobody.storage(&["upload", "-r", "-p", "--rsync", "data", "/pushed"]);
        ensure!(pushed.code.is_some_and(|code| code != 0), "nobody got rsync's password: {pushed:?}");
        let lep = front.client(NEW, &namespace, &token);
        lep.write("data/x", "x");
        let pushed = lep.storage(&["upload", "-r", "-p", "--rsync", "data", "/../pushed"]);
        ensure!(pushed.code.is_some_and(|code| code != 0), "a path leads out: {pushed:?}");
        Ok(())
    };
    context.blocking(refused).await?;
    let left = context.on_server(&format!("ls {FS} && cat {FS}/d/f && ls .")).await?;
    ensure!(left == format!("d\nkept{FS}"), "something was changed: {left:?}");
    Ok(())
}

/// Waits until the gateway tells the password of the daemon's port, as the client asks for it; gives it.
pub async fn exposed(context: &Context, door: &crate::suites::files::Door, token: &str) -> Result<String> {
    let path = format!("/api/v2/workspaces/{}/deployments/storage-rsync-by-lepton", context.namespace());
    let look = || async {
        let (status, body) = door.ask_raw(context, &format!("GET {path}"), token).await?;
        ensure!(status == 200, "it answers {status} {body}");
        let told: serde_json::Value = serde_json::from_str(&body)?;
        let password = told["spec"]["envs"][0]["value"].as_str().unwrap_or_default().to_owned();
        ensure!(password.len() >= 16, "no password, or a short one");
        Ok(password)
    };
    until("the daemon's port is exposed", seconds(60), look).await
}
