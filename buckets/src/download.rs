//! Reading one version of an object: in parts that are fetched side by side and handed out in their order, with no more of them
//! asked for, and in memory, than there are slots for.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::bucket::Bucket;
use crate::checksum::{Assurance, Check, Unchecked};
use crate::error::BucketError;
use crate::object::Object;
use crate::slots::{Buffers, Memory, Part, Slot, Slots};

/// An object that is being read. Dropped, it ends its requests.
#[derive(Debug)]
pub struct Download {
    bucket: Bucket,
    object: Arc<Object>,
    slots: Slots,
    buffers: Arc<Buffers>,
    check: Result<Check, Unchecked>,
    /// Parts on their way, in their order. The first one always has its turn.
    ahead: VecDeque<AbortOnDropHandle<Result<Part, BucketError>>>,
    /// The last of these, without memory yet. It is given in their order, so what waits never holds up what comes before it.
    waiting: VecDeque<Waiting>,
    /// All before it is asked for.
    asked: u64,
    /// All before it was handed out.
    done: u64,
}

/// A part whose answer waits for memory, or will.
#[derive(Debug)]
struct Waiting {
    bytes: u64,
    memory: oneshot::Sender<OwnedSemaphorePermit>,
}

/// Parts of one object that are asked for at once.
const AHEAD_MAX: usize = 16;

impl Download {
    pub(crate) async fn begin(bucket: Bucket, object: Object, slots: Slots) -> Result<Self, BucketError> {
        let is_small = object.size <= slots.part();
        let object = Arc::new(object);
        let mut download = Self {
            bucket,
            buffers: slots.buffers(),
            slots,
            check: Err(Unchecked::Nothing),
            ahead: VecDeque::new(),
            waiting: VecDeque::new(),
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
            let part = Part::new(0, bytes, slot);
            download.ahead.push_back(AbortOnDropHandle::new(tokio::spawn(async move { Ok(part) })));
        } else {
            // The first parts come while it is asked what they are compared with.
            download.ask_ahead().await?;
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
        let Some(mut first) = self.ahead.pop_front() else { return Ok(None) };
        // As soon as there is a slot another part is asked for: the one before may be written meanwhile, and give its up.
        let part = loop {
            let range = self.range_ahead();
            let bytes = range.as_ref().map_or(0, |range| range.end - range.start);
            let waiting = self.waiting.front().map(|waiting| waiting.bytes);
            tokio::select! {
                biased;
                part = &mut first => break part,
                memory = self.slots.memory(waiting.unwrap_or(0)), if waiting.is_some() => self.give(memory?),
                turn = self.slots.turn(bytes), if range.is_some() => self.ask(range.unwrap_or_default(), turn?),
            }
        };
        let part = part.map_err(|error| BucketError::Client(error.to_string()))??;
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

    /// A turn is waited for only where nothing is on its way: who has turns always has that of the part that is waited for, and
    /// who has memory has it for that part first, so no two downloads wait for each other.
    async fn ask_ahead(&mut self) -> Result<(), BucketError> {
        while let Some(range) = self.range_ahead() {
            let bytes = range.end - range.start;
            let turn = match self.ahead.is_empty() {
                true => Some(self.slots.turn(bytes).await?),
                false => self.slots.try_turn(bytes),
            };
            let Some(turn) = turn else { break };
            self.ask(range, turn);
        }
        while let Some(memory) = self.waiting.front().and_then(|next| self.slots.try_memory(next.bytes)) {
            self.give(memory);
        }
        Ok(())
    }

    fn give(&mut self, memory: OwnedSemaphorePermit) {
        let Some(next) = self.waiting.pop_front() else { return };
        // If it failed meanwhile, it needs none.
        let _ = next.memory.send(memory);
    }

    /// What is to be asked for next; None where all is, or enough.
    fn range_ahead(&self) -> Option<Range<u64>> {
        let is_left = self.asked < self.object.size && self.ahead.len() < AHEAD_MAX;
        is_left.then(|| self.asked..self.asked.saturating_add(self.slots.part()).min(self.object.size))
    }

    fn ask(&mut self, range: Range<u64>, turn: OwnedSemaphorePermit) {
        self.asked = range.end;
        let length = range.end - range.start;
        let (memory, given) = oneshot::channel();
        self.waiting.push_back(Waiting { bytes: length, memory });
        let (bucket, object, slots) = (self.bucket.clone(), Arc::clone(&self.object), self.slots.clone());
        let buffers = Arc::clone(&self.buffers);
        let fetch = async move {
            slots.wait(length).await;
            let mut memory = Memory::awaited(given, Arc::clone(&buffers), length);
            let bytes = bucket.range(&object, range.clone(), &mut memory).await?;
            Ok(Part::borrowed(range.start, bytes, Slot::new(turn, memory.given()?), buffers))
        };
        self.ahead.push_back(AbortOnDropHandle::new(tokio::spawn(fetch)));
    }
}
