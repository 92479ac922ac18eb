//! Disks get other names at a reboot, as real ones do, or are not there: each claim finds its own data all the same.

use anyhow::{Context as _, Result, ensure};
use workspacefs_api::NodeStorage;

use super::storage::{NAME, identity, on_disks};
use crate::machine::Plugged;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![disks_renamed_at_reboot_have_the_same_data_for_the_same_claim];
    all.into_iter().map(|case| case.alone().within(1200)).collect()
}

/// The second LocalStorage.
const SLOW: &str = "slow";

/// Both, with the drive that each is on.
const BOTH: [(&str, Drive); 2] = [(NAME, Drive::Ssd), (SLOW, Drive::Hdd)];

/// A node that was off is told to be back by its kubelet first, and then by the node plugin.
const BACK_TIME_MAX: std::time::Duration = seconds(240);

impl Context {
    /// Reboots a machine with these drives, and waits for the driver on it; the guard reboots it with all as usual.
    pub async fn rebooted_with(&self, node: &str, drives: Vec<Plugged>) -> Result<Fault> {
        let (context, name) = (self.clone(), node.to_owned());
        let fault = self.blocking(move |_| context.reboot_with(&name, &drives)).await?;
        // A driver of before counts as Ready until its node has told otherwise.
        tokio::time::sleep(seconds(10)).await;
        self.driver(node).await?;
        Ok(fault)
    }

    /// That a LocalStorage is used on n1, on the drive that it was on, whatever that is called now.
    async fn is_on(&self, name: &str, drive: Drive) -> Result<String> {
        let device = self.drive("n1", drive).await?;
        let at = device.trim_start_matches("/dev/").to_owned();
        let fits = |entry: &NodeStorage| {
            let used = entry.device.as_ref();
            entry.ready && used.is_some_and(|used| used.name.trim_start_matches("/dev/") == at)
        };
        let entry = self.entry(name, "n1", &format!("ready on {at}"), BACK_TIME_MAX, fits).await?;
        Ok(entry.device.context("no device")?.file_system_uuid)
    }
}

async fn disks_renamed_at_reboot_have_the_same_data_for_the_same_claim(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let spec = |drive| on_disks(&[identity("n1", drive)], &[context.namespace()]);
    let fast = context.local_storage(NAME, spec(Drive::Ssd)).await?;
    let slow = context.local_storage(SLOW, spec(Drive::Hdd)).await?;
    let mut before = Vec::new();
    for (name, drive) in BOTH {
        context.ready_on(name, "n1").await?;
        before.push((context.drive("n1", drive).await?, context.is_on(name, drive).await?));
    }
    let user = |name: &str| PodSpec::new(name).on("n1").claim(NAME, "/fast").claim(SLOW, "/slow");
    context.start([user("writer")]).await?;
    context.exec("writer", "echo fast > /fast/x && echo slow > /slow/x && sync -d /fast/x /slow/x").await?;
    context.stop("writer").await?;

    let plan = *context.machine("n1")?.plan();
    let turned = Plugged::in_order(&plan, &[Drive::Hdd, Drive::Nameless, Drive::Ssd]);
    let rebooted = context.rebooted_with("n1", turned).await?;
    for ((name, drive), (device, uuid)) in BOTH.into_iter().zip(&before) {
        ensure!(context.drive("n1", drive).await? != *device, "{device} was not renamed: nothing is tested");
        ensure!(context.is_on(name, drive).await? == *uuid, "{name} is on another file system");
    }
    reads_its_own(&context, user("second")).await?;

    // The next time one is not there at all.
    let machine = context.machine("n1")?;
    let without = Plugged::in_order(&plan, &[Drive::Nameless, Drive::Ssd]);
    context.blocking(move |_| machine.reboot_with(&without)).await?;
    tokio::time::sleep(seconds(10)).await;
    context.driver("n1").await?;
    ensure!(context.is_on(NAME, Drive::Ssd).await? == before[0].1, "{NAME} is on another file system");
    let gone = context.entry(SLOW, "n1", "not ready", BACK_TIME_MAX, |entry| !entry.ready).await?;
    context.note(format!("{}: {}", gone.reason, gone.message));
    context.labelled_are(SLOW, &[], seconds(60)).await?;
    context.start([PodSpec::new("third").on("n1").claim(NAME, "/fast")]).await?;
    let read = context.exec("third", "cat /fast/x").await?;
    ensure!(read == "fast", "it reads {read:?}");
    context.stop("third").await?;

    // And then all as usual.
    rebooted.end().await?;
    tokio::time::sleep(seconds(10)).await;
    context.driver("n1").await?;
    for ((name, drive), (_, uuid)) in BOTH.into_iter().zip(&before) {
        ensure!(context.is_on(name, drive).await? == *uuid, "{name} is on another file system");
        context.ready_on(name, "n1").await?;
    }
    reads_its_own(&context, user("fourth")).await?;
    slow.end().await?;
    fast.end().await
}

async fn reads_its_own(context: &Context, pod: PodSpec) -> Result<()> {
    let name = pod.name().to_owned();
    context.start([pod]).await?;
    let read = context.exec(&name, "cat /fast/x /slow/x | tr '\\n' ' '").await?;
    ensure!(read.trim() == "fast slow", "it reads {read:?}");
    context.stop(&name).await
}
