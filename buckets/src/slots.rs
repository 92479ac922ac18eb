//! What all downloads of a process may have in memory together, what they may ask for beyond it, and how fast they may be. The memory
//! of whole parts is used again by the next ones: fresh memory has to be cleared by the kernel first, and what is given back in pieces
//! an allocator keeps.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::error::BucketError;

/// See the module. Clones are of the same memory.
#[derive(Clone, Debug)]
pub struct Slots {
    /// Of [`GRAIN_BYTES`] each: what is small takes little of the memory.
    permits: Arc<Semaphore>,
    /// Of as many bytes each: what may be asked for, from the question until the memory is free again.
    turns: Arc<Semaphore>,
    part: u64,
    pace: Option<Arc<Pace>>,
    /// Goes with the last download that is under way: at rest nothing is kept.
    buffers: Arc<Mutex<Weak<Buffers>>>,
}

/// Some bytes of an object. It takes its part of the slots until it is dropped: that has to be before the next one is asked for.
pub struct Part {
    /// Where they begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
    /// Where their memory goes back to.
    buffers: Option<Arc<Buffers>>,
    _slot: Slot,
}

/// A turn to ask, and memory for the answer.
#[derive(Debug)]
pub(crate) struct Slot {
    _turn: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

/// Where a body goes. A part's memory is waited for once its answer begins: none is kept for what the service has yet to find.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    bytes: BytesMut,
    given: Option<OwnedSemaphorePermit>,
    awaited: Option<Awaited>,
}

#[derive(Debug)]
struct Awaited {
    memory: oneshot::Receiver<OwnedSemaphorePermit>,
    buffers: Arc<Buffers>,
    length: u64,
}

/// Memory of whole parts that none of them needs just now.
#[derive(Debug)]
pub(crate) struct Buffers {
    permits: Arc<Semaphore>,
    part: usize,
    free: Mutex<Vec<BytesMut>>,
}

/// When the next bytes may be asked for.
#[derive(Debug)]
struct Pace {
    rate: NonZeroU64,
    free: Mutex<Instant>,
}

/// Memory is given out in pieces of so many bytes.
const GRAIN_BYTES: u64 = 64 << 10;

/// Without the content.
impl fmt::Debug for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Part({} bytes at {})", self.bytes.len(), self.offset)
    }
}

impl Part {
    /// With memory of its own.
    pub(crate) fn new(offset: u64, bytes: Bytes, slot: Slot) -> Self {
        Self { offset, bytes, buffers: None, _slot: slot }
    }

    /// With memory from there.
    pub(crate) fn borrowed(offset: u64, bytes: Bytes, slot: Slot, buffers: Arc<Buffers>) -> Self {
        Self { offset, bytes, buffers: Some(buffers), _slot: slot }
    }
}

/// The memory goes back before the slot does: whoever gets that finds it.
impl Drop for Part {
    fn drop(&mut self) {
        let Some(buffers) = &self.buffers else { return };
        // If somebody else still has the bytes, they are his.
        if let Ok(buffer) = std::mem::take(&mut self.bytes).try_into_mut() {
            buffers.give(buffer);
        }
    }
}

impl Slot {
    pub fn new(turn: OwnedSemaphorePermit, memory: OwnedSemaphorePermit) -> Self {
        Self { _turn: turn, _memory: memory }
    }
}

impl Slots {
    /// `parts` of `part_bytes` each, and in their place more of smaller ones; at least one of at least one byte. `rate`: bytes
    /// per second, over some seconds.
    pub fn new(parts: usize, part_bytes: u64, rate: Option<NonZeroU64>) -> Self {
        let (permits, turns) = (semaphore(parts, part_bytes), semaphore(parts, part_bytes));
        let pace = rate.map(|rate| Arc::new(Pace { rate, free: Mutex::new(Instant::now()) }));
        Self { permits, turns, part: part_bytes.max(1), pace, buffers: Arc::default() }
    }

    /// So many parts more are asked for than there is memory: their answers wait for it. It makes up for a service that takes its
    /// time until the first byte.
    pub fn asking_ahead(mut self, parts: usize) -> Self {
        let all = self.permits.available_permits() + parts.saturating_mul(grains(self.part) as usize);
        self.turns = Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS)));
        self
    }

    /// Bytes of a whole part.
    pub(crate) fn part(&self) -> u64 {
        self.part
    }

    /// Both, for what is asked for only when there is memory.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Slot, BucketError> {
        Ok(Slot::new(self.turn(bytes).await?, self.memory(bytes).await?))
    }

    pub(crate) async fn turn(&self, bytes: u64) -> Result<OwnedSemaphorePermit, BucketError> {
        acquire(&self.turns, bytes).await
    }

    pub(crate) fn try_turn(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).try_acquire_many_owned(grains(bytes)).ok()
    }

    pub(crate) async fn memory(&self, bytes: u64) -> Result<OwnedSemaphorePermit, BucketError> {
        acquire(&self.permits, bytes).await
    }

    pub(crate) fn try_memory(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_many_owned(grains(bytes)).ok()
    }

    /// Waits until so many bytes may be asked for.
    pub(crate) async fn wait(&self, bytes: u64) {
        if let Some(pace) = &self.pace {
            tokio::time::sleep_until(pace.reserve(bytes, Instant::now())).await;
        }
    }

    /// Those that all downloads have now, for one that begins.
    pub(crate) fn buffers(&self) -> Arc<Buffers> {
        let mut shared = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let part = usize::try_from(self.part).unwrap_or(usize::MAX);
            let buffers =
                Arc::new(Buffers { permits: Arc::clone(&self.permits), part, free: Mutex::default() });
            *shared = Arc::downgrade(&buffers);
            buffers
        })
    }
}

impl Memory {
    /// Memory of so many bytes out of `buffers`, as soon as it is given.
    pub fn awaited(
        memory: oneshot::Receiver<OwnedSemaphorePermit>,
        buffers: Arc<Buffers>,
        length: u64,
    ) -> Self {
        Self { awaited: Some(Awaited { memory, buffers, length }), ..Self::default() }
    }

    /// It, when it is there.
    ///
    /// # Errors
    /// [`BucketError::Client`]: nobody gives it any more.
    pub async fn bytes(&mut self) -> Result<&mut BytesMut, BucketError> {
        if let Some(Awaited { memory, buffers, length }) = self.awaited.take() {
            self.given = Some(memory.await.map_err(|_| nobody_gives())?);
            self.bytes = buffers.take(length);
        }
        Ok(&mut self.bytes)
    }

    /// What it was given.
    ///
    /// # Errors
    /// [`BucketError::Client`]: nothing.
    pub fn given(self) -> Result<OwnedSemaphorePermit, BucketError> {
        self.given.ok_or_else(nobody_gives)
    }
}

fn nobody_gives() -> BucketError {
    BucketError::Client("there is no memory for an answer".to_owned())
}

impl Buffers {
    /// Empty memory for so many bytes, by whoever has the slot for them.
    pub fn take(&self, bytes: u64) -> BytesMut {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut free = self.free();
        let found = if bytes == self.part { free.pop() } else { None };
        // Together they are never more than the slots: what others took is not free as well.
        let room = self.permits.available_permits() / grains(self.part as u64) as usize;
        free.truncate(room);
        drop(free);
        found.unwrap_or_else(|| BytesMut::with_capacity(bytes))
    }

    fn give(&self, mut buffer: BytesMut) {
        buffer.clear();
        if buffer.capacity() == self.part {
            self.free().push(buffer);
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pieces of memory that so many bytes take, at least one.
fn grains(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(GRAIN_BYTES)).unwrap_or(u32::MAX).max(1)
}

fn semaphore(parts: usize, part_bytes: u64) -> Arc<Semaphore> {
    let permits = parts.max(1).saturating_mul(grains(part_bytes) as usize);
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

async fn acquire(semaphore: &Arc<Semaphore>, bytes: u64) -> Result<OwnedSemaphorePermit, BucketError> {
    let permit = Arc::clone(semaphore).acquire_many_owned(grains(bytes)).await;
    permit.map_err(|error| BucketError::Client(error.to_string()))
}

impl Pace {
    fn reserve(&self, bytes: u64, now: Instant) -> Instant {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*free).max(now);
        *free = begin + Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64);
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(slots: &Slots, bytes: u64) -> Option<Slot> {
        Some(Slot::new(slots.try_turn(bytes)?, slots.try_memory(bytes)?))
    }

    #[tokio::test]
    async fn the_memory_of_a_whole_part_is_the_next_ones_and_at_rest_nothing_is_kept() {
        let slots = Slots::new(2, 1 << 20, None);
        let buffers = slots.buffers();
        let part = |bytes: u64| {
            let slot = taken(&slots, bytes).unwrap();
            let mut buffer = buffers.take(bytes);
            buffer.extend_from_slice(&vec![7; usize::try_from(bytes).unwrap()]);
            Part::borrowed(0, buffer.freeze(), slot, Arc::clone(&buffers))
        };
        let free = || buffers.free().len();
        let first = part(1 << 20);
        let place = first.bytes.as_ptr();
        drop(first);
        assert_eq!(free(), 1);
        let again = part(1 << 20);
        assert_eq!((again.bytes.as_ptr(), free()), (place, 0));
        let kept = again.bytes.clone();
        drop(again);
        assert_eq!((free(), kept.len()), (0, 1 << 20), "what somebody still reads is not written to");

        let both = (part(1 << 20), part(1 << 20));
        drop(both);
        assert_eq!(free(), 2);
        let small = part(GRAIN_BYTES);
        assert_eq!(free(), 1, "together they are no more than two parts");
        drop(small);
        assert_eq!(free(), 1, "smaller ones are not for the next");
        drop(buffers);
        assert!(slots.buffers().free().is_empty());
    }

    #[tokio::test]
    async fn small_parts_take_as_little_of_the_memory_as_they_have() {
        let slots = Slots::new(2, 1 << 20, None);
        let mut all: Vec<_> = (0..31).map(|_| taken(&slots, GRAIN_BYTES).unwrap()).collect();
        assert!(taken(&slots, GRAIN_BYTES + 1).is_none());
        all.push(taken(&slots, 0).unwrap());
        assert!(taken(&slots, 1).is_none(), "two parts of 1 MiB are 32 of 64 KiB");
        all.truncate(16);
        assert!(slots.take(1 << 20).await.is_ok(), "what is free is enough for a large one again");
        let tiny = Slots::new(0, 0, None);
        let _one = taken(&tiny, 5).unwrap();
        assert!(taken(&tiny, 5).is_none());
    }

    #[test]
    fn over_some_seconds_no_more_is_asked_for_than_the_rate_allows() {
        let now = Instant::now();
        let pace = Pace { rate: NonZeroU64::new(100).unwrap(), free: Mutex::new(now) };
        let seconds = |bytes, at: u64| (pace.reserve(bytes, now + Duration::from_secs(at)) - now).as_secs();
        assert_eq!([seconds(200, 0), seconds(100, 0), seconds(50, 1)], [0, 2, 3]);
        // What was not used is not saved up.
        assert_eq!([seconds(100, 60), seconds(100, 60)], [60, 61]);
    }
}
