//! What a copy has beside its content: owner, mode, extended attributes, access control lists, time.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, Uid, XattrFlags, chownat, fchmod, fchown, fgetxattr, flistxattr, fremovexattr,
    fsetxattr, lgetxattr, llistxattr, lremovexattr, lsetxattr,
};
use rustix::io::Errno;

use crate::compare::mode;
use crate::engine::Engine;
use crate::nfs4_acl;
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

    /// Whether one has other extended attributes than another.
    pub fn attributes_differ(&self, from: Bearer<'_>, to: Bearer<'_>) -> Result<bool, Trouble> {
        if !self.keeps_attributes() {
            return Ok(false);
        }
        let (wanted, there) = self.attributes(from, to)?;
        Ok(wanted != there)
    }

    fn attributes(
        &self,
        from: Bearer<'_>,
        to: Bearer<'_>,
    ) -> Result<(Vec<Attribute>, Vec<Attribute>), Trouble> {
        let (step, keep) = ("read the extended attributes", self.options.keep);
        let wanted = from.attributes(keep, keep.acls).map_err(Side::Source.at(step))?;
        // It is a question to a server: only where there is something to compare it with.
        let with_nfs4_acl = wanted.iter().any(|(name, _)| **name == *nfs4_acl::NAME);
        let there = to.attributes(keep, with_nfs4_acl).map_err(Side::Destination.at(step))?;
        Ok((wanted, there))
    }

    /// Makes the extended attributes of one those of another; says whether any had to be changed.
    pub fn copy_attributes(&self, from: Bearer<'_>, to: Bearer<'_>) -> Result<bool, Trouble> {
        if !self.keeps_attributes() {
            return Ok(false);
        }
        let (wanted, there) = self.attributes(from, to)?;
        if self.options.dry_run {
            return Ok(wanted != there);
        }
        to.make(&wanted, &there).map_err(|errno| {
            let is_list = errno == Errno::NOTSUP && wanted.iter().any(|(name, _)| **name == *nfs4_acl::NAME);
            let step =
                if is_list { "keep its NFSv4 access control list" } else { "set the extended attributes" };
            Side::Destination.at(step)(errno)
        })?;
        Ok(wanted != there)
    }
}

/// What has attributes.
#[derive(Clone, Copy)]
pub(crate) enum Bearer<'a> {
    /// Something by its name in an open directory.
    Named(BorrowedFd<'a>, &'a CStr),
    /// An open file, not one that was opened with O_PATH.
    Open(BorrowedFd<'a>),
}

/// How the kernel is asked for them.
enum Way<'a> {
    Path(CString),
    Open(BorrowedFd<'a>),
}

type Attribute = (CString, Vec<u8>);

/// As xattr(7) limits names' list and value.
const BYTES_MAX: usize = 64 * 1024;
/// Enough for nearly all. The kernel sets aside as much memory as it is asked for.
const BYTES_AT_FIRST: usize = 256;

impl<'a> Bearer<'a> {
    /// A path that leads through the descriptor: there are no calls with both a descriptor and a name before Linux 6.13. Only
    /// the name itself is looked up, and no link is followed.
    fn way(self) -> Result<Way<'a>, Errno> {
        let (directory, name) = match self {
            Self::Open(file) => return Ok(Way::Open(file)),
            Self::Named(directory, name) => (directory, name),
        };
        let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.to_bytes());
        CString::new(path).map(Way::Path).map_err(|_| Errno::INVAL)
    }

    /// Those that are kept, in order. A file system that has none has none. An access control list of NFSv4 is one of them where it
    /// says more than the mode does: a file system that has no such lists refuses it, and the file is not copied with less.
    fn attributes(self, keep: Keep, with_nfs4_acl: bool) -> Result<Vec<Attribute>, Errno> {
        let way = self.way()?;
        let list = match whole(|buffer| way.list(buffer)) {
            Ok(list) => list,
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
        };
        let mut names: Vec<CString> = Vec::new();
        for name in list.split(|byte| *byte == 0) {
            if is_kept(name, keep) || (with_nfs4_acl && name == nfs4_acl::NAME.to_bytes()) {
                names.push(CString::new(name).map_err(|_| Errno::INVAL)?);
            }
        }
        names.sort();
        let mut attributes = Vec::new();
        for name in names {
            match whole(|buffer| way.get(&name, buffer)) {
                Ok(value) if *name == *nfs4_acl::NAME && nfs4_acl::is_a_mode(&value) => {}
                Ok(value) => attributes.push((name, value)),
                // Somebody took it away meanwhile.
                Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(attributes)
    }

    fn make(self, wanted: &[Attribute], there: &[Attribute]) -> Result<(), Errno> {
        let too_many = there.iter().filter(|(name, _)| !wanted.iter().any(|(other, _)| other == name));
        let missing = wanted.iter().filter(|attribute| !there.contains(attribute));
        let (mut too_many, mut missing) = (too_many.peekable(), missing.peekable());
        if too_many.peek().is_none() && missing.peek().is_none() {
            return Ok(());
        }
        let way = self.way()?;
        for (name, _) in too_many {
            match way.remove(name) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        for (name, value) in missing {
            match way.set(name, value) {
                Ok(()) => {}
                // What only root may set, and this is not root.
                Err(Errno::PERM) if !name.as_bytes().starts_with(b"user.") => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

impl Way<'_> {
    fn list(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Path(path) => llistxattr(&**path, buffer),
            Self::Open(file) => flistxattr(file, buffer),
        }
    }

    fn get(&self, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Path(path) => lgetxattr(&**path, name, buffer),
            Self::Open(file) => fgetxattr(file, name, buffer),
        }
    }

    fn set(&self, name: &CStr, value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Path(path) => lsetxattr(&**path, name, value, XattrFlags::empty()),
            Self::Open(file) => fsetxattr(file, name, value, XattrFlags::empty()),
        }
    }

    fn remove(&self, name: &CStr) -> Result<(), Errno> {
        match self {
            Self::Path(path) => lremovexattr(&**path, name),
            Self::Open(file) => fremovexattr(file, name),
        }
    }
}

/// What a call writes into a buffer, which it refuses with ERANGE where it is too small.
fn whole(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut few = [0; BYTES_AT_FIRST];
    match call(&mut few) {
        Ok(length) => Ok(few.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut buffer = vec![0; BYTES_MAX];
            let length = call(&mut buffer)?;
            buffer.truncate(length);
            Ok(buffer)
        }
        Err(errno) => Err(errno),
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
    fn what_is_too_long_for_the_first_buffer_is_read_into_a_larger_one() {
        for length in [0, 1, BYTES_AT_FIRST, BYTES_AT_FIRST + 1, BYTES_MAX] {
            let call = |buffer: &mut [u8]| {
                let buffer = buffer.get_mut(..length).ok_or(Errno::RANGE)?;
                buffer.fill(7);
                Ok(length)
            };
            assert_eq!(whole(call), Ok(vec![7; length]));
        }
        assert_eq!(whole(|_| Err(Errno::NOTSUP)), Err(Errno::NOTSUP));
        assert_eq!(whole(|_| Err(Errno::RANGE)), Err(Errno::RANGE));
    }

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
