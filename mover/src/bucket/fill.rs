//! Making a generation of a bucket, step by step.

use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::fstatvfs;
use rustix::io::Errno;
use tokio::runtime::{Builder, Runtime};
use workspacefs_api::PathState;
use workspacefs_api::mover::{Outcome, PathOutcome, Step};
use workspacefs_buckets::{Bucket, Slots};
use workspacefs_sync::{Counting, Counts, Recorder, Verify};

use super::ROOT;
use super::claims::Claims;
use super::copying::{Copied, Terms, copy, measure};
use super::fetching::Shop;
use super::sweep;
use super::tree::Tree;
use crate::abort::{Abort, at_target, errno};
use crate::copying::mode;
use crate::fill::{outcome, said_again, wanted};
use crate::filling::{self, Filling};
use crate::generation::Generation;
use crate::job::BucketFill;
use crate::meter::{Expected, Meter};
use crate::record::{Beginning, Record, Recorded};
use crate::target::{self, Target};
use crate::verdict;

/// Objects at once, and slots for their parts.
const WORKERS: usize = 16;
/// With [`WORKERS`]: 64 MiB of contents at most.
const PART_BYTES: u64 = 4 << 20;
/// Of the one path, which numbers its manifest.
const NUMBER: usize = 0;

/// What is not written as it should be, or was listed and is not there, is tried so many times.
const TRIES_MAX: usize = 3;

struct Work<'a> {
    meter: &'a Meter,
    fill: &'a BucketFill,
    workers: Option<NonZeroUsize>,
    runtime: Runtime,
    bucket: Bucket,
    filling: Filling,
    earlier: Option<Generation>,
    measured: Counts,
}

/// Makes the generation, unless it lies there whole.
pub(crate) fn fill(
    fill: &BucketFill,
    target: &Target,
    workers: Option<NonZeroUsize>,
    meter: &Meter,
) -> Result<Outcome, Abort> {
    let (open, identity) = (|number| Generation::open(target, number), fill.identity.as_deref());
    if let Some(whole) = open(fill.generation).map_err(at_target("read the generation that lies there"))? {
        return said_again(fill.generation, identity, [ROOT].into_iter(), &whole.record);
    }
    let bucket = fill.origin.open()?;
    filling::forget_others(target, fill.generation, identity, workers, meter)?;
    let at = at_target("read the earlier generation");
    let wanted = wanted(target, fill.earlier, fill.generation, identity).map_err(at)?;
    let filling = Filling::open(target, fill.generation, wanted, identity);
    let filling = filling.map_err(at_target("make the generation"))?;
    let earlier = filling.beginning.earlier.map(open).transpose().map_err(at)?.flatten();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Abort::Other(format!("cannot start threads: {error}")))?;
    let measured = Counts::default();
    let mut work = Work { meter, fill, workers, runtime, bucket, filling, earlier, measured };
    let expected = work.measure()?;
    meter.begin(Step::Copying, expected);
    let copied = work.copy()?;
    work.commit(target, copied)
}

impl Work<'_> {
    /// How much there will be to fetch. Listed where nothing is known from the last time, or a limit has to be held.
    fn measure(&mut self) -> Result<Expected, Abort> {
        let last = self.earlier.as_ref().and_then(|earlier| earlier.record.paths.first());
        let last = last.filter(|last| last.path == ROOT && last.outcome.state == PathState::Whole);
        if let (None, Some(last)) = (self.fill.capacity, last) {
            self.measured = Counts { files: last.outcome.files, bytes: last.outcome.bytes };
            return Ok(Expected::About(self.measured));
        }
        self.meter.begin(Step::Preparing, Expected::Unknown);
        self.measured = self.meter.run(|control| {
            let shop = self.shop(Counting::of(control))?;
            self.runtime.block_on(measure(&shop, self.terms()))
        })?;
        Ok(Expected::Found(self.measured))
    }

    /// Fetches or links all objects. What is fetched is read back; what is linked from the earlier generation was, when it was
    /// fetched.
    fn copy(&self) -> Result<PathOutcome, Abort> {
        let capacity = self.fill.capacity.unwrap_or(u64::MAX);
        if self.measured.bytes > capacity {
            return self.take_away().map(|()| verdict::over_capacity(self.measured.bytes, capacity));
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let copied = match self.copy_and_sweep() {
                Ok(copied) => copied,
                Err(abort) => return self.evict(abort.full().ok_or(abort)?),
            };
            if copied.is_too_much {
                return self.take_away().map(|()| verdict::over_capacity(copied.counts.bytes, capacity));
            }
            let flaw = verdict::differences(&copied.wrong).or_else(|| copied.notes.flaw());
            let may_pass = !copied.wrong.is_empty() || copied.notes.has_gone();
            return match flaw {
                Some(flaw) if may_pass && tries < TRIES_MAX => {
                    tracing::warn!(%flaw, "once more");
                    continue;
                }
                Some(flaw) => Ok(verdict::partial(copied.counts, flaw)),
                None if copied.counts.files == 0 && copied.notes.is_empty() => {
                    self.take_away().map(|()| verdict::missing())
                }
                None => Ok(verdict::remarked(copied.counts, copied.notes.remark())),
            };
        }
    }

    fn copy_and_sweep(&self) -> Result<Copied, Abort> {
        let (copied, recorder) = self.meter.run(|control| {
            let shop = self.shop(Counting::of(control))?;
            let copied = self.runtime.block_on(copy(&shop, self.terms()))?;
            Ok::<_, Abort>((copied, Arc::clone(&shop.recorder)))
        })?;
        if copied.is_too_much {
            return Ok(copied);
        }
        sweep::sweep(self.filling.data(), &copied.claims).map_err(at_target("remove what is gone"))?;
        let recorder = Arc::into_inner(recorder);
        let recorder = recorder.ok_or_else(|| Abort::Other("a task goes on after its end".to_owned()))?;
        recorder.complete().map_err(at_target("write the manifest"))?;
        Ok(copied)
    }

    fn shop(&self, counting: Counting) -> Result<Arc<Shop>, Abort> {
        let (folder, manifest) = match &self.earlier {
            Some(earlier) => self.linked_from(earlier)?,
            None => (None, None),
        };
        let at = at_target("open a folder");
        let own = |folder: BorrowedFd<'_>| folder.try_clone_to_owned().map_err(|error| at(errno(&error)));
        let scratch = self.filling.scratch().map_err(at)?;
        let tree = Tree::new(own(self.filling.data())?, scratch, folder).map_err(at)?;
        let verify = mode(self.fill.verify);
        let checksum = verify == Verify::Checksum;
        let (own, open) = (self.filling.manifest(NUMBER), Recorder::open);
        let recorder = match (open(&own, checksum, manifest.as_deref()), &manifest) {
            // What cannot be linked from is fetched.
            (Err(_), Some(_)) => open(&own, checksum, None),
            (opened, _) => opened,
        };
        let recorder = recorder.map_err(|error| at_target("open the manifest")(errno(&error)))?;
        let slots = Slots::new(self.terms().workers.min(WORKERS), PART_BYTES, self.fill.origin.bandwidth);
        let (tree, recorder) = (Arc::new(tree), Arc::new(recorder));
        Ok(Arc::new(Shop { bucket: self.bucket.clone(), slots, tree, recorder, counting, verify }))
    }

    fn linked_from(&self, earlier: &Generation) -> Result<(Option<OwnedFd>, Option<PathBuf>), Abort> {
        let is_bucket = earlier.record.paths.iter().map(|recorded| &*recorded.path).eq([ROOT]);
        let place = target::found(earlier.place("")).map_err(at_target("open a generation"))?;
        let place = place.filter(|_| is_bucket);
        let manifest = place.is_some().then(|| earlier.manifest(NUMBER));
        Ok((place, manifest))
    }

    fn terms(&self) -> Terms<'_> {
        let origin = &self.fill.origin;
        let workers = self.workers.map_or(WORKERS, NonZeroUsize::get);
        let capacity = self.fill.capacity.unwrap_or(u64::MAX);
        Terms { prefix: &origin.prefix, folder: origin.folder(), capacity, workers }
    }

    fn evict(&self, errno: Errno) -> Result<PathOutcome, Abort> {
        self.take_away()?;
        let free = fstatvfs(self.filling.data()).ok();
        let free = free.map(|free| free.f_bavail.saturating_mul(free.f_frsize));
        Ok(verdict::does_not_fit(errno, self.measured.bytes, free))
    }

    /// Nothing of it stays in the generation.
    fn take_away(&self) -> Result<(), Abort> {
        self.filling.forget(NUMBER).map_err(at_target("remove a manifest"))?;
        sweep::sweep(self.filling.data(), &Claims::default()).map_err(at_target("remove what does not fit"))
    }

    fn commit(&self, target: &Target, copied: PathOutcome) -> Result<Outcome, Abort> {
        self.meter.begin(Step::Committing, Expected::Unknown);
        let mut copied = copied;
        loop {
            if let Some(failure) = verdict::nothing_whole(std::slice::from_ref(&copied)) {
                return Ok(Outcome { paths: vec![copied], failure: Some(failure), ..Outcome::default() });
            }
            let paths = vec![Recorded { path: ROOT.to_owned(), outcome: copied.clone() }];
            let Beginning { as_of, identity, .. } = self.filling.beginning.clone();
            let record = Record { as_of, verify: self.fill.verify, identity, paths };
            match self.filling.commit(target, &record) {
                Ok(()) => return Ok(outcome(self.fill.generation, &record)),
                // Not even room for these few words.
                Err(abort) => copied = self.evict(abort.full().ok_or(abort)?)?,
            }
        }
    }
}
