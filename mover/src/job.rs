//! What a mover is to do.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use workspacefs_api::Verify;

use crate::bucket::Origin;
use crate::path::CachePath;

/// See the module.
#[derive(Clone, Debug)]
pub struct Job {
    /// The cache's folder on the target; made if it is missing.
    pub target: PathBuf,
    /// Generations to take away first.
    pub remove: Vec<i64>,
    /// The most threads; the engine's choice by default.
    pub workers: Option<NonZeroUsize>,
    /// What then.
    pub task: Task,
}

/// What a mover is to do beside taking away generations.
#[derive(Clone, Debug)]
pub enum Task {
    /// Nothing.
    Remove,
    /// The cache is deleted: everything in its folder goes.
    RemoveAll,
    /// This generation is compared with its manifests again, as it lies there.
    Scrub(i64),
    /// A generation is made.
    Fill(Fill),
    /// The same, of a bucket.
    FillBucket(BucketFill),
}

/// A generation to be made.
#[derive(Clone, Debug)]
pub struct Fill {
    /// Its number: above 0.
    pub generation: i64,
    /// The source's root.
    pub source: PathBuf,
    /// What it is known by: nothing that lies on the target of another one counts. None: everything is of this one.
    pub identity: Option<String>,
    /// What is copied, in the order of the spec. No two overlap.
    pub paths: Vec<CachePath>,
    /// What makes a copy count as verified.
    pub verify: Verify,
    /// The most that is read from the source, bytes per second.
    pub bandwidth: Option<NonZeroU64>,
    /// The most that the files may have together, bytes.
    pub capacity: Option<u64>,
    /// The generation that unchanged files are linked from, if it lies there.
    pub earlier: Option<i64>,
}

/// A generation of a bucket to be made.
#[derive(Clone, Debug)]
pub struct BucketFill {
    /// Its number: above 0.
    pub generation: i64,
    /// The bucket.
    pub origin: Origin,
    /// As [`Fill::identity`].
    pub identity: Option<String>,
    /// What makes a copy count as verified.
    pub verify: Verify,
    /// The most that the files may have together, bytes.
    pub capacity: Option<u64>,
    /// The generation that unchanged files are linked from, if it lies there.
    pub earlier: Option<i64>,
}

impl Job {
    /// The generation that is made or looked at; 0 if there is none.
    pub fn generation(&self) -> i64 {
        match &self.task {
            Task::Remove | Task::RemoveAll => 0,
            Task::Scrub(generation) => *generation,
            Task::Fill(fill) => fill.generation,
            Task::FillBucket(fill) => fill.generation,
        }
    }
}
