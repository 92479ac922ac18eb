//! Which of a node's disks an administrator's approvals mean: one, or none with the reason. A pure decision.

use std::collections::BTreeMap;

use workspacefs_api::{ApprovedDevice, DeviceState, FsType, LocalStorageSpec, Media, MediaFilter};

use super::Found;

/// So many disks are named in a message.
const NAMED_MAX: usize = 8;

/// The disk, and what it was approved by.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen<'a> {
    /// The disk: blank or ours.
    pub found: &'a Found,
    /// The approval.
    pub identity: String,
    /// What it is, by the administrator's word or else the kernel's.
    pub media: Option<Media>,
}

/// What comes of the approvals.
pub type Choice<'a> = Result<Chosen<'a>, Unfit>;

/// No disk of this node is the one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Unfit {
    #[error("no disk of this node is approved; {0}")]
    NotApproved(String),
    #[error(
        "{} are all approved, and a LocalStorage is one disk per node: take all but one out of source.devices.approved; the others are for other LocalStorages, or stripe them into one device beforehand",
        .0.join(", ")
    )]
    SeveralApproved(Vec<String>),
    #[error(
        "{identity} is approved, and {} have it: none was touched; approve another identity of the one that is meant, or give each its own serial number",
        .names.join(", ")
    )]
    AmbiguousIdentity { identity: String, names: Vec<String> },
    #[error(
        "{name} is approved by {identity} and is {}, and the spec's media says {}: approve another, or, if that is not what it is, give media beside the approval",
        describe(*.media), filter(*.wished)
    )]
    WrongMedia { name: String, identity: String, media: Option<Media>, wished: MediaFilter },
    #[error("{name} is approved by {identity}, and was not touched: {why}")]
    Occupied { name: String, identity: String, why: String },
    #[error("{name} is approved by {identity}, and was not touched: {why}")]
    NoIdentity { name: String, identity: String, why: String },
    #[error(
        "{name} is approved by {identity} and holds an {} of ours, and fsType says {}: make a LocalStorage with that fsType for it, or, if what is on it can go, wipe it (wipefs -a)",
        .found.as_str(), .wished.as_str()
    )]
    OtherFsType { name: String, identity: String, found: FsType, wished: FsType },
}

impl Unfit {
    /// In one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotApproved(_) => "NotApproved",
            Self::SeveralApproved(_) => "SeveralApproved",
            Self::AmbiguousIdentity { .. } => "AmbiguousIdentity",
            Self::WrongMedia { .. } => "WrongMedia",
            Self::Occupied { .. } => "Occupied",
            Self::NoIdentity { .. } => "NoIdentity",
            Self::OtherFsType { .. } => "OtherFsType",
        }
    }
}

/// Decides.
///
/// # Errors
/// [`Unfit`] in words.
pub fn choose<'a>(spec: &LocalStorageSpec, found: &'a [Found]) -> Choice<'a> {
    let approved = spec.source.devices.as_ref().map_or(&[][..], |devices| &devices.approved);
    // By the disk's place in `found`: a disk may be approved by several of its identities.
    let mut meant: BTreeMap<usize, Vec<&ApprovedDevice>> = BTreeMap::new();
    for entry in approved {
        let has_it = |(_, disk): &(usize, &Found)| disk.identities.contains(&entry.identity);
        let disks: Vec<(usize, &Found)> = found.iter().enumerate().filter(has_it).collect();
        match disks.as_slice() {
            [] => {}
            [(index, _)] => meant.entry(*index).or_default().push(entry),
            several => {
                let names = several.iter().map(|(_, disk)| disk.name.clone()).collect();
                return Err(Unfit::AmbiguousIdentity { identity: entry.identity.clone(), names });
            }
        }
    }
    let mut disks = meant.iter().filter_map(|(index, entries)| Some((found.get(*index)?, entries)));
    match (disks.next(), meant.len()) {
        (Some((disk, entries)), 1) => fit(spec, disk, entries),
        (Some(_), _) => {
            let named = meant.iter().filter_map(|(index, entries)| {
                Some(format!("{} ({})", found.get(*index)?.name, entries.first()?.identity))
            });
            Err(Unfit::SeveralApproved(named.collect()))
        }
        (None, _) => Err(Unfit::NotApproved(candidates(spec, found))),
    }
}

/// Whether the approved disk can be taken.
fn fit<'a>(spec: &LocalStorageSpec, disk: &'a Found, entries: &[&ApprovedDevice]) -> Choice<'a> {
    let (name, identity) = (disk.name.clone(), entries.first().map(|entry| entry.identity.clone()));
    let identity = identity.unwrap_or_default();
    let media = entries.iter().find_map(|entry| entry.media).or(disk.media);
    if !is_meant(spec.media, media) {
        return Err(Unfit::WrongMedia { name, identity, media, wished: spec.media });
    }
    let why = disk.message.clone();
    match disk.state {
        DeviceState::Occupied => return Err(Unfit::Occupied { name, identity, why }),
        DeviceState::NoIdentity => return Err(Unfit::NoIdentity { name, identity, why }),
        DeviceState::Blank | DeviceState::Ours => {}
    }
    let wished = spec.fs_type.unwrap_or_default();
    match disk.fs_type {
        Some(found) if found != wished => Err(Unfit::OtherFsType { name, identity, found, wished }),
        _ => Ok(Chosen { found: disk, identity, media }),
    }
}

/// What nobody knows is meant only if everything is.
pub fn is_meant(wished: MediaFilter, media: Option<Media>) -> bool {
    media.map_or(wished == MediaFilter::Any, |media| wished.admits(media))
}

/// What could be approved.
fn candidates(spec: &LocalStorageSpec, found: &[Found]) -> String {
    let free = found.iter().filter(|disk| matches!(disk.state, DeviceState::Blank | DeviceState::Ours));
    let free: Vec<&Found> = free.filter(|disk| !disk.identities.is_empty()).collect();
    let meant: Vec<&Found> = free.iter().copied().filter(|disk| is_meant(spec.media, disk.media)).collect();
    let named = |disks: &[&Found]| {
        let mut names: Vec<String> = disks.iter().take(NAMED_MAX).map(|disk| named(disk)).collect();
        if disks.len() > NAMED_MAX {
            names.push(format!("{} more", disks.len() - NAMED_MAX));
        }
        names.join(", ")
    };
    match (found.is_empty(), free.as_slice(), meant.as_slice()) {
        (true, ..) => "it has none that could be: no disk that can be written to".into(),
        (_, [], _) => "none could be: the status says what is on each".into(),
        (_, free, []) => format!(
            "blank or ours, but not of the medium {}: {}; if that is not what they are, approve one with its media",
            filter(spec.media),
            named(free)
        ),
        (_, _, meant) => format!("add one to source.devices.approved: {}", named(meant)),
    }
}

fn named(disk: &Found) -> String {
    let identity = disk.identities.first().map_or("", String::as_str);
    let gib = disk.bytes >> 30;
    format!("{identity} ({}, {gib} GiB, {})", disk.name, describe(disk.media))
}

fn describe(media: Option<Media>) -> &'static str {
    match media {
        Some(Media::Ssd) => "SSD",
        Some(Media::Nvme) => "NVMe",
        Some(Media::Hdd) => "HDD",
        None => "of an unknown medium",
    }
}

fn filter(media: MediaFilter) -> &'static str {
    match media {
        MediaFilter::Ssd => "SSD",
        MediaFilter::Hdd => "HDD",
        MediaFilter::Any => "Any",
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_api::{DevicesSource, LocalSource};

    use super::*;

    fn disk(name: &str, identities: &[&str], state: DeviceState, media: Option<Media>) -> Found {
        Found {
            name: name.into(),
            number: (8, 0),
            bytes: 100 << 30,
            media,
            model: String::new(),
            identities: identities.iter().map(|text| text.to_string()).collect(),
            state,
            message: "what was found".into(),
            fs_type: (state == DeviceState::Ours).then_some(FsType::Xfs),
            fs_uuid: String::new(),
            is_mounted: false,
        }
    }

    fn spec(approved: &[(&str, Option<Media>)], media: MediaFilter) -> LocalStorageSpec {
        let entry = |(identity, media): &(&str, Option<Media>)| ApprovedDevice {
            identity: identity.to_string(),
            media: *media,
        };
        let devices = DevicesSource { approved: approved.iter().map(entry).collect() };
        let source = LocalSource { devices: Some(devices), directory: None };
        LocalStorageSpec { media, source, ..Default::default() }
    }

    const SSD: Option<Media> = Some(Media::Ssd);
    const HDD: Option<Media> = Some(Media::Hdd);

    fn node() -> Vec<Found> {
        use DeviceState::{Blank, NoIdentity, Occupied, Ours};
        vec![
            disk("sda", &["wwn:a", "serial:A"], Blank, SSD),
            disk("sdb", &["wwn:b", "serial:B"], Ours, SSD),
            disk("sdc", &["serial:C"], Occupied, SSD),
            disk("sdd", &["serial:twin"], NoIdentity, SSD),
            disk("sde", &["serial:twin"], NoIdentity, SSD),
            disk("sdf", &["serial:F"], Blank, HDD),
            disk("sdg", &["serial:G"], Blank, None),
            disk("sdh", &["serial:H"], NoIdentity, SSD),
        ]
    }

    #[test]
    fn one_approved_disk_that_is_blank_or_ours_is_the_one() {
        let any = MediaFilter::Any;
        for (approved, filter, name, media) in [
            (vec![("wwn:a", None)], any, "sda", SSD),
            (vec![("serial:B", None)], any, "sdb", SSD),
            // Of other nodes.
            (vec![("serial:elsewhere", None), ("wwn:b", None)], any, "sdb", SSD),
            // The same disk by two names; the word on its medium counts wherever it stands.
            (vec![("wwn:a", None), ("serial:A", HDD)], MediaFilter::Hdd, "sda", HDD),
            (vec![("serial:G", SSD)], MediaFilter::Ssd, "sdg", SSD),
            (vec![("serial:G", None)], any, "sdg", None),
            (vec![("serial:F", Some(Media::Nvme))], MediaFilter::Ssd, "sdf", Some(Media::Nvme)),
        ] {
            let node = node();
            let chosen = choose(&spec(&approved, filter), &node).unwrap();
            assert_eq!((chosen.found.name.as_str(), chosen.media), (name, media), "{approved:?}");
            assert_eq!(
                chosen.identity,
                approved
                    .iter()
                    .find(|(identity, _)| chosen.found.identities.contains(&identity.to_string()))
                    .unwrap()
                    .0
            );
        }
    }

    #[test]
    fn anything_else_is_none_with_a_reason_and_what_to_do() {
        let any = MediaFilter::Any;
        for (approved, filter, reason, words) in [
            (
                vec![],
                any,
                "NotApproved",
                vec!["wwn:a (sda, 100 GiB, SSD)", "wwn:b", "serial:F", "serial:G", "approved"],
            ),
            (vec![], MediaFilter::Hdd, "NotApproved", vec!["serial:F (sdf"]),
            (vec![("serial:elsewhere", None)], any, "NotApproved", vec!["wwn:a"]),
            (
                vec![("wwn:a", None), ("wwn:b", None)],
                any,
                "SeveralApproved",
                vec!["sda (wwn:a)", "sdb (wwn:b)"],
            ),
            (
                vec![("serial:twin", None)],
                any,
                "AmbiguousIdentity",
                vec!["serial:twin", "sdd, sde", "none was touched"],
            ),
            (vec![("serial:twin", None), ("wwn:a", None)], any, "AmbiguousIdentity", vec!["sdd, sde"]),
            (vec![("serial:F", None)], MediaFilter::Ssd, "WrongMedia", vec!["sdf", "HDD", "SSD"]),
            (vec![("wwn:a", None)], MediaFilter::Hdd, "WrongMedia", vec!["sda"]),
            (vec![("wwn:a", HDD)], MediaFilter::Ssd, "WrongMedia", vec!["sda"]),
            (vec![("serial:G", None)], MediaFilter::Ssd, "WrongMedia", vec!["unknown medium"]),
            (vec![("serial:C", None)], any, "Occupied", vec!["sdc", "not touched: what was found"]),
            (vec![("serial:C", None)], MediaFilter::Hdd, "WrongMedia", vec!["sdc"]),
            (vec![("serial:H", None)], any, "NoIdentity", vec!["sdh", "not touched"]),
        ] {
            let node = node();
            let unfit = choose(&spec(&approved, filter), &node).unwrap_err();
            let said = unfit.to_string();
            assert_eq!(unfit.reason(), reason, "{approved:?}: {said}");
            assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        }
    }

    #[test]
    fn where_nothing_can_be_approved_that_is_said() {
        let said = |node: &[Found], filter| choose(&spec(&[], filter), node).unwrap_err().to_string();
        assert!(said(&[], MediaFilter::Any).contains("it has none"));
        let node = node();
        assert!(said(&node[2..3], MediaFilter::Any).contains("none could be"));
        let other = said(&node[..1], MediaFilter::Hdd);
        assert!(other.contains("not of the medium HDD") && other.contains("wwn:a"), "{other}");
        let many: Vec<Found> = (0..10).map(|_| node[0].clone()).collect();
        assert!(said(&many, MediaFilter::Any).contains("2 more"));
    }

    #[test]
    fn a_disk_of_ours_with_the_other_file_system_is_not_taken() {
        let node = node();
        let spec =
            LocalStorageSpec { fs_type: Some(FsType::Ext4), ..spec(&[("wwn:b", None)], MediaFilter::Any) };
        let unfit = choose(&spec, &node).unwrap_err();
        assert_eq!(unfit.reason(), "OtherFsType");
        assert!(unfit.to_string().contains("an xfs of ours, and fsType says ext4"), "{unfit}");
    }
}
