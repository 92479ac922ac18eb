//! Doing what was asked once its pause is over. Whoever pauses in a thread of its own is woken for each request; here few
//! threads do what is due, one after the other, so that on a busy computer the file system takes little of it from whoever is
//! measured.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Enough that some wait for the disk below while others go on; with more of them fewer operations share a waking.
const THREADS: usize = 8;

/// What is due within this time of what is due first is done at the same waking: to be woken costs more than most operations do.
const GRAIN: Duration = Duration::from_micros(100);

type Task = Box<dyn FnOnce() + Send>;

/// Tasks that all wait equally long, in the order in which they came.
pub struct Later {
    delay: Duration,
    lines: Vec<Arc<Line>>,
    next: AtomicUsize,
}

/// The tasks of one thread.
#[derive(Default)]
struct Line {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Default)]
struct Waiting {
    tasks: VecDeque<(Instant, Task)>,
    /// The thread sleeps until something comes.
    idle: bool,
}

impl Later {
    /// With this pause. The threads go with the process.
    ///
    /// # Errors
    /// No threads.
    pub fn new(delay: Duration) -> io::Result<Self> {
        let lines: Vec<Arc<Line>> = (0..THREADS).map(|_| Arc::default()).collect();
        for line in &lines {
            let line = Arc::clone(line);
            std::thread::Builder::new().name("later".to_owned()).spawn(move || line.work())?;
        }
        Ok(Self { delay, lines, next: AtomicUsize::new(0) })
    }

    /// Does it after the pause.
    pub fn run(&self, task: impl FnOnce() + Send + 'static) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(line) = self.lines.get(next % THREADS) {
            line.push(Instant::now() + self.delay, Box::new(task));
        }
    }
}

impl Line {
    fn push(&self, due: Instant, task: Task) {
        let mut waiting = self.lock();
        waiting.tasks.push_back((due, task));
        // Otherwise it wakes by itself: nothing that comes is due before what came first.
        if std::mem::take(&mut waiting.idle) {
            drop(waiting);
            self.came.notify_one();
        }
    }

    fn work(&self) {
        loop {
            (self.next())();
        }
    }

    fn next(&self) -> Task {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            waiting = match waiting.tasks.front().map(|(due, _)| due.saturating_duration_since(now)) {
                Some(Duration::ZERO) => match waiting.tasks.pop_front() {
                    Some((_, task)) => return task,
                    None => waiting,
                },
                Some(left) => {
                    let woken = self.came.wait_timeout(waiting, left + GRAIN);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    waiting.idle = true;
                    self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn everything_is_done_once_and_never_before_its_pause_is_over() {
        let later = Later::new(Duration::from_millis(20)).unwrap();
        let (done, all) = mpsc::channel();
        for number in 0..1000 {
            let (done, asked) = (done.clone(), Instant::now());
            later.run(move || done.send((number, asked.elapsed())).unwrap());
        }
        let mut all: Vec<(i32, Duration)> =
            (0..1000).map(|_| all.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
        assert!(all.iter().all(|(_, after)| *after >= Duration::from_millis(20)));
        all.sort_unstable();
        assert!(all.iter().map(|(number, _)| *number).eq(0..1000));
    }

    #[test]
    fn what_comes_after_a_rest_is_done_too_and_many_wait_at_the_same_time() {
        let later = Later::new(Duration::from_millis(100)).unwrap();
        for _ in 0..2 {
            let (done, all) = mpsc::channel();
            let began = Instant::now();
            (0..500).for_each(|_| {
                let done = done.clone();
                later.run(move || done.send(()).unwrap());
            });
            (0..500).for_each(|_| all.recv_timeout(Duration::from_secs(60)).unwrap());
            // One after the other it would be 50 s.
            assert!(began.elapsed() < Duration::from_secs(25));
        }
    }
}
