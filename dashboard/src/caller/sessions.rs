//! Logins of browsers: the token stays here, in memory; the browser has a random number that says nothing. So a logout is one,
//! and nothing of a token lies in a browser. A restart of the gateway ends all of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::secret::{self, Token};

/// The cookie. Browsers take `__Host-` only from this very host, over TLS, for all paths.
pub const COOKIE: &str = "__Host-wfs";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// How many and how long.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// From login to its end, whatever happens.
    pub life_max: Duration,
    /// Without any request.
    pub idle_max: Duration,
    /// Of one user: a further login ends the one used least recently.
    pub per_user_max: usize,
    /// Of all users.
    pub count_max: usize,
}

impl Default for SessionLimits {
    /// A working day; two hours of nothing.
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self { life_max: hours(12), idle_max: hours(2), per_user_max: 32, count_max: 10_000 }
    }
}

/// All sessions.
pub struct Sessions {
    limits: SessionLimits,
    open: Mutex<HashMap<Key, Session>>,
}

/// A session, by the digest of its cookie: who reads our memory's index finds no cookie in it.
pub type Key = [u8; 32];

struct Session {
    user: String,
    token: Token,
    csrf: String,
    begun: Instant,
    used: Instant,
}

/// What a cookie stands for.
#[derive(Clone, Debug)]
pub struct Found {
    /// By which the session is known here.
    pub key: Key,
    /// Whose token.
    pub token: Token,
    /// What a request that changes something must carry.
    pub csrf: String,
}

/// A new session.
#[derive(Debug)]
pub struct Opened {
    /// The header that gives it to the browser.
    pub set_cookie: HeaderValue,
    /// What a request that changes something must carry.
    pub csrf: String,
}

/// Why there is no new session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// There are as many as there may be.
    #[error("there are too many sessions")]
    Full,
    /// The system gives no random bytes.
    #[error("no random bytes")]
    Random,
}

impl Sessions {
    /// None yet.
    pub fn new(limits: SessionLimits) -> Self {
        Self { limits, open: Mutex::default() }
    }

    /// A session for that user, whose token it is.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, user: &str, token: Token) -> Result<Opened, OpenError> {
        let text = || secret::random().map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let (cookie, csrf) = (text().map_err(|_| OpenError::Random)?, text().map_err(|_| OpenError::Random)?);
        let set_cookie = HeaderValue::from_str(&format!("{COOKIE}={cookie}; {ATTRIBUTES}"))
            .map_err(|_| OpenError::Random)?;
        let mut open = self.lock();
        open.retain(|_, session| session.is_good(&self.limits));
        let own = open.iter().filter(|(_, session)| session.user == user);
        if own.clone().count() >= self.limits.per_user_max
            && let Some(oldest) = own.min_by_key(|(_, session)| session.used).map(|(key, _)| *key)
        {
            open.remove(&oldest);
        }
        if open.len() >= self.limits.count_max {
            return Err(OpenError::Full);
        }
        let now = Instant::now();
        let session = Session { user: user.into(), token, csrf: csrf.clone(), begun: now, used: now };
        open.insert(key(&cookie), session);
        Ok(Opened { set_cookie, csrf })
    }

    /// The session whose cookie is among the headers. Two different cookies of our name are none: somebody put one there.
    pub fn find(&self, headers: &HeaderMap) -> Option<Found> {
        let key = key(cookie(headers)?);
        let mut open = self.lock();
        let session = open.get_mut(&key)?;
        if !session.is_good(&self.limits) {
            open.remove(&key);
            return None;
        }
        session.used = Instant::now();
        Some(Found { key, token: session.token.clone(), csrf: session.csrf.clone() })
    }

    /// Whether it is open still. A transfer that runs is a use of it.
    pub fn is_open(&self, key: &Key) -> bool {
        let mut open = self.lock();
        let Some(session) = open.get_mut(key).filter(|session| session.is_good(&self.limits)) else {
            return false;
        };
        session.used = Instant::now();
        true
    }

    /// Ends it.
    pub fn close(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_good(&self, limits: &SessionLimits) -> bool {
        self.begun.elapsed() < limits.life_max && self.used.elapsed() < limits.idle_max
    }
}

/// The header that takes the cookie from the browser.
pub fn forget() -> HeaderValue {
    HeaderValue::from_static("__Host-wfs=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}

fn key(cookie: &str) -> Key {
    Sha256::digest(cookie).into()
}

/// The value of our cookie; HTTP/2 splits the header into several.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let mut found = None;
    for header in headers.get_all(header::COOKIE) {
        for pair in header.to_str().ok()?.split(';') {
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            if name != COOKIE {
                continue;
            }
            if found.is_some_and(|known| known != value) {
                return None;
            }
            found = Some(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(cookies: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, cookie.parse().unwrap());
        }
        headers
    }

    fn value(opened: &Opened) -> String {
        opened.set_cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    fn token(text: &str) -> Token {
        Token::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_idleness_by_age_and_by_logout() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let sessions = Sessions::new(SessionLimits::default());
        let opened = sessions.open("jane", token("t")).unwrap();
        let headers = with(&[&value(&opened)]);
        for _ in 0..11 {
            tokio::time::advance(hours(1)).await;
            assert!(sessions.find(&headers).is_some());
        }
        tokio::time::advance(hours(1)).await;
        assert!(sessions.find(&headers).is_none(), "twelve hours are enough");
        let headers = with(&[&value(&sessions.open("jane", token("t")).unwrap())]);
        tokio::time::advance(hours(2)).await;
        assert!(sessions.find(&headers).is_none(), "two hours of nothing");
        let headers = with(&[&value(&sessions.open("jane", token("t")).unwrap())]);
        let found = sessions.find(&headers).unwrap();
        sessions.close(&found.key);
        assert!(sessions.find(&headers).is_none() && !sessions.is_open(&found.key));
    }

    #[tokio::test]
    async fn forged_cookies_and_two_at_once_are_none() {
        let sessions = Sessions::new(SessionLimits::default());
        let opened = sessions.open("jane", token("t")).unwrap();
        let good = value(&opened);
        assert!(opened.set_cookie.to_str().unwrap().ends_with(ATTRIBUTES));
        assert_eq!(sessions.find(&with(&[&good])).unwrap().csrf, opened.csrf);
        assert!(sessions.find(&with(&["a=b", &format!("c=d; {good}")])).is_some());
        for bad in [&["__Host-wfs="][..], &["__Host-wfs=x"], &["wfs=x"], &[&good, "__Host-wfs=x"], &[]] {
            assert!(sessions.find(&with(bad)).is_none(), "{bad:?}");
        }
        let mut forged = good.clone();
        forged.pop();
        assert!(sessions.find(&with(&[&forged])).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_user_cannot_take_the_place_of_others() {
        let limits = SessionLimits { per_user_max: 2, count_max: 3, ..SessionLimits::default() };
        let sessions = Sessions::new(limits);
        let first = value(&sessions.open("jane", token("t")).unwrap());
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(1)).await;
            sessions.open("mallory", token("m")).unwrap();
        }
        assert!(sessions.find(&with(&[&first])).is_some());
        assert_eq!(sessions.open("joe", token("j")).unwrap_err(), OpenError::Full);
    }
}
