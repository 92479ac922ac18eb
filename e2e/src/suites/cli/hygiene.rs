//! What holds whatever the programs asked: no token and no password in a log of the gateway, of `files` or of the rsync daemon; and at
//! last nothing is left.

use anyhow::{Result, ensure};
use workspacefs_testkit::lep::NEW;

use super::FS;
use super::desk::{Desk, shop};
use super::front::Front;
use super::lep::exposed;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{Shop, nothing_of_files_is_left_when_no_file_system_is_there};

/// What nobody else says: a token that is none.
const NO_TOKEN: &str = "canary-no-token-e81f40-must-not-be-seen";

pub fn cases() -> Vec<Case> {
    let all = cases![
        no_token_and_no_password_of_rsync_is_told_in_a_log,
        nothing_of_files_is_left_when_no_file_system_is_there,
    ];
    all.into_iter().map(Case::alone).collect()
}

async fn no_token_and_no_password_of_rsync_is_told_in_a_log(context: Context) -> Result<()> {
    let Shop { door, token, .. } = shop(&context).await?;
    let password = exposed(&context, &door, &token).await?;
    let mut desk = Desk::with_token(&context, &door, &token)?;
    desk.keeps_secret(&password);
    desk.write("data/x", "x")?;
    desk.storage(&["upload", "-r", "data", "/api"]).await?.ended(0)?;
    desk.storage(&["upload", "-r", "-p", "--rsync", "data", "/rsync"]).await?.ended(0)?;
    desk.set("WFS_TOKEN", NO_TOKEN);
    desk.storage(&["upload", "-r", "-p", "--rsync", "data", "/none"]).await?.ended(1)?.says_why()?;

    let front = Front::before(&context, &door).await?;
    let (namespace, editor) = (context.namespace().to_owned(), token.clone());
    let lep = move |_: &crate::Cluster| -> Result<()> {
        let lep = front.client(NEW, &namespace, &editor);
        lep.write("data/x", "x");
        let pushed = lep.storage(&["upload", "-r", "-p", "--rsync", "data", "/lep"]);
        ensure!(pushed.code == Some(0), "{pushed:?}");
        front.client(NEW, &namespace, NO_TOKEN).storage(&["du"]).complains("401");
        Ok(())
    };
    context.blocking(lep).await?;
    let names = context.on_server(&format!("ls {FS}")).await?;
    ensure!(names == "api\nlep\nrsync", "nothing was tested: there is {names}");
    context.logs_are_clean_of(&[token, password, NO_TOKEN.to_owned()]).await
}
