//! Why a request of the client's is not carried out, and what the client is told: `{code, message}`. It prints the message as markup,
//! in which brackets mean something, so there are none: neither of ours nor of a path that the file API names.

use axum::Json;
use axum::body::to_bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use workspacefs_files_proto::{BadPath, Code, ErrorBody};

use crate::error::ApiError;

const ERROR_BYTES_MAX: usize = 64 << 10;

/// Why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The gateway says so.
    #[error(transparent)]
    Gateway(#[from] ApiError),
    /// The file API says so.
    #[error("{}", .0.message)]
    Files(ErrorBody),
    /// No path of a file system.
    #[error("the path is refused: {0}")]
    Path(#[from] BadPath),
    /// A query that means nothing here.
    #[error("the address has a query that is not known: a ? in a name is written as %3F")]
    Query,
    /// No workspace is named, and the token names none.
    #[error(
        "this token does not belong to one workspace: end LEPTON_WORKSPACE_URL in /api/v2/workspaces/NAME, \
         where NAME is the workspace"
    )]
    NoWorkspace,
    /// The root of a file system was to be deleted.
    #[error("the root of a file system cannot be deleted")]
    Root,
    /// A folder was to be made where something is.
    #[error("something of that name is there already")]
    Exists,
    /// A file was to be written under a name that only a folder can have.
    #[error("the path ends in a slash, so it names a folder: no file can be written there")]
    NamesFolder,
    /// An upload that is no form with one file.
    #[error("an upload is multipart/form-data with one part, called file")]
    NoForm,
    /// rsync cannot be reached from outside.
    #[error("rsync is not offered here: upload without --rsync, or use wfs storage upload -r")]
    NoRsync,
}

impl Refused {
    /// The code, which decides the status.
    pub fn code(&self) -> Code {
        match self {
            Self::Gateway(error) => error.code(),
            Self::Files(body) => body.code,
            Self::Path(_) => Code::BadPath,
            Self::Query | Self::NoWorkspace | Self::NoForm => Code::BadRequest,
            Self::Root => Code::Forbidden,
            Self::Exists => Code::Exists,
            Self::NamesFolder => Code::IsDirectory,
            Self::NoRsync => Code::NotFound,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let code = self.code();
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(ErrorBody::new(code, plain(&self.to_string())))).into_response();
        if code == Code::Busy {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

/// A sentence in which nothing is markup.
fn plain(text: &str) -> String {
    text.replace(['[', ']'], "?")
}

/// An answer of the file API, unless it is a refusal.
///
/// # Errors
/// [`Refused::Files`].
pub async fn checked(answer: Response) -> Result<Response, Refused> {
    let status = answer.status().as_u16();
    if status < 400 {
        return Ok(answer);
    }
    let bytes = to_bytes(answer.into_body(), ERROR_BYTES_MAX).await.unwrap_or_default();
    let said = serde_json::from_slice(&bytes);
    Err(Refused::Files(said.unwrap_or_else(|_| {
        ErrorBody::new(Code::Unreachable, format!("the file system's server answers with status {status}"))
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_message_holds_markup_and_the_code_decides_the_status() {
        let denied = ErrorBody::new(Code::Forbidden, "/a[b]/[/red] belongs to uid 0").field("to");
        for (refused, status, message) in [
            (Refused::Files(denied), 403, "/a?b?/?/red? belongs to uid 0"),
            (Refused::Root, 403, "the root of a file system cannot be deleted"),
            (Refused::Path(BadPath::Dots), 400, "the path is refused: a path holds no segment . or .."),
            (
                Refused::Gateway(ApiError::Busy),
                429,
                "too many requests of yours run already: try again in a moment",
            ),
        ] {
            let response = refused.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key("retry-after"), status == 429);
            let bytes = to_bytes(response.into_body(), 1000).await.unwrap();
            let said: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(said["message"], message);
            assert_eq!(said.as_object().unwrap().len(), 2, "{said}");
        }
    }

    #[tokio::test]
    async fn what_is_no_error_of_the_file_api_is_told_by_its_status() {
        let answer = (StatusCode::BAD_GATEWAY, "<html>").into_response();
        let refused = checked(answer).await.unwrap_err();
        assert_eq!((refused.code(), refused.to_string().contains("502")), (Code::Unreachable, true));
        assert!(checked(StatusCode::NOT_MODIFIED.into_response()).await.is_ok());
    }
}
