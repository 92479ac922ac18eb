//! What can go wrong between us and the gateway, in sentences; which of it may pass, and which is the command line's fault.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use thiserror::Error;

use super::path::PathError;

/// A request that came to nothing.
#[derive(Debug, Error)]
pub enum ClientError {
    /// There was no connection; nothing was sent.
    #[error("cannot reach the gateway {0}")]
    Connect(String, #[source] Source),
    /// The connection broke: what was asked may have been done or not.
    #[error("the connection to the gateway broke")]
    Broken(#[source] Source),
    /// Nothing came for so long.
    #[error("the gateway did not answer for {0:?}")]
    Silent(Duration),
    /// The server's own words.
    #[error("{message}")]
    Api {
        /// Its HTTP status.
        status: StatusCode,
        /// The contract's word for it.
        code: String,
        /// A sentence.
        message: String,
        /// After how long it may be asked again.
        retry_after: Option<Duration>,
    },
    /// Not what the contract says.
    #[error("the gateway's answer to {request} makes no sense: {what}")]
    Protocol {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        what: String,
    },
    /// It leads elsewhere.
    #[error("the gateway names a path that cannot be one")]
    Path(#[from] PathError),
    /// There is no token, or no new one.
    #[error("no token for the gateway")]
    Token(#[source] Source),
}

/// What lies beneath.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The command asks for what cannot be: told before anything is sent.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    /// As an error of a command.
    pub fn because(sentence: impl Into<String>) -> anyhow::Error {
        Self(sentence.into()).into()
    }
}

/// The body of an error.
#[derive(Debug, Deserialize)]
pub struct ErrorBody {
    /// CamelCase.
    pub code: String,
    /// A sentence.
    pub message: String,
}

impl ClientError {
    /// From an answer that is not a success; a proxy on the way may have written it.
    pub fn of_answer(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let (code, message) = match serde_json::from_slice::<ErrorBody>(body) {
            Ok(error) => (error.code, error.message),
            Err(_) => (String::new(), format!("the gateway answered {status}")),
        };
        Self::Api { status, code, message, retry_after }
    }

    /// From the last line of a stream that ends with an error.
    pub fn of_line(error: ErrorBody) -> Self {
        Self::Api { status: StatusCode::OK, code: error.code, message: error.message, retry_after: None }
    }

    /// The contract's word, if the server said one.
    pub fn code(&self) -> &str {
        match self {
            Self::Api { code, .. } => code,
            _ => "",
        }
    }

    /// Whether the server's answer has this status.
    pub fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Api { status, .. } if status.as_u16() == wanted)
    }

    /// Whether it may pass if one waits.
    pub fn passes(&self) -> bool {
        match self {
            Self::Connect(..) | Self::Broken(_) | Self::Silent(_) => true,
            // 504 is the file system that does not answer; the gateway has waited already, but the server may come back.
            Self::Api { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Protocol { .. } | Self::Path(_) | Self::Token(_) => false,
        }
    }

    /// Whether surely nothing was done.
    pub fn was_not_done(&self) -> bool {
        matches!(self, Self::Connect(..)) || self.is_status(429)
    }

    /// Whether to go on with other files makes no sense.
    pub fn is_for_all(&self) -> bool {
        match self {
            Self::Connect(..) | Self::Broken(_) | Self::Silent(_) | Self::Token(_) => true,
            Self::Api { status, code, .. } => {
                matches!(status.as_u16(), 401 | 502 | 503 | 507) || code == "QuotaExceeded"
            }
            Self::Protocol { .. } | Self::Path(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> ClientError {
        ClientError::of_answer(StatusCode::from_u16(status).unwrap(), None, body.as_bytes())
    }

    #[test]
    fn the_servers_sentence_is_told_and_a_proxys_page_is_not() {
        let said = answer(409, r#"{"code": "Exists", "message": "a is there", "field": "to"}"#);
        assert_eq!((said.to_string().as_str(), said.code()), ("a is there", "Exists"));
        assert_eq!(answer(502, "<html>").to_string(), "the gateway answered 502 Bad Gateway");
    }

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        for (status, passes, for_all) in [
            (400, false, false),
            (401, false, true),
            (404, false, false),
            (429, true, false),
            (502, true, true),
            (504, true, false),
            (507, false, true),
        ] {
            let error = answer(status, "");
            assert_eq!((error.passes(), error.is_for_all()), (passes, for_all), "{status}");
        }
    }
}
