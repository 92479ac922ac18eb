//! Who makes a request, from what it carries: a bearer token, a session's cookie, or the word of a proxy whose certificate let
//! it in. A page of another site carries what the browser adds for it; such requests are refused before anything is looked up.

pub mod cross_site;
pub mod proxied;
pub mod sessions;

use std::sync::Arc;

use axum::http::{HeaderMap, Method, header, request};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;

use self::proxied::ProxyHeaders;
use self::sessions::Sessions;
use crate::review::{Identity, NoAnswer, Reviewer};
use crate::secret::{self, Token};

/// The header of requests that change something.
pub const CSRF_HEADER: &str = "x-wfs-csrf";

/// By which listener a request came.
#[derive(Clone, Debug)]
pub enum Door {
    /// The one for everybody.
    Main,
    /// The one that only the proxy can open.
    Proxy(Arc<ProxyHeaders>),
}

impl Door {
    /// For the log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Proxy(_) => "proxy",
        }
    }
}

/// Somebody, known for this request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub identity: Arc<Identity>,
    /// By what.
    pub by: Credential,
    /// What a request that changes something must carry, unless it brings its own token.
    pub csrf: String,
}

/// By what a caller is known.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The request's own token.
    Bearer(Token),
    /// A session, and the token in it.
    Session(sessions::Key, Token),
    /// The proxy's word.
    Proxied,
}

/// Why nobody is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// No credential, or one that is not good.
    Unknown(&'static str),
    /// A page of another site could have made the request.
    CrossSite(&'static str),
    /// The API server could not be asked.
    NoReview(NoAnswer),
}

impl From<NoAnswer> for Refusal {
    fn from(why: NoAnswer) -> Self {
        Self::NoReview(why)
    }
}

/// Finds out who calls.
pub struct Callers {
    reviewer: Arc<Reviewer>,
    sessions: Sessions,
    /// Makes the CSRF token of those who have no session.
    key: hmac::Key,
}

impl Callers {
    /// Nobody is logged in.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(reviewer: Arc<Reviewer>, sessions: Sessions) -> Result<Self, ring::error::Unspecified> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret::random()?);
        Ok(Self { reviewer, sessions, key })
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Asks the API server.
    pub fn reviewer(&self) -> &Arc<Reviewer> {
        &self.reviewer
    }

    /// Who makes this request.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn of(&self, request: &request::Parts, door: &Door) -> Result<Caller, Refusal> {
        check_origin(request)?;
        let caller = match (bearer(&request.headers)?, door) {
            (Some(token), _) => {
                let identity = self.known(&token).await?;
                Caller { identity, by: Credential::Bearer(token), csrf: String::new() }
            }
            (None, Door::Main) => {
                let found = self.sessions.find(&request.headers).ok_or(Refusal::Unknown("no session"))?;
                let identity = self.known(&found.token).await?;
                Caller { identity, by: Credential::Session(found.key, found.token), csrf: found.csrf }
            }
            (None, Door::Proxy(names)) => {
                let identity = proxied::identity(names, &request.headers)
                    .ok_or(Refusal::Unknown("the proxy names nobody who may come this way"))?;
                let csrf = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, identity.user.as_bytes()));
                Caller { identity: Arc::new(identity), by: Credential::Proxied, csrf }
            }
        };
        check_csrf(&caller, request)?;
        Ok(caller)
    }

    /// Who makes this request of a program. It brings its token with each of them, and no cookie counts; so an `Origin`, which
    /// some programs send, says nothing. What a browser says of itself does: a proxy may have added the token.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn program(&self, request: &request::Parts) -> Result<Caller, Refusal> {
        if !cross_site::is_program(&request.method, &request.headers) {
            return Err(Refusal::CrossSite(cross_site::REASON));
        }
        let token = bearer(&request.headers)?.ok_or(Refusal::Unknown("send a Kubernetes token as Bearer"))?;
        let identity = self.known(&token).await?;
        Ok(Caller { identity, by: Credential::Bearer(token), csrf: String::new() })
    }

    /// Who the caller is now; None: nobody any more.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn again(&self, caller: &Caller) -> Result<Option<Arc<Identity>>, NoAnswer> {
        match &caller.by {
            Credential::Bearer(token) => self.reviewer.identify(token).await,
            Credential::Session(key, _) if !self.sessions.is_open(key) => Ok(None),
            Credential::Session(_, token) => self.reviewer.identify(token).await,
            Credential::Proxied => Ok(Some(caller.identity.clone())),
        }
    }

    async fn known(&self, token: &Token) -> Result<Arc<Identity>, Refusal> {
        let identity = self.reviewer.identify(token).await?;
        identity.ok_or(Refusal::Unknown("the token is not good, or no longer"))
    }
}

/// Refuses what a page of another site could have made.
///
/// # Errors
/// [`Refusal::CrossSite`].
pub fn check_origin(request: &request::Parts) -> Result<(), Refusal> {
    let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.or_else(|| request.uri.authority().map(|authority| authority.as_str()));
    let is_ours = cross_site::is_ours(&request.method, &request.headers, authority);
    if is_ours { Ok(()) } else { Err(Refusal::CrossSite(cross_site::REASON)) }
}

fn check_csrf(caller: &Caller, request: &request::Parts) -> Result<(), Refusal> {
    let is_safe = matches!(request.method, Method::GET | Method::HEAD);
    if is_safe || matches!(caller.by, Credential::Bearer(_)) {
        return Ok(());
    }
    let sent = request.headers.get(CSRF_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
    if !caller.csrf.is_empty() && secret::same(sent, caller.csrf.as_bytes()) {
        Ok(())
    } else {
        Err(Refusal::CrossSite("the header X-Wfs-Csrf is not that of the session"))
    }
}

/// The token of the header Authorization, if there is one. One that is there and cannot be read is never passed over.
fn bearer(headers: &HeaderMap) -> Result<Option<Token>, Refusal> {
    const MALFORMED: Refusal = Refusal::Unknown("the header Authorization has no bearer token");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(MALFORMED);
    }
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(MALFORMED)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(MALFORMED);
    }
    Token::parse(token.trim()).map(Some).ok_or(MALFORMED)
}
