//! Going through a tree, depth first, by descriptors and without following links. Of each folder above only a place is kept: its
//! descriptor (of the nearest ones) and how far it was listed. So memory is bounded by the depth, not by how much lies in
//! the tree, and a tree may be deeper than this process may have descriptors.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, openat, seek};
use rustix::io::Errno;
use workspacefs_files_proto::types::EntryType;
use workspacefs_sys::beneath;

use crate::error::Error;
use crate::facts::Facts;
use crate::root::{Root, refused_by, reopened, strict};

const BUFFER_BYTES: usize = 16 * 1024;
/// Folders above the current one whose descriptors stay open.
const OPEN_MAX: usize = 32;
/// Deeper than any path can be written; what is deeper still is left out by an error.
const DEPTH_MAX: usize = 4096;

/// Something in the tree.
#[derive(Clone, Debug)]
pub struct Found {
    /// From the root of the walk: names joined by slashes.
    pub path: Vec<u8>,
    /// Its own name starts here in `path`.
    pub name_at: usize,
    /// What is known of it.
    pub facts: Facts,
}

impl Found {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.path[self.name_at..]
    }
}

/// What comes next in a walk.
#[derive(Clone, Debug)]
pub enum Step {
    /// Anything; a folder comes before what is in it.
    Entry(Found),
    /// Something that may not be looked at, or a folder that may not be listed.
    Closed(Vec<u8>),
}

#[derive(Debug)]
struct Level {
    folder: Option<OwnedFd>,
    facts: Facts,
    /// Length of the path down to it.
    path_len: usize,
    /// Where the listing goes on.
    offset: u64,
    /// What was listed and not looked at yet, last first.
    names: Vec<Vec<u8>>,
    over: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Walk<'r> {
    levels: Vec<Level>,
    path: Vec<u8>,
    buffer: Vec<MaybeUninit<u8>>,
    /// A folder that was told last and is to be entered.
    enter: Option<Vec<u8>>,
    /// Whose hidden folders are left out.
    root: Option<&'r Root>,
}

impl<'r> Walk<'r> {
    /// Of the folder, which itself is not told.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(folder: BorrowedFd<'_>) -> Result<Self, Error> {
        let open = reopened(folder).map_err(|errno| refused_by("it", "open the folder", errno, folder))?;
        let facts = Facts::of(&open).map_err(Error::at("look at the folder"))?;
        let level =
            Level { folder: Some(open), facts, path_len: 0, offset: 0, names: Vec::new(), over: false };
        let buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        Ok(Self { levels: vec![level], path: Vec::new(), buffer, enter: None, root: None })
    }

    /// Leaves out what `root` hides.
    pub fn hiding(mut self, root: &'r Root) -> Self {
        self.root = Some(root);
        self
    }

    /// The folder that what was told last lies in.
    pub fn folder(&self) -> Option<BorrowedFd<'_>> {
        self.levels.last().and_then(|level| level.folder.as_ref()).map(AsFd::as_fd)
    }

    /// What comes next; None at the end.
    ///
    /// # Errors
    /// [`Error`]; the walk is over then.
    #[expect(clippy::should_implement_trait, reason = "it borrows and fails; an iterator's next does not")]
    pub fn next(&mut self) -> Result<Option<Step>, Error> {
        if let Some(name) = self.enter.take()
            && let Some(closed) = self.descend(&name)?
        {
            return Ok(Some(closed));
        }
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            self.path.truncate(level.path_len);
            let Some(name) = level.names.pop() else {
                if !self.fill()? && !self.ascend()? {
                    return Ok(None);
                }
                continue;
            };
            let folder = level.folder.as_ref().ok_or(Error::NotFound)?.as_fd();
            if self.root.is_some_and(|root| level.path_len == 0 && root.hides(&level.facts, &name)) {
                continue;
            }
            let found = Facts::at(folder, &name);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            let name_at = self.path.len();
            self.path.extend_from_slice(&name);
            let facts = match found {
                Ok(facts) => facts,
                // Gone since it was listed.
                Err(Errno::NOENT) => continue,
                Err(errno) if Error::is_refusal(errno) => return Ok(Some(Step::Closed(self.path.clone()))),
                Err(errno) => return Err(Error::of("look at a file", errno)),
            };
            if facts.kind == EntryType::Dir {
                self.enter = Some(name);
            }
            return Ok(Some(Step::Entry(Found { path: self.path.clone(), name_at, facts })));
        }
    }

    /// Lists on in the current folder. False where nothing is left.
    fn fill(&mut self) -> Result<bool, Error> {
        let Some(level) = self.levels.last_mut() else { return Ok(false) };
        let Some(folder) = level.folder.as_ref().filter(|_| !level.over) else { return Ok(false) };
        let mut entries = RawDir::new(folder, &mut self.buffer);
        loop {
            let Some(entry) = entries.next() else {
                level.over = true;
                break;
            };
            let entry = entry.map_err(Error::at("list a folder"))?;
            level.offset = entry.next_entry_cookie();
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                level.names.push(name.to_vec());
            }
            if entries.is_buffer_empty() && !level.names.is_empty() {
                break;
            }
        }
        level.names.reverse();
        Ok(!level.names.is_empty())
    }

    fn descend(&mut self, name: &[u8]) -> Result<Option<Step>, Error> {
        let Some(folder) = self.folder() else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let open = match beneath::resolved(folder, name, flags, Mode::empty(), strict()) {
            Ok(open) => open,
            // Gone, or something else by now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) if Error::is_refusal(errno) => return Ok(Some(Step::Closed(self.path.clone()))),
            Err(errno) => return Err(Error::of("open a folder", errno)),
        };
        if self.levels.len() >= DEPTH_MAX {
            return Err(Error::TooLarge("the folders are nested too deeply"));
        }
        let facts = Facts::of(&open).map_err(Error::at("look at a folder"))?;
        let path_len = self.path.len();
        self.levels.push(Level {
            folder: Some(open),
            facts,
            path_len,
            offset: 0,
            names: Vec::new(),
            over: false,
        });
        if let Some(far) = self.levels.len().checked_sub(OPEN_MAX + 1)
            && far > 0
        {
            self.levels[far].folder = None;
        }
        Ok(None)
    }

    /// Back to the folder above. False at the root.
    fn ascend(&mut self) -> Result<bool, Error> {
        let Some(left) = self.levels.pop() else { return Ok(false) };
        let Some(level) = self.levels.last_mut() else { return Ok(false) };
        if level.folder.is_none() {
            let folder = left.folder.as_ref().ok_or(Error::NotFound)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let above =
                openat(folder, "..", flags, Mode::empty()).map_err(Error::at("go back to a folder"))?;
            let facts = Facts::of(&above).map_err(Error::at("look at a folder"))?;
            // Somebody moved the folder elsewhere: what lies above it now is none of ours.
            if (facts.dev, facts.ino) != (level.facts.dev, level.facts.ino) {
                return Err(Error::Conflict("a folder was moved while it was read"));
            }
            seek(&above, SeekFrom::Start(level.offset)).map_err(Error::at("go back to a folder"))?;
            level.folder = Some(above);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn walked(dir: &std::path::Path) -> Result<Vec<Vec<u8>>, Error> {
        let fd = fs::File::open(dir).unwrap();
        let mut walk = Walk::new(fd.as_fd())?;
        let mut all = Vec::new();
        while let Some(step) = walk.next()? {
            if let Step::Entry(found) = step {
                all.push(found.path);
            }
        }
        Ok(all)
    }

    #[test]
    fn everything_is_told_once_and_a_loop_of_links_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = BTreeSet::new();
        for folder in ["a", "a/b", "c"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
            expected.insert(folder.as_bytes().to_vec());
            // More names than one buffer holds.
            for n in 0..700 {
                let path = format!("{folder}/{n:0100}");
                fs::write(dir.path().join(&path), "").unwrap();
                expected.insert(path.into_bytes());
            }
        }
        symlink("..", dir.path().join("a/up")).unwrap();
        expected.insert(b"a/up".to_vec());
        let all = walked(dir.path()).unwrap();
        assert_eq!(all.len(), expected.len());
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn a_tree_deeper_than_the_open_folders_is_gone_through_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut path = dir.path().to_owned();
        for n in 0..3 * OPEN_MAX {
            path.push(format!("{n}"));
            fs::create_dir(&path).unwrap();
            fs::write(path.join("before"), "").unwrap();
            fs::write(path.join("zzz"), "").unwrap();
        }
        assert_eq!(walked(dir.path()).unwrap().len(), 3 * 3 * OPEN_MAX);
    }
}
