//! What the gateway answers when it does not do what was asked: one enum, and one place where the code and so the status is
//! decided. What a caller may not know of reads as if it were not there.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use workspacefs_files_proto::{Code, ErrorBody};

use crate::caller::Refusal;
use crate::limits::NoPlace;
use crate::review::NoAnswer;

/// Why a request is not carried out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// Nobody that we know asks.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// A request that a page of another origin could have made, or without the session's token against that.
    #[error("refused: {0}")]
    CrossSite(&'static str),
    /// The caller may see it, but not do that.
    #[error("you may not {0} here")]
    Forbidden(&'static str),
    /// It is not there, or the caller may not know that it is.
    #[error("there is no such thing, or you may not see it")]
    NotFound,
    /// A wrong input.
    #[error("{message}")]
    BadRequest {
        /// What is wrong.
        message: String,
        /// Of which input.
        field: Option<String>,
    },
    /// The body is too large.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// Too many at once.
    #[error("too many requests of yours run already: try again in a moment")]
    Busy,
    /// Too many at once on one FileSystem, of whomever.
    #[error("too many requests to this file system run already: try again in a moment")]
    Full,
    /// Too many whom nobody knows ask at once.
    #[error("too many log in at once: try again in a moment")]
    Crowded,
    /// The API server gives no answer.
    #[error("the Kubernetes API server does not answer")]
    NoReview,
    /// The file API gives no answer.
    #[error("the file system's server does not answer: {0}")]
    Unreachable(String),
    /// Nothing moved for too long.
    #[error("nothing moved for too long")]
    TimedOut,
    /// Our fault.
    #[error("an error of the gateway; its log says more")]
    Internal,
}

impl ApiError {
    /// A wrong input.
    pub fn bad(message: impl Into<String>, field: Option<String>) -> Self {
        Self::BadRequest { message: message.into(), field }
    }

    /// The code, which decides the status.
    pub fn code(&self) -> Code {
        match self {
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::CrossSite(_) | Self::Forbidden(_) => Code::Forbidden,
            Self::NotFound => Code::NotFound,
            Self::BadRequest { .. } => Code::BadRequest,
            Self::TooLarge(_) => Code::TooLarge,
            Self::Busy | Self::Full | Self::Crowded => Code::Busy,
            Self::NoReview | Self::Unreachable(_) => Code::Unreachable,
            Self::TimedOut => Code::TimedOut,
            Self::Internal => Code::Internal,
        }
    }
}

impl From<NoPlace> for ApiError {
    fn from(why: NoPlace) -> Self {
        match why {
            NoPlace::OfUser => Self::Busy,
            NoPlace::OfFileSystem => Self::Full,
        }
    }
}

impl From<NoAnswer> for ApiError {
    fn from(why: NoAnswer) -> Self {
        match why {
            NoAnswer::Silent => Self::NoReview,
            NoAnswer::Crowded => Self::Crowded,
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(why) => Self::Unauthenticated(why),
            Refusal::CrossSite(why) => Self::CrossSite(why),
            Refusal::NoReview(why) => why.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = self.code();
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let field = if let Self::BadRequest { field, .. } = &self { field.clone() } else { None };
        let body = ErrorBody { code, message: self.to_string(), field };
        let mut response = (status, Json(body)).into_response();
        if code == Code::Busy {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
