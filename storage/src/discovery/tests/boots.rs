//! A hundred boots of one node, at each of which the kernel gives its disks other names and one disk may be away: an approval means
//! the same disk at each. Whoever went by names would take another one, or somebody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use workspacefs_api::{ApprovedDevice, DevicesSource, LocalSource, LocalStorageSpec};

use super::*;
use crate::discovery::choose::choose;

const BOOTS: usize = 100;
/// Repeats a run: the seed that it printed.
const SEED: &str = "WSFS_SEED";

/// A disk, whatever it is called.
struct Disk {
    /// What the test calls it.
    is: &'static str,
    bus: Bus,
    /// In its folder of sysfs.
    files: &'static [(&'static str, &'static str)],
    /// What blkid says; nothing of a blank one.
    content: &'static str,
    parts: &'static [Part],
}

/// A partition, known by its disk's name and its number.
struct Part {
    uevent: &'static str,
    content: &'static str,
    mounted_on: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Bus {
    Scsi,
    Nvme,
}

const NODE: [Disk; 11] = [
    Disk { files: &[("device/wwid", "naa.5002538e41\n"), ("serial", "S1")], ..blank("by WWN") },
    Disk { files: &[("device/vpd_pg80", "\0\u{80}\0\u{6}  S3Z9")], ..blank("by serial number") },
    Disk { content: "TYPE=xfs\nLABEL=workspacefs\nUUID=2222-22\n", ..blank("ours") },
    Disk { files: &[("wwid", "eui.0025385b01\n")], bus: Bus::Nvme, ..blank("NVMe") },
    Disk { files: &[("wwid", "eui.0025385b02\n")], bus: Bus::Nvme, ..blank("other NVMe") },
    Disk {
        files: &[("serial", "S-PARTS")],
        parts: &[
            Part { uevent: "PARTUUID=1111-01\n", content: "TYPE=ext4\nUUID=33\n", mounted_on: "/data" },
            Part { uevent: "PARTUUID=1111-02\n", content: "", mounted_on: "" },
        ],
        ..blank("in parts")
    },
    Disk {
        files: &[("serial", "S-FOREIGN")],
        content: "TYPE=ext4\nLABEL=data\nUUID=11\n",
        ..blank("foreign")
    },
    Disk {
        files: &[("serial", "S-SYSTEM")],
        parts: &[Part { uevent: "PARTUUID=4444-01\n", content: "TYPE=ext4\nUUID=44\n", mounted_on: "/" }],
        ..blank("system")
    },
    blank("nameless"),
    Disk { files: &[("serial", "TWIN")], ..blank("twin") },
    Disk { files: &[("serial", "TWIN")], ..blank("other twin") },
];

const fn blank(is: &'static str) -> Disk {
    Disk { is, bus: Bus::Scsi, files: &[], content: "", parts: &[] }
}

/// What administrators approved, each for a LocalStorage of its own, and what they meant by it.
const APPROVED: [(&str, &str); 6] = [
    ("wwn:naa.5002538e41", "by WWN"),
    ("serial:S3Z9", "by serial number"),
    ("uuid:2222-22", "ours"),
    ("wwn:eui.0025385b01", "NVMe"),
    ("wwn:eui.0025385b02", "other NVMe"),
    ("partuuid:1111-02", "in parts, 2"),
];

/// What is approved and must not be taken all the same; and why, where that disk is there. A name is nobody's identity.
const REFUSED: [(&str, &str, &str); 6] = [
    ("serial:S-FOREIGN", "foreign", "Occupied"),
    ("serial:S-SYSTEM", "system", "Occupied"),
    ("serial:S-PARTS", "in parts", "Occupied"),
    ("partuuid:1111-01", "in parts, 1", "Occupied"),
    ("serial:TWIN", "twin", "AmbiguousIdentity"),
    ("sda", "by WWN", "NotApproved"),
];

/// What nobody may ever be given.
const NEVER: [&str; 7] = ["foreign", "system", "system, 1", "nameless", "in parts, 1", "twin", "other twin"];

/// Numbers that look like chance and are the same for the same seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for index in (1..all.len()).rev() {
            all.swap(index, self.below(index + 1));
        }
    }
}

/// One start of the node.
struct Boot {
    /// The kernel's names, by what the test calls disks and partitions.
    names: BTreeMap<String, String>,
    found: Vec<Found>,
}

impl Boot {
    fn new(dice: &mut Dice) -> Self {
        // Nobody can know of one twin that it has another while that is away.
        let away = NODE.get(dice.below(2 * NODE.len())).filter(|disk| !disk.is.contains("twin"));
        let mut there: Vec<&Disk> = NODE.iter().collect();
        there.retain(|disk| away.is_none_or(|away| away.is != disk.is));
        dice.shuffle(&mut there);
        let mut boot = Self { names: BTreeMap::new(), found: Vec::new() };
        let (mut tree, mut contents, mut mounted) = (Vec::new(), Vec::new(), String::new());
        for bus in [Bus::Scsi, Bus::Nvme] {
            for (place, disk) in there.iter().filter(|disk| disk.bus == bus).enumerate() {
                boot.plug(disk, place, &mut tree, &mut contents, &mut mounted);
            }
        }
        let contents: Vec<(&str, &str)> =
            contents.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        boot.found = found(&blocks(&tree), &mounts(&mounted), &contents);
        boot
    }

    /// Shows a disk as the kernel does that met it in this place.
    fn plug(
        &mut self,
        plugged: &Disk,
        place: usize,
        tree: &mut Vec<Vec<(String, String)>>,
        contents: &mut Vec<(String, &'static str)>,
        mounted: &mut String,
    ) {
        let (name, major, between) = match plugged.bus {
            Bus::Scsi => (format!("sd{}", char::from(b'a' + place as u8)), 8, ""),
            Bus::Nvme => (format!("nvme{place}n1"), 259, "p"),
        };
        let mut files: Vec<(String, String)> =
            plugged.files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect();
        if !plugged.content.is_empty() {
            contents.push((name.clone(), plugged.content));
        }
        for (number, part) in (1..).zip(plugged.parts) {
            let (part_name, minor) = (format!("{name}{between}{number}"), place * 16 + number);
            let own = [
                ("partition", format!("{number}\n")),
                ("dev", format!("{major}:{minor}\n")),
                ("size", "4096\n".into()),
                ("uevent", part.uevent.into()),
            ];
            files.extend(own.map(|(file, text)| (format!("{part_name}/{file}"), text)));
            if !part.mounted_on.is_empty() {
                let line = format!("{minor} 0 {major}:{minor} / {} rw - ext4 x rw\n", part.mounted_on);
                mounted.push_str(&line);
            }
            if !part.content.is_empty() {
                contents.push((part_name.clone(), part.content));
            }
            self.names.insert(format!("{}, {number}", plugged.is), part_name);
        }
        let files: Vec<(&str, &str)> =
            files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
        tree.push(disk(&name, &format!("{major}:{}", place * 16), &files));
        self.names.insert(plugged.is.into(), name);
    }

    /// What the test calls what the kernel calls so.
    fn called(&self, name: &str) -> Option<&str> {
        self.names.iter().find(|(_, other)| *other == name).map(|(is, _)| is.as_str())
    }

    fn found(&self, is: &str) -> Option<&Found> {
        let name = self.names.get(is)?;
        self.found.iter().find(|found| found.name == *name)
    }
}

fn spec(identity: &str) -> LocalStorageSpec {
    // Beside it that of another node's disk.
    let approved = ["serial:elsewhere", identity]
        .map(|identity| ApprovedDevice { identity: identity.into(), media: None });
    let devices = DevicesSource { approved: approved.to_vec() };
    let source = LocalSource { devices: Some(devices), directory: None };
    LocalStorageSpec { source, ..Default::default() }
}

fn boots() -> Vec<Boot> {
    let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    // Shown if the test fails.
    println!("{SEED}={seed}");
    let mut dice = Dice(seed);
    (0..BOOTS).map(|_| Boot::new(&mut dice)).collect()
}

/// What a way of taking a disk, which gives the name of the one it takes, takes beside what was meant. That nothing is taken while
/// the disk is away is no mistake.
fn mistakes(boots: &[Boot], mut take: impl FnMut(&Boot, &str) -> Option<String>) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (number, boot) in boots.iter().enumerate() {
        for (identity, meant) in APPROVED {
            let taken = take(boot, identity);
            if taken.as_ref() != boot.names.get(meant) {
                let what = taken.as_deref().map_or("nothing", |name| boot.called(name).unwrap_or(name));
                mistakes.push(format!("boot {number}: {identity} means {meant}; taken: {what}"));
            }
        }
    }
    mistakes
}

#[test]
fn a_hundred_boots_that_rename_the_disks_choose_the_same_ones() {
    let boots = boots();
    let made = mistakes(&boots, |boot, identity| {
        let chosen = choose(&spec(identity), &boot.found).ok()?;
        assert_eq!(chosen.identity, identity);
        Some(chosen.found.name.clone())
    });
    assert!(made.is_empty(), "{}", made.join("\n"));
    for (identity, meant) in APPROVED {
        // What is reported of it is the same too, but for its name and number.
        let reported = boots.iter().filter_map(|boot| {
            let found = boot.found(meant)?.clone();
            Some(format!("{:?}", Found { name: String::new(), number: (0, 0), ..found }))
        });
        let reported: BTreeSet<String> = reported.collect();
        assert_eq!(reported.len(), 1, "{identity}: {reported:?}");
        // Where it is away, nothing else stands in for it.
        let away = boots.iter().filter(|boot| !boot.names.contains_key(meant));
        for boot in away {
            assert_eq!(
                choose(&spec(identity), &boot.found).unwrap_err().reason(),
                "NotApproved",
                "{identity}"
            );
        }
    }
}

#[test]
fn at_none_of_a_hundred_boots_a_foreign_or_nameless_disk_can_be_had() {
    for (number, boot) in boots().iter().enumerate() {
        for (identity, is, reason) in REFUSED {
            let unfit = choose(&spec(identity), &boot.found).unwrap_err();
            let reason = if boot.names.contains_key(is) { reason } else { "NotApproved" };
            assert_eq!(unfit.reason(), reason, "boot {number}: {identity}: {unfit}");
        }
        for is in NEVER {
            let Some(found) = boot.found(is) else { continue };
            let is_free = matches!(found.state, DeviceState::Blank | DeviceState::Ours);
            assert!(!is_free, "boot {number}: {is} is {found:?}");
            for identity in &found.identities {
                assert!(choose(&spec(identity), &boot.found).is_err(), "boot {number}: {is} by {identity}");
            }
        }
    }
}

#[test]
fn the_same_boots_mislead_whoever_goes_by_names() {
    let boots = boots();
    let mut first_names: BTreeMap<String, String> = BTreeMap::new();
    let made = mistakes(&boots, |boot, identity| {
        let chosen = choose(&spec(identity), &boot.found).ok();
        let name = match (first_names.get(identity), chosen) {
            (Some(name), _) => name.clone(),
            (None, Some(chosen)) => {
                first_names.insert(identity.into(), chosen.found.name.clone());
                chosen.found.name.clone()
            }
            (None, None) => return None,
        };
        boot.found.iter().any(|found| found.name == name).then_some(name)
    });
    for (identity, _) in APPROVED {
        assert!(made.iter().any(|mistake| mistake.contains(identity)), "{identity} is never renamed");
    }
    let has_taken = |is: &&str| made.iter().any(|mistake| mistake.ends_with(&format!("taken: {is}")));
    assert!(
        NEVER.iter().any(has_taken),
        "no name ever came to a disk that is not to be had:\n{}",
        made.join("\n")
    );
}
