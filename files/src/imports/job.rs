//! One import: what was asked for, how it stands, and what is running of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use workspacefs_files_proto::import::{Import, ImportFailure, ImportState};

use super::form::Form;
use super::progress::{Counts, FAILURES_MAX, Progress};
use super::record::{Record, Records};
use super::state::{Event, after, is_active};
use crate::error::Error;
use crate::facts;

/// See the module.
#[derive(Debug)]
pub(crate) struct Job {
    id: String,
    form: Form,
    started_at: String,
    started_by: String,
    now: Mutex<Now>,
    /// Held while its record is written, so that no older one takes the place of a newer. False once it is forgotten.
    is_kept: Mutex<bool>,
}

/// What is running.
#[derive(Debug)]
pub(crate) struct Run {
    pub progress: Progress,
    pub cancel: CancellationToken,
}

#[derive(Debug)]
struct Now {
    state: ImportState,
    run: Option<Arc<Run>>,
    /// Of the last run, if none is running.
    counts: Counts,
    failures: Vec<ImportFailure>,
    said: Said,
    ended_at: Option<String>,
}

/// A sentence for people, and the input it is about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Said {
    pub message: String,
    pub field: Option<String>,
}

impl Said {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), field: None }
    }
}

impl Job {
    /// One that begins now.
    pub fn new(id: String, form: Form, user: &str) -> Self {
        let now = Now {
            state: ImportState::Listing,
            run: None,
            counts: Counts::default(),
            failures: Vec::new(),
            said: Said::default(),
            ended_at: None,
        };
        let started_at = facts::rfc3339(facts::now());
        let started_by = user.to_owned();
        Self { id, form, started_at, started_by, now: Mutex::new(now), is_kept: Mutex::new(true) }
    }

    /// One of another process.
    pub fn recorded(record: Record) -> Self {
        let (state, said) = match after(record.state, Event::Restarted) {
            Some(state) => (state, Said::new(INTERRUPTED)),
            None => (record.state, Said { message: record.message, field: record.field }),
        };
        let now = Now {
            state,
            run: None,
            counts: record.counts,
            failures: record.failures,
            said,
            ended_at: record.ended_at,
        };
        Self {
            id: record.id,
            form: record.form,
            started_at: record.started_at,
            started_by: record.started_by,
            now: Mutex::new(now),
            is_kept: Mutex::new(true),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn form(&self) -> &Form {
        &self.form
    }

    pub fn state(&self) -> ImportState {
        self.now().state
    }

    /// When it began, to sort by.
    pub fn order(&self) -> (&str, &str) {
        (&self.started_at, &self.id)
    }

    /// Begins to run, for the first time or again.
    ///
    /// # Errors
    /// The state in which it may not.
    pub fn run(&self, cancel: CancellationToken) -> Result<Arc<Run>, ImportState> {
        let mut now = self.now();
        let is_new = now.state == ImportState::Listing && now.run.is_none();
        match after(now.state, Event::Resumed) {
            Some(state) => now.state = state,
            None if is_new => {}
            None => return Err(now.state),
        }
        let run = Arc::new(Run { progress: Progress::new(), cancel });
        now.run = Some(Arc::clone(&run));
        now.said = Said::default();
        now.ended_at = None;
        Ok(run)
    }

    /// This run has found all that there is.
    pub fn listed(&self, run: &Arc<Run>) {
        let mut now = self.now();
        if !now.is_of(run) {
            return;
        }
        if let Some(state) = after(now.state, Event::Listed) {
            now.state = state;
        }
    }

    /// Ends this run. False: it is another one that runs, or none.
    pub fn end(&self, run: &Arc<Run>, event: Event, said: Said) -> bool {
        let mut now = self.now();
        if !now.is_of(run) {
            return false;
        }
        let Some(state) = after(now.state, event) else { return false };
        now.state = state;
        now.said = said;
        now.settle();
        true
    }

    /// Ends whatever runs; None if nothing does.
    pub fn cancel(&self) -> Option<()> {
        let mut now = self.now();
        now.state = after(now.state, Event::Cancelled)?;
        now.said = Said::new(
            "it was cancelled; what is there stays, and it goes on when the keys are entered again",
        );
        if let Some(run) = &now.run {
            run.cancel.cancel();
        }
        now.settle();
        Some(())
    }

    pub fn is_active(&self) -> bool {
        is_active(self.now().state)
    }

    /// As the contract has it, with so many failures at most.
    pub fn shown(&self, failures_max: usize) -> Import {
        let now = self.now();
        let (counts, failures) = now.numbers(failures_max);
        let (rate, eta_seconds) = now.run.as_ref().map_or((0, None), |run| run.progress.pace());
        let (objects, bytes) = counts.shown();
        Import {
            id: self.id.clone(),
            provider: self.form.provider,
            bucket: self.form.bucket.clone(),
            prefix: Some(self.form.prefix.clone()).filter(|prefix| !prefix.is_empty()),
            endpoint: self.form.endpoint.clone(),
            destination: self.form.destination.clone(),
            state: now.state,
            objects,
            bytes,
            by_size: counts.by_size,
            rate,
            // Of what is not found yet nobody knows how long it takes.
            eta_seconds: eta_seconds.filter(|_| now.state == ImportState::Running),
            failures,
            message: now.said.message.clone(),
            field: now.said.field.clone(),
            started_at: self.started_at.clone(),
            ended_at: now.ended_at.clone(),
            started_by: self.started_by.clone(),
        }
    }

    /// Writes down how it stands. May wait for the file system.
    ///
    /// # Errors
    /// Of the file system.
    pub fn save(&self, records: &Records) -> Result<(), Error> {
        let is_kept = self.is_kept.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_kept { records.save(&self.record()) } else { Ok(()) }
    }

    /// Takes its record away, for ever. May wait for the file system.
    ///
    /// # Errors
    /// Of the file system.
    pub fn forget(&self, records: &Records) -> Result<(), Error> {
        let mut is_kept = self.is_kept.lock().unwrap_or_else(PoisonError::into_inner);
        records.remove(&self.id)?;
        *is_kept = false;
        Ok(())
    }

    fn record(&self) -> Record {
        let now = self.now();
        let (counts, failures) = now.numbers(FAILURES_MAX);
        Record {
            id: self.id.clone(),
            form: self.form.clone(),
            state: now.state,
            counts,
            failures,
            message: now.said.message.clone(),
            field: now.said.field.clone(),
            started_at: self.started_at.clone(),
            ended_at: now.ended_at.clone(),
            started_by: self.started_by.clone(),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said of an import whose process ended.
pub(crate) const INTERRUPTED: &str =
    "the service was started anew, and has the keys no longer: enter them again, and it goes on where it was";

impl Now {
    fn is_of(&self, run: &Arc<Run>) -> bool {
        self.run.as_ref().is_some_and(|running| Arc::ptr_eq(running, run))
    }

    fn numbers(&self, failures_max: usize) -> (Counts, Vec<ImportFailure>) {
        match &self.run {
            Some(run) => (run.progress.counts(), run.progress.failures(failures_max)),
            None => (self.counts, self.failures.iter().take(failures_max).cloned().collect()),
        }
    }

    /// Keeps the numbers of the run that ended.
    fn settle(&mut self) {
        (self.counts, self.failures) = self.numbers(FAILURES_MAX);
        self.run = None;
        self.ended_at = Some(facts::rfc3339(facts::now()));
    }
}
