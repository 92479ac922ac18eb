//! Disks that go bad under an administrator's directory: one that fails all at once (dm-flakey), and one with bad sectors
//! (dm-dust).

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::disks;
use super::pulled::{told_and_nothing_stuck, writer};
use super::storage::{GROUP, NAME};
use crate::machine::Behaviour;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::hygiene::NODES;
use crate::suites::pod::PodSpec;
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_directory_whose_disk_fails_while_a_pod_writes_is_told_and_holds_nothing_up,
        bad_sectors_under_a_directory_while_a_pod_writes_are_told_and_hold_nothing_up,
        a_directory_that_is_no_file_system_of_its_own_is_used_and_a_condition_says_so,
    ];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

/// Where the administrator mounted it, on each node.
const PATH: &str = "/srv/e2e-bad";

/// A directory beside whatever else the node has.
const SHARED: &str = "/srv/e2e-shared";

/// The chart's `localStorage.directories` for these cases. The node plugin has them mounted: they are emptied, never removed.
pub const DIRECTORIES: [&str; 2] = [PATH, SHARED];

/// The mapped device on n1.
const MAPPED: &str = "e2e-bad";

/// The same on each: so that where the groups of the file system begin is known.
const MKFS: &str = "mkfs.xfs -q -K -f -d agcount=4";

fn on_directory(path: &str, workspace: &str) -> Value {
    json!({ "nodeGroup": GROUP, "source": { "directory": { "path": path } }, "workspaces": [workspace] })
}

/// XFS on the nameless drive of each node, on n1 through a mapped device. The guard takes it down.
async fn mounted(context: &Context, behaviour: Behaviour) -> Result<Fault> {
    let machines = [context.machine("n1")?, context.machine("n2")?];
    let taken_down = Fault::new(move || {
        for machine in &machines {
            // Not mountpoint(1): it asks the file system, which fails.
            machine.shell(&format!("! grep -q ' {PATH} ' /proc/self/mountinfo || umount -l {PATH}"))?;
        }
        machines[0].unmap(MAPPED)?;
        // It stays as long as anybody has it open: the node plugin has to let go of what it was told to.
        let gone = format!(
            "for i in $(seq 60); do dmsetup info {MAPPED} >/dev/null 2>&1 || exit 0; sleep 0.5; done; exit 1"
        );
        machines[0].shell(&gone).context("the mapped disk is still held by somebody")?;
        for machine in &machines {
            disks::blank(machine, &[Drive::Nameless])?;
        }
        Ok(())
    });
    for node in NODES {
        let disk = context.drive(node, Drive::Nameless).await?;
        let mut device = disk.clone();
        if node == "n1" {
            let machine = context.machine(node)?;
            context.blocking(move |_| machine.map(MAPPED, &disk, behaviour)).await?;
            device = format!("/dev/mapper/{MAPPED}");
        }
        let mount = format!("{MKFS} {device} && mkdir -p {PATH} && mount -o prjquota {device} {PATH}");
        context.on(node, &mount).await?;
    }
    Ok(taken_down)
}

/// A LocalStorage on it, ready on both nodes, and the writer.
async fn used(context: &Context) -> Result<Fault> {
    context.become_workspace().await?;
    let storage = context.local_storage(NAME, on_directory(PATH, context.namespace())).await?;
    for node in NODES {
        context.ready_on(NAME, node).await?;
    }
    context.start([writer()]).await?;
    context.exec("writer", "until [ -s /data/1/1 ]; do sleep 1; done").await?;
    Ok(storage)
}

async fn a_directory_whose_disk_fails_while_a_pod_writes_is_told_and_holds_nothing_up(
    context: Context,
) -> Result<()> {
    let sound = mounted(&context, Behaviour::Sound).await?;
    let storage = used(&context).await?;
    let (machine, disk) = (context.machine("n1")?, context.drive("n1", Drive::Nameless).await?);
    let dead = Behaviour::Flaky { up_seconds: 0, down_seconds: 1 };
    context.blocking(move |_| machine.remap(MAPPED, &disk, dead)).await?;
    told_and_nothing_stuck(&context, Instant::now(), true).await?;
    storage.end().await?;
    sound.end().await
}

async fn bad_sectors_under_a_directory_while_a_pod_writes_are_told_and_hold_nothing_up(
    context: Context,
) -> Result<()> {
    let sound = mounted(&context, Behaviour::Wearing).await?;
    let storage = used(&context).await?;
    // The first sectors of each of the four groups: what says where there is room. Whoever makes a file reads them, once they
    // are not remembered any more. XFS would tell nobody but the reader of a bad sector in a file's data.
    let group = Drive::Nameless.bytes() / 512 / 4;
    let sectors: Vec<u64> =
        (0..4).flat_map(|number| (0..4).map(move |sector| number * group + sector)).collect();
    let machine = context.machine("n1")?;
    context.blocking(move |_| machine.spoil(MAPPED, &sectors)).await?;
    let forget = format!(
        "fsfreeze -f {PATH}; fsfreeze -u {PATH}; for i in 1 2 3 4 5; do echo 3 > /proc/sys/vm/drop_caches; done"
    );
    context.on("n1", &forget).await?;
    told_and_nothing_stuck(&context, Instant::now(), true).await?;
    storage.end().await?;
    sound.end().await
}

async fn a_directory_that_is_no_file_system_of_its_own_is_used_and_a_condition_says_so(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let machines = [context.machine("n1")?, context.machine("n2")?];
    let emptied = Fault::new(move || {
        let empty = format!("[ ! -e {SHARED} ] || find {SHARED} -mindepth 1 -delete");
        machines.iter().try_for_each(|machine| Ok(machine.shell(&empty).map(drop)?))
    });
    let storage = context.local_storage(NAME, on_directory(SHARED, context.namespace())).await?;
    let entry = context.ready_on(NAME, "n1").await?;
    ensure!(entry.shares_file_system, "it is said to have a file system of its own: {entry:?}");
    context.note(context.storage_condition(NAME, "SharesFileSystem", "True", &["n1"]).await?);
    context.start([PodSpec::new("user").on("n1").claim(NAME, "/data")]).await?;
    context.exec("user", "echo x > /data/x && sync -d /data/x").await?;
    storage.end().await?;
    emptied.end().await
}
