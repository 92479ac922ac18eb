//! How a pass fails, and what that means for the next one.

use std::time::Duration;

use thiserror::Error;

/// Why a pass did not get to its end.
#[derive(Debug, Error)]
pub enum PassError {
    /// The API server refused, or did not answer.
    #[error("cannot {step}")]
    Api {
        /// What was being done, as in "cannot …".
        step: &'static str,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object has not the shape of its type.
    #[error("cannot {step}")]
    Json {
        /// What was being done, as in "cannot …".
        step: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The pass took longer than any pass may.
    #[error("no end within {0:?}")]
    Late(Duration),
    /// An object without name or namespace, which no API server delivers.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    /// A cache will never be filled: its watch ended.
    #[error("the watch that fills a cache has ended")]
    WatchEnded,
}

/// What an error says about the next try.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorKind {
    /// Somebody else was faster: look again at once.
    Conflict,
    /// The API server does not want it: trying again soon changes nothing.
    Refused,
    /// The API server is busy or away.
    Away,
}

impl PassError {
    /// For `map_err`: names the step that failed.
    pub fn api(step: &'static str) -> impl Fn(kube::Error) -> Self {
        move |source| Self::Api { step, source: Box::new(source) }
    }

    /// For `map_err`: names the object that cannot be read or written.
    pub fn json(step: &'static str) -> impl Fn(serde_json::Error) -> Self {
        move |source| Self::Json { step, source }
    }

    /// Whether the API server says that we may not.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Api { source, .. } if is_refused(source))
    }

    /// What the next try should look like.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                // 404 comes from acting on a cached object that is gone.
                kube::Error::Api(status) if matches!(status.code, 404 | 409) => ErrorKind::Conflict,
                kube::Error::Api(status) if status.code == 429 || status.code >= 500 => ErrorKind::Away,
                kube::Error::Api(_) => ErrorKind::Refused,
                _ => ErrorKind::Away,
            },
            Self::Late(_) | Self::WatchEnded => ErrorKind::Away,
            Self::Json { .. } | Self::Incomplete(_) => ErrorKind::Refused,
        }
    }
}

/// Whether the API server says that we may not: RBAC by 403, a policy by 422, if it says nothing else.
pub fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 422))
}

/// An error and its causes on one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let refusal = refusal(error);
        let part = refusal.clone().unwrap_or_else(|| error.to_string());
        // Some errors repeat their source in their own text.
        if !text.contains(&part) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&part);
        }
        next = error.source().filter(|_| refusal.is_none());
    }
    text
}

/// The client's own text of a refusal has a whole `Status` object in it, and so has its source's. Message and code do.
fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let boxed = error.downcast_ref::<Box<kube::Error>>().map(Box::as_ref);
    match error.downcast_ref::<kube::Error>().or(boxed) {
        Some(kube::Error::Api(status)) => Some(format!("{} ({})", status.message, status.code)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> PassError {
        let status = Status::failure("no", "Reason").with_code(code);
        PassError::api("do it")(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn a_refusal_is_told_in_one_sentence() {
        assert_eq!(chain(&refused(403)), "cannot do it: no (403)");
    }

    #[test]
    fn the_code_decides_how_soon_to_try_again() {
        for (code, kind) in [
            (404, ErrorKind::Conflict),
            (409, ErrorKind::Conflict),
            (403, ErrorKind::Refused),
            (422, ErrorKind::Refused),
            (429, ErrorKind::Away),
            (500, ErrorKind::Away),
            (503, ErrorKind::Away),
        ] {
            assert_eq!(refused(code).kind(), kind, "{code}");
        }
    }
}
