//! Bodies of answers that are too long to be held: bytes as they come, and lines of JSON.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::error::ClientError;

/// Between two pieces of a body.
const PIECE_MAX: Duration = Duration::from_secs(60);
/// Of one line.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The next piece; none at the end.
///
/// # Errors
/// The connection broke before the end, or nothing comes.
pub async fn piece(body: &mut Incoming) -> Result<Option<Bytes>, ClientError> {
    loop {
        match tokio::time::timeout(PIECE_MAX, body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            },
            Ok(Some(Err(error))) => return Err(ClientError::Broken(error.into())),
            Ok(None) => return Ok(None),
            Err(_) => return Err(ClientError::Silent(PIECE_MAX)),
        }
    }
}

/// A body of lines, each of them JSON.
pub struct Lines {
    body: Incoming,
    rest: BytesMut,
    ready: VecDeque<Bytes>,
    over: bool,
}

impl Lines {
    /// Of a body.
    pub fn new(body: Incoming) -> Self {
        Self { body, rest: BytesMut::new(), ready: VecDeque::new(), over: false }
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// The connection broke, or it is no JSON of that kind.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        let senseless = |what: String| ClientError::Protocol { request: "a request for lines".into(), what };
        while self.ready.is_empty() && !self.over {
            match piece(&mut self.body).await? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None => {
                    self.over = true;
                    let last = self.rest.split().freeze();
                    self.ready.extend(Some(last).filter(|line| !line.is_empty()));
                }
            }
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end).freeze();
                self.rest.advance(1);
                self.ready.extend(Some(line).filter(|line| !line.is_empty()));
            }
            if self.rest.len() > LINE_BYTES_MAX {
                return Err(senseless("a line is too long".into()));
            }
        }
        let Some(line) = self.ready.pop_front() else { return Ok(None) };
        serde_json::from_slice(&line).map(Some).map_err(|error| senseless(error.to_string()))
    }
}
