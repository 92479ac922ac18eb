//! An upload: a form with one part, whose content goes on as it comes. It is whole only if the form is: the file API sees the end of a
//! content only after the form's last line, and gives no name to what broke off before.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use multer::{Field, Multipart};
use tokio::time::timeout;

use super::incoming::Incoming;
use super::refused::Refused;
use super::{Of, Session, decoded};
use crate::error::ApiError;

/// What the part is called.
const PART: &str = "file";
/// For the form's beginning.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);

/// Writes a file, and makes the folders above it. What the form calls the file means nothing: the address says where it goes.
pub async fn upload(
    session: &Session,
    fs: &str,
    path: &str,
    headers: &HeaderMap,
    body: &Incoming,
) -> Of<Response> {
    let target = decoded(path)?;
    if path.ends_with('/') && !target.is_root() {
        return Err(Refused::NamesFolder);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| Refused::NoForm)?;
    let mut form = Multipart::new(body.clone(), boundary);
    let part = timeout(HEAD_TIME_MAX, form.next_field()).await.map_err(|_| ApiError::TimedOut)?;
    let part = part.map_err(wrong)?.filter(|part| part.name() == Some(PART)).ok_or(Refused::NoForm)?;
    body.expect_heads(false);
    let content = Body::from_stream(content(form, part, body.clone()));
    let rest = format!("content/{}?parents=true", target.encode());
    let answer = session.ask(fs, Method::PUT, &rest, HeaderMap::new(), content).await?;
    Ok(StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::OK).into_response())
}

/// The bytes of the part; at its end the rest of the form is looked at.
fn content(
    form: Multipart<'static>,
    part: Field<'static>,
    body: Incoming,
) -> impl Stream<Item = Result<Bytes, ApiError>> + Send + 'static {
    stream::try_unfold((form, Some(part), body), async |(mut form, part, body)| {
        let Some(mut part) = part else { return Ok(None) };
        while let Some(piece) = part.chunk().await.map_err(wrong)? {
            if !piece.is_empty() {
                return Ok(Some((piece, (form, Some(part), body))));
            }
        }
        // The next part can be looked for only without this one.
        drop(part);
        body.expect_heads(true);
        match form.next_field().await.map_err(wrong)? {
            None => Ok(None),
            Some(_) => Err(ApiError::bad("the form has more than one part", None)),
        }
    })
}

/// What is wrong with a form, without a word of it.
fn wrong(error: multer::Error) -> ApiError {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<ApiError>() {
            Ok(said) => *said,
            Err(_) => ApiError::bad("the upload broke off", None),
        },
        multer::Error::IncompleteFieldData { .. } | multer::Error::IncompleteStream => {
            ApiError::bad("the form ends before its last line", None)
        }
        _ => ApiError::bad("the form cannot be read", None),
    }
}
