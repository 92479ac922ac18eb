//! Uploads in pieces, by tus 1.0: what is cut goes on where the server has come to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderMap, Method};
use sha2::{Digest, Sha256};

use super::call::Call;
use super::error::ClientError;
use super::files::{Attributes, Files};
use super::path::RemotePath;

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const PIECE: &str = "application/offset+octet-stream";

/// An upload on the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upload {
    /// Below `uploads/`.
    pub id: String,
    /// Bytes that the server has.
    pub offset: u64,
}

/// The first upload's piece and what it is of.
pub struct First<'a> {
    /// Where it will appear.
    pub path: &'a RemotePath,
    /// Of the whole.
    pub size: u64,
    /// Its attributes.
    pub attributes: &'a Attributes,
    /// The first bytes.
    pub piece: Bytes,
}

impl Files {
    /// Makes an upload, with its first piece.
    ///
    /// # Errors
    /// [`ClientError`], as all here.
    pub async fn create(&self, first: &First<'_>) -> Result<Upload, ClientError> {
        let call = Call::new(Method::POST, self.target("uploads"))
            .header(RESUMABLE, "1.0.0")
            .header(LENGTH, &first.size.to_string())
            .header(METADATA, &metadata(first.path, first.attributes))
            .header(CONTENT_TYPE, PIECE)
            .header(CHECKSUM, &checksum(&first.piece))
            .body(first.piece.clone());
        let answer = self.gateway().send(&call).await?;
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let id = location.and_then(|location| location.trim_end_matches('/').rsplit('/').next());
        let id = id.filter(|id| is_id(id)).ok_or_else(|| call.senseless("it names no upload".into()))?;
        // A server that took no piece says no offset.
        let offset = offset(answer.headers()).unwrap_or(0);
        Ok(Upload { id: id.into(), offset })
    }

    /// Sends a piece; the offset after it. Not repeated here: what the server has then is to be asked first.
    pub async fn append(&self, upload: &Upload, piece: Bytes) -> Result<u64, ClientError> {
        let call = Call::new(Method::PATCH, self.target(&format!("uploads/{}", upload.id)))
            .header(RESUMABLE, "1.0.0")
            .header(OFFSET, &upload.offset.to_string())
            .header(CONTENT_TYPE, PIECE)
            .header(CHECKSUM, &checksum(&piece))
            .body(piece);
        let answer = self.gateway().send(&call).await?;
        offset(answer.headers()).ok_or_else(|| call.senseless("it says no offset".into()))
    }

    /// What the server has of an upload, and what it was told of it.
    pub async fn progress(&self, id: &str) -> Result<(u64, String), ClientError> {
        let call = Call::new(Method::HEAD, self.target(&format!("uploads/{id}")))
            .header(RESUMABLE, "1.0.0")
            .repeatable();
        let answer = self.gateway().send(&call).await?;
        let told = answer.headers().get(METADATA).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let offset = offset(answer.headers()).ok_or_else(|| call.senseless("it says no offset".into()))?;
        Ok((offset, told.to_owned()))
    }

    /// Gives an upload up.
    pub async fn abandon(&self, id: &str) -> Result<(), ClientError> {
        let call = Call::new(Method::DELETE, self.target(&format!("uploads/{id}")))
            .header(RESUMABLE, "1.0.0")
            .repeatable();
        self.gateway().bytes(&call).await.map(drop)
    }
}

/// What the server writes into its own URLs.
pub fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn offset(headers: &HeaderMap) -> Option<u64> {
    headers.get(OFFSET)?.to_str().ok()?.parse().ok()
}

fn checksum(piece: &[u8]) -> String {
    format!("sha256 {}", BASE64.encode(Sha256::digest(piece)))
}

/// As it goes into `Upload-Metadata`.
fn metadata(path: &RemotePath, attributes: &Attributes) -> String {
    let overwrite = if attributes.overwrite { "true" } else { "false" };
    let pairs = [
        ("path", path.encoded()),
        ("modified", attributes.modified_text()),
        ("mode", attributes.mode_text()),
        ("overwrite", overwrite.to_owned()),
    ];
    pairs.map(|(key, value)| format!("{key} {}", BASE64.encode(value))).join(",")
}

/// Whether an unfinished upload is one of this file as it is now: the same place, time and mode, and the size was compared before.
pub fn is_of(told: &str, path: &RemotePath, attributes: &Attributes) -> bool {
    let value = |key: &str| {
        let mut pairs = told.split(',').filter_map(|pair| pair.trim().split_once(' '));
        let value = pairs.find(|(known, _)| *known == key)?.1;
        String::from_utf8(BASE64.decode(value).ok()?).ok()
    };
    let same_path = value("path").and_then(|path| RemotePath::from_wire(&path).ok());
    let same_time = value("modified").and_then(|time| time.parse::<jiff::Timestamp>().ok());
    same_path.is_some_and(|known| known.names() == path.names())
        && same_time == Some(attributes.modified)
        && value("overwrite").is_some_and(|overwrite| (overwrite == "true") == attributes.overwrite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_goes_on_only_with_the_file_it_began_with() {
        let path = RemotePath::typed("a b/\u{e9}".as_ref()).unwrap();
        let attributes = Attributes {
            modified: jiff::Timestamp::new(1_700_000_000, 5).unwrap(),
            mode: 0o640,
            overwrite: true,
        };
        let told = metadata(&path, &attributes);
        assert!(is_of(&told, &path, &attributes));
        let later =
            Attributes { modified: jiff::Timestamp::new(1_700_000_000, 6).unwrap(), ..attributes.clone() };
        let careful = Attributes { overwrite: false, ..attributes.clone() };
        assert!(!is_of(&told, &path, &later) && !is_of(&told, &path, &careful));
        assert!(!is_of(&told, &RemotePath::typed("a".as_ref()).unwrap(), &attributes));
        for nonsense in ["", "path", "path !!", ",,", "path =,modified x"] {
            assert!(!is_of(nonsense, &path, &attributes), "{nonsense}");
        }
    }

    #[test]
    fn an_id_is_no_path() {
        assert!(is_id("0f-A_9") && !is_id("") && !is_id("..") && !is_id("a/b") && !is_id("a?b"));
    }
}
