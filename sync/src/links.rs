//! Hard links: the first name of a file is copied, the others become links to that copy.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex};

use crate::directory::Dir;
use crate::locked::lock;
use crate::place::Place;
use crate::stat::{Id, Stat};
use crate::trouble::Trouble;

/// Which files of the source have more than one name, by what they are. About 200 bytes for each.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<HashMap<Id, State>>);

#[derive(Debug)]
enum State {
    /// Somebody copies it under its first name; these names wait.
    InWork(Vec<Waiting>),
    /// It is there.
    There(There),
    /// It could not be copied.
    Failed(Trouble),
}

/// A name that waits for the first one.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub dir: Arc<Dir>,
    pub name: CString,
    pub stat: Stat,
    /// What the destination has under this name.
    pub existing: Option<Stat>,
}

/// Where the copy is.
#[derive(Clone, Debug)]
pub(crate) struct There {
    /// In the destination; none in a dry run that would have to make it.
    pub directory: Option<Arc<Place>>,
    pub name: CString,
    /// Which file of the destination it is; none in a dry run that would have to copy it.
    pub id: Option<Id>,
}

/// What to do with a name of such a file.
#[derive(Debug)]
pub(crate) enum Claim {
    /// It is the first: copy it, and tell with [`Links::resolve`].
    First,
    /// It will be told.
    Waits,
    /// Make it a link.
    Link(Box<Waiting>, There),
    /// The first could not be copied, so this cannot either.
    Failed(Trouble),
}

impl Links {
    pub fn claim(&self, waiting: Waiting) -> Claim {
        let mut table = lock(&self.0);
        match table.get_mut(&waiting.stat.id) {
            None => {
                table.insert(waiting.stat.id, State::InWork(Vec::new()));
                Claim::First
            }
            Some(State::InWork(names)) => {
                names.push(waiting);
                Claim::Waits
            }
            Some(State::There(there)) => Claim::Link(Box::new(waiting), there.clone()),
            Some(State::Failed(trouble)) => Claim::Failed(trouble.clone()),
        }
    }

    /// The first name has its outcome; gives back those that waited for it.
    pub fn resolve(&self, id: Id, outcome: Result<There, Trouble>) -> Vec<Waiting> {
        let state = match outcome {
            Ok(there) => State::There(there),
            Err(trouble) => State::Failed(trouble),
        };
        let mut table = lock(&self.0);
        match table.insert(id, state) {
            Some(State::InWork(waiting)) => waiting,
            _ => Vec::new(),
        }
    }

    /// The first name has none, for a reason of its own: the next that is claimed is the first. Gives back those that waited.
    pub fn give_up(&self, id: Id) -> Vec<Waiting> {
        let mut table = lock(&self.0);
        match table.remove(&id) {
            Some(State::InWork(waiting)) => waiting,
            _ => Vec::new(),
        }
    }
}
