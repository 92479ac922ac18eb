//! What a copy has beside its content: owner, mode, extended attributes, access control lists, time.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, Uid, XattrFlags, chownat, fchmod, fchown, lgetxattr, llistxattr, lremovexattr,
    lsetxattr,
};
use rustix::io::Errno;

use crate::compare::mode;
use crate::engine::Engine;
use crate::options::Keep;
use crate::stat::Stat;
use crate::trouble::{Side, Trouble};

impl Engine<'_> {
    /// Whether owners are kept, as far as is known.
    pub fn keeps_owner(&self) -> bool {
        self.options.keep.owner && self.abilities.chown.get()
    }

    /// The mode to make a file with: what is too much for its present owner comes once it has the other.
    pub fn first_mode(&self, source: &Stat) -> u32 {
        let same_owner = (source.uid, source.gid) == (self.abilities.uid, self.abilities.gid);
        match same_owner || !self.keeps_owner() {
            true => source.mode & 0o777,
            false => source.mode & 0o700,
        }
    }

    /// Owner and mode of a file or directory that is `now` so.
    pub fn settle(&self, file: BorrowedFd<'_>, now: &Stat, source: &Stat) -> Result<(), Trouble> {
        let at = |step| Side::Destination.at(step);
        let (mut uid, mut gid, mut changed) = (now.uid, now.gid, false);
        if self.options.keep.owner && (uid, gid) != (source.uid, source.gid) {
            (uid, gid, changed) = self.give(file, now, source).map_err(at("set the owner"))?;
        }
        let wanted = mode(source, uid, gid);
        // A change of the owner may have taken bits away.
        if wanted != now.mode || (changed && wanted > 0o777) {
            fchmod(file, Mode::from_raw_mode(wanted)).map_err(at("set the mode"))?;
        }
        Ok(())
    }

    /// Owner and group as far as this process may set them, whether or not the one is refused.
    fn give(&self, file: BorrowedFd<'_>, now: &Stat, source: &Stat) -> Result<(u32, u32, bool), Errno> {
        if self.abilities.chown.get() {
            match fchown(file, Some(Uid::from_raw(source.uid)), Some(Gid::from_raw(source.gid))) {
                Ok(()) => return Ok((source.uid, source.gid, true)),
                // One of one's own groups can be given by anybody; more than that only by root.
                Err(Errno::PERM) => self.abilities.chown.clear(),
                // An owner that this user namespace does not know.
                Err(Errno::INVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
        let group = now.gid != source.gid && fchown(file, None, Some(Gid::from_raw(source.gid))).is_ok();
        let gid = if group { source.gid } else { now.gid };
        if (now.uid, gid) != (source.uid, source.gid) {
            self.owner_not_kept();
        }
        Ok((now.uid, gid, group))
    }

    /// The owner of a link, which has no mode. Asked for even of whoever copies: in a set-group-id directory the link has
    /// the directory's group.
    pub fn settle_link(&self, directory: BorrowedFd<'_>, name: &CStr, source: &Stat) -> Result<(), Trouble> {
        if !self.keeps_owner() {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(source.uid), Gid::from_raw(source.gid));
        match chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) => Ok(()),
            Err(errno @ (Errno::PERM | Errno::INVAL)) => {
                if errno == Errno::PERM {
                    self.abilities.chown.clear();
                }
                self.owner_not_kept();
                Ok(())
            }
            Err(errno) => Err(Side::Destination.at("set the owner")(errno)),
        }
    }

    fn owner_not_kept(&self) {
        self.owners_not_kept.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Whether extended attributes or access control lists are kept at all.
    pub fn keeps_attributes(&self) -> bool {
        self.options.keep.xattrs || self.options.keep.acls
    }

    /// Whether one name has other extended attributes than another.
    pub fn attributes_differ(&self, from: Named<'_>, to: Named<'_>) -> Result<bool, Trouble> {
        if !self.keeps_attributes() {
            return Ok(false);
        }
        let (wanted, there) = self.attributes(from, to)?;
        Ok(wanted != there)
    }

    fn attributes(
        &self,
        from: Named<'_>,
        to: Named<'_>,
    ) -> Result<(Vec<Attribute>, Vec<Attribute>), Trouble> {
        let (step, keep) = ("read the extended attributes", self.options.keep);
        let wanted = from.attributes(keep).map_err(Side::Source.at(step))?;
        let there = to.attributes(keep).map_err(Side::Destination.at(step))?;
        Ok((wanted, there))
    }

    /// Makes the extended attributes of one name those of another; says whether any had to be changed.
    pub fn copy_attributes(&self, from: Named<'_>, to: Named<'_>) -> Result<bool, Trouble> {
        if !self.keeps_attributes() {
            return Ok(false);
        }
        let (wanted, there) = self.attributes(from, to)?;
        if self.options.dry_run {
            return Ok(wanted != there);
        }
        to.make(&wanted, &there).map_err(Side::Destination.at("set the extended attributes"))?;
        Ok(wanted != there)
    }
}

/// Something by its name in an open directory.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub directory: BorrowedFd<'a>,
    pub name: &'a CStr,
}

type Attribute = (CString, Vec<u8>);

/// As xattr(7) limits names' list and value.
const BYTES_MAX: usize = 64 * 1024;

impl Named<'_> {
    /// A path that leads through the descriptor: there are no calls with both a descriptor and a name before Linux 6.13. Only
    /// the name itself is looked up, and no link is followed.
    fn path(self) -> Result<CString, Errno> {
        let mut path = format!("/proc/self/fd/{}/", self.directory.as_raw_fd()).into_bytes();
        path.extend_from_slice(self.name.to_bytes());
        CString::new(path).map_err(|_| Errno::INVAL)
    }

    /// Those that are kept, in order. A file system that has none has none.
    fn attributes(self, keep: Keep) -> Result<Vec<Attribute>, Errno> {
        let path = self.path()?;
        let mut buffer = vec![0; BYTES_MAX];
        let length = match llistxattr(&*path, &mut buffer[..]) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
        };
        let mut names: Vec<CString> = Vec::new();
        for name in buffer.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
            if is_kept(name, keep) {
                names.push(CString::new(name).map_err(|_| Errno::INVAL)?);
            }
        }
        names.sort();
        let mut attributes = Vec::new();
        for name in names {
            match lgetxattr(&*path, &name, &mut buffer[..]) {
                Ok(length) => attributes.push((name, buffer.get(..length).unwrap_or_default().to_vec())),
                // Somebody took it away meanwhile.
                Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(attributes)
    }

    fn make(self, wanted: &[Attribute], there: &[Attribute]) -> Result<(), Errno> {
        let path = self.path()?;
        for (name, _) in there.iter().filter(|(name, _)| !wanted.iter().any(|(other, _)| other == name)) {
            match lremovexattr(&*path, name) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        for attribute in wanted.iter().filter(|attribute| !there.contains(attribute)) {
            match lsetxattr(&*path, &attribute.0, &attribute.1, XattrFlags::empty()) {
                Ok(()) => {}
                // What only root may set, and this is not root.
                Err(Errno::PERM) if !attribute.0.as_bytes().starts_with(b"user.") => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// Labels of security modules belong to the machine and not to the file.
fn is_kept(name: &[u8], keep: Keep) -> bool {
    let acl = name.starts_with(b"system.posix_acl_");
    let plain =
        [&b"user."[..], b"trusted.", b"security.capability"].iter().any(|prefix| name.starts_with(prefix));
    (acl && keep.acls) || (plain && keep.xattrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_attribute_is_kept_only_where_it_was_asked_for() {
        let keep = |xattrs, acls| Keep { owner: true, xattrs, acls };
        for (name, with_xattrs, with_acls) in [
            ("user.a", true, false),
            ("trusted.a", true, false),
            ("security.capability", true, false),
            ("security.selinux", false, false),
            ("system.posix_acl_access", false, true),
            ("system.posix_acl_default", false, true),
            ("", false, false),
        ] {
            assert_eq!(is_kept(name.as_bytes(), keep(true, false)), with_xattrs, "{name}");
            assert_eq!(is_kept(name.as_bytes(), keep(false, true)), with_acls, "{name}");
            assert!(!is_kept(name.as_bytes(), keep(false, false)), "{name}");
        }
    }
}
