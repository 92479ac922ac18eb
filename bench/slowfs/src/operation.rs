//! What a file system is asked to do, by the names that FUSE has for it.

macro_rules! operations {
    ($($operation:ident $name:literal,)*) => {
        /// A kind of request.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        #[allow(missing_docs, reason = "each is what FUSE calls so")]
        pub enum Operation { $($operation,)* }

        impl Operation {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$operation,)*];

            /// In lower case, as counters are printed.
            pub fn name(self) -> &'static str {
                match self { $(Self::$operation => $name,)* }
            }
        }
    };
}

operations! {
    Lookup "lookup",
    GetAttr "getattr",
    SetAttr "setattr",
    ReadLink "readlink",
    MkNod "mknod",
    MkDir "mkdir",
    Unlink "unlink",
    RmDir "rmdir",
    Symlink "symlink",
    Rename "rename",
    Link "link",
    Create "create",
    Open "open",
    Read "read",
    Write "write",
    Flush "flush",
    Release "release",
    Fsync "fsync",
    OpenDir "opendir",
    ReadDir "readdir",
    ReadDirPlus "readdirplus",
    ReleaseDir "releasedir",
    FsyncDir "fsyncdir",
    StatFs "statfs",
    Access "access",
    Xattr "xattr",
    Ioctl "ioctl",
    Fallocate "fallocate",
    Lseek "lseek",
    CopyFileRange "copy_file_range",
    Forget "forget",
}

impl Operation {
    /// Whether a network would be asked, so that there is a pause. Nobody waits for a release or a forget, and a flush of
    /// what is written through asks nobody.
    pub fn is_slow(self) -> bool {
        !matches!(self, Self::Flush | Self::Release | Self::ReleaseDir | Self::Forget)
    }

    /// Where it stands in [`Operation::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The one of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|operation| operation.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_at_its_index_and_by_its_name() {
        for (index, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(operation.index(), index);
            assert_eq!(Operation::named(operation.name()), Some(*operation));
        }
        assert_eq!(Operation::named("look"), None);
    }
}
