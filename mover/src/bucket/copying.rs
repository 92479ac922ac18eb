//! All objects of a bucket, page by page, many at once.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use workspacefs_buckets::{Object, is_folder_marker};
use workspacefs_sync::{Counted, Counts, Wrong};

use super::claims::Claims;
use super::fetching::{Kept, Shop, blocking, keep};
use super::notes::Notes;
use crate::abort::Abort;

/// How often it is looked whether it is to end.
const STOP_EVERY: Duration = Duration::from_millis(100);

/// What became of the object of this key.
type Settled = (String, Result<Kept, Abort>);

/// What is in the copy, and what is not.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    pub counts: Counts,
    pub notes: Notes,
    pub claims: Claims,
    /// Read back, it is not as it was written.
    pub wrong: Vec<Wrong>,
    /// It was given up: it is more than this may be.
    pub is_too_much: bool,
}

/// What is asked of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub prefix: &'a str,
    /// What of it is not part of paths.
    pub folder: &'a str,
    /// Bytes.
    pub capacity: u64,
    /// Objects at once.
    pub workers: usize,
}

/// Copies until everything is there or it is told to end. What was done until then is written down.
pub(crate) async fn copy(shop: &Arc<Shop>, terms: Terms<'_>) -> Result<Copied, Abort> {
    let copied = tokio::select! {
        copied = copy_all(shop, terms) => copied,
        () = stopped(shop) => Err(Abort::Interrupted),
    };
    // Also what a run that failed has done is not done again; why it failed is the better word.
    if copied.is_err() {
        shop.tree.close();
    }
    let committed = commit(shop).await;
    let mut copied = copied?;
    copied.wrong.extend(committed?);
    Ok(copied)
}

/// How much there is.
pub(crate) async fn measure(shop: &Arc<Shop>, terms: Terms<'_>) -> Result<Counts, Abort> {
    let mut measured = Copied::default();
    let mut pages = shop.bucket.list(terms.prefix);
    let listing = async {
        while let Some(page) = pages.next().await.map_err(Abort::Bucket)? {
            for object in &page {
                if measured.take(object, terms).is_some() {
                    shop.counting.file(Counted::Found, object.size);
                    measured.add(object.size);
                }
            }
        }
        Ok::<_, Abort>(())
    };
    tokio::select! {
        listed = listing => listed?,
        () = stopped(shop) => return Err(Abort::Interrupted),
    }
    Ok(measured.counts)
}

async fn copy_all(shop: &Arc<Shop>, terms: Terms<'_>) -> Result<Copied, Abort> {
    let mut copied = Copied::default();
    let mut found = 0_u64;
    let mut tasks: JoinSet<Settled> = JoinSet::new();
    let mut pages = shop.bucket.list(terms.prefix);
    while let Some(page) = pages.next().await.map_err(Abort::Bucket)? {
        for object in page {
            let Some(path) = copied.take(&object, terms) else { continue };
            found = found.saturating_add(object.size);
            if found > terms.capacity {
                shop.tree.close();
                return Ok(Copied { is_too_much: true, counts: Counts { files: 0, bytes: found }, ..copied });
            }
            shop.counting.file(Counted::Found, object.size);
            while tasks.len() >= terms.workers.max(1) {
                copied.settle(shop, tasks.join_next().await).await?;
            }
            let shop = Arc::clone(shop);
            tasks.spawn(async move { (object.key.clone(), keep(shop, object, path).await) });
        }
    }
    shop.counting.listed();
    while !tasks.is_empty() {
        copied.settle(shop, tasks.join_next().await).await?;
    }
    Ok(copied)
}

async fn commit(shop: &Arc<Shop>) -> Result<Vec<Wrong>, Abort> {
    let shop = Arc::clone(shop);
    let commit = move || shop.recorder.commit(shop.tree.data().as_fd(), shop.verify);
    blocking(move || commit().map_err(|stop| Abort::from(&stop))).await
}

async fn stopped(shop: &Shop) {
    while !shop.counting.is_cancelled() {
        tokio::time::sleep(STOP_EVERY).await;
    }
}

impl Copied {
    /// The path of an object, if it is a file.
    fn take(&mut self, object: &Object, terms: Terms<'_>) -> Option<std::path::PathBuf> {
        let key = object.key.strip_prefix(terms.folder).unwrap_or(&object.key);
        // The folder itself, as consoles make it, is empty then.
        if object.size == 0 && (key.is_empty() || is_folder_marker(key, 0)) {
            return None;
        }
        self.claims.take(key).inspect_err(|why| self.notes.unfit(&object.key, *why)).ok()
    }

    fn add(&mut self, bytes: u64) {
        self.counts.files += 1;
        self.counts.bytes += bytes;
    }

    async fn settle(
        &mut self,
        shop: &Arc<Shop>,
        done: Option<Result<Settled, JoinError>>,
    ) -> Result<(), Abort> {
        let Some(done) = done else { return Ok(()) };
        let (key, kept) = done.map_err(|error| Abort::Other(format!("a task has ended: {error}")))?;
        match kept? {
            Kept::Whole { bytes, is_by_size } => {
                self.add(bytes);
                if is_by_size {
                    self.notes.by_size(&key);
                }
            }
            Kept::Gone => self.notes.gone(&key),
            Kept::Failed(error) => self.notes.failed(&key, &error),
        }
        if shop.recorder.is_due() {
            self.wrong.extend(commit(shop).await?);
        }
        Ok(())
    }
}
