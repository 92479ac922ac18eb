//! What every route needs of a request and of an answer: the path that stands in the URL, query and body in words that say what is
//! wrong with them, and errors as answers.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use workspacefs_files_proto::{Code, FilePath};

use crate::error::Error;

/// The longest silence of a caller in the middle of a body.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);
const BUSY_RETRY_S: u64 = 5;
const JSON_BYTES_MAX: usize = 64 * 1024;
/// Lines of a stream that wait for the caller.
const LINES_WAITING: usize = 64;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = self.code();
        if code == Code::Internal {
            tracing::warn!(error = %self, "a request failed");
        } else {
            tracing::debug!(error = %self, "a request was refused");
        }
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = (status, axum::Json(self.body())).into_response();
        if code == Code::Busy {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(BUSY_RETRY_S));
        }
        if let Self::Range(size) = self
            && let Ok(range) = HeaderValue::try_from(format!("bytes */{size}"))
        {
            answer.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        answer
    }
}

/// The path behind `/v1/<route>/`, each segment decoded once.
#[derive(Clone, Debug)]
pub struct Target(pub FilePath);

impl<S: Sync> FromRequestParts<S> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        // The router matched the undecoded path, which is the one that is looked at here.
        let rest = parts.uri.path().strip_prefix("/v1/").and_then(|rest| rest.split_once('/'));
        Ok(Self(FilePath::decode(rest.map_or("", |(_, path)| path))?))
    }
}

/// The query.
#[derive(Clone, Debug)]
pub struct Args<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Args<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query
            .map(|Query(args)| Self(args))
            .map_err(|error| Error::bad(format!("the query is wrong: {}", error.body_text())))
    }
}

/// A JSON body. None at all is an empty object.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let mut text = Vec::new();
        let mut pieces = Pieces::new(request.into_body());
        while let Some(piece) = pieces.next().await? {
            if text.len() + piece.len() > JSON_BYTES_MAX {
                return Err(Error::TooLarge("a request in JSON has at most 64 KiB"));
            }
            text.extend_from_slice(&piece);
        }
        let text = if text.is_empty() { b"{}" } else { &text[..] };
        // The parser's words may quote the body, and a body may hold keys.
        serde_json::from_slice(text).map(Self).map_err(|error| {
            Error::bad(format!(
                "the body is not the JSON that is expected, at line {}, column {}",
                error.line(),
                error.column()
            ))
        })
    }
}

/// A body, piece by piece, with a limit to the silence between them.
#[derive(Debug)]
pub struct Pieces(axum::body::BodyDataStream);

impl Pieces {
    /// Of this body.
    pub fn new(body: Body) -> Self {
        Self(body.into_data_stream())
    }

    /// The next piece; None at the end.
    ///
    /// # Errors
    /// `Cut`, `TimedOut`.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        match tokio::time::timeout(SILENCE_MAX, self.0.next()).await {
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(Some(Err(_))) => Err(Error::Cut),
            Ok(None) => Ok(None),
            Err(_) => Err(Error::TimedOut("nothing was sent for a minute")),
        }
    }
}

/// A header as text; what is no text counts as none.
pub fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Lines of JSON for an answer, made by a thread while the caller reads.
#[derive(Clone, Debug)]
pub struct Lines(mpsc::Sender<Result<Vec<u8>, std::io::Error>>);

impl Lines {
    /// The sender, and the answer that it fills.
    pub fn answer() -> (Self, Response) {
        let (sender, receiver) = mpsc::channel(LINES_WAITING);
        let stream =
            futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let answer =
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response();
        (Self(sender), answer)
    }

    /// From a thread that may wait. False where nobody reads any more.
    pub fn send(&self, line: &impl Serialize) -> bool {
        self.0.blocking_send(Ok(encoded(line))).is_ok()
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// The same from a task.
    pub async fn push(&self, line: &impl Serialize) -> bool {
        self.0.send(Ok(encoded(line))).await.is_ok()
    }
}

fn encoded(line: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("our lines are strings and numbers, which JSON has");
    text.push(b'\n');
    text
}
