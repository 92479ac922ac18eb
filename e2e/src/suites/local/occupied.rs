//! What is on a disk, or uses it, is worth more than an approval: such a disk is never written to, and the status says why.

use anyhow::{Result, ensure};
use serde_json::json;
use workspacefs_api::NodeStorage;
use workspacefs_api::local_storage::DeviceState;

use super::found::found;
use super::storage::{NAME, TAKEN_TIME_MAX, identity, on_disks, says};
use crate::machine::{Behaviour, Plugged};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_disk_with_a_signature_is_never_formatted_though_it_is_approved,
        a_disk_that_is_mounted_or_held_is_not_touched_though_it_is_approved,
        a_disk_that_is_a_pod_s_block_volume_is_not_touched_before_the_pod_is_gone,
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

/// Blank, so only its use keeps it. kubelet puts a loop device over it, which is no disk of its own.
async fn a_disk_that_is_a_pod_s_block_volume_is_not_touched_before_the_pod_is_gone(
    context: Context,
) -> Result<()> {
    let device = context.drive("n1", Drive::Ssd).await?;
    let volume = context.block_volume("n1", &device).await?;
    context.start([PodSpec::new("raw").block("raw", "/dev/raw").on("n1")]).await?;
    let listed = context.on("n1", "losetup --list --noheadings --output NAME,BACK-FILE").await?;
    ensure!(!listed.is_empty(), "kubelet has put no loop device over it: the case shows nothing");
    let before = context.ends_of("n1", &device).await?;
    let approved = [identity("n1", Drive::Ssd)];
    let storage = context.local_storage(NAME, on_disks(&approved, &[context.namespace()])).await?;
    context.left_alone(&device, &["block volume of a pod"], &before).await?;
    let no_loop = |entry: &NodeStorage| entry.found.iter().all(|disk| !disk.name.contains("loop"));
    context.entry(NAME, "n1", "lists no loop device", seconds(1), no_loop).await?;

    context.stop("raw").await?;
    volume.end().await?;
    context.ready_on(NAME, "n1").await?;
    storage.end().await
}

impl Context {
    /// The claim `raw`, bound to a disk of a node. When the guard goes, so does its volume.
    async fn block_volume(&self, node: &str, device: &str) -> Result<Fault> {
        let name = format!("{}-raw", self.namespace());
        let guard = Fault::new({
            let (cluster, name, namespace) =
                (self.cluster().clone(), name.clone(), self.namespace().to_owned());
            move || {
                // A pod that still has it keeps both; they go with it.
                let gone = ["--ignore-not-found", "--wait=false"];
                let claim = ["delete", "pvc", "raw", "--namespace", &namespace];
                cluster.kubectl("admin", &[claim.as_slice(), &gone].concat())?;
                cluster.kubectl("admin", &[["delete", "pv", &name].as_slice(), &gone].concat())?;
                Ok(())
            }
        });
        let shared = json!({
            "accessModes": ["ReadWriteOnce"], "volumeMode": "Block", "storageClassName": "",
        });
        let (mut volume, mut claim) = (shared.clone(), shared);
        volume["capacity"] = json!({ "storage": "1Gi" });
        volume["persistentVolumeReclaimPolicy"] = "Retain".into();
        volume["local"] = json!({ "path": device });
        let this_node = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] });
        volume["nodeAffinity"] =
            json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [this_node] }] } });
        claim["volumeName"] = name.as_str().into();
        claim["resources"] = json!({ "requests": { "storage": "1Gi" } });
        let both = json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name }, "spec": volume },
            { "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": claim,
              "metadata": { "name": "raw", "namespace": self.namespace() } },
        ]});
        self.apply(&both.to_string()).await?;
        self.bound("raw").await?;
        Ok(guard)
    }
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
