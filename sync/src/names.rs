//! Many names in one piece of memory: a directory with a million entries is held as the bytes of its names and three more
//! for each.

use std::ffi::CStr;
use std::ops::Range;

use rustix::fs::FileType;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Per name: its kind and flags, its length with the NUL, its bytes and the NUL.
    bytes: Vec<u8>,
    count: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub text: &'a CStr,
    /// What the listing called it; [`FileType::Unknown`] where the file system does not say.
    pub kind: FileType,
    /// The other side has something under this name.
    pub both: bool,
}

const BOTH: u8 = 0x80;
const HEAD: usize = 2;
/// NAME_MAX is 255 bytes; with its NUL a length that u8 holds as one less.
const LENGTH_MAX: usize = 256;

impl Names {
    /// Only this one.
    pub fn one(text: &CStr, kind: FileType, both: bool) -> Self {
        let mut names = Self::default();
        if let (Some(at), true) = (names.push(text, kind), both) {
            names.mark(at);
        }
        names
    }

    /// Adds a name; gives back where it lies, for [`Names::mark`]. A name that no Linux file system can have is refused.
    pub fn push(&mut self, text: &CStr, kind: FileType) -> Option<u32> {
        let bytes = text.to_bytes_with_nul();
        let at = u32::try_from(self.bytes.len()).ok()?;
        if bytes.len() > LENGTH_MAX {
            return None;
        }
        self.bytes.push(code(kind));
        self.bytes.push(u8::try_from(bytes.len() - 1).ok()?);
        self.bytes.extend_from_slice(bytes);
        self.count += 1;
        Some(at)
    }

    /// Notes that the other side has it too.
    pub fn mark(&mut self, at: u32) {
        if let Some(head) = self.bytes.get_mut(at as usize) {
            *head |= BOTH;
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, from the position on.
    pub fn from(&self, at: usize) -> Iter<'_> {
        Iter { bytes: &self.bytes, at }
    }

    /// Those in a part that [`Names::piece`] cut.
    pub fn within(&self, part: &Range<usize>) -> Iter<'_> {
        Iter { bytes: self.bytes.get(..part.end).unwrap_or_default(), at: part.start }
    }

    /// Where the piece of at most `count` names from the position on ends.
    pub fn piece(&self, at: usize, count: usize) -> Range<usize> {
        let mut iter = self.from(at);
        iter.by_ref().take(count).for_each(drop);
        at..iter.at
    }

    /// Behind the last one.
    pub fn end(&self) -> usize {
        self.bytes.len()
    }

    /// The same names in this order of their places; what is not in it is left out. Takes no more memory than it must.
    pub fn reordered(&self, order: impl Iterator<Item = u32>) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut count = 0;
        for at in order {
            let at = at as usize;
            let end = self.piece(at, 1).end;
            bytes.extend_from_slice(self.bytes.get(at..end).unwrap_or_default());
            count += 1;
        }
        Self { bytes, count }
    }
}

/// Goes over names; knows where it is.
#[derive(Debug)]
pub(crate) struct Iter<'a> {
    bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Name<'a>;

    fn next(&mut self) -> Option<Name<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let (head, length) = (*rest.first()?, usize::from(*rest.get(1)?) + 1);
        let text = CStr::from_bytes_with_nul(rest.get(HEAD..HEAD + length)?).ok()?;
        self.at += HEAD + length;
        Some(Name { text, kind: kind(head & !BOTH), both: head & BOTH != 0 })
    }
}

fn code(kind: FileType) -> u8 {
    match kind {
        FileType::Unknown => 0,
        FileType::RegularFile => 1,
        FileType::Directory => 2,
        FileType::Symlink => 3,
        _ => 4,
    }
}

fn kind(code: u8) -> FileType {
    match code {
        1 => FileType::RegularFile,
        2 => FileType::Directory,
        3 => FileType::Symlink,
        // Special ones are told apart when they are looked at.
        4 => FileType::Socket,
        _ => FileType::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_with_its_kind_and_mark() {
        let mut names = Names::default();
        let long = CString::new(vec![b'x'; 255]).unwrap();
        let at = [(c"a", FileType::Directory), (c"b\xff\n", FileType::Unknown), (&*long, FileType::Symlink)]
            .map(|(text, kind)| names.push(text, kind).unwrap());
        names.mark(at[1]);
        let all: Vec<_> =
            names.from(0).map(|name| (name.text.to_bytes().len(), name.kind, name.both)).collect();
        assert_eq!(
            all,
            [(1, FileType::Directory, false), (3, FileType::Unknown, true), (255, FileType::Symlink, false)]
        );
        assert_eq!(names.len(), 3);
        let too_long = CString::new(vec![b'x'; 256]).unwrap();
        assert_eq!(names.push(&too_long, FileType::RegularFile), None);
    }

    #[test]
    fn another_order_keeps_what_is_known_of_each_name() {
        let mut names = Names::default();
        let places: Vec<_> =
            [c"a", c"bb", c"ccc"].map(|text| names.push(text, FileType::RegularFile).unwrap()).to_vec();
        names.mark(places[2]);
        let other = names.reordered(places.into_iter().rev());
        let all: Vec<_> = other.from(0).map(|name| (name.text.to_str().unwrap(), name.both)).collect();
        assert_eq!((all, other.len()), (vec![("ccc", true), ("bb", false), ("a", false)], 3));
    }

    #[test]
    fn pieces_cover_every_name_once() {
        let mut names = Names::default();
        for n in 0..100 {
            names.push(&CString::new(format!("{n}")).unwrap(), FileType::RegularFile).unwrap();
        }
        let (mut at, mut seen) = (0, Vec::new());
        while at < names.end() {
            let piece = names.piece(at, 16);
            seen.extend(names.within(&piece).map(|name| name.text.to_str().unwrap().to_owned()));
            at = piece.end;
        }
        assert_eq!(seen, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
