//! Reading one version of an object: in parts that are fetched side by side and handed out in their order, with no more of them
//! in memory than there are slots for.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::bucket::Bucket;
use crate::checksum::{Assurance, Check, Unchecked};
use crate::error::BucketError;
use crate::object::Object;

/// What all downloads of a process may have in memory together, and how fast they may be.
#[derive(Clone, Debug)]
pub struct Slots {
    /// Of [`GRAIN_BYTES`] each: what is small takes little of the memory.
    permits: Arc<Semaphore>,
    part: u64,
    pace: Option<Arc<Pace>>,
}

/// Some bytes of an object. It takes its part of the slots until it is dropped: that has to be before the next one is asked for.
pub struct Part {
    /// Where they begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
    _slot: OwnedSemaphorePermit,
}

/// An object that is being read. Dropped, it ends its requests.
#[derive(Debug)]
pub struct Download {
    bucket: Bucket,
    object: Arc<Object>,
    slots: Slots,
    check: Result<Check, Unchecked>,
    /// Parts on their way, in their order. The first one always has its slot.
    ahead: VecDeque<AbortOnDropHandle<Result<Part, BucketError>>>,
    /// All before it is asked for.
    asked: u64,
    /// All before it was handed out.
    done: u64,
}

/// When the next bytes may be asked for.
#[derive(Debug)]
struct Pace {
    rate: NonZeroU64,
    free: Mutex<Instant>,
}

/// Memory is given out in pieces of so many bytes.
const GRAIN_BYTES: u64 = 64 << 10;
/// Parts of one object that are fetched at once.
const AHEAD_MAX: usize = 8;

/// Without the content.
impl fmt::Debug for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Part({} bytes at {})", self.bytes.len(), self.offset)
    }
}

impl Slots {
    /// `parts` of `part_bytes` each, and in their place more of smaller ones; at least one of at least one byte. `rate`: bytes
    /// per second, over some seconds.
    pub fn new(parts: usize, part_bytes: u64, rate: Option<NonZeroU64>) -> Self {
        let permits = parts.max(1).saturating_mul(grains(part_bytes) as usize).min(Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(permits));
        let pace = rate.map(|rate| Arc::new(Pace { rate, free: Mutex::new(Instant::now()) }));
        Self { permits, part: part_bytes.max(1), pace }
    }

    async fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, BucketError> {
        let permit = Arc::clone(&self.permits).acquire_many_owned(grains(bytes)).await;
        permit.map_err(|error| BucketError::Client(error.to_string()))
    }

    fn try_take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_many_owned(grains(bytes)).ok()
    }

    /// Waits until so many bytes may be asked for.
    async fn wait(&self, bytes: u64) {
        if let Some(pace) = &self.pace {
            tokio::time::sleep_until(pace.reserve(bytes, Instant::now())).await;
        }
    }
}

/// The pieces of memory that so many bytes take, at least one.
fn grains(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(GRAIN_BYTES)).unwrap_or(u32::MAX).max(1)
}

impl Pace {
    fn reserve(&self, bytes: u64, now: Instant) -> Instant {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*free).max(now);
        *free = begin + Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64);
        begin
    }
}

impl Download {
    pub(crate) async fn begin(bucket: Bucket, object: Object, slots: Slots) -> Result<Self, BucketError> {
        let is_small = object.size <= slots.part;
        let object = Arc::new(object);
        let mut download = Self {
            bucket,
            slots,
            check: Err(Unchecked::Nothing),
            ahead: VecDeque::new(),
            asked: 0,
            done: 0,
            object,
        };
        if is_small {
            let slot = download.slots.take(download.object.size).await?;
            download.slots.wait(download.object.size).await;
            let (head, bytes) = download.bucket.whole(&download.object).await?;
            download.check = head.check;
            download.asked = download.object.size;
            let part = Part { offset: 0, bytes, _slot: slot };
            download.ahead.push_back(AbortOnDropHandle::new(tokio::spawn(async move { Ok(part) })));
        } else {
            let head = download.bucket.head(&download.object.key, Some(&download.object.etag)).await?;
            if head.object.size != download.object.size {
                return Err(BucketError::Changed);
            }
            download.check = head.check;
        }
        Ok(download)
    }

    /// The next bytes; none at the end. An empty object has one part with none.
    ///
    /// # Errors
    /// [`BucketError::Changed`] if there is another version by now, and others. The download is then over.
    pub async fn next(&mut self) -> Result<Option<Part>, BucketError> {
        self.ask_ahead().await?;
        let Some(part) = self.ahead.pop_front() else { return Ok(None) };
        let part = part.await.map_err(|error| BucketError::Client(error.to_string()))??;
        if let Ok(check) = &mut self.check {
            check.update(&part.bytes);
        }
        self.done += part.bytes.len() as u64;
        Ok(Some(part))
    }

    /// What can be said of it once all its parts were handed out.
    ///
    /// # Errors
    /// [`BucketError::Checksum`]; [`BucketError::Cut`] if that was not to its end.
    pub fn finish(self) -> Result<Assurance, BucketError> {
        if self.done != self.object.size {
            return Err(BucketError::Cut(format!("{} of {} bytes were read", self.done, self.object.size)));
        }
        match self.check {
            Ok(check) => check.finish().map(Assurance::Content),
            Err(why) => Ok(Assurance::Size(why)),
        }
    }

    /// A slot is waited for only where nothing is on its way: who has slots always has that of the part that is waited for, so
    /// no two downloads wait for each other.
    async fn ask_ahead(&mut self) -> Result<(), BucketError> {
        while self.asked < self.object.size && self.ahead.len() < AHEAD_MAX {
            let range = self.asked..self.asked.saturating_add(self.slots.part).min(self.object.size);
            let slot = match self.ahead.is_empty() {
                true => self.slots.take(range.end - range.start).await?,
                false => match self.slots.try_take(range.end - range.start) {
                    Some(slot) => slot,
                    None => return Ok(()),
                },
            };
            self.asked = range.end;
            let (bucket, object, slots) = (self.bucket.clone(), Arc::clone(&self.object), self.slots.clone());
            let fetch = async move {
                slots.wait(range.end - range.start).await;
                let bytes = bucket.range(&object, range.clone()).await?;
                Ok(Part { offset: range.start, bytes, _slot: slot })
            };
            self.ahead.push_back(AbortOnDropHandle::new(tokio::spawn(fetch)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_parts_take_as_little_of_the_memory_as_they_have() {
        let slots = Slots::new(2, 1 << 20, None);
        let mut taken: Vec<_> = (0..31).map(|_| slots.try_take(GRAIN_BYTES).unwrap()).collect();
        assert!(slots.try_take(GRAIN_BYTES + 1).is_none());
        taken.push(slots.try_take(0).unwrap());
        assert!(slots.try_take(1).is_none(), "two parts of 1 MiB are 32 of 64 KiB");
        taken.truncate(16);
        assert!(slots.take(1 << 20).await.is_ok(), "what is free is enough for a large one again");
        let tiny = Slots::new(0, 0, None);
        let _one = tiny.try_take(5).unwrap();
        assert!(tiny.try_take(5).is_none());
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
