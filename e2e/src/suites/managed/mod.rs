//! The suite `managed`: the embedded NFS server on a block claim, from an installation with nothing but a disk to what
//! happens when the server, its node or the whole release goes.

mod claims;
mod controller;
mod directory;
mod examples;
mod file_systems;
mod files;
mod grace;
mod hygiene;
mod isolation;
mod kept;
mod limits;
mod refusals;
mod release;
mod removal;
mod server;
mod survival;

use anyhow::Result;

use super::case::Suite;
use crate::Cluster;

/// The suite. What disturbs nothing comes first; each fault has the cluster to itself; last, the release itself goes.
pub fn suite() -> Suite {
    let parts = [
        examples::cases(),
        file_systems::cases(),
        limits::cases(),
        claims::cases(),
        refusals::cases(),
        removal::cases(),
        kept::cases(),
        controller::cases(),
        isolation::cases(),
        survival::cases(),
        grace::cases(),
        hygiene::cases(),
        files::cases(),
        directory::cases(),
        release::cases(),
    ];
    let cases = parts.into_iter().flatten().collect();
    Suite { name: "managed", cases, prepare, tidy_up }
}

/// The storage host's export, for what is compared with the embedded server.
fn prepare(cluster: &Cluster) -> Result<()> {
    cluster.machine("nfs")?.shell("rm -rf /export/*/e2e && mkdir /export/shared/e2e")?;
    Ok(())
}

fn tidy_up(_: &Cluster) -> Result<()> {
    Ok(())
}
