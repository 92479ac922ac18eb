//! The S3 service of the test kit, holding a tree's files as objects, with the first byte of every answer some way off.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt as _, TryStreamExt as _};
use workspacefs_buckets::{Bucket, Credentials, Settings, Slots};
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, SECRET_ACCESS_KEY};

/// The bucket's name.
pub const BUCKET: &str = "bench";
/// Where it is.
pub const REGION: &str = "us-east-1";
/// How long an answer's first byte is waited for.
const DELAY: Duration = Duration::from_millis(30);
/// Larger ones come as others' tools upload them: in parts, so that the ETag is no MD5, and with a CRC of the whole.
const WHOLE_BYTES_MAX: usize = 8 << 20;
/// More than any client asks for at once.
const AT_ONCE: usize = 512;
const PART_BYTES: u64 = 8 << 20;
const READERS_MIN: usize = 4;
const ALONE_TRIES: usize = 3;

/// See the module.
#[derive(Debug)]
pub struct Stub {
    service: FakeS3,
    /// How many objects.
    count: usize,
}

impl Stub {
    /// With every file below `tree`, its path being its key.
    ///
    /// # Errors
    /// The tree cannot be read, or nobody can listen.
    pub async fn start(tree: &Path) -> Result<Self> {
        let service = FakeS3::start(BUCKET).await?;
        let mut count = 0;
        for (key, path) in super::contents::files(tree)? {
            let content = std::fs::read(&path).with_context(|| path.display().to_string())?;
            if content.len() <= WHOLE_BYTES_MAX {
                service.store().put(&key, content);
            } else {
                let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &content);
                let crc = BASE64_STANDARD.encode(crc.to_be_bytes());
                let headers = [("x-amz-checksum-crc64nvme", &*crc), ("x-amz-checksum-type", "FULL_OBJECT")];
                let etag = format!("0123456789abcdef0123456789abcdef-{}", content.len() / WHOLE_BYTES_MAX);
                service.store().put_as(&key, content, &etag, &headers);
            }
            count += 1;
        }
        service.store().set_delay(DELAY);
        Ok(Self { service, count })
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        self.service.endpoint()
    }

    /// Forgets who asked for what.
    pub fn forget(&self) {
        drop(self.service.store().take_seen());
    }

    /// How long it takes to give away everything, to a reader that asks for more at once than any client and keeps nothing: if
    /// that is no less than a client's time, not the client was measured. The best of some tries, as others may be busy.
    ///
    /// # Errors
    /// It does not give everything.
    pub async fn alone(&self) -> Result<Duration> {
        let mut settings = Settings::new(BUCKET, Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None));
        settings.endpoint = Some(self.endpoint());
        settings.region = Some(REGION.to_owned());
        let bucket = Bucket::new(settings)?;
        let mut best = Duration::MAX;
        for _ in 0..ALONE_TRIES {
            best = best.min(self.given_away(&bucket).await?);
        }
        Ok(best)
    }

    async fn given_away(&self, bucket: &Bucket) -> Result<Duration> {
        let started = Instant::now();
        let slots = Slots::new(AT_ONCE, PART_BYTES, None);
        let (mut pages, mut objects) = (bucket.list(""), Vec::new());
        while let Some(page) = pages.next().await? {
            objects.extend(page);
        }
        ensure!(objects.len() == self.count, "it lists {} of {} objects", objects.len(), self.count);
        // One reader asks for a few parts of one object at once, so of few objects there have to be several readers.
        let readers = READERS_MIN.div_ceil(objects.len());
        let all = (0..readers).flat_map(|_| objects.clone());
        let reading = futures::stream::iter(all).map(|object| {
            let (bucket, slots) = (bucket.clone(), slots.clone());
            async move {
                let mut download = bucket.download(&object, &slots).await?;
                while download.next().await?.is_some() {}
                download.finish().map(drop)
            }
        });
        reading.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Ok(started.elapsed() / u32::try_from(readers)?)
    }
}
