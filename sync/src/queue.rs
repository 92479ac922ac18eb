//! What is to be done next, for all workers. Files before directories, so that what is listed stays little; but so many
//! directories are listed ahead as there are workers, because two that write into one directory wait for each other.
//! Directories are taken last in, first out: a tree is held as one path of it with the siblings beside.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::names::Names;

/// So many files are looked at by one worker at a time: with more the last ones wait for their turn behind others while workers
/// have nothing to do.
const BATCH: usize = 4;

/// One piece of work: `D` is a directory that is copied, `X` one that is deleted, `L` a large file.
#[derive(Debug)]
pub(crate) enum Task<D, X, L> {
    /// List a directory of `parent`.
    Visit { parent: Arc<D>, names: Arc<Names>, piece: Range<usize> },
    /// Look at some files of a directory.
    Files(Files<D>),
    /// Copy a chunk.
    Chunk { file: Arc<L>, index: u64 },
    /// Empty a directory of `parent`.
    Doom { parent: Arc<X>, names: Arc<Names>, piece: Range<usize> },
}

/// Some files of a directory.
#[derive(Debug)]
pub(crate) struct Files<D> {
    pub directory: Arc<D>,
    pub names: Arc<Names>,
    pub piece: Range<usize>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue<D, X, L> {
    state: Mutex<State<D, X, L>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<D, X, L> {
    closed: bool,
    running: usize,
    /// Workers that wait for something to do: the others look for themselves when they are done.
    idle: usize,
    limit: usize,
    /// Directories that are being listed.
    visits: usize,
    chunks: VecDeque<Chunks<L>>,
    files: VecDeque<Files<D>>,
    directories: Vec<Below<D>>,
    doomed: Vec<Below<X>>,
}

#[derive(Debug)]
struct Chunks<L> {
    file: Arc<L>,
    left: Range<u64>,
}

/// Names of directories in one that are still to be taken.
#[derive(Debug)]
struct Below<P> {
    parent: Arc<P>,
    names: Arc<Names>,
    left: Range<usize>,
}

impl<P> Below<P> {
    /// One of them.
    fn next(stack: &mut Vec<Self>) -> Option<(Arc<P>, Arc<Names>, Range<usize>)> {
        let top = stack.last_mut()?;
        let piece = top.names.piece(top.left.start, 1);
        top.left.start = piece.end;
        let next = (Arc::clone(&top.parent), Arc::clone(&top.names), piece);
        if top.left.is_empty() {
            stack.pop();
        }
        Some(next)
    }
}

impl<D, X, L> Queue<D, X, L> {
    pub fn new(limit: usize) -> Self {
        let state = State {
            closed: false,
            running: 0,
            idle: 0,
            limit,
            visits: 0,
            chunks: VecDeque::new(),
            files: VecDeque::new(),
            directories: Vec::new(),
            doomed: Vec::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next piece of work, for a worker that has none in hand; waits for it. None when there will be no more.
    pub fn next(&self) -> Option<Task<D, X, L>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if state.running < state.limit
                && let Some(task) = state.take()
            {
                state.running += 1;
                return Some(task);
            }
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// A worker is done with what it took.
    pub fn done(&self, visit: bool) {
        let mut state = self.lock();
        state.running -= 1;
        state.visits -= usize::from(visit);
    }

    pub fn push_chunks(&self, file: Arc<L>, chunks: u64) {
        let tasks = usize::try_from(chunks).unwrap_or(usize::MAX);
        self.push(tasks, |state| state.chunks.push_back(Chunks { file, left: 0..chunks }));
    }

    pub fn push_files(&self, files: Files<D>) {
        let tasks = files.names.len().div_ceil(BATCH);
        if !files.piece.is_empty() {
            self.push(tasks, |state| state.files.push_back(files));
        }
    }

    pub fn push_directories(&self, parent: Arc<D>, names: Arc<Names>) {
        let (tasks, left) = (names.len(), 0..names.end());
        self.push(tasks, |state| state.directories.push(Below { parent, names, left }));
    }

    pub fn push_doomed(&self, parent: Arc<X>, names: Arc<Names>) {
        let (tasks, left) = (names.len(), 0..names.end());
        self.push(tasks, |state| state.doomed.push(Below { parent, names, left }));
    }

    /// Wakes as many as there is work for.
    fn push(&self, tasks: usize, add: impl FnOnce(&mut State<D, X, L>)) {
        if tasks == 0 {
            return;
        }
        let mut state = self.lock();
        if state.closed {
            return;
        }
        add(&mut state);
        for _ in 0..tasks.min(state.idle) {
            self.changed.notify_one();
        }
    }

    /// So many may work at a time.
    pub fn set_limit(&self, limit: usize) {
        let mut state = self.lock();
        if limit != std::mem::replace(&mut state.limit, limit) {
            self.changed.notify_all();
        }
    }

    /// Nothing is left to be listed or looked at.
    pub fn is_listed(&self) -> bool {
        let state = self.lock();
        state.visits == 0 && state.directories.is_empty() && state.files.is_empty()
    }

    /// Everybody goes home; what is left is dropped.
    pub fn close(&self) {
        let (chunks, files, directories, doomed);
        {
            let mut state = self.lock();
            state.closed = true;
            // Dropped outside: to drop a large file is to delete its temporary one.
            chunks = std::mem::take(&mut state.chunks);
            files = std::mem::take(&mut state.files);
            directories = std::mem::take(&mut state.directories);
            doomed = std::mem::take(&mut state.doomed);
            self.changed.notify_all();
        }
        drop((chunks, files, directories, doomed));
    }

    fn lock(&self) -> MutexGuard<'_, State<D, X, L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D, X, L> State<D, X, L> {
    fn take(&mut self) -> Option<Task<D, X, L>> {
        if let Some(task) = self.chunk() {
            return Some(task);
        }
        let ahead = self.files.len() + self.visits < self.limit;
        if ahead && let Some(visit) = self.visit() {
            return Some(visit);
        }
        if let Some(files) = self.some_files() {
            return Some(Task::Files(files));
        }
        if let Some((parent, names, piece)) = Below::next(&mut self.doomed) {
            return Some(Task::Doom { parent, names, piece });
        }
        self.visit()
    }

    fn chunk(&mut self) -> Option<Task<D, X, L>> {
        let front = self.chunks.front_mut()?;
        let index = front.left.next()?;
        let file = Arc::clone(&front.file);
        if front.left.is_empty() {
            self.chunks.pop_front();
        }
        Some(Task::Chunk { file, index })
    }

    fn visit(&mut self) -> Option<Task<D, X, L>> {
        let (parent, names, piece) = Below::next(&mut self.directories)?;
        self.visits += 1;
        Some(Task::Visit { parent, names, piece })
    }

    /// Of one directory after the other.
    fn some_files(&mut self) -> Option<Files<D>> {
        let mut front = self.files.pop_front()?;
        let piece = front.names.piece(front.piece.start, BATCH);
        let piece = piece.start..piece.end.min(front.piece.end);
        front.piece.start = piece.end;
        let batch = Files { directory: Arc::clone(&front.directory), names: Arc::clone(&front.names), piece };
        if !front.piece.is_empty() {
            self.files.push_back(front);
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use rustix::fs::FileType;

    use super::*;

    type TestQueue = Queue<&'static str, &'static str, &'static str>;

    fn names(count: usize) -> Arc<Names> {
        let mut names = Names::default();
        for n in 0..count {
            names.push(&CString::new(format!("{n}")).unwrap(), FileType::RegularFile).unwrap();
        }
        Arc::new(names)
    }

    fn files(queue: &TestQueue, directory: &'static str, count: usize) {
        let names = names(count);
        let piece = 0..names.end();
        queue.push_files(Files { directory: Arc::new(directory), names, piece });
    }

    fn take(queue: &TestQueue) -> String {
        let task = queue.next().unwrap();
        queue.done(matches!(task, Task::Visit { .. }));
        match task {
            Task::Visit { parent, names, piece } => {
                format!("list {}/{}", *parent, names.within(&piece).next().unwrap().text.to_str().unwrap())
            }
            Task::Files(files) => {
                format!("{} of {}", files.names.within(&files.piece).count(), *files.directory)
            }
            Task::Chunk { file, index } => format!("chunk {index} of {}", *file),
            Task::Doom { parent, .. } => format!("delete in {}", *parent),
        }
    }

    #[test]
    fn files_of_several_directories_are_taken_in_turns() {
        let queue = TestQueue::new(2);
        files(&queue, "a", 10);
        files(&queue, "b", 5);
        let order: Vec<_> = (0..5).map(|_| take(&queue)).collect();
        assert_eq!(order, ["4 of a", "4 of b", "4 of a", "1 of b", "2 of a"]);
    }

    #[test]
    fn as_many_directories_are_listed_ahead_as_there_are_workers_and_chunks_come_first() {
        let queue = TestQueue::new(2);
        files(&queue, "a", 1);
        queue.push_directories(Arc::new("d"), names(3));
        queue.push_doomed(Arc::new("x"), names(1));
        queue.push_chunks(Arc::new("large"), 2);
        assert_eq!(take(&queue), "chunk 0 of large");
        assert_eq!(take(&queue), "chunk 1 of large");
        assert_eq!(take(&queue), "list d/0");
        files(&queue, "b", 1);
        let order: Vec<_> = (0..5).map(|_| take(&queue)).collect();
        assert_eq!(order, ["1 of a", "list d/1", "list d/2", "1 of b", "delete in x"]);
        queue.close();
        assert!(queue.next().is_none());
    }

    #[test]
    fn no_more_than_the_limit_work_at_a_time() {
        let queue = TestQueue::new(1);
        queue.push_doomed(Arc::new("x"), names(2));
        assert!(queue.next().is_some());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| queue.next().is_some());
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!second.is_finished());
            queue.set_limit(2);
            assert!(second.join().unwrap());
        });
    }
}
