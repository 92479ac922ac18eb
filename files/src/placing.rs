//! Where a file under construction is to have its name, how it is to look there, and what becomes of a file that has the name already.

use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::EntryType;

use crate::error::Error;
use crate::facts::Facts;
use crate::root::Root;

/// What becomes of a file that has the name already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// It stays: [`Error::Exists`].
    Keep,
    /// It is replaced if its ETag is one of these: [`Error::Precondition`]. `*` is any.
    Match(Vec<String>),
}

/// How a file is to look, and where.
#[derive(Clone, Debug)]
pub struct Placing {
    /// Its path.
    pub path: FilePath,
    /// Whether missing folders above it are made.
    pub parents: bool,
    /// What becomes of a file that has the name already.
    pub existing: Existing,
    /// Time of modification, nanoseconds since 1970.
    pub modified: Option<i128>,
    /// Permission bits.
    pub mode: Option<u32>,
}

impl Placing {
    /// A file with its folders, in the place of what is there.
    pub fn new(path: FilePath) -> Self {
        Self { path, parents: true, existing: Existing::Replace, modified: None, mode: None }
    }

    /// Whether the name could be given now: asked before the content is taken, and once more when it is there.
    ///
    /// # Errors
    /// What [`NewFile::place`] would say.
    pub fn check(&self, root: &Root) -> Result<(), Error> {
        let facts = match root.facts(&self.path) {
            Ok(facts) => Some(facts),
            // Of missing folders only those are no matter that will be made.
            Err(Error::NotFound) => {
                root.parent(&self.path, false).map(drop).or_else(|error| match error {
                    Error::NotFound if self.parents && root.parent_can_be_made(&self.path) => Ok(()),
                    error => Err(error),
                })?;
                None
            }
            Err(error) => return Err(error),
        };
        self.judge(facts.as_ref())
    }

    pub(crate) fn judge(&self, existing: Option<&Facts>) -> Result<(), Error> {
        if existing.is_some_and(|facts| facts.kind == EntryType::Dir) {
            return Err(Error::IsDirectory);
        }
        match (&self.existing, existing) {
            (Existing::Keep, Some(_)) => Err(Error::Exists),
            (Existing::Match(_), None) => Err(Error::Precondition),
            (Existing::Match(tags), Some(facts)) => {
                let etag = facts.etag();
                let matches = tags.iter().any(|tag| tag == "*" || *tag == etag);
                if matches { Ok(()) } else { Err(Error::Precondition) }
            }
            (Existing::Replace, _) | (Existing::Keep, None) => Ok(()),
        }
    }
}
