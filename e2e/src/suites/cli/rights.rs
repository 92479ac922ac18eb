//! Who may not, by each of the programs: what is refused is said, and changes nothing.

use anyhow::{Result, ensure};
use workspacefs_testkit::lep::{NEW, OLD};

use super::FS;
use super::desk::{Desk, shop};
use super::front::Front;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{Shop, VIEWER};
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    cases![
        a_viewer_writes_neither_by_wfs_nor_by_rsync_nor_by_lep,
        a_token_that_is_none_does_nothing_and_is_said,
    ]
}

async fn a_viewer_writes_neither_by_wfs_nor_by_rsync_nor_by_lep(context: Context) -> Result<()> {
    let Shop { door, files, .. } = shop(&context).await?;
    files.put("content/kept", "kept").await?.expect(201)?;
    let token = context.person("viewer", Some(VIEWER)).await?;
    let mut desk = Desk::with_token(&context, &door, &token)?;
    let reads = || async { desk.storage(&["cat", "kept"]).await?.ended(0)?.prints("kept").map(drop) };
    until("the viewer reads", seconds(60), reads).await?;
    desk.write("data/x", "x")?;
    for words in [
        &["upload", "data/x", "/x"][..],
        &["upload", "-r", "data", "/"],
        &["upload", "-r", "-p", "--rsync", "data", "/"],
        &["mkdir", "new"],
        &["rm", "kept"],
        &["rm", "--permanent", "kept"],
        &["mv", "kept", "moved"],
        &["cp", "kept", "copy"],
    ] {
        desk.storage(words).await?.ended(1)?.says_why()?;
    }
    // The real rsync by itself, which asks nobody before it connects.
    desk.goes_through_the_gateway();
    desk.rsync(&["-r", "data/", "workspacefs::volume/pushed/"]).await?.failed()?.says_why()?;

    let front = Front::before(&context, &door).await?;
    let namespace = context.namespace().to_owned();
    let lep = move |_: &crate::Cluster| -> Result<()> {
        for release in [NEW, OLD] {
            let lep = front.client(release, &namespace, &token);
            lep.storage(&["ls", "/"]).says("0 directories, 1 file");
            lep.write("x", "x");
            for words in [&["mkdir", "/new"][..], &["upload", "x", "/x"], &["rm", "/kept"]] {
                lep.storage(words).complains("403");
            }
        }
        let lep = front.client(NEW, &namespace, &token);
        lep.write("data/x", "x");
        let pushed = lep.storage(&["upload", "-r", "-p", "--rsync", "data", "/pushed"]);
        ensure!(pushed.code != Some(0), "a viewer got rsync's password: {pushed:?}");
        Ok(())
    };
    context.blocking(lep).await?;
    let left = context.on_server(&format!("cat {FS}/kept && ls {FS}")).await?;
    ensure!(left == "keptkept", "the viewer changed something: {left}");
    Ok(())
}

async fn a_token_that_is_none_does_nothing_and_is_said(context: Context) -> Result<()> {
    let Shop { door, .. } = shop(&context).await?;
    let mut desk = Desk::with_token(&context, &door, "canary-no-token")?;
    desk.write("data/x", "x")?;
    for words in [
        &["ls"][..],
        &["upload", "data/x", "/x"],
        &["upload", "-r", "--rsync", "data", "/"],
        &["download", "/x"],
    ] {
        desk.storage(words).await?.ended(1)?.says_why()?;
    }
    desk.wfs(&["whoami"]).await?.ended(1)?.says_why()?;
    desk.wfs(&["doctor"]).await?.ended(1)?.says("BAD   token")?;
    desk.goes_through_the_gateway();
    desk.rsync(&["-r", "data/", "workspacefs::volume/pushed/"]).await?.failed()?.says_why()?;
    ensure!(context.on_server(&format!("ls {FS}")).await?.is_empty(), "something was made");
    Ok(())
}
