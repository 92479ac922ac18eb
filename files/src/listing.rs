//! Pages of a folder. Up to [`SORTED_MAX`] entries they are sorted; above that they come in the order of the directory, and a
//! page costs what is on it, however large the folder is.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{RawDir, SeekFrom, seek};
use rustix::io::Errno;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::path::encode;
use workspacefs_files_proto::types::{Listing, Order, Sort};

use crate::error::Error;
use crate::facts::Facts;
use crate::root::Root;

/// The most entries that are sorted.
pub const SORTED_MAX: usize = 50_000;
/// Entries on a page, if the caller does not say.
pub const LIMIT: usize = 1_000;
/// The most entries on a page.
pub const LIMIT_MAX: usize = 10_000;
const BUFFER_BYTES: usize = 64 * 1024;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Entries on the page.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// By what.
    pub sort: Sort,
    /// Which end first.
    pub order: Order,
}

/// Where a page ended.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Cursor {
    /// At this place of the directory.
    Offset(u64),
    /// With this entry.
    Key(Key),
}

/// What is sorted by: a number, for sizes and times, then the name.
type Key = (i128, Vec<u8>);

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        if let Some(offset) = text.strip_prefix('d') {
            return u64::from_str_radix(offset, 16).ok().map(Self::Offset);
        }
        let (number, name) = text.strip_prefix('s')?.split_once('.')?;
        let name = FilePath::decode(name).ok()?;
        Some(Self::Key((number.parse().ok()?, name.as_bytes().to_vec())))
    }

    fn text(&self) -> String {
        match self {
            Self::Offset(offset) => format!("d{offset:x}"),
            Self::Key((number, name)) => format!("s{number}.{}", encode(name)),
        }
    }
}

/// One page.
///
/// # Errors
/// [`Error`]; `Gone` where the folder grew beyond what is sorted since the page before.
pub fn page(root: &Root, path: &FilePath, wish: &Wish) -> Result<Listing, Error> {
    let folder = root.listing(path)?;
    let facts = Facts::of(&folder).map_err(Error::at("look at the folder"))?;
    let reader = Reader { root, path, folder: &folder, facts };
    let cursor = match wish.cursor.as_deref() {
        None => None,
        Some(text) => Some(
            Cursor::parse(text).ok_or_else(|| Error::field("cursor", "no page ended with this cursor"))?,
        ),
    };
    match cursor {
        Some(Cursor::Offset(offset)) => {
            let found = reader.read(offset, wish.limit)?;
            reader.in_order_of_directory(found.names, found.end)
        }
        cursor => {
            let after = match cursor {
                Some(Cursor::Key(key)) => Some(key),
                _ => None,
            };
            let found = reader.read(0, SORTED_MAX)?;
            if found.end.is_none() {
                return reader.sorted(found.names, wish, after);
            }
            if after.is_some() {
                return Err(Error::Gone("the folder has grown too large to be sorted: list it anew"));
            }
            let found = reader.read(0, wish.limit)?;
            reader.in_order_of_directory(found.names, found.end)
        }
    }
}

struct Reader<'a> {
    root: &'a Root,
    path: &'a FilePath,
    folder: &'a OwnedFd,
    facts: Facts,
}

struct Names {
    names: Vec<Box<[u8]>>,
    /// Where the listing goes on; None at its end.
    end: Option<u64>,
}

impl Reader<'_> {
    /// At most so many names from a place of the directory on.
    fn read(&self, offset: u64, limit: usize) -> Result<Names, Error> {
        seek(self.folder, SeekFrom::Start(offset))
            .map_err(|_| Error::field("cursor", "no page ended with this cursor"))?;
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut entries = RawDir::new(self.folder, &mut buffer);
        let mut names = Vec::new();
        let mut end = offset;
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(Error::at("list the folder"))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || self.root.hides(&self.facts, name) {
                continue;
            }
            if names.len() == limit {
                return Ok(Names { names, end: Some(end) });
            }
            names.push(name.into());
            end = entry.next_entry_cookie();
        }
        Ok(Names { names, end: None })
    }

    fn in_order_of_directory(&self, names: Vec<Box<[u8]>>, end: Option<u64>) -> Result<Listing, Error> {
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            if let Some(facts) = self.look(&name)? {
                entries.push(facts.entry(&self.path.join(&name)?));
            }
        }
        Ok(Listing { entries, next: end.map(|offset| Cursor::Offset(offset).text()), sorted: false })
    }

    fn sorted(&self, names: Vec<Box<[u8]>>, wish: &Wish, after: Option<Key>) -> Result<Listing, Error> {
        let mut keys: Vec<(Key, Option<Facts>)> = Vec::with_capacity(names.len());
        for name in names {
            let facts = if wish.sort == Sort::Name { None } else { self.look(&name)? };
            let number = match (wish.sort, &facts) {
                (Sort::Name, _) => 0,
                (Sort::Size, Some(facts)) => facts.size.into(),
                (Sort::Modified, Some(facts)) => facts.modified,
                // Gone since it was listed.
                (_, None) => continue,
            };
            keys.push(((number, name.into_vec()), facts));
        }
        keys.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if wish.order == Order::Desc {
            keys.reverse();
        }
        let is_after = |key: &Key| match (&after, wish.order) {
            (None, _) => true,
            (Some(after), Order::Asc) => key > after,
            (Some(after), Order::Desc) => key < after,
        };
        let mut entries = Vec::new();
        let mut rest = keys.into_iter().filter(|(key, _)| is_after(key)).peekable();
        let mut last = None;
        while entries.len() < wish.limit {
            let Some((key, facts)) = rest.next() else { break };
            let facts = match facts {
                Some(facts) => Some(facts),
                None => self.look(&key.1)?,
            };
            if let Some(facts) = facts {
                entries.push(facts.entry(&self.path.join(&key.1)?));
            }
            last = Some(key);
        }
        let next = last.filter(|_| rest.peek().is_some()).map(|key| Cursor::Key(key).text());
        Ok(Listing { entries, next, sorted: true })
    }

    /// None where it is gone.
    fn look(&self, name: &[u8]) -> Result<Option<Facts>, Error> {
        match Facts::at(self.folder.as_fd(), name) {
            Ok(facts) => Ok(Some(facts)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.root.denied("look at a file", errno, self.folder.as_fd())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_as_they_were_given_and_nothing_else_is_one() {
        for cursor in [
            Cursor::Offset(u64::MAX),
            Cursor::Key((-5, b"a\xff\n.b".to_vec())),
            Cursor::Key((0, b"x".to_vec())),
        ] {
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
        for text in ["", "d", "dxyz", "s", "s1", "s1.%2", "sx.a", "q1"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
