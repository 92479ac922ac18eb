//! One object: found there already, linked, or fetched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use workspacefs_buckets::{Assurance, Bucket, BucketError, Object, Slots};
use workspacefs_sync::{Counted, Counting, Errno, Recorder, Verify, Version};

use super::tree::{Tree, Writing};
use super::version::{version, versions};
use crate::abort::{Abort, at_target};

/// An object that is changed meanwhile, or whose content is not its checksum's, is fetched again so many times.
const TRIES_MAX: usize = 3;

/// What all objects of a run share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub bucket: Bucket,
    pub slots: Slots,
    pub tree: Arc<Tree>,
    pub recorder: Arc<Recorder>,
    pub counting: Counting,
    /// What is compared when it is read back. For contents the manifest has digests.
    pub verify: Verify,
}

/// What became of an object.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It is in the copy, of so many bytes; its content could be compared with nothing where `is_by_size`.
    Whole { bytes: u64, is_by_size: bool },
    /// The service says that there is no such object.
    Gone,
    /// It could not be read.
    Failed(BucketError),
}

/// Why one try failed.
enum Trouble {
    Bucket(BucketError),
    Target(Abort),
}

impl From<BucketError> for Trouble {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

impl From<Abort> for Trouble {
    fn from(abort: Abort) -> Self {
        Self::Target(abort)
    }
}

/// See the module.
pub(crate) async fn keep(shop: Arc<Shop>, object: Object, path: PathBuf) -> Result<Kept, Abort> {
    let listed = object.size;
    let kept = keep_it(&shop, object, &path).await?;
    let counted = match &kept {
        Kept::Whole { .. } => return Ok(kept),
        Kept::Gone => Counted::Done,
        Kept::Failed(_) => Counted::Failed,
    };
    shop.counting.file(counted, listed);
    // An older one may lie there.
    let (tree, path) = (Arc::clone(&shop.tree), path);
    blocking(move || tree.remove(&path).map_err(at_target("remove a file"))).await?;
    Ok(kept)
}

async fn keep_it(shop: &Arc<Shop>, object: Object, path: &Path) -> Result<Kept, Abort> {
    let (found, it, at) = (Arc::clone(shop), object.clone(), path.to_owned());
    if let Some(kept) = blocking(move || found.find(&it, at)).await? {
        return Ok(kept);
    }
    let listed = object.size;
    let mut object = object;
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match shop.fetch(&object, path).await {
            Ok(assurance) => {
                shop.counting.file(Counted::Done, listed);
                let is_by_size = matches!(assurance, Assurance::Size(_));
                return Ok(Kept::Whole { bytes: object.size, is_by_size });
            }
            Err(Trouble::Target(abort)) => return Err(abort),
            Err(Trouble::Bucket(BucketError::NotFound)) => return Ok(Kept::Gone),
            Err(Trouble::Bucket(error)) => error,
        };
        let is_passing = matches!(error, BucketError::Changed | BucketError::Checksum(_));
        if !is_passing || tries == TRIES_MAX {
            return if error.is_of_one_object() {
                Ok(Kept::Failed(error))
            } else {
                Err(Abort::Bucket(error))
            };
        }
        match shop.bucket.look(&object.key).await {
            Ok(now) => object = now,
            Err(BucketError::NotFound) => return Ok(Kept::Gone),
            Err(error) if error.is_of_one_object() => return Ok(Kept::Failed(error)),
            Err(error) => return Err(Abort::Bucket(error)),
        }
    }
}

impl Shop {
    /// Whether it lies there already, or in the generation before.
    fn find(&self, object: &Object, path: PathBuf) -> Result<Option<Kept>, Abort> {
        let at = at_target("look at what lies there");
        for (version, is_by_size) in versions(object) {
            let is_there =
                self.tree.has(&path, &version).map_err(at)? && self.recorder.knows(&path, &version);
            if is_there || self.link(&path, &version)? {
                self.counting.file(Counted::Unchanged, object.size);
                return Ok(Some(Kept::Whole { bytes: object.size, is_by_size }));
            }
        }
        Ok(None)
    }

    fn link(&self, path: &Path, version: &Version) -> Result<bool, Abort> {
        let Some(said) = self.recorder.find_earlier(path, version) else { return Ok(false) };
        let is_linked = self.tree.link(path, version).map_err(at_target("make a hard link"))?;
        if is_linked {
            self.recorder.take_over(said);
        }
        Ok(is_linked)
    }

    async fn fetch(self: &Arc<Self>, object: &Object, path: &Path) -> Result<Assurance, Trouble> {
        let mut download = self.bucket.download(object, &self.slots).await?;
        let mut file: Option<Hashed> = None;
        while let Some(part) = download.next().await? {
            self.counting.read(part.bytes.len() as u64);
            let (tree, checksum) = (Arc::clone(&self.tree), self.verify == Verify::Checksum);
            let write = move || {
                let begun = file.map_or_else(|| Hashed::begin(&tree, checksum), Ok);
                let write = begun.and_then(|mut file: Hashed| file.write(&part.bytes).map(|()| file));
                write.map_err(at_target("write a file"))
            };
            file = Some(blocking(write).await?);
        }
        let assurance = download.finish()?;
        let (version, shop, path) = (version(object, assurance), Arc::clone(self), path.to_owned());
        let place = move || {
            let at = at_target("give a file its name");
            let Hashed { writing, hasher } = file.ok_or(Errno::IO).map_err(at)?;
            let digest = hasher.map(|hasher| *hasher.finalize().as_bytes());
            writing.place(&path, version.modified.seconds).map_err(at)?;
            shop.recorder.add(&path, &version, digest);
            Ok(())
        };
        blocking(place).await?;
        Ok(assurance)
    }
}

/// A file that is hashed as it is written.
struct Hashed {
    writing: Writing,
    hasher: Option<blake3::Hasher>,
}

impl Hashed {
    fn begin(tree: &Arc<Tree>, checksum: bool) -> Result<Self, Errno> {
        Ok(Self { writing: tree.begin()?, hasher: checksum.then(blake3::Hasher::new) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.writing.write(bytes)
    }
}

/// Where it does not keep others from going on.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Abort> + Send + 'static,
) -> Result<T, Abort> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Abort::Other(format!("a thread has ended: {error}")))?
}
