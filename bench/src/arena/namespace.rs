//! Mounts that nobody else sees, and that go with the process that made them.

use std::io;

/// Why mounts made here would stay, or be seen elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// /proc does not tell.
    #[error("cannot read /proc/{of}/ns/mnt or mountinfo")]
    Unknown {
        /// Whose.
        of: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It is the one of process 1.
    #[error(
        "this is the mount namespace of the whole computer: start it by `unshare --mount --propagation private`"
    )]
    Shared,
    /// What is mounted here appears elsewhere.
    #[error(
        "mounts propagate out of this mount namespace: start it by `unshare --mount --propagation private`"
    )]
    Propagates,
}

/// Makes sure that this process runs in a mount namespace of its own. A process can only enter one while it has a single
/// thread, so whoever starts it does that: `unshare --mount --propagation private`.
///
/// # Errors
/// It does not; or nothing propagates, but who may not look at process 1 cannot tell whether this is its namespace
/// ([`NamespaceError::Unknown`] of 1).
pub fn ensure_private() -> Result<(), NamespaceError> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(|source| NamespaceError::Unknown { of: "self", source })?;
    if mounts.lines().any(propagates) {
        return Err(NamespaceError::Propagates);
    }
    let namespace = |of: &'static str| {
        std::fs::read_link(format!("/proc/{of}/ns/mnt"))
            .map_err(|source| NamespaceError::Unknown { of, source })
    };
    if namespace("self")? == namespace("1")? { Err(NamespaceError::Shared) } else { Ok(()) }
}

/// Whether this line of mountinfo is of a mount in a peer group: `shared:` stands before the single hyphen.
fn propagates(line: &str) -> bool {
    line.split(' ').skip(6).take_while(|word| *word != "-").any(|word| word.starts_with("shared:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_in_a_peer_group_propagates() {
        assert!(propagates("36 35 98:0 /a /b rw,noatime shared:1 - ext4 /dev/root rw"));
        assert!(propagates("36 35 98:0 / / rw master:2 shared:1 - ext4 /dev/root rw"));
        for line in [
            "36 35 98:0 / / rw - ext4 /dev/root rw",
            "36 35 98:0 / / rw master:2 - ext4 /dev/root rw",
            "36 35 98:0 /shared:1 /shared:1 rw - ext4 shared:1 rw",
        ] {
            assert!(!propagates(line), "{line}");
        }
    }
}
