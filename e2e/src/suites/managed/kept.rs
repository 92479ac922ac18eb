//! What is kept for nobody: mounted again, or given up, by the documented commands.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::claims::OVER;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;

const MIB: u64 = 1 << 20;

pub fn cases() -> Vec<Case> {
    cases![
        a_deleted_further_claim_is_restored_and_mounted_by_the_documented_steps,
        what_is_kept_for_no_file_system_is_discarded_and_holds_no_capacity_any_more,
    ]
}

/// A line of `nfs-server removed`.
#[derive(Debug)]
struct Kept {
    id: String,
    state: String,
    is_claim: bool,
    goes: String,
    held: u64,
}

impl Kept {
    /// Cells are two spaces or more apart; within one there is only one.
    fn parse(line: &str) -> Result<Self> {
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let [id, state, of, _removed, goes, _bytes, held, ..] = cells[..] else {
            anyhow::bail!("too few cells: {line}");
        };
        Ok(Self {
            id: id.into(),
            state: state.into(),
            is_claim: of.contains(" claim "),
            goes: goes.into(),
            held: held.parse().with_context(|| format!("no number of bytes: {line}"))?,
        })
    }
}

/// What the case's namespace has there: the folder of a FileSystem, and a claim's.
async fn kept(context: &Context) -> Result<(Option<Kept>, Option<Kept>)> {
    let listed = context.agent(&["removed"]).await?;
    let ours = listed.lines().filter(|line| line.contains(&format!("{}/", context.namespace())));
    let (claims, own): (Vec<Kept>, Vec<Kept>) =
        ours.map(Kept::parse).collect::<Result<Vec<_>>>()?.into_iter().partition(|one| one.is_claim);
    ensure!(claims.len() <= 1 && own.len() <= 1, "more than the case made:\n{listed}");
    Ok((own.into_iter().next(), claims.into_iter().next()))
}

async fn a_deleted_further_claim_is_restored_and_mounted_by_the_documented_steps(
    context: Context,
) -> Result<()> {
    context.managed_with("data", "256Mi", json!({ "reclaimPolicy": "Delete" })).await?;
    context.class_is_there("data").await?;
    context.create_claim("more", &context.class_of("data"), "64Mi").await?;
    context.bound("more").await?;
    context.start([PodSpec::new("writer").on("n2").claim("more", "/data")]).await?;
    context.exec("writer", "echo precious > /data/x && sync -d /data/x").await?;
    context.stop("writer").await?;
    context.delete_claim("more").await?;

    let (_, claim) = kept(&context).await?;
    let claim = claim.context("it is not listed")?;
    let manifest = context.agent(&["restore", &claim.id]).await?;
    let path = "jsonpath={.status.share.server}";
    let server = context.kubectl(&["get", "filesystem", "data", "-o", path], "").await?;
    let server = String::from_utf8(server.stdout)?;
    ensure!(!server.is_empty(), "the FileSystem's status tells no server");
    context.apply(&manifest.replace("SERVER", &server).replace("CLAIM", "restored")).await?;
    context.has_size("restored", "64Mi").await?;

    context.start([PodSpec::new("reader").on("n1").claim("restored", "/data")]).await?;
    let read = context.exec("reader", "cat /data/x").await?;
    ensure!(read == "precious", "it reads {read:?}");
    let ran = context.try_exec("reader", OVER).await?;
    ensure!(!ran.success, "400 MiB went into 64: {}", ran.text);
    context.stop("reader").await?;
    // Deleted again, it goes where it went before.
    context.delete_claim("restored").await?;
    let (_, claim) = kept(&context).await?;
    ensure!(claim.as_ref().is_some_and(|claim| claim.state == "trash"), "it is {claim:?}");
    Ok(())
}

async fn what_is_kept_for_no_file_system_is_discarded_and_holds_no_capacity_any_more(
    context: Context,
) -> Result<()> {
    context.managed("data", "256Mi").await?;
    context.class_is_there("data").await?;
    context.create_claim("more", &context.class_of("data"), "128Mi").await?;
    let volume = context.volume_of("more").await?;
    context.start([PodSpec::new("writer").on("n2").claim("data", "/data")]).await?;
    context.exec("writer", "echo old > /data/x && sync -d /data/x").await?;
    context.stop("writer").await?;
    let folder = context.folder_of("data").await?;
    ensure!(context.agent(&["discard", &folder]).await.is_err(), "a FileSystem has it");
    context.claims().delete("more", &Default::default()).await?;
    context.remove_file_system("data").await?;

    let (Some(own), Some(claim)) = kept(&context).await? else {
        anyhow::bail!("the retained folder or the claim is not listed");
    };
    ensure!(own.state == "retained" && claim.state == "orphaned", "{own:?}, {claim:?}");
    ensure!(claim.held == 128 * MIB, "it holds {} bytes", claim.held);
    for id in [&own.id, &claim.id, &claim.id] {
        context.note(context.agent(&["discard", id]).await?.trim().to_owned());
    }
    context.volumes().delete(&volume, &Default::default()).await?;

    let (Some(own), Some(claim)) = kept(&context).await? else {
        anyhow::bail!("what was discarded is not listed");
    };
    for one in [&own, &claim] {
        ensure!(one.state == "trash" && one.goes != "never", "it is {one:?}");
    }
    ensure!(claim.held < MIB, "it still holds {} bytes", claim.held);
    context.on_disk(&format!("test ! -e {folder} && test -e {}/x", own.id)).await?;
    Ok(())
}
