//! Folders that are still to be read: taken by several readers, who find more of them. The last found is taken first, so
//! that few wait.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// A stack, and how many are being read.
pub struct Folders<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    waiting: Vec<T>,
    reading: usize,
    over: bool,
}

/// A folder in hand; given back when it is dropped, and not before all that it holds has been put.
pub struct InHand<'a, T> {
    folders: &'a Folders<T>,
    /// The folder.
    pub folder: T,
}

impl<T> Folders<T> {
    /// With the first one.
    pub fn new(first: T) -> Self {
        let state = State { waiting: vec![first], reading: 0, over: false };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// One more to be read.
    pub fn put(&self, folder: T) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.push(folder);
        self.changed.notify_one();
    }

    /// One to read; none when all have been read. Waits while others are being read, in which there may be more.
    pub async fn take(&self) -> Option<InHand<'_, T>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look: what changes after it is not missed.
            changed.as_mut().enable();
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.over {
                    return None;
                }
                if let Some(folder) = state.waiting.pop() {
                    state.reading += 1;
                    return Some(InHand { folders: self, folder });
                }
                if state.reading == 0 {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Nothing more is to be read.
    pub fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        self.changed.notify_waiters();
    }
}

impl<T> Drop for InHand<'_, T> {
    fn drop(&mut self) {
        let mut state = self.folders.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reading -= 1;
        if state.reading == 0 && state.waiting.is_empty() {
            drop(state);
            self.folders.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_readers_read_every_folder_once_and_all_come_to_an_end() {
        // Depth 9, three in each: 3^0 + ... + 3^9.
        let folders = Arc::new(Folders::new(9_u32));
        let read = Arc::new(AtomicUsize::new(0));
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let (folders, read) = (Arc::clone(&folders), Arc::clone(&read));
                tokio::spawn(async move {
                    while let Some(in_hand) = folders.take().await {
                        read.fetch_add(1, Ordering::Relaxed);
                        for _ in 0..3 {
                            if in_hand.folder > 0 {
                                folders.put(in_hand.folder - 1);
                            }
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.await.unwrap();
        }
        assert_eq!(read.load(Ordering::Relaxed), (3_usize.pow(10) - 1) / 2);
    }
}
