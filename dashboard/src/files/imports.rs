//! Imports outlive the request that began them, so the gateway goes on reviewing who began or resumed them: may they no longer, the
//! import is cancelled. What is there stays, and whoever may write resumes it with the keys. Its token counts, not the session: an
//! import goes on when its browser is closed. A gateway that was started anew knows none of those that ran before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, request};
use axum::response::Response;
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use workspacefs_files_proto::import::ImportState;

use super::leash::{self, Cut, Tether};
use super::proxy::{Admitted, Whom, outgoing, pass, standing};
use crate::audit::Change;
use crate::caller::{Caller, Credential};
use crate::error::ApiError;
use crate::gateway::{Gateway, Peer};
use crate::review::Right;

/// As whom the gateway speaks when it cancels one.
pub const GATEWAY_USER: &str = "workspacefs:gateway";

/// Between two looks whether it has ended by itself.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Between two tries to cancel one.
const TRY_EVERY: Duration = Duration::from_secs(1);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// One with its thousand failures has about two of them.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The imports whose beginners are reviewed, by the FileSystem's uid and the import's id.
#[derive(Default)]
pub struct Imports {
    watched: Mutex<HashMap<(String, String), Watched>>,
    serial: AtomicU64,
}

/// Ends the watching when it is dropped.
struct Watched {
    serial: u64,
    task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Imports {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not if another has taken its place meanwhile.
    fn forget(&self, key: &(String, String), serial: u64) {
        let mut watched = self.lock();
        if watched.get(key).is_some_and(|entry| entry.serial == serial) {
            watched.remove(key);
        }
    }
}

/// What an answer of the file API says of an import, as far as it matters here.
#[derive(Deserialize)]
struct Said {
    id: String,
    state: ImportState,
}

impl Said {
    fn runs(&self) -> bool {
        match self.state {
            ImportState::Listing | ImportState::Running => true,
            ImportState::Done | ImportState::Failed | ImportState::Cancelled | ImportState::Interrupted => {
                false
            }
        }
    }
}

/// Passes on a request that begins or resumes an import, and watches that from then on. It is carried out to its end whether or not
/// the caller waits: nobody has an import that is not watched by going away.
pub(super) async fn begin(
    gateway: &Arc<Gateway>,
    admitted: Admitted,
    parts: request::Parts,
    body: Body,
    peer: Peer,
) -> Result<Response, ApiError> {
    let gateway = gateway.clone();
    let passed = tokio::spawn(async move {
        let watched = admitted.clone();
        let (head, body) = pass(&gateway, admitted, parts, body, peer).await?.into_parts();
        let broke_off = |_| ApiError::Unreachable("its answer broke off".into());
        let bytes = to_bytes(body, ANSWER_BYTES_MAX).await.map_err(broke_off)?;
        if head.status.is_success() {
            watch(&gateway, watched, &bytes);
        }
        Ok(Response::from_parts(head, Body::from(bytes)))
    });
    passed.await.map_err(|_| ApiError::Internal)?
}

fn watch(gateway: &Arc<Gateway>, admitted: Admitted, answer: &Bytes) {
    let Ok(said) = serde_json::from_slice::<Said>(answer) else { return };
    let import = Import { gateway: gateway.clone(), admitted: by_token(admitted), id: said.id };
    let imports = &gateway.imports;
    let key = (import.admitted.uid.clone(), import.id.clone());
    let serial = imports.serial.fetch_add(1, Ordering::Relaxed);
    // Held until it is in the map: one that ends at once must find itself there.
    let mut watched = imports.lock();
    let (own, gateway) = (key.clone(), gateway.clone());
    let task = tokio::spawn(async move {
        import.keep().await;
        gateway.imports.forget(&own, serial);
    });
    watched.insert(key, Watched { serial, task });
}

/// A logout ends a session, not what was begun in it.
fn by_token(admitted: Admitted) -> Admitted {
    let by = match admitted.caller.by {
        Credential::Session(_, token) => Credential::Bearer(token),
        by @ (Credential::Bearer(_) | Credential::Proxied) => by,
    };
    Admitted { caller: Caller { by, ..admitted.caller }, ..admitted }
}

/// One that runs.
struct Import {
    gateway: Arc<Gateway>,
    admitted: Admitted,
    id: String,
}

impl Import {
    /// Until it has ended, by itself or because it had to.
    async fn keep(&self) {
        let tether = Tether::piped(self.gateway.metrics.clone());
        let (gateway, admitted) = (self.gateway.clone(), Arc::new(self.admitted.clone()));
        let _watch = leash::watch(&tether, self.gateway.times, None, move || {
            let (gateway, admitted) = (gateway.clone(), admitted.clone());
            async move { standing(&gateway, &admitted).await }
        });
        tokio::select! {
            () = tether.is_cut() => self.cancel(tether.reason().unwrap_or(Cut::Unreviewed)).await,
            () = self.ended() => {}
        }
    }

    async fn ended(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            if self.runs().await == Ok(false) {
                return;
            }
        }
    }

    /// Tries until it runs no longer, or the FileSystem is gone: a file API that is started anew has only interrupted ones.
    async fn cancel(&self, why: Cut) {
        let (user, place) = (&self.admitted.caller.identity.user, &self.admitted.place);
        let id = &self.id;
        tracing::info!(import = id, user, %why, "an import is cancelled");
        while self.gateway.objects.by_uid(&self.admitted.uid).is_some() {
            // To delete one that has ended would make it forgotten.
            let runs = self.runs().await;
            if runs == Ok(false) {
                return;
            }
            let path = format!("imports/{id}");
            let mut change = Change::new(GATEWAY_USER, "DELETE", &place.ws, &place.fs, &path);
            change.names("of", user);
            let deleted = match runs {
                Ok(_) => self.ask(&Method::DELETE, &[Right::Write]).await.map(|(status, _)| status),
                Err(error) => Err(error),
            };
            change.answered(deleted.as_ref().map_or_else(|error| error.code().status(), StatusCode::as_u16));
            match deleted {
                Ok(status) if status.is_success() || status == StatusCode::NOT_FOUND => return,
                _ => sleep(TRY_EVERY).await,
            }
        }
    }

    async fn runs(&self) -> Result<bool, ApiError> {
        let (status, bytes) = self.ask(&Method::GET, &[Right::Read]).await?;
        match status {
            StatusCode::OK => {
                serde_json::from_slice::<Said>(&bytes).map(|said| said.runs()).map_err(|_| ApiError::Internal)
            }
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(ApiError::Internal),
        }
    }

    /// Asks the file API for it, by the gateway's own word.
    async fn ask(&self, method: &Method, rights: &[Right]) -> Result<(StatusCode, Bytes), ApiError> {
        let whom = Whom { user: GATEWAY_USER, uid: &self.admitted.uid, rights };
        let target = format!("/v1/imports/{}", self.id);
        let request: Request = outgoing(&self.gateway, whom, method, &target, Body::empty())?;
        let asked = async {
            let silent = || ApiError::Unreachable("try again in a moment".into());
            let answer = self.gateway.upstream.send(request).await.map_err(|_| silent())?;
            let status = answer.status();
            let bytes = to_bytes(Body::new(answer.into_body()), ANSWER_BYTES_MAX).await;
            Ok((status, bytes.map_err(|_| silent())?))
        };
        timeout(ANSWER_TIME_MAX, asked).await.map_err(|_| ApiError::TimedOut)?
    }
}
