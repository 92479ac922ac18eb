//! Deleting: into the trash and back; kept for the same namespace; never for another.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    cases![
        a_deleted_file_system_can_be_restored_from_the_trash_by_the_documented_command,
        an_archived_file_system_lies_under_a_readable_name,
        an_archived_further_claim_lies_under_a_readable_name,
        a_retained_file_system_is_found_again_in_the_same_namespace,
        a_retained_folder_is_adopted_by_the_key_that_the_list_shows,
        a_namespace_created_again_does_not_find_the_old_ones_files,
        a_namespace_that_goes_with_further_claims_leaves_no_volume,
        deleting_a_claim_by_hand_touches_no_file,
    ]
}

/// Makes FileSystem `data` and writes a file into it.
async fn with_a_file(context: &Context, reclaim_policy: &str) -> Result<()> {
    context.managed_with("data", "64Mi", json!({ "reclaimPolicy": reclaim_policy })).await?;
    context.start([PodSpec::new("writer").on("n2").claim("data", "/data")]).await?;
    context.exec("writer", "echo precious > /data/x && sync -d /data/x").await?;
    context.stop("writer").await
}

/// Whether a new FileSystem `data` has the file.
async fn has_the_file(context: &Context) -> Result<bool> {
    context.managed("data", "64Mi").await?;
    context.start([PodSpec::new("reader").on("n2").claim("data", "/data")]).await?;
    let read = context.exec("reader", "cat /data/x 2>/dev/null || echo nothing").await?;
    context.stop("reader").await?;
    Ok(read == "precious")
}

async fn a_deleted_file_system_can_be_restored_from_the_trash_by_the_documented_command(
    context: Context,
) -> Result<()> {
    with_a_file(&context, "Delete").await?;
    let folder = context.folder_of("data").await?;
    context.remove_file_system("data").await?;
    context.on_disk(&format!("test ! -e {folder}")).await?;
    let listed = context.agent(&["removed"]).await?;
    let line = listed.lines().find(|line| line.contains(context.namespace()));
    let line = line.with_context(|| format!("it is not listed:\n{listed}"))?;
    let id = line.split_whitespace().next().context("a line without an id")?;
    let said = context.agent(&["restore", id]).await?;
    context.note(said.trim().to_owned());
    ensure!(has_the_file(&context).await?, "the restored FileSystem has not the file");
    Ok(())
}

async fn an_archived_file_system_lies_under_a_readable_name(context: Context) -> Result<()> {
    with_a_file(&context, "Archive").await?;
    context.remove_file_system("data").await?;
    let listed = context.on_disk("find archive -maxdepth 3 -name x").await?;
    let ours = listed.lines().find(|path| path.contains(context.namespace()));
    ensure!(ours.is_some_and(|path| path.contains("data")), "the archive has:\n{listed}");
    ensure!(!has_the_file(&context).await?, "the archived file is in a new FileSystem");
    Ok(())
}

async fn an_archived_further_claim_lies_under_a_readable_name(context: Context) -> Result<()> {
    context.managed_with("data", "256Mi", json!({ "reclaimPolicy": "Archive" })).await?;
    context.class_is_there("data").await?;
    context.create_claim("more", &context.class_of("data"), "64Mi").await?;
    context.bound("more").await?;
    context.start([PodSpec::new("writer").on("n2").claim("more", "/data")]).await?;
    context.exec("writer", "echo precious > /data/x && sync -d /data/x").await?;
    context.stop("writer").await?;
    context.delete_claim("more").await?;
    let found = context.on_disk(&format!("cat archive/{}.data.*/x", context.namespace())).await?;
    ensure!(found == "precious", "the archived file reads {found:?}");
    Ok(())
}

async fn a_retained_folder_is_adopted_by_the_key_that_the_list_shows(context: Context) -> Result<()> {
    with_a_file(&context, "Retain").await?;
    context.remove_file_system("data").await?;
    let listed = context.agent(&["removed"]).await?;
    let line = listed.lines().find(|line| line.contains(context.namespace()));
    let key = line.and_then(|line| line.split_whitespace().last()).context("it is not listed")?;
    let backend = json!({ "managed": { "capacity": "64Mi", "adopt": key } });
    context.file_system_with("heir", json!({ "backend": backend })).await?;
    context.start([PodSpec::new("reader").on("n2").claim("heir", "/data")]).await?;
    let read = context.exec("reader", "cat /data/x").await?;
    ensure!(read == "precious", "it reads {read:?}");
    Ok(())
}

async fn a_retained_file_system_is_found_again_in_the_same_namespace(context: Context) -> Result<()> {
    with_a_file(&context, "Retain").await?;
    context.remove_file_system("data").await?;
    ensure!(has_the_file(&context).await?, "the FileSystem made again has not the file");
    Ok(())
}

/// A namespace beside the case's own, which the case makes and deletes.
fn beside(context: &Context) -> Context {
    context.in_namespace(&format!("{}-b", context.namespace()))
}

async fn create_namespace(context: &Context) -> Result<()> {
    let labels = json!({ "workspacefs.io/e2e": "managed" });
    let object = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": context.namespace(), "labels": labels },
    });
    context.apply(&object.to_string()).await
}

async fn delete_namespace(context: &Context) -> Result<()> {
    let delete = ["delete", "namespace", context.namespace(), "--timeout=110s"];
    let ended = context.kubectl(&delete, "").await?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

async fn a_namespace_created_again_does_not_find_the_old_ones_files(context: Context) -> Result<()> {
    let again = beside(&context);
    create_namespace(&again).await?;
    with_a_file(&again, "Retain").await?;
    let kept = again.folder_of("data").await?;
    delete_namespace(&again).await.context("the namespace goes with its FileSystem")?;
    create_namespace(&again).await?;
    let found = has_the_file(&again).await;
    delete_namespace(&again).await?;
    ensure!(!found?, "the new tenant reads the old one's file");
    let text = context.on_disk(&format!("cat {kept}/x")).await?;
    ensure!(text == "precious", "the retained file reads {text:?}");
    Ok(())
}

async fn a_namespace_that_goes_with_further_claims_leaves_no_volume(context: Context) -> Result<()> {
    let tenant = beside(&context);
    create_namespace(&tenant).await?;
    tenant.managed_with("data", "256Mi", json!({ "reclaimPolicy": "Delete" })).await?;
    let own = json!({ "backend": tenant.shared("own"), "reclaimPolicy": "Delete" });
    tenant.file_system_with("own", own).await?;
    let mut volumes = Vec::new();
    for (claim, of) in [("more", "data"), ("fresh", "own")] {
        tenant.class_is_there(of).await?;
        tenant.create_claim(claim, &tenant.class_of(of), "64Mi").await?;
        volumes.push(tenant.volume_of(claim).await?);
    }
    delete_namespace(&tenant).await?;
    for volume in volumes {
        let left = context.volumes().get_opt(&volume).await?;
        ensure!(
            left.is_none(),
            "the PersistentVolume {volume} is still there, and nobody can delete it any more"
        );
    }
    Ok(())
}

async fn deleting_a_claim_by_hand_touches_no_file(context: Context) -> Result<()> {
    with_a_file(&context, "Delete").await?;
    context.claims().delete("data", &Default::default()).await?;
    context.bound("data").await?;
    context.start([PodSpec::new("reader").on("n1").claim("data", "/data")]).await?;
    let read = context.exec("reader", "cat /data/x").await?;
    ensure!(read == "precious", "it reads {read:?}");
    Ok(())
}
