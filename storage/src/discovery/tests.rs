//! Made-up nodes: a tree as in /sys/block, what is mounted, and what lies on each device.

mod boots;

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::device::content::parse_blkid;

const MOUNT_POINT: &str = "/var/lib/disks/fast";

/// A tree of sysfs. Each line is a file below `block` and what it says, a character a byte.
fn sysfs(lines: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("block")).unwrap();
    for (path, text) in lines {
        let path = dir.path().join("block").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.chars().map(|c| c as u8).collect::<Vec<u8>>()).unwrap();
    }
    dir
}

/// A disk of 1 GiB.
fn disk<'a>(name: &'a str, number: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(String, String)> {
    let common = [
        ("dev", number),
        ("size", "2097152\n"),
        ("ro", "0\n"),
        ("removable", "0\n"),
        ("queue/rotational", "0\n"),
    ];
    let mut files: Vec<(String, String)> =
        common.iter().map(|(file, text)| (format!("{name}/{file}"), text.to_string())).collect();
    // The later one counts.
    files.extend(more.iter().map(|(file, text)| (format!("{name}/{file}"), text.to_string())));
    files
}

fn blocks(disks: &[Vec<(String, String)>]) -> Vec<Block> {
    let lines: Vec<(&str, &str)> = disks.iter().flatten().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    sysfs::read(sysfs(&lines).path()).unwrap()
}

fn mounts(text: &str) -> Uses {
    Uses { mounts: workspacefs_sys::mountinfo::parse(text.as_bytes()), ..Uses::default() }
}

/// Every device is blank but those named, of which blkid says that.
fn found(blocks: &[Block], uses: &Uses, contents: &[(&str, &str)]) -> Vec<Found> {
    discover(blocks, uses, Path::new(MOUNT_POINT), &mut |block, alone| match contents
        .iter()
        .find(|(name, _)| *name == block.name)
    {
        Some((_, "busy")) if alone => Err("something uses it".into()),
        Some((_, text)) => Ok(Content { signatures: parse_blkid(text), ..Content::default() }),
        None => Ok(Content { ends_are_zero: true, ..Content::default() }),
    })
}

fn one(disk: Vec<(String, String)>) -> Found {
    let mut all = found(&blocks(&[disk]), &Uses::default(), &[]);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn memory_empty_and_read_only_devices_are_no_disks() {
    let disks = [
        disk("ram0", "1:0", &[]),
        disk("zram0", "252:0", &[]),
        disk("loop0", "7:0", &[]),
        disk("sda", "8:0", &[("ro", "1\n")]),
        disk("sdb", "8:16", &[("removable", "1\n")]),
        disk("sdc", "8:32", &[("size", "0\n")]),
        disk("sr0", "11:0", &[]),
        disk("nvme0c0n1", "259:1", &[("hidden", "1\n")]),
        disk("loop1", "7:1", &[("loop/backing_file", "/image\n")]),
        // The node's cache.
        disk("loop2", "7:2", &[("loop/backing_file", "/disks/u/state/fscache.img\n")]),
        disk("ubdb", "98:16", &[]),
    ];
    let names: Vec<String> = blocks(&disks).into_iter().map(|block| block.name).collect();
    assert_eq!(names, ["loop1", "ubdb"]);
}

/// kubelet holds a pod's block volume by a loop device over it: what lies there is the pod's, whatever it looks like.
#[test]
fn a_disk_that_is_handed_on_by_a_loop_device_is_in_use_and_the_loop_device_is_no_disk() {
    let disks = [
        disk("loop0", "7:0", &[("loop/backing_file", "/dev/ubdb\n")]),
        disk("loop1", "7:1", &[("loop/backing_file", "/image\n")]),
        disk("ubdb", "98:16", &[("serial", "S1")]),
    ];
    let uses = Uses { loops: vec![("loop0".into(), (98, 16))], ..Uses::default() };
    let all = found(&blocks(&disks), &uses, &[]);
    let states: Vec<_> = all.iter().map(|found| (found.name.as_str(), found.state)).collect();
    assert_eq!(states, [("loop1", DeviceState::NoIdentity), ("ubdb", DeviceState::Occupied)]);
    assert!(all[1].message.contains("block volume of a pod"), "{}", all[1].message);
}

#[test]
fn a_disk_is_known_by_its_wwn_and_then_its_serial_number_wherever_the_kernel_says_them() {
    for (name, files, identities) in [
        (
            "sda",
            vec![("device/wwid", "naa.5002538e\n"), ("device/vpd_pg80", "\0\u{80}\0\u{6}  S3Z9")],
            vec!["wwn:naa.5002538e", "serial:S3Z9"],
        ),
        (
            "nvme0n1",
            vec![("wwid", "eui.0025385b\n"), ("device/serial", "S4EV    \n")],
            vec!["wwn:eui.0025385b", "serial:S4EV"],
        ),
        ("vda", vec![("serial", "disk-1")], vec!["serial:disk-1"]),
        ("ubdb", vec![("serial", "wsfs-n1-ssd\n")], vec!["serial:wsfs-n1-ssd"]),
        (
            "sdb",
            vec![("device/wwid", "naa.0000000000000000\n"), ("serial", "\n"), ("device/serial", "A B\n")],
            vec!["serial:A B"],
        ),
        ("dm-0", vec![("dm/uuid", "LVM-abc\n"), ("dm/name", "vg-lv\n")], vec!["serial:LVM-abc"]),
        ("vdb", vec![("serial", "caf\u{e9}\n")], vec![]),
    ] {
        let found = one(disk(name, "8:0", &files));
        assert_eq!(found.identities, identities, "{name}");
        let state = if identities.is_empty() { DeviceState::NoIdentity } else { DeviceState::Blank };
        assert_eq!(found.state, state, "{name}");
        assert_eq!(found.message.is_empty(), !identities.is_empty(), "{}", found.message);
    }
}

#[test]
fn media_are_the_kernels_word_and_the_transport() {
    for (name, rotational, media) in [
        ("sda", "1\n", Some(Media::Hdd)),
        ("sda", "0\n", Some(Media::Ssd)),
        ("nvme0n1", "0\n", Some(Media::Nvme)),
        ("sda", "\n", None),
    ] {
        assert_eq!(one(disk(name, "8:0", &[("queue/rotational", rotational)])).media, media, "{name}");
    }
    let striped =
        disk("md0", "9:0", &[("md/uuid", "x"), ("slaves/nvme0n1/dev", ""), ("slaves/nvme1n1/dev", "")]);
    assert_eq!(one(striped).media, Some(Media::Nvme));
}

#[test]
fn two_disks_with_one_identity_cannot_be_told_apart() {
    let twins = [
        disk("sda", "8:0", &[("serial", "drive0")]),
        disk("sdb", "8:16", &[("serial", "drive0")]),
        // Two namespaces of one controller have its serial number, and names of their own.
        disk("nvme0n1", "259:0", &[("wwid", "eui.1a"), ("device/serial", "S")]),
        disk("nvme0n2", "259:1", &[("wwid", "eui.2a"), ("device/serial", "S")]),
    ];
    let all = found(&blocks(&twins), &Uses::default(), &[]);
    let of = |name: &str| all.iter().find(|found| found.name == name).unwrap();
    assert_eq!((of("sda").state, of("sdb").state), (DeviceState::NoIdentity, DeviceState::NoIdentity));
    assert!(of("sda").message.contains("sdb has the same identity, serial:drive0"), "{}", of("sda").message);
    assert_eq!((of("nvme0n1").state, of("nvme0n2").state), (DeviceState::Blank, DeviceState::Blank));
}

#[test]
fn a_partition_is_known_by_its_own_uuid_if_its_disk_is_known_at_all() {
    const ENTRY: &str = "PART_ENTRY_SCHEME=gpt\nPART_ENTRY_UUID=1111\n";
    let part = [("sda1/partition", "1\n"), ("sda1/dev", "8:1\n"), ("sda1/size", "4096\n")];
    for (serial, state) in [("S1", DeviceState::Blank), ("", DeviceState::NoIdentity)] {
        let blocks = blocks(&[disk("sda", "8:0", &[&part[..], &[("serial", serial)]].concat())]);
        let mut seen = Vec::new();
        let all = discover(&blocks, &Uses::default(), Path::new(MOUNT_POINT), &mut |block, _| {
            seen.push(block.name.clone());
            Ok(Content { signatures: parse_blkid(ENTRY), ends_are_zero: true, ..Content::default() })
        });
        assert_eq!((all[0].name.as_str(), all[0].state), ("sda", DeviceState::Occupied));
        assert_eq!(all[0].message, "it has partitions: sda1");
        assert_eq!((all[1].name.as_str(), all[1].state), ("sda1", state), "{}", all[1].message);
        assert_eq!(all[1].identities, ["partuuid:1111"]);
        assert_eq!((all[1].bytes, all[1].media), (4096 * 512, Some(Media::Ssd)));
        assert_eq!(seen, ["sda1"], "what is in use is not read");
    }
}

#[test]
fn whoever_uses_a_disk_is_named_and_it_is_not_touched() {
    let part = [("sda1/partition", "1\n"), ("sda1/dev", "8:1\n"), ("sda1/size", "4096\n")];
    let disks = [
        disk("sda", "8:0", &[&part[..], &[("serial", "A")]].concat()),
        disk("sdb", "8:16", &[("serial", "B")]),
        disk("sdc", "8:32", &[("serial", "C"), ("holders/dm-0/dev", "253:0")]),
        disk("sdd", "8:48", &[("serial", "D")]),
        disk("sde", "8:64", &[("serial", "E")]),
        disk("dm-0", "253:0", &[("dm/uuid", "LVM-0"), ("holders/dm-1/dev", "253:1")]),
        disk("dm-1", "253:1", &[("dm/uuid", "LVM-1")]),
    ];
    let mut uses = mounts(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:16 /x /long/way rw - xfs /dev/sdb rw\n3 1 8:16 / /data rw - xfs /dev/sdb rw\n",
    );
    uses.swaps = vec![uses::Swap { path: "/dev/sdd".into(), number: None }];
    let all = found(&blocks(&disks), &uses, &[("sde", "busy")]);
    let of = |name: &str| all.iter().find(|found| found.name == name).unwrap();
    for (name, message) in [
        ("sda", "it has partitions: sda1; sda1 is mounted on /"),
        ("sda1", "it is mounted on /"),
        ("sdb", "it is mounted on /data"),
        ("sdc", "it is part of dm-0"),
        ("sdd", "it is swapped to"),
        ("sde", "something uses it"),
    ] {
        assert_eq!((of(name).state, of(name).message.as_str()), (DeviceState::Occupied, message), "{name}");
    }
    assert!(!all.iter().any(|found| found.name == "dm-0"), "what is a part is not shown");
    assert_eq!(of("dm-1").state, DeviceState::Blank);
}

#[test]
fn what_lies_on_a_disk_says_whose_it_is() {
    let disks = [
        disk("sda", "8:0", &[("serial", "A")]),
        disk("sdb", "8:16", &[("serial", "B")]),
        disk("sdc", "8:32", &[]),
        disk("sdd", "8:48", &[("serial", "D")]),
    ];
    let contents = [
        ("sda", "TYPE=ext4\nLABEL=data\nUUID=11\n"),
        ("sdb", "TYPE=xfs\nLABEL=workspacefs\nUUID=22\n"),
        ("sdc", "TYPE=ext4\nLABEL=workspacefs\nUUID=33\n"),
    ];
    let all = found(&blocks(&disks), &Uses::default(), &contents);
    assert_eq!(all[0].state, DeviceState::Occupied);
    assert!(all[0].message.contains("ext4 labelled \"data\""), "{}", all[0].message);
    assert_eq!(all[0].identities, ["serial:A"], "the UUID of a file system that is not ours is no identity");
    assert_eq!(
        (all[1].state, all[1].fs_type, all[1].fs_uuid.as_str()),
        (DeviceState::Ours, Some(FsType::Xfs), "22")
    );
    assert_eq!(all[1].identities, ["serial:B", "uuid:22"]);
    // Ours is told by its own UUID.
    assert_eq!(
        (all[2].state, all[2].identities.as_slice()),
        (DeviceState::Ours, &["uuid:33".to_string()][..])
    );
    assert_eq!(all[3].state, DeviceState::Blank);
    let shown = FoundDevice::from(&all[1]);
    assert_eq!((shown.size, shown.state, shown.media), (1 << 30, DeviceState::Ours, Some(Media::Ssd)));
}

#[test]
fn the_disk_in_use_stays_ours_wherever_its_folders_are_shown_and_even_if_it_cannot_be_read() {
    let blocks = blocks(&[disk("sda", "8:0", &[("serial", "A")])]);
    let text = format!(
        "1 0 8:0 / {MOUNT_POINT} rw - xfs /dev/sda rw\n2 1 8:0 /export/x /pods/1 rw - xfs /dev/sda rw\n"
    );
    let all = discover(&blocks, &mounts(&text), Path::new(MOUNT_POINT), &mut |_, alone| {
        assert!(!alone);
        Err("it cannot be read".into())
    });
    assert_eq!((all[0].state, all[0].is_mounted), (DeviceState::Ours, true));
    // A folder of it at that place is not it.
    let text = format!("1 0 8:0 /sub {MOUNT_POINT} rw - xfs /dev/sda rw\n");
    let all = found(&blocks, &mounts(&text), &[]);
    assert_eq!((all[0].state, all[0].is_mounted), (DeviceState::Occupied, false));
}

#[test]
fn a_disk_that_goes_while_it_is_looked_at_is_no_error() {
    let tree = sysfs(&[("sda/size", "1"), ("sdb/dev", "8:16"), ("sdc/dev", "x"), ("sdc/size", "8")]);
    assert_eq!(sysfs::read(tree.path()).unwrap(), []);
    assert!(sysfs::read(&tree.path().join("nothing")).is_err());
}
