//! "From Cloud": objects of S3, R2 and whatever speaks S3 become files of this file system.
//!
//! The keys of an import live in its requests, in memory, and nowhere else: not in its record, in no answer, error or line of the
//! log. An import that lost its process is interrupted, and goes on when somebody enters them again. Nothing that is there already
//! is read again ([`stamp`]). Which addresses may be connected to is judged at the address itself
//! ([`workspacefs_buckets::Guard`]): a user must not reach by us what he cannot reach without.

mod error;
mod form;
mod job;
mod keys;
mod means;
mod object;
mod pace;
mod progress;
mod record;
pub(crate) mod routes;
mod run;
mod stamp;
mod state;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};
use workspacefs_buckets::{Allowed, Bucket, Credentials, Exceptions, Guard, Patience};
use workspacefs_files_proto::import::Import;

pub(crate) use self::error::ImportError;
use self::error::Input;
use self::form::Form;
use self::job::Job;
use self::means::Means;
pub(crate) use self::means::THREADS;
use self::object::Shop;
use self::progress::FAILURES_MAX;
use self::record::Records;
pub(crate) use self::target::Target;
use crate::ids;
use crate::metrics::Metrics;
use crate::root::Root;
use crate::settling::Settling;
use crate::shares::{Place, Shares};

/// So many run at once, half of them at most of one user; each has its connections and its tasks, all of them share the memory for contents.
const RUNNING_MAX: usize = 4;
/// So many that ended are kept; the oldest one goes. Each can have a report of a megabyte.
const ENDED_MAX: usize = 20;
/// So many failures of each are told where all imports are listed.
const LISTED_FAILURES_MAX: usize = 10;

/// All imports of this file system. Dropped, those that run end, and are interrupted.
#[derive(Debug)]
pub(crate) struct Imports {
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    records: Arc<Records>,
    target: Arc<Target>,
    guard: Guard,
    patience: Waits,
    metrics: Metrics,
    means: Means,
    running: Shares,
    all: CancellationToken,
    _end: DropGuard,
}

/// How long the services are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// While a person waits for the dialog.
    pub first: Patience,
    /// While nobody does.
    pub then: Patience,
}

impl Default for Waits {
    fn default() -> Self {
        let first = Patience {
            tries: 2,
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(15),
            ..Patience::default()
        };
        Self { first, then: Patience::default() }
    }
}

impl Imports {
    /// Reads the records of earlier ones; what was running is interrupted now. Where they cannot be read there are none: people
    /// can have their files all the same.
    pub fn open(root: &Arc<Root>, allowed: &[Allowed], patience: Waits, metrics: &Metrics) -> Self {
        let records = Records::new(Arc::clone(root));
        let known = records.load().unwrap_or_else(|error| {
            tracing::warn!(%error, "the records of imports cannot be read");
            Vec::new()
        });
        let known = known.into_iter().map(|record| {
            let job = Job::recorded(record);
            (job.id().to_owned(), Arc::new(job))
        });
        let jobs = known.collect();
        let mut exceptions = Exceptions::default();
        allowed.iter().for_each(|allowed| exceptions.allow(allowed.clone()));
        let all = CancellationToken::new();
        Self {
            jobs: Mutex::new(jobs),
            records: Arc::new(records),
            target: Arc::new(Target::new(Arc::clone(root))),
            guard: Guard::Public(exceptions),
            patience,
            metrics: metrics.clone(),
            means: Means::default(),
            running: Shares::new(RUNNING_MAX),
            _end: all.clone().drop_guard(),
            all,
        }
    }

    /// Begins one, from the body of a request: if the service answers, and lists what was asked for.
    ///
    /// # Errors
    /// [`ImportError`]; then there is none.
    pub async fn begin(&self, body: &[u8], user: &str) -> Result<Import, ImportError> {
        let (form, credentials) = form::filled(body)?;
        let place = self.place(user)?;
        let bucket = self.checked(&form, credentials).await?;
        let job = Arc::new(Job::new(ids::new(), form, user));
        // From here on nothing waits: whoever asked may have gone, and it is begun and known, or neither.
        let run = job.run(self.all.child_token()).map_err(ImportError::State)?;
        self.jobs().insert(job.id().to_owned(), Arc::clone(&job));
        self.start(&job, run, bucket, place);
        tracing::info!(import = job.id(), user, bucket = job.form().bucket, "an import begins");
        self.forget_oldest().await;
        Ok(job.shown(FAILURES_MAX))
    }

    /// Lets one go on, with the keys of the body.
    ///
    /// # Errors
    /// [`ImportError`]; then it is as it was.
    pub async fn resume(&self, id: &str, body: &[u8], user: &str) -> Result<Import, ImportError> {
        let job = self.job(id)?;
        let credentials = form::keys(body)?;
        if job.is_active() || state::after(job.state(), state::Event::Resumed).is_none() {
            return Err(ImportError::State(job.state()));
        }
        let place = self.place(user)?;
        let bucket = self.checked(job.form(), credentials).await?;
        let run = job.run(self.all.child_token()).map_err(ImportError::State)?;
        if !self.jobs().contains_key(id) {
            // It was forgotten meanwhile.
            return Err(ImportError::NotFound);
        }
        self.start(&job, run, bucket, place);
        tracing::info!(import = id, user, "an import goes on");
        Ok(job.shown(FAILURES_MAX))
    }

    /// All, the latest first, each with the beginning of its report.
    pub fn list(&self) -> Vec<Import> {
        let mut jobs: Vec<Arc<Job>> = self.jobs().values().cloned().collect();
        jobs.sort_by(|one, other| other.order().cmp(&one.order()));
        jobs.iter().map(|job| job.shown(LISTED_FAILURES_MAX)).collect()
    }

    /// With its whole report.
    ///
    /// # Errors
    /// [`ImportError::NotFound`]
    pub fn get(&self, id: &str) -> Result<Import, ImportError> {
        self.job(id).map(|job| job.shown(FAILURES_MAX))
    }

    /// Cancels one that runs, forgets one that ended.
    ///
    /// # Errors
    /// [`ImportError::NotFound`], and of the file system.
    pub async fn delete(&self, id: &str, user: &str) -> Result<(), ImportError> {
        let job = self.job(id)?;
        if job.cancel().is_some() {
            tracing::info!(import = id, user, "an import is cancelled");
            // Its own task writes that down; here nobody waits for a file system that hangs.
            return Ok(());
        }
        self.forget(&job).await
    }

    /// The bucket, if what was asked for can be listed.
    async fn checked(&self, form: &Form, credentials: Credentials) -> Result<Bucket, ImportError> {
        let destination = form.destination()?;
        let target = Arc::clone(&self.target);
        let looked = self.means.asked(move || target.check(&destination)).await;
        looked.map_err(ImportError::Destination)?;
        let first = form.bucket(credentials.clone(), self.guard.clone(), self.patience.first)?;
        let page = first.list(&form.prefix).next().await?.unwrap_or_default();
        if page.is_empty() && !form.prefix.is_empty() {
            let message = "prefix: no object of the bucket has a key that begins so".to_owned();
            return Err(ImportError::Input(Input::Prefix, message));
        }
        Ok(form.bucket(credentials, self.guard.clone(), self.patience.then)?)
    }

    fn start(&self, job: &Arc<Job>, run: Arc<job::Run>, bucket: Bucket, place: Place) {
        let (means, target) = (self.means.clone(), Arc::clone(&self.target));
        let shop = Arc::new(Shop {
            bucket,
            means,
            target,
            settling: Settling::default(),
            watched: OnceCell::new(),
            cancel: run.cancel.clone(),
            imported: self.metrics.imported.clone(),
        });
        let (job, records) = (Arc::clone(job), Arc::clone(&self.records));
        let running = self.metrics.imports.clone();
        tokio::spawn(async move {
            running.inc();
            run::run(job, run, shop, records).await;
            running.dec();
            drop(place);
        });
    }

    fn place(&self, user: &str) -> Result<Place, ImportError> {
        self.running.take(user).ok_or(ImportError::TooMany(RUNNING_MAX))
    }

    async fn forget(&self, job: &Arc<Job>) -> Result<(), ImportError> {
        self.jobs().remove(job.id());
        let (forgotten, records) = (Arc::clone(job), Arc::clone(&self.records));
        let done = self.means.asked(move || forgotten.forget(&records)).await;
        done.map_err(|error| {
            self.jobs().insert(job.id().to_owned(), Arc::clone(job));
            ImportError::Record(error)
        })
    }

    async fn forget_oldest(&self) {
        let ended = || {
            let jobs = self.jobs();
            let mut ended: Vec<_> = jobs.values().filter(|job| !job.is_active()).cloned().collect();
            ended.sort_by(|one, other| one.order().cmp(&other.order()));
            ended
        };
        let ended = ended();
        for job in ended.iter().take(ended.len().saturating_sub(ENDED_MAX)) {
            if let Err(error) = self.forget(job).await {
                tracing::warn!(import = job.id(), %error, "cannot forget an import");
            }
        }
    }

    fn job(&self, id: &str) -> Result<Arc<Job>, ImportError> {
        self.jobs().get(id).cloned().ok_or(ImportError::NotFound)
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
