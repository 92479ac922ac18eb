//! What a workspace has without asking.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    cases![
        a_workspace_gets_a_file_system_with_an_enforced_size_on_a_disk_nobody_formatted,
        pods_on_two_nodes_share_bytes_through_the_embedded_server,
        the_folder_has_the_owner_and_mode_that_were_asked_for,
        a_file_system_grows_online_and_never_shrinks_below_its_files,
        a_capacity_that_the_disk_has_not_got_is_not_promised,
    ]
}

async fn a_workspace_gets_a_file_system_with_an_enforced_size_on_a_disk_nobody_formatted(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let look = || async { context.file_systems().get("default").await.context("not there yet") };
    until("the workspace has its FileSystem", seconds(60), look).await?;
    context.usable("default").await?;
    let object = context.condition("default", "QuotaEnforced", "True", seconds(60)).await?;
    let usage = object.status.and_then(|status| status.usage).context("no usage")?;
    ensure!(usage.capacity.0 == "10Gi", "the capacity is {}", usage.capacity.0);
    let claim = context.claims().get("default").await?;
    let size = claim.status.and_then(|status| status.capacity).and_then(|mut sizes| sizes.remove("storage"));
    ensure!(size.as_ref().is_some_and(|size| size.0 == "10Gi"), "the claim's size is {size:?}");
    context.start([PodSpec::new("user").claim("default", "/data")]).await?;
    context.exec("user", "echo works > /data/x && cat /data/x").await?;
    let kind = context.on_disk("stat -f -c %T . && blkid -s TYPE -o value /dev/ubdb").await?;
    ensure!(kind.lines().eq(["xfs", "xfs"]), "the disk is {kind:?}");
    Ok(())
}

async fn pods_on_two_nodes_share_bytes_through_the_embedded_server(context: Context) -> Result<()> {
    context.managed("data", "256Mi").await?;
    let pod = |name, node| PodSpec::new(name).on(node).claim("data", "/claim").inline("data", "", "/inline");
    context.start([pod("one", "n1"), pod("two", "n2")]).await?;
    for (from, to) in [("one", "two"), ("two", "one")] {
        let sum = format!("head -c 3000000 /dev/urandom > /claim/{from} && sha256sum < /claim/{from}");
        let written = context.exec(from, &sum).await?;
        let read = context.exec(to, &format!("sha256sum < /inline/{from}")).await?;
        ensure!(read == written, "{to} reads {read}, {from} wrote {written}");
    }
    let kind = context.exec("two", "awk '$2 == \"/claim\" {print $3, $4}' /proc/mounts").await?;
    ensure!(kind.starts_with("nfs4 ") && kind.contains("vers=4.2"), "mounted as {kind}");
    Ok(())
}

async fn the_folder_has_the_owner_and_mode_that_were_asked_for(context: Context) -> Result<()> {
    let owner = json!({ "owner": { "uid": 1000, "gid": 2000, "mode": "2770" } });
    context.managed_with("data", "64Mi", owner).await?;
    let folder = context.folder_of("data").await?;
    let seen = context.on_disk(&format!("stat -c '%u %g %a' {folder}")).await?;
    ensure!(seen == "1000 2000 2770", "the folder is {seen}");
    Ok(())
}

async fn a_file_system_grows_online_and_never_shrinks_below_its_files(context: Context) -> Result<()> {
    context.managed("data", "64Mi").await?;
    context.start([PodSpec::new("user").claim("data", "/data")]).await?;
    let write = |mib: u32| format!("dd if=/dev/zero of=/data/big bs=1M count={mib} conv=fsync 2>&1");
    let refused = context.try_exec("user", &write(200)).await?;
    ensure!(!refused.success, "200 MiB fit into 64: {}", refused.text);
    resize(&context, "320Mi").await?;
    let look = || async {
        let claim = context.claims().get("data").await?;
        let size = claim.status.and_then(|s| s.capacity).and_then(|mut sizes| sizes.remove("storage"));
        ensure!(size.as_ref().is_some_and(|size| size.0 == "320Mi"), "the claim's size is {size:?}");
        Ok(())
    };
    until("the claim has grown with the FileSystem", seconds(90), look).await?;
    context.exec("user", &write(200)).await?;
    resize(&context, "100Mi").await?;
    let look = || async {
        let object = context.file_systems().get("data").await?;
        let words: Vec<String> =
            object.status.iter().flat_map(|s| &s.conditions).map(|c| c.message.clone()).collect();
        ensure!(words.iter().any(|message| message.contains("100Mi")), "its conditions say {words:?}");
        Ok(())
    };
    until("the refusal names the numbers", seconds(90), look).await?;
    // Nothing was taken away meanwhile.
    context.exec("user", "echo still > /data/more && test $(stat -c %s /data/big) = 209715200").await?;
    Ok(())
}

async fn a_capacity_that_the_disk_has_not_got_is_not_promised(context: Context) -> Result<()> {
    let spec = json!({ "backend": { "managed": { "capacity": "10Ti" } } });
    context.create_file_system("huge", spec).await?;
    let object = context.condition("huge", "Ready", "False", seconds(60)).await?;
    let message = object.condition("Ready").map(|c| c.message.clone()).unwrap_or_default();
    ensure!(message.contains("10Ti") || message.contains("10995116277760"), "it says {message:?}");
    Ok(())
}

async fn resize(context: &Context, capacity: &str) -> Result<()> {
    let patch = json!({ "spec": { "backend": { "managed": { "capacity": capacity } } } });
    let ended = context
        .kubectl(&["patch", "filesystem", "data", "--type=merge", "--patch", &patch.to_string()], "")
        .await?;
    ensure!(ended.status.success(), "kubectl patch: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}
