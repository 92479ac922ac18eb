//! One request: what is asked, and whether asking twice is the same as asking once.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method};
use serde::Serialize;

use super::error::ClientError;

/// A request, cheap to clone and to send again.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Path and query, below the gateway's address.
    pub target: String,
    /// Besides those of every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whole.
    pub body: Bytes,
    repeatable: bool,
}

impl Call {
    /// Reads.
    pub fn get(target: String) -> Self {
        Self::new(Method::GET, target).repeatable()
    }

    /// Not to be sent twice, until somebody says so.
    pub fn new(method: Method, target: String) -> Self {
        Self { method, target, headers: Vec::new(), body: Bytes::new(), repeatable: false }
    }

    /// With a header; a value that cannot be one is left out, as none of ours is.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// With a body in JSON.
    #[must_use]
    pub fn json(self, body: &impl Serialize) -> Self {
        // Our own types have nothing that JSON cannot hold.
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.header(CONTENT_TYPE, "application/json").body(body.into())
    }

    /// Done twice it is done once.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Whether it may be sent again when nobody knows what came of it.
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// An answer that is not what the contract says.
    pub fn senseless(&self, what: String) -> ClientError {
        let path = self.target.split('?').next().unwrap_or_default();
        ClientError::Protocol { request: format!("{} {path}", self.method), what }
    }
}
