//! The real rsync through the gateway's tunnel: parents are made, nothing leads out, and a right that goes takes the connection with it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::FS;
use super::desk::{Desk, shop};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{Content, EDITOR, MIB, Shop};
use crate::suites::pod::PodSpec;
use crate::suites::wait::{patient, seconds, until};

const POD: &str = "user";
const BIG: Content = Content("by rsync");
const BIG_LENGTH: usize = 64 * MIB as usize;
/// In KiB a second: so slow that it is under way for half a minute.
const UNHURRIED: &str = "--bwlimit=2048";
/// When the right goes.
const UNDER_WAY: Duration = seconds(5);
/// What the gateway takes to review a connection, and rsync to notice.
const END_TIME_MAX: Duration = seconds(20);

pub fn cases() -> Vec<Case> {
    cases![
        rsync_through_the_gateway_makes_parents_and_leads_out_of_nothing,
        a_right_that_is_taken_away_ends_a_running_rsync,
    ]
}

async fn rsync_through_the_gateway_makes_parents_and_leads_out_of_nothing(context: Context) -> Result<()> {
    let Shop { door, token, .. } = shop(&context).await?;
    context.start([PodSpec::new(POD).claim(FS, "/data")]).await?;
    context.on_server("printf outside > outside && mkdir beside && chmod 0777 beside").await?;
    let mut desk = Desk::with_token(&context, &door, &token)?;
    desk.write("tree/a b/é.txt", "one")?;
    desk.write("tree/big", BIG.bytes(0, BIG_LENGTH))?;
    std::os::unix::fs::symlink("big", desk.path("tree/link"))?;
    let said = desk.storage(&["upload", "-r", "--rsync", "tree", "/deep er/still"]).await?.ended(0)?;
    ensure!(!said.stderr.contains("over the file API"), "rsync was not used: {said:?}");
    let there = "cd '/data/deep er/still/tree'";
    let found = context.exec(POD, &format!("{there} && cat 'a b/é.txt' && readlink link")).await?;
    ensure!(found == "onebig", "a pod sees {found:?}");
    let sum = context.exec(POD, &format!("{there} && sha256sum big")).await?;
    ensure!(sum.starts_with(&BIG.digest(BIG_LENGTH as u64)), "a pod sees another file: {sum}");

    desk.goes_through_the_gateway();
    desk.write("bad", "bad")?;
    for out in ["../outside", "../beside/bad", "a/../../beside/bad", ".workspacefs-files/bad", "./../beside/"]
    {
        let target = format!("workspacefs::volume/{out}");
        desk.rsync(&["bad", &target]).await?.failed()?.says_why()?;
    }
    // A link of the file system's own that leads out.
    context.exec(POD, "ln -s ../beside /data/way-out").await?;
    desk.rsync(&["bad", "workspacefs::volume/way-out/bad"]).await?.failed()?.says_why()?;
    let outside = context.on_server("cat outside && ls -A beside").await?;
    ensure!(outside == "outside", "something was written outside: {outside}");
    // Nothing is read, and nothing is deleted.
    desk.rsync(&["-r", "workspacefs::volume/", "got/"]).await?.failed()?.says_why()?;
    desk.write("empty/only", "only")?;
    desk.rsync(&["-r", "--delete", "empty/", "workspacefs::volume/deep er/still/tree/"])
        .await?
        .failed()?
        .says_why()?;
    let kept = context.exec(POD, &format!("{there} && ls")).await?;
    ensure!(kept.contains("big"), "rsync deleted: {kept}");
    Ok(())
}

async fn a_right_that_is_taken_away_ends_a_running_rsync(context: Context) -> Result<()> {
    let Shop { door, .. } = shop(&context).await?;
    let token = context.person("leaver", Some(EDITOR)).await?;
    let mut desk = Desk::with_token(&context, &door, &token)?;
    desk.goes_through_the_gateway();
    desk.write("small", "small")?;
    let reaches = || async { desk.rsync(&["small", "workspacefs::volume/small"]).await?.ended(0).map(drop) };
    until("the leaver reaches the daemon", seconds(60), reaches).await?;
    desk.write("big", BIG.bytes(0, BIG_LENGTH))?;
    let transfer = async {
        let said = desk.rsync(&[UNHURRIED, "big", "workspacefs::volume/big"]).await?;
        anyhow::Ok((said, Instant::now()))
    };
    let taken = async {
        tokio::time::sleep(UNDER_WAY).await;
        context.take_back("leaver").await?;
        anyhow::Ok(Instant::now())
    };
    let (transfer, taken) = tokio::join!(transfer, taken);
    let ((said, ended), taken) = (transfer?, taken?);
    said.failed()?.says_why()?;
    ensure!(ended > taken, "it ended before its right");
    let took = ended - taken;
    context.note(format!("the running rsync ended {:.1} s after its right", took.as_secs_f32()));
    ensure!(took < patient(END_TIME_MAX), "the rsync went on for {took:?}");
    let look = || async {
        let names = context.on_server(&format!("ls -A {FS} | grep -v '^[.]workspacefs'")).await?;
        ensure!(names == "small", "there is more than what was done before: {names}");
        Ok(())
    };
    until("no part of it is left", seconds(30), look).await?;
    desk.rsync(&["small", "workspacefs::volume/again"]).await?.failed()?.says_why().map(drop)
}
