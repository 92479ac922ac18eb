//! What the workers of a verification take: the chunks of a large file that is open, or else the manifest's next entry. So
//! all of them work on one large file, and few large files are open at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::manifest::{Entry, ManifestError};

/// What is to be done next.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Task<L> {
    /// Check this file.
    File(Entry),
    /// Open this file and give it to [`Queue::opened`], whatever comes of it.
    Large(Entry),
    /// Check one chunk of this file. Whoever is the last to have it concludes it.
    Chunk(Arc<L>, u64),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue<I, L> {
    state: Mutex<State<I, L>>,
    /// A large file was opened, or will not be.
    changed: Condvar,
    /// Files beyond this are large.
    large_above: u64,
}

#[derive(Debug)]
struct State<I, L> {
    /// None when there are no more.
    entries: Option<I>,
    error: Option<ManifestError>,
    /// Large files with their next chunk and the number of chunks.
    open: VecDeque<(Arc<L>, u64, u64)>,
    /// So many are being opened.
    opening: usize,
}

impl<I, L> Queue<I, L>
where
    I: Iterator<Item = Result<Entry, ManifestError>>,
{
    pub fn new(entries: I, large_above: u64) -> Self {
        let state = State { entries: Some(entries), error: None, open: VecDeque::new(), opening: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new(), large_above }
    }

    /// The next task; none when there will be no more. Waits while another worker opens a large file at the very end.
    pub fn next(&self) -> Option<Task<L>> {
        let mut state = self.lock();
        loop {
            if let Some((large, chunk)) = state.chunk() {
                return Some(Task::Chunk(large, chunk));
            }
            if let Some(entry) = state.entry() {
                if entry.size <= self.large_above {
                    return Some(Task::File(entry));
                }
                state.opening += 1;
                return Some(Task::Large(entry));
            }
            if state.opening == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Adds a large file with so many chunks; none if it could not be opened.
    pub fn opened(&self, large: Option<(L, u64)>) {
        let mut state = self.lock();
        state.opening -= 1;
        if let Some((large, chunks)) = large {
            state.open.push_back((Arc::new(large), 0, chunks));
        }
        self.changed.notify_all();
    }

    /// Whether the manifest has been read to its end.
    pub fn is_listed(&self) -> bool {
        self.lock().entries.is_none()
    }

    /// What was wrong with the manifest.
    pub fn into_error(self) -> Option<ManifestError> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).error
    }

    fn lock(&self) -> MutexGuard<'_, State<I, L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I, L> State<I, L>
where
    I: Iterator<Item = Result<Entry, ManifestError>>,
{
    fn chunk(&mut self) -> Option<(Arc<L>, u64)> {
        let (large, next, count) = self.open.front_mut()?;
        let chunk = *next;
        *next += 1;
        if *next < *count {
            return Some((Arc::clone(large), chunk));
        }
        // Handed over: only those who have chunks of it hold it from here on.
        self.open.pop_front().map(|(large, ..)| (large, chunk))
    }

    fn entry(&mut self) -> Option<Entry> {
        match self.entries.as_mut()?.next() {
            Some(Ok(entry)) => return Some(entry),
            Some(Err(error)) => self.error = Some(error),
            None => {}
        }
        self.entries = None;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;

    type Entries = std::vec::IntoIter<Result<Entry, ManifestError>>;

    fn entry(path: &str, size: u64) -> Entry {
        let time = Time::default();
        Entry { path: path.into(), size, mtime: time, ctime: time, digest: None }
    }

    fn queue(entries: Vec<Result<Entry, ManifestError>>) -> Queue<Entries, &'static str> {
        Queue::new(entries.into_iter(), 10)
    }

    #[test]
    fn chunks_of_an_open_file_come_before_entries_and_the_last_one_leaves_the_file_to_its_worker() {
        let queue = queue(vec![Ok(entry("large", 11)), Ok(entry("small", 10)), Ok(entry("last", 0))]);
        assert_eq!(queue.next(), Some(Task::Large(entry("large", 11))));
        assert_eq!(queue.next(), Some(Task::File(entry("small", 10))));
        queue.opened(Some(("large", 2)));
        let Some(Task::Chunk(first, 0)) = queue.next() else { panic!() };
        assert!(Arc::into_inner(first).is_none());
        let Some(Task::Chunk(second, 1)) = queue.next() else { panic!() };
        assert_eq!(Arc::into_inner(second), Some("large"));
        assert!(!queue.is_listed());
        assert_eq!(queue.next(), Some(Task::File(entry("last", 0))));
        assert_eq!(queue.next(), None);
        assert!(queue.is_listed());
    }

    #[test]
    fn at_the_end_a_worker_waits_for_a_large_file_that_another_opens() {
        for opened in [Some(("large", 1)), None] {
            let queue = queue(vec![Ok(entry("large", 11))]);
            assert!(matches!(queue.next(), Some(Task::Large(_))));
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| queue.next());
                // Long enough for one that does not wait to be noticed.
                std::thread::sleep(std::time::Duration::from_millis(50));
                queue.opened(opened);
                assert_eq!(waiting.join().unwrap().is_some(), opened.is_some());
            });
        }
    }

    #[test]
    fn an_error_ends_the_entries_and_is_kept() {
        let damage = Err(ManifestError::Damaged { at: 1, bytes: 2 });
        let queue = queue(vec![Ok(entry("a", 1)), damage, Ok(entry("b", 1))]);
        assert!(queue.next().is_some());
        assert_eq!(queue.next(), None);
        assert!(matches!(queue.into_error(), Some(ManifestError::Damaged { at: 1, bytes: 2 })));
    }
}
