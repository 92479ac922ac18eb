//! A bucket that is read.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::answer::Asked;
use crate::checksum::{Check, Unchecked};
use crate::download::Download;
use crate::error::BucketError;
use crate::listing::Pages;
use crate::object::{ETag, Object, header};
use crate::sending::{Answer, Ask, Sender};
use crate::settings::Settings;
use crate::slots::{Memory, Slots};

/// See the module. Clones are of the same connections, and learn of the region together.
#[derive(Clone, Debug)]
pub struct Bucket(Arc<Sender>);

/// What the headers of an answer say of an object.
#[derive(Debug)]
pub(crate) struct Head {
    pub object: Object,
    pub check: Result<Check, Unchecked>,
}

impl Bucket {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// What can be known to be wrong before: the form of a field, a forbidden address, no keys.
    pub fn new(settings: Settings) -> Result<Self, BucketError> {
        Sender::new(settings).map(|sender| Self(Arc::new(sender)))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.address().bucket()
    }

    /// All objects whose key begins with the prefix, page by page.
    pub fn list(&self, prefix: &str) -> Pages {
        Pages::new(Arc::clone(&self.0), prefix)
    }

    /// The object of this key as it is now.
    ///
    /// # Errors
    /// [`BucketError::NotFound`], and others.
    pub async fn look(&self, key: &str) -> Result<Object, BucketError> {
        self.head(key, None).await.map(|head| head.object)
    }

    /// Begins to read this version of an object.
    ///
    /// # Errors
    /// [`BucketError::Changed`] if there is another version now, and others.
    pub async fn download(&self, object: &Object, slots: &Slots) -> Result<Download, BucketError> {
        Download::begin(self.clone(), object.clone(), slots.clone()).await
    }

    /// The same in one answer, for a small one.
    pub(crate) async fn whole(&self, object: &Object) -> Result<(Head, Bytes), BucketError> {
        let headers = [checked(), if_match(&object.etag)];
        let answer = self.get(object, &headers, object.size, &mut Memory::default()).await?;
        let head = self.told(&object.key, object.size, &answer.headers)?;
        is_same(&head.object.etag, &object.etag)?;
        Ok((head, answer.body))
    }

    /// Some bytes of a version of an object, in this memory.
    pub(crate) async fn range(
        &self,
        object: &Object,
        range: Range<u64>,
        memory: &mut Memory,
    ) -> Result<Bytes, BucketError> {
        let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let headers = [if_match(&object.etag), ("range", bytes)];
        let answer = self.get(object, &headers, range.end - range.start, memory).await?;
        let etag = header(&answer.headers, "etag");
        let etag =
            etag.ok_or_else(|| BucketError::Malformed("a part of an object has no ETag".to_owned()))?;
        is_same(&ETag::new(etag), &object.etag)?;
        let expected = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), object.size);
        match (answer.status, header(&answer.headers, "content-range")) {
            (StatusCode::PARTIAL_CONTENT, Some(said)) if said == expected => Ok(answer.body),
            (status, said) => Err(BucketError::Malformed(format!(
                "asked for {expected}, it sends {said:?}, status {status}"
            ))),
        }
    }

    /// What the service says of an object, with its checksum.
    pub(crate) async fn head(&self, key: &str, etag: Option<&ETag>) -> Result<Head, BucketError> {
        let headers: Vec<_> = [Some(checked()), etag.map(if_match)].into_iter().flatten().collect();
        let (asked, method, headers) = (Asked::Object, "HEAD", &*headers);
        let ask = Ask { asked, method, key, query: &[], headers, body_max: 0, body: None };
        let answer = self.0.send(&ask).await?;
        let size = header(&answer.headers, "content-length").and_then(|size| size.parse().ok());
        let size =
            size.ok_or_else(|| BucketError::Malformed("it does not say how long an object is".to_owned()))?;
        let head = self.told(key, size, &answer.headers)?;
        etag.map_or(Ok(()), |etag| is_same(&head.object.etag, etag))?;
        Ok(head)
    }

    async fn get(
        &self,
        object: &Object,
        headers: &[(&'static str, String)],
        length: u64,
        memory: &mut Memory,
    ) -> Result<Answer, BucketError> {
        let (asked, method, key) = (Asked::Object, "GET", &*object.key);
        let ask = Ask { asked, method, key, query: &[], headers, body_max: length, body: Some(length) };
        match self.0.send_into(&ask, memory).await {
            // It is longer than it was: another one, of a service that does not know If-Match.
            Err(BucketError::Malformed(_))
                if self.head(key, None).await.is_ok_and(|head| head.object.size != object.size) =>
            {
                Err(BucketError::Changed)
            }
            answer => answer,
        }
    }

    fn told(&self, key: &str, size: u64, headers: &HeaderMap) -> Result<Head, BucketError> {
        let etag = header(headers, "etag")
            .ok_or_else(|| BucketError::Malformed("an object has no ETag".to_owned()))?;
        let etag = ETag::new(etag);
        let check = Check::of(headers, &etag);
        // Only as exact as a second, and no part of what an object is.
        let modified = header(headers, "last-modified").and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
        let modified = modified.map(|moment| moment.timestamp()).unwrap_or_default();
        Ok(Head { object: Object { key: key.to_owned(), size, etag, modified }, check })
    }
}

fn if_match(etag: &ETag) -> (&'static str, String) {
    ("if-match", etag.as_str().to_owned())
}

fn checked() -> (&'static str, String) {
    ("x-amz-checksum-mode", "ENABLED".to_owned())
}

/// Some services do not know If-Match.
fn is_same(found: &ETag, expected: &ETag) -> Result<(), BucketError> {
    if found == expected { Ok(()) } else { Err(BucketError::Changed) }
}
