//! The gateway as this program asks it: one request at a time or many, each with the token, repeated where that is safe.

pub mod answer;
pub mod batch;
mod body;
pub mod call;
pub mod error;
pub mod files;
pub mod path;
pub mod tus;
pub mod types;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

use self::body::Pieces;
use self::call::Call;
use self::error::ClientError;
use self::types::Version;
use crate::connect::address::Address;
use crate::connect::stream::Connector;
use crate::connect::token::Token;

/// Until the head of an answer comes: the server may wait on its file system.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// How long trouble that may pass is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Connections that are kept for the next request.
const IDLE_MAX: usize = 64;
/// Of an answer that is read whole.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Of the contract with the gateway.
const API: u64 = 1;
const AGENT: &str = concat!("wfs/", env!("CARGO_PKG_VERSION"));

/// The gateway; clones share its connections.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    http: Client<Connector, Pieces>,
    token: Token,
    /// `http://authority/prefix`; the connector knows whether TLS is spoken.
    base: String,
    authority: String,
    /// It has answered once: that it does not may pass.
    answered: AtomicBool,
    patience: Duration,
}

impl Gateway {
    /// Nothing is sent yet.
    pub fn new(connector: Connector, address: &Address, token: Token) -> Self {
        let http = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let authority = address.authority();
        let base = format!("http://{authority}{}", address.prefix);
        // For the tests, which have no minute to lose.
        let patience = std::env::var("WFS_PATIENCE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
        let patience = patience.map_or(PATIENCE, Duration::from_secs);
        Self(Arc::new(Inner { http, token, base, authority, answered: AtomicBool::new(false), patience }))
    }

    /// Asks for the version, and judges it.
    ///
    /// # Errors
    /// There is no gateway, or one that speaks another contract.
    pub async fn check(&self) -> Result<Version, ClientError> {
        let call = Call::get("/wfs/v1/version".into());
        let version: Version = self.json(&call).await.map_err(|error| match error {
            ClientError::Api { status, .. } if status.as_u16() == 404 => not_ours(),
            ClientError::Protocol { .. } => not_ours(),
            other => other,
        })?;
        judge(&version)
            .map_err(|what| ClientError::Protocol { request: "GET /wfs/v1/version".into(), what })?;
        Ok(version)
    }

    /// The answer, read whole, of what answers JSON.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        let body = self.bytes(call).await?;
        serde_json::from_slice(&body).map_err(|error| call.senseless(error.to_string()))
    }

    /// The answer, read whole; repeated from the beginning if it breaks and that is safe.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn bytes(&self, call: &Call) -> Result<Bytes, ClientError> {
        let mut trouble = Trouble::new(self.0.patience);
        loop {
            let read = match self.send(call).await {
                Ok(answer) => read_whole(answer, call).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(body) => return Ok(body),
                Err(error) => self.wait(call, error, &mut trouble).await?,
            }
        }
    }

    /// The head of the answer, with its body to come.
    ///
    /// # Errors
    /// [`ClientError`]; an answer that is not a success is one.
    pub async fn send(&self, call: &Call) -> Result<Response<Incoming>, ClientError> {
        let mut trouble = Trouble::new(self.0.patience);
        loop {
            match self.send_once(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.wait(call, error, &mut trouble).await?,
            }
        }
    }

    /// Waits until it may be tried again.
    ///
    /// # Errors
    /// The error, where that makes no sense any more.
    pub async fn wait(
        &self,
        call: &Call,
        error: ClientError,
        trouble: &mut Trouble,
    ) -> Result<(), ClientError> {
        let known = self.0.answered.load(Ordering::Relaxed);
        let safe = call.is_repeatable() || error.was_not_done();
        if !known || !safe || !error.passes() {
            return Err(error);
        }
        let after = match &error {
            ClientError::Api { retry_after, .. } => *retry_after,
            _ => None,
        };
        match trouble.pause(after) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(error),
        }
        Ok(())
    }

    /// How long this gateway is waited for.
    pub fn trouble(&self) -> Trouble {
        Trouble::new(self.0.patience)
    }

    /// A connection that becomes something else, as the call's header `Upgrade` says. Until it has, it is tried again as any call.
    ///
    /// # Errors
    /// [`ClientError`]; an answer that is no change is one.
    pub async fn upgrade(&self, call: &Call) -> Result<Upgraded, ClientError> {
        let mut trouble = Trouble::new(self.0.patience);
        let answer = loop {
            match self.switched(call).await {
                Ok(answer) => break answer,
                Err(error) => self.wait(call, error, &mut trouble).await?,
            }
        };
        hyper::upgrade::on(answer).await.map_err(|error| ClientError::Broken(error.into()))
    }

    async fn switched(&self, call: &Call) -> Result<Response<Incoming>, ClientError> {
        let answer = self.ask(call).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        self.judged(answer).await?;
        Err(call.senseless("the connection was to become something else, and did not".into()))
    }

    /// Once.
    async fn send_once(&self, call: &Call) -> Result<Response<Incoming>, ClientError> {
        let answer = self.ask(call).await?;
        self.judged(answer).await
    }

    /// Once; but with a new token if the old one is refused and there is another.
    async fn ask(&self, call: &Call) -> Result<Response<Incoming>, ClientError> {
        let token = self.0.token.header().await.map_err(|error| ClientError::Token(error.into()))?;
        let answer = self.exchange(call, &token).await?;
        if answer.status().as_u16() != 401 {
            return Ok(answer);
        }
        let renewed = self.0.token.renewed(&token).await.map_err(|error| ClientError::Token(error.into()))?;
        match renewed {
            Some(token) => {
                drop(answer);
                self.exchange(call, &token).await
            }
            None => Ok(answer),
        }
    }

    async fn exchange(&self, call: &Call, token: &HeaderValue) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.0.base, call.target))
            .header(AUTHORIZATION, token)
            .header(USER_AGENT, AGENT);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Pieces::of(call.body.clone()));
        let request = request.map_err(|error| call.senseless(error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER_MAX, self.0.http.request(request)).await;
        match answer {
            Ok(Ok(answer)) => {
                self.0.answered.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) if error.is_connect() => {
                Err(ClientError::Connect(self.0.authority.clone(), root(error)))
            }
            Ok(Err(error)) => Err(ClientError::Broken(root(error))),
            Err(_) => Err(ClientError::Silent(ANSWER_MAX)),
        }
    }

    /// An answer that is no success is an error, with the server's words.
    async fn judged(&self, answer: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
        let status = answer.status();
        if status.is_success() || status.as_u16() == 304 {
            return Ok(answer);
        }
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let after = after.map(Duration::from_secs);
        let body =
            tokio::time::timeout(ANSWER_MAX, Limited::new(answer.into_body(), 1 << 20).collect()).await;
        let body =
            body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Err(ClientError::of_answer(status, after, &body))
    }
}

/// What hyper wraps says more than its wrapping.
fn root(error: hyper_util::client::legacy::Error) -> error::Source {
    error.into()
}

async fn read_whole(answer: Response<Incoming>, call: &Call) -> Result<Bytes, ClientError> {
    let read = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    match tokio::time::timeout(ANSWER_MAX, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(call.senseless("it is too long".into()))
        }
        Ok(Err(error)) => Err(ClientError::Broken(error)),
        Err(_) => Err(ClientError::Silent(ANSWER_MAX)),
    }
}

/// Waits longer each time, and not for ever.
pub struct Trouble {
    patience: Duration,
    since: Option<Instant>,
    pause: Duration,
}

impl Trouble {
    fn new(patience: Duration) -> Self {
        Self { patience, since: None, pause: PAUSE_MIN }
    }

    /// Something went well: the next trouble is a new one.
    pub fn over(&mut self) {
        (self.since, self.pause) = (None, PAUSE_MIN);
    }

    /// How long to wait now; none if it has been waited long enough.
    fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let pause = asked.unwrap_or(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        (since.elapsed() + pause <= self.patience).then_some(pause)
    }
}

fn not_ours() -> ClientError {
    ClientError::Protocol {
        request: "GET /wfs/v1/version".into(),
        what: "there is something, but no gateway of workspacefs".into(),
    }
}

/// Whether we and a gateway understand each other.
fn judge(version: &Version) -> Result<(), String> {
    let ours = env!("CARGO_PKG_VERSION");
    match version.api.cmp(&API) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(format!(
            "the gateway {} speaks version {} of the interface and this wfs {ours} version {API}: get a newer wfs",
            version.version, version.api
        )),
        std::cmp::Ordering::Less => Err(format!(
            "the gateway {} speaks version {} of the interface, which this wfs {ours} does not any more: have the \
             gateway upgraded, or get an older wfs",
            version.version, version.api
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_of_the_interface_is_told_with_who_is_to_change() {
        let judged = |api| judge(&Version { version: "9.9.9".into(), api });
        assert_eq!(judged(1), Ok(()));
        assert!(judged(2).unwrap_err().contains("get a newer wfs"));
        assert!(judged(0).unwrap_err().contains("have the gateway upgraded"));
    }

    #[test]
    fn trouble_is_waited_for_longer_each_time_and_not_for_ever() {
        let mut trouble = Trouble::new(Duration::from_secs(3));
        let pauses: Vec<_> = std::iter::from_fn(|| trouble.pause(None)).take(100).collect();
        assert!(pauses.windows(2).all(|two| two[0] < two[1]), "{pauses:?}");
        assert!(*pauses.last().unwrap() < Duration::from_secs(3));
        trouble.over();
        assert_eq!(trouble.pause(Some(Duration::from_secs(2))), Some(Duration::from_secs(2)));
        assert_eq!(trouble.pause(Some(Duration::from_secs(4))), None);
    }
}
