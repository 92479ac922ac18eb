//! A folder's entries in one array, as the client needs it, sent page by page: of a folder with a million entries a page is in memory.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use workspacefs_files_proto::types::{Entry, EntryType, Listing};
use workspacefs_files_proto::{Code, FilePath};

use super::refused::Refused;
use super::{Of, Session};
use crate::error::ApiError;

const PAGE: usize = 2000;
/// Links of one listing that are followed, one after the other; those beyond are shown as links.
const FOLLOWED_MAX: usize = 500;

/// An entry as the client knows it.
#[derive(Debug, Eq, PartialEq, Serialize)]
struct Item {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    path: String,
    size: u64,
    modified: String,
}

/// What is still to be sent, from this page on.
struct Walk {
    session: Session,
    fs: String,
    path: FilePath,
    page: Listing,
    begun: bool,
    followed: usize,
}

/// The entries of a folder.
pub async fn list(session: Session, fs: String, path: FilePath) -> Of<Response> {
    // What is refused is refused before the answer begins; what comes later breaks it off.
    let page = page(&session, &fs, &path, None).await?;
    let walk = Walk { session, fs, path, page, begun: false, followed: 0 };
    let parts = stream::try_unfold(Some(walk), async |walk| match walk {
        None => Ok::<_, Refused>(None),
        Some(walk) => Ok(Some(walk.send().await?)),
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(parts)).into_response())
}

async fn page(session: &Session, fs: &str, path: &FilePath, cursor: Option<&str>) -> Of<Listing> {
    let cursor = cursor.map(|cursor| format!("&cursor={}", query_value(cursor))).unwrap_or_default();
    session.read(fs, &format!("list/{}?limit={PAGE}{cursor}", path.encode())).await
}

impl Walk {
    /// The next piece of the array, and what comes after it.
    async fn send(mut self) -> Of<(Bytes, Option<Self>)> {
        let mut text = Vec::new();
        if !self.begun {
            text.push(b'[');
        }
        for entry in std::mem::take(&mut self.page.entries) {
            if self.begun {
                text.push(b',');
            }
            self.begun = true;
            let kind = self.kind(&entry).await?;
            serde_json::to_writer(&mut text, &item(entry, kind)).map_err(|_| ApiError::Internal)?;
        }
        let Some(cursor) = self.page.next.take() else {
            text.push(b']');
            return Ok((text.into(), None));
        };
        // A listing may take longer than a token or a right lasts.
        self.session = self.session.again().await?;
        self.page = page(&self.session, &self.fs, &self.path, Some(&cursor)).await?;
        Ok((text.into(), Some(self)))
    }

    /// What an entry is to the client, which can download only what is called a file: of a link that is what it leads to.
    async fn kind(&mut self, entry: &Entry) -> Of<&'static str> {
        match entry.kind {
            EntryType::File => return Ok("file"),
            EntryType::Dir => return Ok("dir"),
            EntryType::Other => return Ok("other"),
            EntryType::Symlink if self.followed >= FOLLOWED_MAX => return Ok("symlink"),
            EntryType::Symlink => {}
        }
        self.followed += 1;
        let rest = format!("list/{}?limit=1", entry.path);
        match self.session.ask(&self.fs, Method::GET, &rest, HeaderMap::new(), Body::empty()).await {
            Ok(_) => Ok("dir"),
            Err(Refused::Files(said)) if said.code == Code::NotDirectory => Ok("file"),
            Err(Refused::Files(_)) => Ok("symlink"),
            Err(refused) => Err(refused),
        }
    }
}

fn item(entry: Entry, kind: &'static str) -> Item {
    let last = entry.path.rsplit('/').next().unwrap_or_default();
    // By the path: what is shown of a name may be less than the name.
    let name = percent_decode_str(last).decode_utf8_lossy().into_owned();
    Item { kind, name, path: entry.path, size: entry.size, modified: entry.modified }
}

/// A cursor holds nothing that would end it, but may hold what means something in a query.
fn query_value(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
