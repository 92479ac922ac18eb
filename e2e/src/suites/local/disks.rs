//! A worker's drives, as its kernel shows them: their names of the moment, what is on them, and how they become blank again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::Machine;
use crate::suites::context::Context;
use crate::topology::{Drive, Plan};

/// Every disk with its size in sectors and its serial number, which no line break ends.
const LIST: &str = "for disk in /sys/block/ubd*; do read -r size < $disk/size; serial=; \
                    read -r serial < $disk/serial || true; echo \"${disk##*/} $size $serial\"; done";

/// Time for three disks, of which each may still be mounted for a while.
const BLANK_TIME_MAX: Duration = Duration::from_secs(150);

/// The kernel's name of a drive, in what [`LIST`] prints.
fn name_in(list: &str, plan: &Plan, drive: Drive) -> Option<String> {
    let serial = plan.drive_serial(drive);
    list.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (name, size, shown) = (words.next()?, words.next()?, words.next().unwrap_or_default());
        let is_it = match &serial {
            Some(serial) => shown == serial,
            // What has no serial number is told by its size.
            None => size.parse() == Ok(drive.bytes() / 512),
        };
        is_it.then(|| name.to_owned())
    })
}

/// The kernel's names of drives of a machine.
pub fn names(machine: &Machine, drives: &[Drive]) -> Result<Vec<String>> {
    let list = machine.shell(LIST)?;
    let plan = machine.plan();
    let name = |drive: &Drive| {
        name_in(&list, plan, *drive).with_context(|| {
            format!(
                "{} has no drive {}: it was started by an older build, `make cluster-down` first:\n{list}",
                plan.name,
                drive.name()
            )
        })
    };
    drives.iter().map(name).collect()
}

/// Makes drives of a machine blank, whatever is on them. Says which were still mounted after half a minute: a disk that no
/// LocalStorage names any more is unmounted by the node plugin.
pub fn blank(machine: &Machine, drives: &[Drive]) -> Result<Vec<String>> {
    let script = format!(
        "tries=0; left=; for disk in {}; do number=$(cat /sys/block/$disk/dev); \
         mounted() {{ awk -v number=$number '$3 == number {{ print $5 }}' /proc/1/mountinfo; }}; \
         while [ -n \"$(mounted)\" ] && [ $tries -lt 30 ]; do sleep 1; tries=$((tries + 1)); done; \
         for at in $(mounted | tac); do umount -l $at; left=\"$left $at\"; done; \
         wipefs --all --force --quiet /dev/$disk && \
         dd if=/dev/zero of=/dev/$disk bs=1M count=4 conv=fsync status=none && \
         dd if=/dev/zero of=/dev/$disk bs=1M count=1 seek=$(($(cat /sys/block/$disk/size) / 2048 - 1)) conv=fsync status=none || exit 1; \
         blockdev --rereadpt /dev/$disk || true; done; echo $left",
        names(machine, drives)?.join(" ")
    );
    let output = machine.run_within(&["sh", "-c", &script], b"", BLANK_TIME_MAX)?;
    ensure!(output.code == 0, "the drives of {} cannot be made blank: {output}", machine.name());
    Ok(output.text().split_whitespace().map(str::to_owned).collect())
}

impl Context {
    /// The device of a drive, for now: `/dev/ubdc`.
    pub async fn drive(&self, node: &str, drive: Drive) -> Result<String> {
        let list = self.on(node, LIST).await?;
        let name = name_in(&list, self.machine(node)?.plan(), drive);
        let name = name.with_context(|| format!("{node} has no drive {}:\n{list}", drive.name()))?;
        Ok(format!("/dev/{name}"))
    }

    /// A digest of the first and the last MiB of a device: another one means that somebody wrote there.
    pub async fn ends_of(&self, node: &str, device: &str) -> Result<String> {
        let line = format!(
            "last=$(($(blockdev --getsz {device}) / 2048 - 1)); \
             {{ dd if={device} bs=1M count=1 status=none; dd if={device} bs=1M skip=$last status=none; }} | sha256sum"
        );
        self.on(node, &line).await
    }

    /// The lines of the node's mountinfo that are of a device.
    pub async fn mounts_of_device(&self, node: &str, device: &str) -> Result<Vec<String>> {
        let name = device.trim_start_matches("/dev/");
        let line = format!("awk -v number=$(cat /sys/block/{name}/dev) '$3 == number' /proc/1/mountinfo");
        Ok(self.on(node, &line).await?.lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::MACHINES;

    #[test]
    fn drives_are_found_by_what_does_not_change_and_not_by_their_place() {
        let list = "ubda 12582912 (null)\nubdb 67108864 wsfs-n1\nubdc 8388608 WSFS-n1-HDD\n\
                    ubdd 2097152 (null)\nubde 8388608 WSFS-n1-SSD\n";
        let name = |drive| name_in(list, &MACHINES[0], drive);
        assert_eq!(name(Drive::Ssd).as_deref(), Some("ubde"));
        assert_eq!(name(Drive::Hdd).as_deref(), Some("ubdc"));
        assert_eq!(name(Drive::Nameless).as_deref(), Some("ubdd"));
        assert_eq!(name_in(list, &MACHINES[1], Drive::Ssd), None);
        // Without a serial number at all, as other kernels show it.
        assert_eq!(name_in("ubde 2097152 ", &MACHINES[0], Drive::Nameless).as_deref(), Some("ubde"));
    }
}
