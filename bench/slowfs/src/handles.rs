//! What the kernel has open, by the numbers that it was given for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::FileHandle;
use rustix::io::{Errno, Result};

/// Open things of one kind.
#[derive(Debug)]
pub struct Handles<T>(Mutex<Open<T>>);

#[derive(Debug)]
struct Open<T> {
    last: u64,
    all: HashMap<u64, Arc<T>>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self(Mutex::new(Open { last: 0, all: HashMap::new() }))
    }
}

impl<T> Handles<T> {
    /// Keeps it under a number that was never used before.
    pub fn add(&self, opened: Arc<T>) -> FileHandle {
        let mut open = self.lock();
        open.last += 1;
        let number = open.last;
        open.all.insert(number, opened);
        FileHandle(number)
    }

    /// What has that number.
    pub fn get(&self, number: FileHandle) -> Result<Arc<T>> {
        self.lock().all.get(&number.0).cloned().ok_or(Errno::BADF)
    }

    /// Gives it back; it is closed once those who use it at the moment are done.
    pub fn close(&self, number: FileHandle) -> Option<Arc<T>> {
        self.lock().all.remove(&number.0)
    }

    fn lock(&self) -> MutexGuard<'_, Open<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_used_twice() {
        let handles = Handles::default();
        let first = handles.add(Arc::new("a"));
        assert_eq!(handles.close(first).as_deref(), Some(&"a"));
        let second = handles.add(Arc::new("b"));
        assert_eq!(handles.get(first).unwrap_err(), Errno::BADF);
        assert_eq!(*handles.get(second).unwrap(), "b");
    }
}
