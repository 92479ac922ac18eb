//! GNU tar: long names and large sizes included.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;

use ::tar::{Builder, EntryType, Header};

use super::{Archive, Pipe};
use crate::facts::Facts;

const NS_PER_S: i128 = 1_000_000_000;

pub(super) struct Tar(Builder<Pipe>);

impl Tar {
    pub fn new(pipe: Pipe) -> Self {
        Self(Builder::new(pipe))
    }
}

impl Archive for Tar {
    fn folder(&mut self, path: &[u8], facts: &Facts) -> io::Result<()> {
        let mut header = header(facts, EntryType::Directory, 0);
        self.0.append_data(&mut header, OsStr::from_bytes(path), io::empty())
    }

    fn link(&mut self, path: &[u8], facts: &Facts, target: &[u8]) -> io::Result<()> {
        let mut header = header(facts, EntryType::Symlink, 0);
        self.0.append_link(&mut header, OsStr::from_bytes(path), OsStr::from_bytes(target))
    }

    fn file(&mut self, path: &[u8], facts: &Facts, content: &mut dyn Read) -> io::Result<()> {
        let mut header = header(facts, EntryType::Regular, facts.size);
        self.0.append_data(&mut header, OsStr::from_bytes(path), content)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.into_inner()?.end()
    }
}

fn header(facts: &Facts, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(facts.mode);
    header.set_uid(facts.uid.into());
    header.set_gid(facts.gid.into());
    // tar has no time before 1970.
    header.set_mtime(u64::try_from(facts.modified.div_euclid(NS_PER_S)).unwrap_or(0));
    header
}
