//! One share in the table: its helper, for whose answers callers queue up, and what the latest calls said of its server.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

use super::process::Helper;
use super::{ShareError, ShareKey, ShareSpec};

#[derive(Debug)]
pub(super) struct Share {
    pub key: ShareKey,
    /// Unknown for a mount that was found without a record, until somebody asks for the share of that key.
    pub spec: OnceLock<ShareSpec>,
    pub helper: tokio::sync::Mutex<Option<Helper>>,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub last_used: Instant,
    pub silence: Option<Silence>,
    /// It was unmounted and taken out of the table.
    pub gone: bool,
}

/// A share does not answer.
#[derive(Clone, Debug)]
pub struct Silence {
    /// Since when.
    pub since: SystemTime,
    /// The latest failure.
    pub cause: ShareError,
}

/// What a question is for, and how long it may take, waiting for its turn included.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub doing: &'a str,
    pub started: Instant,
    pub deadline: Instant,
}

impl Share {
    pub fn new(key: ShareKey) -> Self {
        let state = State { last_used: Instant::now(), silence: None, gone: false };
        Self { key, spec: OnceLock::new(), helper: tokio::sync::Mutex::new(None), state: Mutex::new(state) }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a call's outcome says about the server.
    pub fn note(&self, error: Option<&ShareError>) {
        let mut state = self.state();
        state.last_used = Instant::now();
        state.silence = error.filter(|e| e.is_servers_silence()).map(|cause| Silence {
            since: state.silence.as_ref().map_or_else(SystemTime::now, |s| s.since),
            cause: cause.clone(),
        });
    }

    pub fn timed_out(&self, started: Instant, doing: &str) -> ShareError {
        let error = ShareError::TimedOut {
            share: self.name(),
            seconds: started.elapsed().as_secs_f64().round() as u64,
            doing: doing.into(),
        };
        self.note(Some(&error));
        error
    }

    /// `server:/export`, for messages.
    pub fn name(&self) -> String {
        match self.spec.get() {
            Some(spec) => spec.to_string(),
            None => format!("a share of which no record is left ({})", self.key),
        }
    }
}
