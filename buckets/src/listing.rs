//! The objects of a bucket, page by page.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::answer::Asked;
use crate::error::BucketError;
use crate::object::{ETag, Object};
use crate::sending::{Ask, Sender};
use crate::xml;

/// Keys per page: the most that S3 gives.
const PAGE_KEYS: &str = "1000";
/// A page of the longest keys, each byte of them encoded.
const PAGE_BYTES_MAX: u64 = 16 << 20;

/// A listing that goes on from page to page. What it holds is one page.
#[derive(Debug)]
pub struct Pages {
    sender: Arc<Sender>,
    prefix: String,
    token: Option<String>,
    is_over: bool,
}

/// One answer.
#[derive(Debug, Default, PartialEq)]
struct Page {
    objects: Vec<Object>,
    next: Option<String>,
}

impl Pages {
    pub(crate) fn new(sender: Arc<Sender>, prefix: &str) -> Self {
        Self { sender, prefix: prefix.to_owned(), token: None, is_over: false }
    }

    /// The next objects; none at the end. May be called again after an error, and goes on where it was.
    ///
    /// # Errors
    /// Of the service; [`BucketError::Malformed`] for what is no listing of this prefix.
    pub async fn next(&mut self) -> Result<Option<Vec<Object>>, BucketError> {
        if self.is_over {
            return Ok(None);
        }
        let mut query = vec![("list-type", "2"), ("encoding-type", "url"), ("max-keys", PAGE_KEYS)];
        query.extend((!self.prefix.is_empty()).then_some(("prefix", &*self.prefix)));
        query.extend(self.token.as_deref().map(|token| ("continuation-token", token)));
        let ask = Ask {
            asked: Asked::Listing,
            method: "GET",
            key: "",
            query: &query,
            headers: &[],
            body_max: PAGE_BYTES_MAX,
            body: None,
        };
        let answer = self.sender.send(&ask).await?;
        let text =
            std::str::from_utf8(&answer.body).map_err(|error| BucketError::Malformed(error.to_string()))?;
        let page = parse(text).map_err(BucketError::Malformed)?;
        if page.objects.iter().any(|object| !object.key.starts_with(&self.prefix)) {
            return Err(BucketError::Malformed("it lists objects that were not asked for".to_owned()));
        }
        if page.next.is_some() && page.next == self.token {
            return Err(BucketError::Malformed("its listing does not go on".to_owned()));
        }
        self.is_over = page.next.is_none();
        self.token = page.next;
        Ok(Some(page.objects))
    }
}

/// An object as its element tells it.
#[derive(Debug, Default)]
struct Told {
    key: Option<String>,
    size: Option<u64>,
    etag: Option<String>,
    modified: Option<jiff::Timestamp>,
}

fn parse(text: &str) -> Result<Page, String> {
    let mut told: Vec<Told> = Vec::new();
    let (mut is_listing, mut is_encoded, mut is_truncated, mut token) = (false, false, false, None);
    xml::each_text(text, |names, text| {
        let Some((root, names)) = names.split_first().filter(|(root, _)| *root == "ListBucketResult") else {
            return;
        };
        is_listing = !root.is_empty();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match names[..] {
            ["EncodingType"] => is_encoded = text == "url",
            ["IsTruncated"] => is_truncated = text.trim() == "true",
            ["NextContinuationToken"] => token = Some(text),
            ["Contents", field] => {
                // A field that the last one has already begins the next.
                let is_new = told.last().is_none_or(|last| last.has(field));
                if is_new {
                    told.push(Told::default());
                }
                if let Some(last) = told.last_mut() {
                    last.take(field, text);
                }
            }
            _ => {}
        }
    })?;
    if !is_listing {
        return Err("it is no listing".to_owned());
    }
    let objects = told.into_iter().map(|told| told.object(is_encoded)).collect::<Result<_, _>>()?;
    match (is_truncated, token) {
        (true, None) => Err("a page of its listing has no end and no next one".to_owned()),
        (true, next) => Ok(Page { objects, next }),
        (false, _) => Ok(Page { objects, next: None }),
    }
}

impl Told {
    fn has(&self, field: &str) -> bool {
        match field {
            "Key" => self.key.is_some(),
            "Size" => self.size.is_some(),
            "ETag" => self.etag.is_some(),
            "LastModified" => self.modified.is_some(),
            _ => false,
        }
    }

    fn take(&mut self, field: &str, text: String) {
        match field {
            "Key" => self.key = Some(text),
            "Size" => self.size = text.trim().parse().ok(),
            "ETag" => self.etag = Some(text),
            "LastModified" => self.modified = text.trim().parse().ok(),
            _ => {}
        }
    }

    fn object(self, is_encoded: bool) -> Result<Object, String> {
        let Self { key: Some(key), size: Some(size), etag: Some(etag), modified: Some(modified) } = self
        else {
            return Err("an object of its listing has no key, size, ETag or time".to_owned());
        };
        let key = if is_encoded { decoded(&key)? } else { key };
        Ok(Object { key, size, etag: ETag::new(&etag), modified })
    }
}

/// As forms are encoded: a space is a plus.
fn decoded(text: &str) -> Result<String, String> {
    let text = text.replace('+', " ");
    let key = percent_decode_str(&text).decode_utf8();
    key.map(|key| key.into_owned()).map_err(|_| "a key of its listing is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(key: &str) -> String {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2024-02-03T04:05:06.000Z</LastModified><ETag>&quot;e&quot;</ETag>\
             <Size>7</Size><StorageClass>STANDARD</StorageClass><Owner><ID>x</ID></Owner></Contents>"
        )
    }

    fn listing(inner: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inner}</ListBucketResult>"
        )
    }

    #[test]
    fn keys_are_what_they_were_before_they_were_encoded() {
        let inner = ["a+b%2Bc", "a//b/", "%01%0A", "%C3%A4&amp;", "..%2Fx"].map(contents).concat();
        let keys =
            |text: &str| -> Vec<String> { parse(text).unwrap().objects.into_iter().map(|o| o.key).collect() };
        let encoded = listing(&format!("<EncodingType>url</EncodingType>{inner}"));
        assert_eq!(keys(&encoded), ["a b+c", "a//b/", "\u{1}\n", "ä&", "../x"]);
        // A service that does not encode says nothing of it.
        assert_eq!(keys(&listing(&inner))[0], "a+b%2Bc");
        let object = parse(&encoded).unwrap().objects.remove(0);
        assert_eq!(
            (object.size, object.etag, object.modified.as_second()),
            (7, ETag::new("e"), 1_706_933_106)
        );
    }

    #[test]
    fn the_next_page_is_where_the_service_says_and_nowhere_if_there_is_none() {
        let of = |inner: &str| parse(&listing(inner));
        let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>a+/=%</NextContinuationToken>";
        assert_eq!(of(more), Ok(Page { objects: vec![], next: Some("a+/=%".to_owned()) }));
        assert_eq!(
            of("<IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken>"),
            Ok(Page::default())
        );
        assert!(of("<IsTruncated>true</IsTruncated>").is_err());
    }

    #[test]
    fn what_is_no_listing_is_an_error() {
        for bad in ["", "<html></html>", "<Error><Code>x</Code></Error>", "<ListBucketResult>"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&listing("<Contents><Key>a</Key></Contents>")).is_err());
        assert!(parse(&listing(&format!("<EncodingType>url</EncodingType>{}", contents("%FF")))).is_err());
    }
}
