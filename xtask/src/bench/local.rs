//! Local disks: with the product as it is installed, reading and writing through a claim against the disk's own mount, and how
//! exactly a quota holds; with a node plugin of our own, what it takes with many volumes, and what asking for usage costs.

pub mod overshoot;
pub mod ratio;
pub mod speed;
pub mod volumes;

use anyhow::{Context as _, Result};
use serde_json::json;
use workspacefs_api::LOCAL_DRIVER;
use workspacefs_e2e::suites::{
    self, Context, FIO_IMAGE, LOCAL_NAME, PodSpec, local_identity, local_on_disks, with_context,
};
use workspacefs_e2e::topology::Drive;
use workspacefs_e2e::{Cluster, product};

use super::machine;
use super::memory::{self, Memory};
use crate::images;

/// The machine whose disk it is.
pub const NODE: &str = "n1";
/// What the workspace may write: more than the file that is read and written.
const QUOTA: &str = "256Mi";
const QUOTA_BYTES: u64 = 256 << 20;
/// The role of a disk's helper process.
const HELPER: &str = "disk-helper";
/// The pod whose only process idles until fio is started in it.
const POD: &str = "fio";
/// Where it has the claim, and where the whole disk.
const CLAIM: &str = "/claim";
const OWN: &str = "/own";

/// All that is measured.
pub struct Report {
    /// Where.
    pub machine: machine::Description,
    /// Through a claim and past it.
    pub speed: speed::Report,
    /// Writing more than is allowed.
    pub overshoot: overshoot::Report,
    /// The installed node plugin, while one pod uses a disk.
    pub memory: Memory,
    /// Many volumes, and many files.
    pub volumes: volumes::Report,
}

/// Measures. What is on the drives of both workers is gone afterwards.
pub fn measure(cluster: &Cluster, files: usize) -> Result<Report> {
    let machine = machine::describe(cluster)?;
    product::install(cluster, &images::build()?, &product::values())?;
    cluster.import_image(&images::fio()?)?;
    let suite = suites::named("local").context("there is no suite of local disks")?;
    let file_bench = cluster.share(&images::static_binaries()?.join("file-bench"))?;
    let through_claim = with_context(cluster, &suite, "bench_local", async |context| {
        measure_claim(context, &file_bench).await
    });
    let (speed, overshoot, memory) = through_claim?;
    let volumes = volumes::measure(cluster, files)?;
    Ok(Report { machine, speed, overshoot, memory, volumes })
}

async fn measure_claim(
    context: Context,
    file_bench: &str,
) -> Result<(speed::Report, overshoot::Report, Memory)> {
    context.become_workspace().await?;
    let mut spec = local_on_disks(&[local_identity(NODE, Drive::Ssd)], &[context.namespace()]);
    spec["perWorkspaceQuota"] = json!(QUOTA);
    let storage = context.local_storage(LOCAL_NAME, spec).await?;
    context.ready_on(LOCAL_NAME, NODE).await?;
    context.bound(LOCAL_NAME).await?;

    let uid = context
        .local_storages()
        .get(LOCAL_NAME)
        .await?
        .metadata
        .uid
        .context("a LocalStorage without a uid")?;
    let disk = format!("/var/lib/kubelet/plugins/{LOCAL_DRIVER}/disks/{uid}");
    let idles = ["/usr/bin/busybox", "sleep", "1000000"].map(str::to_owned);
    let pod = PodSpec::new(POD)
        .program(FIO_IMAGE, &idles)
        .claim(LOCAL_NAME, CLAIM)
        .volume("disk", json!({"hostPath": {"path": disk, "type": "Directory"}}))
        .mount("disk", OWN, json!({}));
    context.start([pod.on(NODE)]).await?;

    let node = context.machine(NODE)?;
    let memory = context.blocking(move |_| memory::idle(&node, memory::INSTALLED, HELPER)).await?;
    println!("memory: {memory:?}");
    let speed = speed::measure(&context, &disk, file_bench).await?;
    println!("speed: {speed:?}");
    let overshoot = overshoot::measure(&context).await?;
    println!("overshoot: {overshoot:?}");
    storage.end().await?;
    Ok((speed, overshoot, memory))
}
