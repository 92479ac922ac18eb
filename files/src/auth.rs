//! Who may do what: the gateway's assertion is checked once per request, before any route; each route says by the type of its
//! caller which verbs it needs.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use workspacefs_files_proto::{ASSERTION_HEADER, Claims, Verb};

use crate::app::App;
use crate::error::Error;
use crate::facts::now;
use crate::http::text;

const NS_PER_S: i128 = 1_000_000_000;

/// The verbs that a route needs.
pub trait Needs: Send + Sync + 'static {
    /// All of them.
    const VERBS: &'static [Verb];
}

/// A route that shows something.
#[derive(Clone, Copy, Debug)]
pub struct Read;
/// A route that makes or changes something.
#[derive(Clone, Copy, Debug)]
pub struct Write;
/// A route that takes something away.
#[derive(Clone, Copy, Debug)]
pub struct Delete;
/// A route that takes something from one place to another.
#[derive(Clone, Copy, Debug)]
pub struct Move;

impl Needs for Read {
    const VERBS: &'static [Verb] = &[Verb::Read];
}

impl Needs for Write {
    const VERBS: &'static [Verb] = &[Verb::Write];
}

impl Needs for Delete {
    const VERBS: &'static [Verb] = &[Verb::Delete];
}

impl Needs for Move {
    const VERBS: &'static [Verb] = &[Verb::Write, Verb::Delete];
}

/// Who asks, with the right to. A handler that has none in its arguments is open to every verb: a test goes through all
/// routes of the OpenAPI document.
#[derive(Clone, Debug)]
pub struct Caller<N> {
    /// As Kubernetes names them.
    pub user: String,
    needs: PhantomData<N>,
}

impl<N: Needs, S: Sync> FromRequestParts<S> for Caller<N> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let claims = parts.extensions.get::<Claims>().ok_or(Error::Unauthenticated)?;
        match N::VERBS.iter().find(|verb| !claims.verbs.contains(verb)) {
            Some(missing) => Err(Error::Forbidden(*missing)),
            None => Ok(Self { user: claims.user.clone(), needs: PhantomData }),
        }
    }
}

/// Lets through what the gateway vouches for.
pub async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let asked = format!("{} {target}", request.method());
    let header = text(request.headers(), ASSERTION_HEADER).unwrap_or_default();
    let seconds = u64::try_from(now() / NS_PER_S).unwrap_or(0);
    match app.verifier.verify(header, &asked, seconds) {
        Ok(claims) => {
            request.extensions_mut().insert(claims);
            next.run(request).await
        }
        Err(reason) => {
            // Why is for the log only.
            tracing::info!(%reason, method = %request.method(), "a request is not believed");
            app.metrics.refused.inc();
            Error::Unauthenticated.into_response()
        }
    }
}
