//! What a disk is known by, whatever the kernel calls it: strings that an administrator approves.

use super::sysfs::Block;
use crate::device::content::{Content, Verdict, judge};

/// The longest that can be approved.
const BYTES_MAX: usize = 256;

/// What is known of one disk, in cleaned form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identities {
    wwn: Option<String>,
    serial: Option<String>,
    /// Of a partition.
    partuuid: Option<String>,
    /// Of a file system of ours.
    uuid: Option<String>,
    is_partition: bool,
    /// Of a partition: whether the disk that it is on has an identity. A partition table is copied with the rest of a disk.
    is_on_known_disk: bool,
}

impl Identities {
    /// What sysfs says. `disk` is what a partition is on.
    pub fn of(block: &Block, disk: Option<&Block>) -> Self {
        let text =
            |kind: &str, value: &Option<String>| value.as_deref().and_then(|value| identity(kind, value));
        let known = |block: &Block| (text("wwn", &block.wwn), text("serial", &block.serial));
        let (wwn, serial) = match block.of {
            None => known(block),
            // Those of the disk would mean the disk.
            Some(_) => (None, None),
        };
        let is_on_known_disk = disk.is_some_and(|disk| known(disk) != (None, None));
        let partuuid = text("partuuid", &block.partuuid);
        Self { wwn, serial, partuuid, uuid: None, is_partition: block.of.is_some(), is_on_known_disk }
    }

    /// What blkid says besides.
    pub fn add_content(&mut self, content: &Content) {
        let found = |key: &str| content.signatures.get(key);
        if self.is_partition && self.partuuid.is_none() {
            self.partuuid = found("PART_ENTRY_UUID").and_then(|value| identity("partuuid", value));
        }
        if matches!(judge(content), Ok(Verdict::Mount(_))) {
            self.uuid = found("UUID").and_then(|value| identity("uuid", value));
        }
    }

    /// All of it, the best first.
    pub fn list(&self) -> Vec<String> {
        let all = [&self.wwn, &self.serial, &self.partuuid, &self.uuid];
        all.into_iter().filter_map(Clone::clone).collect()
    }

    /// What tells a blank disk from others.
    pub fn telling(&self) -> Vec<String> {
        let partuuid = self.partuuid.as_ref().filter(|_| self.is_on_known_disk);
        [self.wwn.as_ref(), self.serial.as_ref(), partuuid].into_iter().flatten().cloned().collect()
    }

    /// Why that is nothing.
    pub fn lack(&self) -> &'static str {
        match (self.is_partition, &self.partuuid) {
            (false, _) => {
                "it has neither WWN nor serial number, so nobody could tell it from another disk after a restart: give it one (a hypervisor's disks have a setting for that)"
            }
            (true, None) => "it is a partition without a UUID of its own: make a GPT on its disk",
            (true, Some(_)) => {
                "it is a partition of a disk that has neither WWN nor serial number: a copy of that disk would have the same partition"
            }
        }
    }
}

/// What Linux prints for a text that is not there; user-mode Linux does so for a disk without a serial number.
const NULL: &str = "(null)";

/// `kind:value` if that is something that can be approved; the value trimmed.
fn identity(kind: &str, value: &str) -> Option<String> {
    let value = value.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
    let is_printable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    // What a hypervisor or an enclosure says that has nothing to say: `0000`, `naa.0000000000000000`.
    let is_nothing = value == NULL
        || value
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .bytes()
            .all(|byte| matches!(byte, b'0' | b' ' | b'-'));
    let text = format!("{kind}:{value}");
    (is_printable && !is_nothing && text.len() <= BYTES_MAX).then_some(text)
}

/// The serial number in a SCSI disk's page 0x80: four bytes of head, of which the last two are the length.
pub fn serial_of_page(page: &[u8]) -> Option<String> {
    const CODE: u8 = 0x80;
    let [_, CODE, high, low, rest @ ..] = page else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let text = rest.get(..length.min(rest.len()))?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_approved_is_an_identity_and_nothing_is_none() {
        for (value, expected) in [
            ("  S3Z9NB0K \n", Some("serial:S3Z9NB0K")),
            ("t10.ATA     QEMU HARDDISK   QM00001\0", Some("serial:t10.ATA     QEMU HARDDISK   QM00001")),
            ("naa.5002538e4", Some("serial:naa.5002538e4")),
            ("", None),
            ("   ", None),
            ("0000", None),
            ("(null)", None),
            ("naa.0000000000000000", None),
            ("eui.00000000000000000", None),
            ("00000000-0000-0000-0000-000000000000", None),
            ("a\u{e9}b", None),
            ("a\tb", None),
            ("a\x7fb", None),
        ] {
            assert_eq!(identity("serial", value).as_deref(), expected, "{value:?}");
        }
        assert!(identity("wwn", &"x".repeat(BYTES_MAX - 4)).is_some());
        assert!(identity("wwn", &"x".repeat(BYTES_MAX - 3)).is_none());
    }

    #[test]
    fn the_serial_number_of_a_scsi_page_ends_where_the_page_says() {
        assert_eq!(serial_of_page(b"\x00\x80\x00\x04ABCDrest").as_deref(), Some("ABCD"));
        assert_eq!(serial_of_page(b"\x00\x80\x00\x08ABCD").as_deref(), Some("ABCD"));
        assert_eq!(serial_of_page(b"\x00\x83\x00\x04ABCD"), None);
        assert_eq!(serial_of_page(b"\x00\x80\x00"), None);
        assert_eq!(serial_of_page(b"\x00\x80\x00\x02\xff\xfe"), None);
    }
}
