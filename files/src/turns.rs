//! What the threads of this process have to know of each other: whose turn it is at the trash, who makes room, and which
//! temporary files are still being written.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids;

type Names = Arc<Mutex<HashSet<String>>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    trash: Mutex<()>,
    room: Mutex<()>,
    emptied: AtomicU64,
    temporary: Names,
}

impl Turns {
    /// For whatever gives a thing in the trash its place or takes it from there.
    pub fn trash(&self) -> MutexGuard<'_, ()> {
        self.trash.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For making room, if nobody did since `emptied` was asked.
    pub fn room(&self, emptied: u64) -> Option<MutexGuard<'_, ()>> {
        let turn = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        (self.emptied() == emptied).then_some(turn)
    }

    /// How often room was made.
    pub fn emptied(&self) -> u64 {
        self.emptied.load(Ordering::SeqCst)
    }

    /// Room was made.
    pub fn did_empty(&self) {
        self.emptied.fetch_add(1, Ordering::SeqCst);
    }

    /// A new name for something that grows out of sight.
    pub fn temporary(&self) -> Temporary {
        let new = Temporary { name: format!("{}.put", ids::new()), names: Arc::clone(&self.temporary) };
        new.names.lock().unwrap_or_else(PoisonError::into_inner).insert(new.name.clone());
        new
    }

    /// Whether somebody has this temporary name still.
    pub fn has_temporary(&self, name: &str) -> bool {
        self.temporary.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

/// A temporary name in use; free when dropped.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub name: String,
    names: Names,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}
