//! What is on a device, and what may be done to it: a pure decision. Only a device that is blank by two independent looks,
//! or that our own formatting left unfinished, is ever written to.

use std::collections::BTreeMap;

use workspacefs_api::FsType;

/// Label of our file systems; XFS allows 12 bytes, ext4 16.
pub const LABEL: &str = "workspacefs";
/// What blkid says of the entry in a partition table.
const OF_PARTITION: &str = "PART_ENTRY_";
/// How much of a device's beginning and end must be zero for it to be blank.
pub const BLANK_BYTES: u64 = 1 << 20;

/// Of an XFS superblock (big endian): its magic number, its label, and whether mkfs has not finished yet.
const MAGIC: &[u8] = b"XFSB";
const LABEL_AT: std::ops::Range<usize> = 108..120;
const IN_PROGRESS_AT: usize = 126;

/// What two looks found.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// What `blkid -p` says, by its own names; empty if it found nothing.
    pub signatures: BTreeMap<String, String>,
    /// It found more than one thing.
    pub ambivalent: bool,
    /// The first and the last MiB hold only zeros.
    pub ends_are_zero: bool,
    /// The first bytes.
    pub head: Vec<u8>,
}

/// What to do with a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing is on it.
    Format,
    /// Our own formatting as XFS was cut: nothing was ever stored there.
    FormatAgain,
    /// It looks like ours, and has this file system; what is in it decides.
    Mount(FsType),
}

/// The device holds something that is not ours.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// With a name.
    #[error(
        "it holds {0}, which is not ours: nothing was written to it. Give an empty device, or, if that can go, wipe this one (wipefs -a)"
    )]
    Known(String),
    /// Without. A cut mkfs.ext4 is one: it writes the superblock, which a signature is in, last.
    #[error(
        "it is not blank, though no signature is known: nothing was written to it. Give an empty device, or, if that can go, zero its first and last MiB (formatting as ext4 that was cut leaves this, too)"
    )]
    Unknown,
    /// Ours, and not what is asked for.
    #[error(
        "it holds an {} of ours, and {} is asked for: nothing was written to it. Ask for {}, or, if what is on it can go, wipe it (wipefs -a)",
        .found.as_str(), .wished.as_str(), .found.as_str()
    )]
    OtherFsType {
        /// What is on it.
        found: FsType,
        /// What is asked for.
        wished: FsType,
    },
}

/// Decides.
///
/// # Errors
/// [`Refusal`] in words.
pub fn judge(content: &Content) -> Result<Verdict, Refusal> {
    let found = |key: &str| content.signatures.get(key).map(String::as_str);
    if content.ambivalent {
        return Err(Refusal::Known("more than one signature".into()));
    }
    if found("LABEL") == Some(LABEL)
        && let Some(fs) =
            [FsType::Xfs, FsType::Ext4].into_iter().find(|fs| found("TYPE") == Some(fs.as_str()))
    {
        let unfinished = fs == FsType::Xfs && is_unfinished(&content.head);
        return Ok(if unfinished { Verdict::FormatAgain } else { Verdict::Mount(fs) });
    }
    // Of a partition, blkid also says how the table that it stands in calls it.
    if content.signatures.keys().all(|key| key.starts_with(OF_PARTITION)) {
        return if content.ends_are_zero { Ok(Verdict::Format) } else { Err(Refusal::Unknown) };
    }
    let label = found("LABEL").map(|label| format!(" labelled {label:?}")).unwrap_or_default();
    Err(Refusal::Known(match (found("TYPE"), found("PTTYPE")) {
        (Some(kind), _) => format!("{kind}{label}"),
        (None, Some(kind)) => format!("a partition table ({kind})"),
        (None, None) => "a signature".into(),
    }))
}

/// mkfs.xfs writes the superblock first, marked as in progress, and takes the mark away last.
fn is_unfinished(head: &[u8]) -> bool {
    let label = head.get(LABEL_AT).unwrap_or_default();
    head.starts_with(MAGIC)
        && label.strip_prefix(LABEL.as_bytes()).is_some_and(|rest| rest.iter().all(|b| *b == 0))
        && head.get(IN_PROGRESS_AT).is_some_and(|flag| *flag != 0)
}

/// Reads what `blkid -o export` prints.
pub fn parse_blkid(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.filter(|(key, _)| *key != "DEVNAME").map(|(key, value)| (key.into(), value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(blkid: &str, ends_are_zero: bool) -> Content {
        Content { signatures: parse_blkid(blkid), ends_are_zero, ..Content::default() }
    }

    fn superblock(label: &str, in_progress: u8) -> Vec<u8> {
        let mut head = vec![0; 512];
        head[..4].copy_from_slice(MAGIC);
        head[108..108 + label.len()].copy_from_slice(label.as_bytes());
        head[126] = in_progress;
        head
    }

    const OURS: &str = "DEVNAME=/dev/vdb\nLABEL=workspacefs\nUUID=x\nTYPE=xfs\nUSAGE=filesystem\n";

    #[test]
    fn only_what_is_blank_to_both_looks_is_formatted() {
        assert_eq!(judge(&content("", true)), Ok(Verdict::Format));
        assert_eq!(judge(&content("", false)), Err(Refusal::Unknown));
        assert!(judge(&content("TYPE=ext4\n", true)).is_err());
    }

    #[test]
    fn a_blank_partition_is_blank_though_its_table_has_a_name_for_it() {
        const ENTRY: &str = "PART_ENTRY_SCHEME=gpt\nPART_ENTRY_UUID=x\nPART_ENTRY_NUMBER=1\n";
        assert_eq!(judge(&content(ENTRY, true)), Ok(Verdict::Format));
        assert_eq!(judge(&content(ENTRY, false)), Err(Refusal::Unknown));
    }

    #[test]
    fn an_ext4_of_ours_is_mounted_and_never_formatted_again() {
        for head in [Vec::new(), superblock("workspacefs", 1)] {
            let found = Content { head, ..content("TYPE=ext4\nLABEL=workspacefs\n", false) };
            assert_eq!(judge(&found), Ok(Verdict::Mount(FsType::Ext4)));
        }
    }

    #[test]
    fn what_others_stored_is_named_and_refused() {
        for (blkid, word) in [
            ("TYPE=ext4\nLABEL=data\n", "ext4 labelled \"data\""),
            ("TYPE=swap\n", "swap"),
            ("TYPE=xfs\n", "xfs"),
            ("TYPE=xfs\nLABEL=other\n", "\"other\""),
            ("TYPE=btrfs\nLABEL=workspacefs\n", "btrfs"),
            ("TYPE=ext4\nPART_ENTRY_UUID=x\n", "ext4"),
            ("PTTYPE=gpt\n", "partition table (gpt)"),
            ("TYPE=LVM2_member\n", "LVM2_member"),
            ("TYPE=crypto_LUKS\n", "crypto_LUKS"),
        ] {
            let refusal = judge(&content(blkid, false)).unwrap_err().to_string();
            assert!(refusal.contains(word) && refusal.contains("nothing was written"), "{refusal}");
        }
        let both = Content { ambivalent: true, ..content(OURS, false) };
        assert!(judge(&both).is_err());
    }

    #[test]
    fn ours_is_mounted_and_formatted_again_only_if_mkfs_never_ended() {
        let with = |head| judge(&Content { head, ..content(OURS, false) });
        assert_eq!(with(superblock("workspacefs", 0)), Ok(Verdict::Mount(FsType::Xfs)));
        assert_eq!(with(superblock("workspacefs", 1)), Ok(Verdict::FormatAgain));
        // What blkid calls ours and the superblock does not, is not written to.
        assert_eq!(with(superblock("workspacefs2", 1)), Ok(Verdict::Mount(FsType::Xfs)));
        assert_eq!(with(superblock("other", 1)), Ok(Verdict::Mount(FsType::Xfs)));
        assert_eq!(with(Vec::new()), Ok(Verdict::Mount(FsType::Xfs)));
        assert!(
            judge(&Content { head: superblock("other", 1), ..content("TYPE=xfs\nLABEL=other\n", false) })
                .is_err()
        );
    }
}
