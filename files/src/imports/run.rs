//! A run of an import: all objects of a listing, many at once, until all are settled, nothing can go on, or somebody ends it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use workspacefs_buckets::{BucketError, Object, Pages};
use workspacefs_files_proto::import::ImportFailure;

use super::error::{Input, input};
use super::job::{INTERRUPTED, Job, Run, Said};
use super::keys::{Place, Places};
use super::object::{Halt, Shop, bring, make_folder};
use super::progress::{Outcome, Progress};
use super::record::Records;
use super::state::Event;

/// Objects of one import that are under way at once. Small ones only wait, for an answer that is far away or for the disk; how
/// much memory they take, the slots say.
const AT_ONCE: usize = 128;
/// Pages of a thousand objects that are listed ahead of what is read.
const PAGES_AHEAD: usize = 8;
/// How often the pace is taken.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How often it is written down how far it is, in samples.
const SAVE_EVERY: u32 = 10;

/// Runs to its end and writes that down, and before that that it has begun.
pub(crate) async fn run(job: Arc<Job>, run: Arc<Run>, shop: Arc<Shop>, records: Arc<Records>) {
    save(&job, &records).await;
    let watcher = tokio::spawn(watch(Arc::clone(&job), Arc::clone(&run), Arc::clone(&records)));
    let watcher = AbortOnDropHandle::new(watcher);
    let ended = tokio::select! {
        ended = transfer(&job, &run, &shop) => Some(ended),
        () = run.cancel.cancelled() => None,
    };
    drop(watcher);
    let (event, said) = match ended {
        Some(Ok(())) => (Event::Finished, finished(&run.progress)),
        Some(Err(halt)) => (Event::Broke, broken(&halt)),
        // If a person ended it, that is said already, and this comes too late.
        None => (Event::Restarted, Said::new(INTERRUPTED)),
    };
    if job.end(&run, event, said) {
        let state = job.state();
        tracing::info!(import = job.id(), ?state, "an import has ended");
    }
    save(&job, &records).await;
}

/// Writes down how it stands; that it cannot is no reason to end it.
pub(crate) async fn save(job: &Arc<Job>, records: &Arc<Records>) {
    let (saved, records) = (Arc::clone(job), Arc::clone(records));
    let result = tokio::task::spawn_blocking(move || saved.save(&records)).await;
    if let Ok(Err(error)) = result {
        tracing::warn!(import = job.id(), %error, "cannot write an import's record");
    }
}

async fn watch(job: Arc<Job>, run: Arc<Run>, records: Arc<Records>) {
    let mut ticks = interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 1_u32.. {
        ticks.tick().await;
        run.progress.sample();
        if tick % SAVE_EVERY == 0 {
            save(&job, &records).await;
        }
    }
}

async fn transfer(job: &Arc<Job>, run: &Arc<Run>, shop: &Arc<Shop>) -> Result<(), Halt> {
    let form = job.form();
    let destination = form.destination().map_err(|error| Halt::Broken(error.to_string()))?;
    let mut places = Places::new(&form.prefix, destination);
    let (sender, mut pages) = mpsc::channel(PAGES_AHEAD);
    let listing = list(shop.bucket.list(&form.prefix), sender, Arc::clone(job), Arc::clone(run));
    let listing = AbortOnDropHandle::new(tokio::spawn(listing));
    let mut tasks: JoinSet<Result<(), Halt>> = JoinSet::new();
    while let Some(page) = pages.recv().await {
        for object in page {
            let Some(place) = placed(&mut places, &run.progress, &object) else { continue };
            while tasks.len() >= AT_ONCE {
                joined(tasks.join_next().await)?;
            }
            let (shop, run) = (Arc::clone(shop), Arc::clone(run));
            tasks.spawn(async move {
                match place {
                    Place::File(path) => bring(&shop, &run.progress, object, path).await,
                    Place::Folder(path) => make_folder(&shop, &run.progress, object.key, path).await,
                    Place::Destination => Ok(()),
                }
            });
        }
    }
    listing.await.map_err(|error| Halt::Broken(error.to_string()))??;
    while !tasks.is_empty() {
        joined(tasks.join_next().await)?;
    }
    Ok(())
}

/// All pages. How many objects there are is known long before they are read.
async fn list(
    mut pages: Pages,
    sender: mpsc::Sender<Vec<Object>>,
    job: Arc<Job>,
    run: Arc<Run>,
) -> Result<(), BucketError> {
    while let Some(page) = pages.next().await? {
        let bytes = page.iter().fold(0_u64, |sum, object| sum.saturating_add(object.size));
        run.progress.found(page.len() as u64, bytes);
        if sender.send(page).await.is_err() {
            return Ok(());
        }
    }
    job.listed(&run);
    Ok(())
}

/// Where an object goes; None if it is settled without anything to be read.
fn placed(places: &mut Places, progress: &Progress, object: &Object) -> Option<Place> {
    let outcome = match places.place(&object.key, object.size) {
        Ok(Place::Destination) => Outcome::Skipped,
        Ok(place) => return Some(place),
        Err(why) => Outcome::Failed(ImportFailure { key: object.key.clone(), reason: why.to_string() }),
    };
    progress.begin(object.size).settle(outcome);
    None
}

fn joined(done: Option<Result<Result<(), Halt>, JoinError>>) -> Result<(), Halt> {
    match done {
        Some(Ok(done)) => done,
        Some(Err(error)) => Err(Halt::Broken(error.to_string())),
        None => Ok(()),
    }
}

fn finished(progress: &Progress) -> Said {
    let counts = progress.counts();
    Said::new(match (counts.objects, counts.failed) {
        (0, _) => "there was nothing to import: no object's key begins so".to_owned(),
        (_, 0) => String::new(),
        (objects, failed) => format!("{failed} of {objects} objects are not there: the report says why"),
    })
}

fn broken(halt: &Halt) -> Said {
    let field = match halt {
        Halt::Bucket(error) => input(error).map(Input::name),
        Halt::Full(_) | Halt::Target(_) | Halt::Broken(_) => None,
    };
    Said { message: halt.to_string(), field: field.map(str::to_owned) }
}
