//! Against a service in this process that checks signatures with code of its own.

#![allow(clippy::unwrap_used)]

mod credentials;
mod faults;
mod fields;
mod listing;
mod reading;

use std::time::Duration;

use workspacefs_buckets::{Assurance, Bucket, BucketError, Credentials, Object, Patience, Settings, Slots};
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, SECRET_ACCESS_KEY};

/// Small, so that objects of a few kilobytes have several.
const PART: u64 = 1000;

async fn service() -> FakeS3 {
    FakeS3::start("buck").await.unwrap()
}

fn settings(service: &FakeS3) -> Settings {
    let mut settings = Settings::new("buck", Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None));
    settings.endpoint = Some(service.endpoint());
    settings.patience = Patience {
        tries: 4,
        pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(4),
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(500),
    };
    settings
}

fn bucket(service: &FakeS3) -> Bucket {
    Bucket::new(settings(service)).unwrap()
}

async fn all(bucket: &Bucket, prefix: &str) -> Result<Vec<Object>, BucketError> {
    let mut pages = bucket.list(prefix);
    let mut all = Vec::new();
    while let Some(page) = pages.next().await? {
        all.extend(page);
    }
    Ok(all)
}

async fn read(bucket: &Bucket, object: &Object) -> Result<(Vec<u8>, Assurance), BucketError> {
    read_through(&Slots::new(3, PART, None), bucket, object).await
}

async fn read_through(
    slots: &Slots,
    bucket: &Bucket,
    object: &Object,
) -> Result<(Vec<u8>, Assurance), BucketError> {
    let mut download = bucket.download(object, slots).await?;
    let mut content = Vec::new();
    while let Some(part) = download.next().await? {
        assert_eq!(part.offset, content.len() as u64);
        content.extend_from_slice(&part.bytes);
    }
    Ok((content, download.finish()?))
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
