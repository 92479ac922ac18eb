//! Trouble on purpose: a chosen write held for ever, refused or cut off, and whole outages.

use serde_json::Value;
use tokio::sync::{oneshot, watch};

use crate::requests::Request;

/// Whether trouble strikes before the server carries the request out, or after.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// Nothing was changed.
    Before,
    /// The change was made, but the client does not learn of it.
    After,
}

/// What happens to the chosen write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It is never answered. The test ends the client meanwhile.
    Hold,
    /// The connection breaks in the middle of the answer.
    Cut,
    /// It is answered with this HTTP code.
    Status(u16),
}

/// Whether the server answers at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outage {
    /// It does.
    None,
    /// Requests are answered with 503 and watches end.
    Refusing,
    /// Requests wait until the outage is over; watches stay silent.
    Silent,
}

/// A fault that waits for its request.
pub(crate) struct Trap {
    pub skip: usize,
    pub moment: Moment,
    pub fault: Fault,
    pub matches: Box<dyn Fn(&Request) -> bool + Send>,
    pub sprung: Option<oneshot::Sender<Request>>,
}

impl Trap {
    /// Counts a request; true when it is the one.
    pub fn catches(&mut self, request: &Request) -> bool {
        if self.sprung.is_none() || !request.is_write() || !(self.matches)(request) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(sprung) = self.sprung.take() {
            // The test may have stopped waiting; the fault strikes all the same.
            drop(sprung.send(request.clone()));
        }
        true
    }
}

/// What a caught request comes to.
pub(crate) enum Verdict {
    Pass,
    Strike(Moment, Fault),
}

/// Waits until the server answers again; says whether requests are to be refused now.
pub(crate) async fn outage_refuses(mut outage: watch::Receiver<Outage>) -> bool {
    // An error means that the server is gone, and the request with it.
    let state = outage.wait_for(|state| *state != Outage::Silent).await.map(|state| *state);
    !matches!(state, Ok(Outage::None))
}

/// The body of an injected refusal.
pub(crate) fn status_body(code: u16) -> Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "metadata": {},
        "message": "injected by the test", "reason": "InternalError", "code": code,
    })
}
