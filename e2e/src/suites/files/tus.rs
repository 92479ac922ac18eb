//! Uploads in pieces, by tus 1.0, as a client does them that knows that a connection breaks: what the server says it has is what
//! counts.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Method, RequestBuilder};

use super::answer::{Answer, answered};
use super::content::{Content, digest_for_header};
use super::door::Files;

const VERSION: (&str, &str) = ("tus-resumable", "1.0.0");
const PIECE: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// An upload that the server knows.
pub struct Upload {
    files: Files,
    /// What it is known by, and where: `uploads/<id>`.
    pub place: String,
    content: Content,
    length: u64,
}

impl Upload {
    /// Begins one of so many bytes of a content, which becomes the file of that path, if it is whole by its SHA-256.
    pub async fn begin(files: &Files, path: &str, content: Content, length: u64) -> Result<Upload> {
        let request = files.ask(Method::POST, "uploads").header(VERSION.0, VERSION.1);
        let request = request.header("upload-length", length);
        let metadata = metadata(path, &content.digest_for_header(length));
        let request = request.header("upload-metadata", metadata);
        let answer = answered(request).await?.expect(201)?;
        let place = answer.header("location").to_owned();
        let id = place.strip_prefix("uploads/").unwrap_or_default();
        // Relative, so that it holds behind any proxy.
        ensure!(!id.is_empty() && !id.contains('/'), "the upload is at {place:?}");
        Ok(Upload { files: files.clone(), place, content, length })
    }

    /// How many bytes the server has.
    pub async fn offset(&self) -> Result<u64> {
        let answer = answered(self.ask(Method::HEAD)).await?.expect(200)?;
        offset_of(&answer)
    }

    /// Sends the piece from there, with its checksum; gives the offset then.
    pub async fn send(&self, offset: u64, piece: usize) -> Result<u64> {
        let bytes = self.piece(offset, piece);
        let checksum = format!("sha256 {}", digest_for_header(&bytes));
        let answer = answered(self.patch(offset, &checksum).body(bytes)).await?.expect(204)?;
        offset_of(&answer)
    }

    /// Sends the piece from there as if it were another.
    pub async fn send_wrong(&self, offset: u64, piece: usize) -> Result<Answer> {
        let checksum = format!("sha256 {}", digest_for_header(b"something else"));
        answered(self.patch(offset, &checksum).body(self.piece(offset, piece))).await
    }

    fn piece(&self, offset: u64, piece: usize) -> Vec<u8> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(piece);
        self.content.bytes(offset, left.min(piece))
    }

    fn ask(&self, method: Method) -> RequestBuilder {
        self.files.ask(method, &self.place).header(VERSION.0, VERSION.1)
    }

    fn patch(&self, offset: u64, checksum: &str) -> RequestBuilder {
        let request = self.ask(Method::PATCH).header(PIECE.0, PIECE.1);
        request.header("upload-offset", offset).header("upload-checksum", checksum)
    }
}

fn offset_of(answer: &Answer) -> Result<u64> {
    let said = answer.header("upload-offset");
    said.parse().with_context(|| format!("the offset is {said:?}"))
}

/// Names and values of tus: values are base64.
fn metadata(path: &str, sum: &str) -> String {
    format!("path {},sha256 {}", BASE64_STANDARD.encode(path), BASE64_STANDARD.encode(sum))
}

#[cfg(test)]
mod tests {
    use super::metadata;

    #[test]
    fn metadata_is_names_and_base64() {
        assert_eq!(metadata("a/b%20", "x="), "path YS9iJTIw,sha256 eD0=");
    }
}
