//! What is on a disk, or uses it, is worth more than an approval: such a disk is never written to, and the status says why.

use anyhow::{Result, ensure};
use workspacefs_api::NodeStorage;
use workspacefs_api::local_storage::DeviceState;

use super::found::found;
use super::storage::{NAME, TAKEN_TIME_MAX, identity, on_disks, says};
use crate::machine::{Behaviour, Plugged};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::wait::seconds;
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_disk_with_a_signature_is_never_formatted_though_it_is_approved,
        a_disk_that_is_mounted_or_held_is_not_touched_though_it_is_approved,
        an_identity_that_two_disks_have_is_not_used_and_both_are_named,
    ];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

/// What somebody put on a disk: the commands, what blkid calls it, a word for it in the status.
const SIGNATURES: [(&str, &str, &str); 4] = [
    ("mkfs.ext4 -q -F $disk", "ext4", "ext4"),
    // By hand, as the storage of another cluster: the same program as ours, another label.
    ("mkfs.xfs -q -K -L elsewhere $disk", "xfs", "xfs"),
    ("printf 'label: gpt\\n,,L\\n' | sfdisk --quiet $disk", "gpt", "partition"),
    // The label of an LVM physical volume in the second sector, with its checksum.
    (
        r"printf 'LABELONE\001\000\000\000\000\000\000\000\213\253\030\000\040\000\000\000LVM2 001AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' |
          dd of=$disk bs=512 seek=1 conv=notrunc,fsync status=none",
        "LVM2_member",
        "LVM",
    ),
];

impl Context {
    /// That a node does not use an approved disk, says so with these words, and did not write to it.
    async fn left_alone(&self, device: &str, words: &[&str], before: &str) -> Result<()> {
        let told = |entry: &NodeStorage| {
            let disk = found(entry, device);
            let occupied =
                disk.is_ok_and(|disk| disk.state == DeviceState::Occupied && says(&disk.message, words));
            !entry.ready && occupied && !entry.message.is_empty()
        };
        let wish = format!("not ready, and {device} occupied, saying {words:?}");
        let entry = self.entry(NAME, "n1", &wish, TAKEN_TIME_MAX, told).await?;
        self.note(format!("{}: {}", entry.reason, entry.message));
        // A further look of the node, which has one every ten seconds.
        tokio::time::sleep(seconds(12)).await;
        ensure!(self.ends_of("n1", device).await? == before, "{device} was written to");
        let labelled = self.labelled(NAME).await?;
        ensure!(labelled.is_empty(), "the scheduler is told of {labelled:?}");
        Ok(())
    }
}

async fn a_disk_with_a_signature_is_never_formatted_though_it_is_approved(context: Context) -> Result<()> {
    let device = context.drive("n1", Drive::Ssd).await?;
    for (commands, name, word) in SIGNATURES {
        // Nothing is approved while the signature is made.
        let storage = context.local_storage(NAME, on_disks(&[], &[context.namespace()])).await?;
        context.on("n1", &format!("disk={device}; {commands}")).await?;
        let seen = context.on("n1", &format!("blkid -p -o export {device}")).await?;
        ensure!(seen.contains(name), "the fixture is no {name}: {seen}");
        let before = context.ends_of("n1", &device).await?;
        context.approve(NAME, &[identity("n1", Drive::Ssd)]).await?;
        context.left_alone(&device, &[word], &before).await?;
        storage.end().await?;
    }
    Ok(())
}

async fn a_disk_that_is_mounted_or_held_is_not_touched_though_it_is_approved(context: Context) -> Result<()> {
    let (mounted, held) = (context.drive("n1", Drive::Ssd).await?, context.drive("n1", Drive::Hdd).await?);
    let storage = context.local_storage(NAME, on_disks(&[], &[context.namespace()])).await?;
    let machine = context.machine("n1")?;
    let released = Fault::new({
        let machine = machine.clone();
        move || {
            machine.shell("! mountpoint -q /srv/e2e-mounted || umount -l /srv/e2e-mounted")?;
            Ok(machine.unmap("e2e-held")?)
        }
    });
    let device = held.clone();
    context.blocking(move |_| machine.map("e2e-held", &device, Behaviour::Sound)).await?;
    let mount = "mkdir -p /srv/e2e-mounted && mount $disk /srv/e2e-mounted && echo precious > /srv/e2e-mounted/x && sync";
    context.on("n1", &format!("disk={mounted}; mkfs.ext4 -q -F $disk && {mount}")).await?;

    let before = context.ends_of("n1", &held).await?;
    context.approve(NAME, &[identity("n1", Drive::Hdd)]).await?;
    context.left_alone(&held, &[], &before).await?;
    let before = context.ends_of("n1", &mounted).await?;
    context.approve(NAME, &[identity("n1", Drive::Ssd)]).await?;
    context.left_alone(&mounted, &["mounted"], &before).await?;
    let read = context.on("n1", "cat /srv/e2e-mounted/x").await?;
    ensure!(read == "precious", "it reads {read:?}");
    released.end().await?;
    storage.end().await
}

async fn an_identity_that_two_disks_have_is_not_used_and_both_are_named(context: Context) -> Result<()> {
    let storage = context.local_storage(NAME, on_disks(&[], &[context.namespace()])).await?;
    let mut drives = Plugged::all(context.machine("n1")?.plan());
    let serial = drives.first().and_then(|plugged| plugged.serial.clone());
    for plugged in drives.iter_mut().filter(|plugged| plugged.drive == Drive::Hdd) {
        plugged.serial.clone_from(&serial);
    }
    // In this order: the SSD, then the HDD that says it is the same.
    let (one, two) = ("/dev/ubdc", "/dev/ubdd");
    let twins = context.rebooted_with("n1", drives).await?;
    let before = [context.ends_of("n1", one).await?, context.ends_of("n1", two).await?];
    context.approve(NAME, &[identity("n1", Drive::Ssd)]).await?;
    let told = |entry: &NodeStorage| !entry.ready && says(&entry.message, &["ubdc", "ubdd"]);
    let entry = context.entry(NAME, "n1", "names both", seconds(180), told).await?;
    context.note(format!("{}: {}", entry.reason, entry.message));
    tokio::time::sleep(seconds(25)).await;
    let after = [context.ends_of("n1", one).await?, context.ends_of("n1", two).await?];
    ensure!(after == before, "one of them was written to");
    twins.end().await?;
    // One of a kind again.
    context.driver("n1").await?;
    context.ready_on(NAME, "n1").await?;
    storage.end().await
}
