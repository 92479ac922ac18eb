//! A mount namespace's mountinfo, read whole: for tests and for repairing what a crash left. Never on the way of a publish, whose
//! cost must not grow with the number of mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount of this process's mount namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MountEntry {
    /// The mount's id.
    pub id: u64,
    /// The id of the mount it is attached to.
    pub parent: u64,
    /// Major and minor number of the device that the file system says it is on.
    pub device: (u32, u32),
    /// The folder of the file system that is its root.
    pub root: PathBuf,
    /// Where it is attached.
    pub mount_point: PathBuf,
    /// Its own options ("ro", "nosuid" ...).
    pub options: Vec<String>,
    /// The peer group, if it is shared.
    pub shared: Option<u64>,
    /// Type of the file system.
    pub kind: String,
    /// What was mounted.
    pub source: OsString,
}

/// Reads the mounts of the calling thread's namespace, in the kernel's order: what is attached later stands later.
///
/// # Errors
/// Only if /proc is not there.
pub fn read() -> std::io::Result<Vec<MountEntry>> {
    Ok(parse(&std::fs::read("/proc/thread-self/mountinfo")?))
}

/// Reads the text of such a file; lines of any other form are passed over.
pub fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|b| *b == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|b| *b == b' ');
    let mut next = || fields.next();
    let id = number(next()?)?;
    let parent = number(next()?)?;
    let device = next()?;
    let (major, minor) = std::str::from_utf8(device).ok()?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let root = PathBuf::from(unescape(next()?));
    let mount_point = PathBuf::from(unescape(next()?));
    let options = String::from_utf8_lossy(next()?).split(',').map(Into::into).collect();
    let mut shared = None;
    // Optional fields, of which there may be none, up to a lone hyphen.
    loop {
        match next()? {
            b"-" => break,
            field => {
                if let Some(group) = field.strip_prefix(b"shared:") {
                    shared = number(group);
                }
            }
        }
    }
    let kind = String::from_utf8_lossy(next()?).into_owned();
    let source = unescape(next()?);
    Some(MountEntry { id, parent, device, root, mount_point, options, shared, kind, source })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Turns `\040` and its like (space, tab, newline, backslash, hash) back into bytes.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'\\').then(|| tail.get(..3)).flatten().and_then(octal);
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

fn octal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
        41 29 0:38 /a\\040b /mnt/with\\040space\\134\\012end ro,nosuid,nodev - nfs4 host:/export\\043x rw,vers=4.2\n\
        42 29 0:39 / /m rw shared:7 master:3 propagate_from:2 - tmpfs tmpfs rw\n\
        not a mount\n";

    #[test]
    fn escapes_options_and_peer_groups_are_read() {
        let entries = parse(LINES);
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[0].id, entries[0].parent, entries[0].shared), (29, 1, Some(1)));
        assert_eq!((entries[0].device, entries[1].device), ((8, 1), (0, 38)));
        assert_eq!(entries[1].root, PathBuf::from("/a b"));
        assert_eq!(entries[1].mount_point, PathBuf::from("/mnt/with space\\\nend"));
        assert_eq!(entries[1].options, ["ro", "nosuid", "nodev"]);
        assert_eq!(entries[1].shared, None);
        assert_eq!(entries[1].source, "host:/export#x");
        assert_eq!((entries[2].shared, entries[2].kind.as_str()), (Some(7), "tmpfs"));
    }

    #[test]
    fn this_process_has_a_root_and_proc() {
        let mounts = read().unwrap();
        for path in ["/", "/proc"].map(PathBuf::from) {
            assert!(mounts.iter().any(|m| m.mount_point == path), "{path:?}");
        }
    }
}
