//! Owners and modes: given once, when the folder is created, and never again; users keep their own ids.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    cases![
        a_folder_is_created_with_its_owner_and_a_folder_that_was_there_keeps_its_own,
        any_user_writes_in_a_folder_of_the_default_mode_under_his_own_id,
        fs_group_changes_no_files_owner,
    ]
}

async fn a_folder_is_created_with_its_owner_and_a_folder_that_was_there_keeps_its_own(
    context: Context,
) -> Result<()> {
    context.on_server("mkdir -p old && chown 7:8 old && chmod 0711 old").await?;
    let owner = json!({ "uid": 1234, "gid": 2345, "mode": "2750" });
    for name in ["new", "old"] {
        context.create_file_system(name, json!({ "backend": context.shared(name), "owner": owner })).await?;
    }
    let nested = json!({ "backend": context.shared("deep/down/here"), "owner": owner });
    context.create_file_system("nested", nested).await?;
    for name in ["new", "old", "nested"] {
        context.usable(name).await?;
    }
    let [_] = context
        .start([PodSpec::new("user").claim("new", "/new").claim("old", "/old").claim("nested", "/nested")])
        .await?;
    let stats = context.on_server("stat -c '%n %u %g %a' new old deep/down/here").await?;
    let expected = "new 1234 2345 2750\nold 7 8 711\ndeep/down/here 1234 2345 2750";
    ensure!(stats == expected, "on the server:\n{stats}\nexpected:\n{expected}");
    let seen = context.exec("user", "stat -c '%u %g %a' /new /old /nested").await?;
    ensure!(seen == "1234 2345 2750\n7 8 711\n1234 2345 2750", "in the pod:\n{seen}");

    // An administrator's later change stays, however often it is mounted.
    context.on_server("chown 5:6 new && chmod 00700 new").await?;
    context.stop("user").await?;
    context.start([PodSpec::new("again").claim("new", "/new")]).await?;
    let kept = context.on_server("stat -c '%u %g %a' new").await?;
    ensure!(kept == "5 6 700", "the next mount changed it to {kept}");
    Ok(())
}

async fn any_user_writes_in_a_folder_of_the_default_mode_under_his_own_id(context: Context) -> Result<()> {
    context.file_system("data").await?;
    let user = |name: &str, uid: u32| PodSpec::new(name).with_user(uid).claim("data", "/data");
    context.start([user("one", 1001), user("other", 2002)]).await?;
    context.exec("one", "umask 077; echo secret > /data/one").await?;
    context.exec("other", "echo hello > /data/other").await?;
    let denied = context.try_exec("other", "cat /data/one").await?;
    ensure!(
        !denied.success && denied.text.contains("Permission denied"),
        "2002 read 1001's file: {}",
        denied.text
    );
    let stats = context.on_server("stat -c '%a %u %g' data data/one data/other").await?;
    ensure!(stats == "777 0 0\n600 1001 1001\n644 2002 2002", "on the server:\n{stats}");
    Ok(())
}

async fn fs_group_changes_no_files_owner(context: Context) -> Result<()> {
    context
        .on_server("mkdir -p data/deep && echo x > data/deep/x && chown -R 11:22 data && chmod 0755 data")
        .await?;
    context.file_system("data").await?;
    let security = json!({ "runAsUser": 1000, "fsGroup": 4242 });
    let pod = PodSpec::new("user")
        .with("securityContext", security)
        .claim("data", "/data")
        .inline("data", "", "/same");
    context.start([pod]).await?;
    context.exec("user", "cat /data/deep/x /same/deep/x").await?;
    let stats = context.on_server("stat -c '%u %g' data data/deep data/deep/x").await?;
    ensure!(stats == "11 22\n11 22\n11 22", "fsGroup changed the owners:\n{stats}");
    Ok(())
}
