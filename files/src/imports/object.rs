//! One object: found there already, or read and written. Its file appears whole, under its name, or not at all.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use thiserror::Error;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use workspacefs_buckets::{Assurance, Bucket, BucketError, Object, Part};
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::import::ImportFailure;

use super::means::Means;
use super::progress::{Outcome, Progress, UnderWay};
use super::stamp::Stamp;
use super::target::{Target, Writing};
use crate::error::Error;
use crate::settling::Settling;
use crate::watched::Watched;

/// An object that is changed meanwhile, or whose content is not its checksum's, is read again, so many times in all.
const TRIES_MAX: usize = 3;

/// Up to so many bytes files come to the disk together; a larger one is not made to wait for others, nor they for it.
const SETTLED_TOGETHER_BYTES_MAX: u64 = 1 << 20;

/// What all objects of one run share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub bucket: Bucket,
    pub means: Means,
    pub target: Arc<Target>,
    /// By which small files come to the disk together.
    pub settling: Settling,
    /// Opened before the first of them is written.
    pub watched: OnceCell<Arc<Watched>>,
    /// Ends what is read at length from the file system.
    pub cancel: CancellationToken,
    /// Counts bytes.
    pub imported: Counter,
}

/// Why nothing more can be read or written.
#[derive(Debug, Error)]
pub(crate) enum Halt {
    #[error("{0}")]
    Bucket(#[from] BucketError),
    #[error(
        "the file system is full, or its quota is spent: {0} objects are there; free some space, and go on"
    )]
    Full(u64),
    #[error("the file system does not do it: {0}")]
    Target(Error),
    #[error("it ended by itself: {0}")]
    Broken(String),
}

/// Why one try failed.
enum Trouble {
    Bucket(BucketError),
    Target(Error),
}

impl Trouble {
    fn is_passing(&self) -> bool {
        match self {
            Self::Bucket(error) => matches!(error, BucketError::Changed | BucketError::Checksum(_)),
            // What was deleted has given way meanwhile.
            Self::Target(error) => error.is_full(),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Target(error)
    }
}

impl From<BucketError> for Trouble {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

/// Brings one object to its place, and counts what became of it.
///
/// # Errors
/// [`Halt`]: that is no matter of this object.
pub(crate) async fn bring(
    shop: &Shop,
    progress: &Progress,
    object: Object,
    path: FilePath,
) -> Result<(), Halt> {
    let mut way = progress.begin(object.size);
    let key = object.key.clone();
    let outcome = match shop.bring(object, &path, &mut way).await {
        Ok(outcome) => outcome,
        Err(trouble) => {
            let done = progress.counts();
            Outcome::Failed(ImportFailure { key, reason: judged(trouble, done.done + done.skipped)? })
        }
    };
    way.settle(outcome);
    Ok(())
}

/// Makes the folder that an empty object stands for.
///
/// # Errors
/// As [`bring`].
pub(crate) async fn make_folder(
    shop: &Shop,
    progress: &Progress,
    key: String,
    path: FilePath,
) -> Result<(), Halt> {
    let target = Arc::clone(&shop.target);
    let outcome = match shop.means.blocking(move || target.folder(&path)).await {
        Ok(true) => Outcome::Done { by_size: false },
        Ok(false) => Outcome::Skipped,
        Err(error) => {
            let done = progress.counts();
            let reason = of_the_file_system(error, done.done + done.skipped)?;
            Outcome::Failed(ImportFailure { key, reason })
        }
    };
    progress.begin(0).settle(outcome);
    Ok(())
}

/// The sentence for the report, if it is the one object's trouble alone.
fn judged(trouble: Trouble, there: u64) -> Result<String, Halt> {
    match trouble {
        Trouble::Bucket(error) if error.is_of_one_object() => Ok(error.to_string()),
        Trouble::Bucket(error) => Err(Halt::Bucket(error)),
        Trouble::Target(error) => of_the_file_system(error, there),
    }
}

fn of_the_file_system(error: Error, there: u64) -> Result<String, Halt> {
    let reason = match error {
        Error::Quota | Error::MadeRoom => return Err(Halt::Full(there)),
        error if error.is_for_all() => return Err(Halt::Target(error)),
        Error::IsDirectory | Error::NotEmpty => "a folder there has its name already".to_owned(),
        Error::NotDirectory => "a file there has the name that it needs for a folder".to_owned(),
        Error::NotFound => "a link on its way leads nowhere, or out of the file system".to_owned(),
        error => error.to_string(),
    };
    Ok(reason)
}

impl Shop {
    async fn bring(
        &self,
        object: Object,
        path: &FilePath,
        way: &mut UnderWay<'_>,
    ) -> Result<Outcome, Trouble> {
        if self.is_there(&object, path).await? {
            return Ok(Outcome::Skipped);
        }
        let mut object = object;
        let mut tries = 0;
        loop {
            tries += 1;
            let trouble = match self.fetch(&object, path, way).await {
                Ok(assurance) => {
                    return Ok(Outcome::Done { by_size: matches!(assurance, Assurance::Size(_)) });
                }
                Err(trouble) => trouble,
            };
            if !trouble.is_passing() || tries == TRIES_MAX {
                return Err(trouble);
            }
            object = self.bucket.look(&object.key).await?;
            way.again(object.size);
        }
    }

    /// Whether the very same file is there: as an import left it, or by its content.
    async fn is_there(&self, object: &Object, path: &FilePath) -> Result<bool, Trouble> {
        let (target, path, cancel) = (Arc::clone(&self.target), path.clone(), self.cancel.clone());
        let (size, stamp, md5) = (object.size, Stamp::of(object), object.etag.md5());
        let look = move || {
            let Some(found) = target.find(&path)? else { return Ok(false) };
            if found.facts().size != size {
                return Ok(false);
            }
            match md5 {
                _ if stamp.is_of(found.facts().modified) => Ok(true),
                Some(digest) => found.has_md5(&digest, &|| cancel.is_cancelled()),
                None => Ok(false),
            }
        };
        Ok(self.means.blocking(look).await?)
    }

    async fn fetch(
        &self,
        object: &Object,
        path: &FilePath,
        way: &mut UnderWay<'_>,
    ) -> Result<Assurance, Trouble> {
        let mut download = self.bucket.download(object, self.means.slots(object.size)).await?;
        let mut file: Option<Writing> = None;
        let mut part = download.next().await?;
        let mut last = None;
        while let Some(now) = part {
            way.read(now.bytes.len() as u64);
            self.imported.inc_by(now.bytes.len() as u64);
            if now.offset + now.bytes.len() as u64 >= object.size {
                last = Some(now);
                break;
            }
            // The next part is waited for while this one is written: to write it needs no slot but its own.
            let (target, begun, size) = (Arc::clone(&self.target), file.take(), object.size);
            let write = self.means.blocking(move || write(&target, begun, size, now));
            let (written, next) = tokio::join!(write, download.next());
            file = Some(written?);
            part = next?;
        }
        // What is not what the service says never gets a name.
        let last = last.ok_or_else(|| BucketError::Cut("there is no end of it".to_owned()))?;
        let assurance = download.finish()?;
        let (target, syncing) = (Arc::clone(&self.target), Arc::clone(&self.target));
        let (path, stamp) = (path.clone(), Stamp::of(object));
        let size = object.size;
        if size > SETTLED_TOGETHER_BYTES_MAX {
            self.means.blocking(move || write(&target, file, size, last)?.place(path, stamp.time())).await?;
            return Ok(assurance);
        }
        let watched = self.watched().await?;
        let begun = self.settling.begin(size);
        let deliver = move || {
            let file = write(&target, file, size, last)?;
            file.deliver().map(|()| file)
        };
        let file = self.means.blocking(deliver).await?;
        let sync = async |bytes| self.means.blocking(move || syncing.settle(&watched, bytes)).await;
        self.settling.settle(&begun, sync).await?;
        self.means.blocking(move || file.place_settled(path, stamp.time())).await?;
        Ok(assurance)
    }

    async fn watched(&self) -> Result<Arc<Watched>, Error> {
        let open = async || {
            let target = Arc::clone(&self.target);
            self.means.blocking(move || target.watched().map(Arc::new)).await
        };
        self.watched.get_or_try_init(open).await.cloned()
    }
}

/// The part's slot is free when this returns.
fn write(target: &Target, begun: Option<Writing>, size: u64, part: Part) -> Result<Writing, Error> {
    let mut file = match begun {
        Some(file) => file,
        None => target.begin(size)?,
    };
    file.write(&part.bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_is_one_objects_trouble_is_told_of_it_and_what_is_everybodys_ends_the_import() {
        let system = |errno| Error::System { step: "write the file", errno };
        for one in [
            Error::IsDirectory,
            Error::NotDirectory,
            Error::NotFound,
            Error::Denied { what: "its folder".into(), uid: 7, mode: 0o700 },
            system(Errno::FBIG),
            system(Errno::ACCESS),
        ] {
            assert!(judged(one.clone().into(), 3).is_ok(), "{one}");
        }
        for all in
            [Error::ReadOnly, Error::TimedOut("it does not answer"), system(Errno::IO), system(Errno::STALE)]
        {
            assert!(matches!(judged(all.clone().into(), 3), Err(Halt::Target(_))), "{all}");
        }
        let full = judged(Error::Quota.into(), 3).unwrap_err().to_string();
        assert!(
            full.starts_with("the file system is full") && full.contains("3 objects are there"),
            "{full}"
        );
        assert!(judged(BucketError::Changed.into(), 0).is_ok());
        assert!(matches!(judged(BucketError::AccessKeyId.into(), 0), Err(Halt::Bucket(_))));
    }
}
