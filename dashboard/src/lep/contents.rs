//! Files and folders: whether they are there, what they hold, making and deleting them.

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use workspacefs_files_proto::types::Entry;
use workspacefs_files_proto::{Code, FilePath};

use super::refused::Refused;
use super::{Of, Session, listing};
use crate::audit::Change;

/// Whether something has that name: exactly 200, without a body. A link that leads nowhere is there too, and can be deleted.
pub async fn exists(session: &Session, fs: &str, path: &FilePath) -> Of<Response> {
    session.read::<Entry>(fs, &format!("stat/{}", path.encode())).await?;
    Ok(StatusCode::OK.into_response())
}

/// A file's bytes, or a folder's entries. Which of both it is nobody knows before.
pub async fn get(session: Session, fs: &str, path: FilePath, headers: &HeaderMap) -> Of<Response> {
    if !path.is_root() {
        let rest = format!("content/{}", path.encode());
        match session.ask(fs, Method::GET, &rest, headers.clone(), Body::empty()).await {
            Err(Refused::Files(said)) if said.code == Code::IsDirectory => {}
            answered => return answered,
        }
    }
    listing::list(session, fs.to_owned(), path).await
}

/// Makes a folder and those above it. One that is there already is refused, as the client expects.
pub async fn make_folder(session: &Session, fs: &str, path: &FilePath) -> Of<Response> {
    let rest = format!("folders/{}?parents=true", path.encode());
    let answer = session.ask(fs, Method::PUT, &rest, HeaderMap::new(), Body::empty()).await?;
    // 200: nothing was made.
    if answer.status() == StatusCode::CREATED {
        Ok(StatusCode::CREATED.into_response())
    } else {
        Err(Refused::Exists)
    }
}

/// Deletes a file or a folder into the trash; one that holds something only with `all`.
pub async fn delete(session: &Session, fs: &str, path: &FilePath, all: bool) -> Of<Response> {
    if path.is_root() {
        // Nothing of it reaches the file API, so nobody else writes it down.
        Change::new(&session.caller.identity.user, "DELETE", &session.ws, fs, "content/").answered(403);
        return Err(Refused::Root);
    }
    let rest = format!("content/{}?recursive={all}", path.encode());
    session.ask(fs, Method::DELETE, &rest, HeaderMap::new(), Body::empty()).await?;
    Ok(StatusCode::OK.into_response())
}
