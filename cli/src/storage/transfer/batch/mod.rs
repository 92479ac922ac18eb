//! Which files go many in one request, and how many such requests run at once. A small file alone costs a round trip and
//! what each request costs; many of them cost no more together.

mod down;
pub mod up;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, timeout_at};

/// Up to so many bytes a file goes with others: larger ones are gone on with after a cut.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// A batch is full with so many bytes or files.
const BATCH_BYTES: u64 = 4 << 20;
const BATCH_FILES: usize = 256;
/// Batches that are under way at once; the server takes more, of several users.
const AT_ONCE: usize = 8;
/// How long a batch that is not full waits for more.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// Of a batch that came to nothing, files that are moved at once by themselves.
const ALONE_AT_ONCE: usize = 8;

/// See the module.
pub struct Batches {
    turns: Semaphore,
    is_on: AtomicBool,
}

/// What a worker does next: files that go together, and then perhaps something that goes by itself.
pub struct Taken<T> {
    /// None, or at least two.
    pub many: Vec<T>,
    /// By itself.
    pub one: Option<T>,
}

impl Batches {
    /// Of a transfer that moves so many files at once.
    pub fn new(workers: usize) -> Self {
        Self { turns: Semaphore::new(workers.min(AT_ONCE)), is_on: AtomicBool::new(true) }
    }

    /// The size of a file, if it goes with others.
    pub fn weigh(&self, size: u64) -> Option<u64> {
        (size <= FILE_BYTES_MAX && self.is_on.load(Ordering::Relaxed)).then_some(size)
    }

    /// The server has no such requests.
    pub fn off(&self) {
        self.is_on.store(false, Ordering::Relaxed);
    }

    /// Waits until one more may be under way.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }
}

/// Takes from a queue what goes together: as much as is there or comes soon. None once it is empty and closed.
pub async fn next<T>(items: &mut mpsc::Receiver<T>, weigh: impl Fn(&T) -> Option<u64>) -> Option<Taken<T>> {
    let first = items.recv().await?;
    let Some(mut bytes) = weigh(&first) else {
        return Some(Taken { many: Vec::new(), one: Some(first) });
    };
    let (mut many, mut one) = (vec![first], None);
    let until = Instant::now() + WAIT_MAX;
    while bytes < BATCH_BYTES && many.len() < BATCH_FILES {
        let Ok(Some(item)) = timeout_at(until, items.recv()).await else { break };
        match weigh(&item) {
            Some(size) => {
                bytes += size;
                many.push(item);
            }
            None => {
                one = Some(item);
                break;
            }
        }
    }
    if many.len() == 1 && one.is_none() {
        one = many.pop();
    }
    Some(Taken { many, one })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a worker makes of files of these sizes that are all there: sizes that go together, and one that goes alone.
    async fn taken(sizes: &[u64], is_closed: bool) -> Vec<(Vec<u64>, Option<u64>)> {
        let (sender, mut items) = mpsc::channel(1000);
        for size in sizes {
            sender.send(*size).await.unwrap();
        }
        let open = (!is_closed).then_some(sender);
        let (batches, mut all, mut left) = (Batches::new(32), Vec::new(), sizes.len());
        while left > 0 {
            let taken = next(&mut items, |size| batches.weigh(*size)).await.unwrap();
            left -= taken.many.len() + usize::from(taken.one.is_some());
            all.push((taken.many, taken.one));
        }
        drop(open);
        assert!(next(&mut items, |size| batches.weigh(*size)).await.is_none());
        all
    }

    #[tokio::test(start_paused = true)]
    async fn small_files_go_together_until_there_are_enough_and_large_ones_alone() {
        const LARGE: u64 = FILE_BYTES_MAX + 1;
        for is_closed in [true, false] {
            assert_eq!(taken(&[1, 2, 3], is_closed).await, [(vec![1, 2, 3], None)]);
            assert_eq!(taken(&[1], is_closed).await, [(vec![], Some(1))]);
            assert_eq!(
                taken(&[LARGE, LARGE], is_closed).await,
                [(vec![], Some(LARGE)), (vec![], Some(LARGE))]
            );
            assert_eq!(
                taken(&[1, 2, LARGE, 3], is_closed).await,
                [(vec![1, 2], Some(LARGE)), (vec![], Some(3))]
            );
            let full = taken(&[FILE_BYTES_MAX; 10], is_closed).await;
            assert_eq!(full.iter().map(|(many, _)| many.len()).collect::<Vec<_>>(), [4, 4, 2]);
            let many = taken(&[0; 600], is_closed).await;
            assert_eq!(many.iter().map(|(many, _)| many.len()).collect::<Vec<_>>(), [256, 256, 88]);
        }
    }

    #[tokio::test]
    async fn a_server_that_knows_no_batches_gets_none() {
        let batches = Batches::new(32);
        assert_eq!((batches.weigh(5), batches.weigh(FILE_BYTES_MAX + 1)), (Some(5), None));
        batches.off();
        assert_eq!(batches.weigh(5), None);
        let turns: Vec<_> =
            [batches.turn().await, Batches::new(1).turn().await].into_iter().map(|t| t.is_some()).collect();
        assert_eq!(turns, [true, true]);
    }
}
