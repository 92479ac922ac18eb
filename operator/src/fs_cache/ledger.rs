//! What comes of a run, written into the entry of its copy, once. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use workspacefs_api::mover::{Failure, FailureReason, Outcome};
use workspacefs_api::{CacheCopy, CachedPath, FailedUpkeep, PathState};

use super::objects::{Errand, Task};
use crate::events::Happened;

/// Reason of the Event about a bucket that is kept, and has objects that can be no files, or could not be verified but by their size.
const OBJECTS_NOT_PLAIN: &str = "ObjectsNotPlain";

/// Whether a comparison found something in the copy that is not as it was written. That it is not verified any more
/// says so.
pub fn is_damaged(copy: &CacheCopy) -> bool {
    copy.generation.is_some() && copy.verified_at.is_none()
}

/// A run that has ended.
pub struct Entry<'a> {
    /// The Job's uid.
    pub job: String,
    /// What it was for.
    pub errand: &'a Errand,
    /// What its mover said; else why that is not known.
    pub outcome: &'a Result<Outcome, String>,
    /// When it ended, and not later than now.
    pub at: Timestamp,
    /// How much room the target has, for a person.
    pub room: &'a str,
}

/// Takes it into `copy` and, where it tells of the paths, into `paths`, which are those of the spec, in its order.
/// What happened is to be told.
pub fn take_in(entry: &Entry<'_>, copy: &mut CacheCopy, paths: &mut [CachedPath]) -> Vec<Happened> {
    if copy.last_job == entry.job {
        return Vec::new();
    }
    copy.last_job = entry.job.clone();
    let mut happened = Vec::new();
    if let Ok(outcome) = entry.outcome
        && outcome.paths.len() == paths.len()
    {
        happened = path_states(entry, outcome, paths);
    }
    match failure(entry) {
        Some((reason, message)) => {
            let what = not_done(entry.errand.task);
            let note = format!("{}{what}: {message}. It is tried again", of_node(&copy.node));
            happened.push(Happened { warning: true, reason: told_as(entry.errand.task, reason), note });
            fails(entry, copy, reason, message);
        }
        None => succeeds(entry.errand.task, copy),
    }
    if let Ok(outcome) = entry.outcome {
        happened.extend(content(entry, outcome, copy, paths));
        happened.extend(gone(entry, outcome, copy));
        copy.superseded = superseded(copy, outcome, &entry.errand.remove);
    }
    happened
}

/// What did not come about.
pub fn not_done(task: Task) -> &'static str {
    match task {
        Task::Fill => "the copy was not made",
        Task::Scrub => "the copy was not compared with its digests",
        Task::Remove | Task::RemoveAll => "older generations were not taken away",
    }
}

/// The names by which [`FailedUpkeep`] knows the tasks that are no refreshes.
pub fn upkeep(task: Task) -> Option<&'static str> {
    match task {
        // After the last of these there is nothing to keep up.
        Task::Fill | Task::RemoveAll => None,
        Task::Scrub => Some("Scrub"),
        Task::Remove => Some("Remove"),
    }
}

/// Refreshes are counted by themselves, and each other task too: one that fails makes no copy older and holds no other up.
fn fails(entry: &Entry<'_>, copy: &mut CacheCopy, reason: &'static str, message: String) {
    let Some(task) = upkeep(entry.errand.task) else {
        copy.failures = copy.failures.saturating_add(1);
        copy.failed_at = Some(Time(entry.at));
        (copy.reason, copy.message) = (reason.into(), message);
        return;
    };
    let before = copy.upkeep.iter().find(|failed| failed.task == task).map_or(0, |failed| failed.failures);
    copy.upkeep.retain(|failed| failed.task != task);
    copy.upkeep.push(FailedUpkeep {
        task: task.into(),
        reason: reason.into(),
        message,
        failures: before.saturating_add(1),
        failed_at: Time(entry.at),
    });
}

/// A copy that is made anew owes nothing.
fn succeeds(task: Task, copy: &mut CacheCopy) {
    match upkeep(task) {
        Some(task) => copy.upkeep.retain(|failed| failed.task != task),
        None => {
            copy.upkeep.clear();
            (copy.reason, copy.message) = (String::new(), String::new());
            (copy.failures, copy.failed_at) = (0, None);
        }
    }
}

/// Notices that the generation in use lies on the target no more, or not as it was made: no pod gets it, though nodes were
/// told that they could show it.
fn gone(entry: &Entry<'_>, outcome: &Outcome, copy: &mut CacheCopy) -> Option<Happened> {
    let generation = copy.generation?;
    let failure = outcome.failure.as_ref();
    let scrubbed = failure.filter(|failure| {
        entry.errand.task == Task::Scrub
            && entry.errand.generation == generation
            && failure.reason == FailureReason::GenerationGone
    });
    // An empty list may be of a mover that did not get so far as to look, or of one whose word had no room for it.
    let looked = !outcome.present.is_empty() || (entry.errand.task == Task::Remove && failure.is_none());
    let is_missed = looked && !outcome.present.contains(&generation);
    let is_known = copy.whole.is_empty() && copy.verified_at.is_none();
    if is_known || (scrubbed.is_none() && !is_missed) {
        return None;
    }
    let message = scrubbed.map_or_else(
        || format!("generation {generation} does not lie on the target any more"),
        |failure| failure.message.trim_end_matches('.').to_owned(),
    );
    copy.whole.clear();
    Some(damaged(copy, message))
}

/// What is not what was written is not verified, and by that copied again.
fn damaged(copy: &mut CacheCopy, message: String) -> Happened {
    copy.verified_at = None;
    let note = format!("{}{message}. New pods do not get it, and it is copied again", of_node(&copy.node));
    // Why a refresh fails is what keeps it from being mended.
    if copy.failures == 0 {
        (copy.reason, copy.message) = ("Damaged".into(), message);
    }
    Happened { warning: true, reason: "Damaged", note }
}

/// What a run says of the generation.
fn content(
    entry: &Entry<'_>,
    outcome: &Outcome,
    copy: &mut CacheCopy,
    paths: &[CachedPath],
) -> Option<Happened> {
    let whole: Vec<String> = outcome
        .paths
        .iter()
        .zip(paths)
        .filter(|(path, _)| path.state == PathState::Whole)
        .map(|(_, path)| path.path.clone())
        .collect();
    match entry.errand.task {
        Task::Fill if let Some(current) = current(entry, outcome) => {
            let before = copy.generation.replace(current);
            let is_kept = before == Some(current);
            copy.superseded.extend(before.filter(|before| *before != current));
            // By the node's clock, which may be ahead: nothing was read after the run had ended.
            let as_of = |second| Timestamp::from_second(second).unwrap_or(entry.at).min(entry.at);
            copy.as_of = outcome.as_of.map(as_of).map(Time);
            copy.source = entry.errand.source.clone();
            copy.reading.clear();
            copy.whole = whole;
            (copy.filling, copy.refreshed_at) = (None, Some(Time(entry.at)));
            // What was linked from the earlier generation was not read again.
            if entry.errand.earlier.is_none() || copy.verified_at.is_none() {
                copy.verified_at = Some(Time(entry.at));
            }
            let (reason, what) = match before {
                None => ("Filled", "filled"),
                Some(_) if is_kept => ("Refreshed", "compared, and nothing has changed"),
                Some(_) => ("Refreshed", "refreshed"),
            };
            let note = format!(
                "{}{what}: {} of {} paths are whole",
                of_node(&copy.node),
                copy.whole.len(),
                paths.len()
            );
            Some(Happened { warning: false, reason, note })
        }
        Task::Scrub if outcome.paths.len() == paths.len() && !is_trouble(outcome) => {
            copy.verified_at = Some(Time(entry.at));
            let lost: Vec<String> = copy.whole.iter().filter(|path| !whole.contains(path)).cloned().collect();
            if lost.is_empty() {
                return None;
            }
            copy.whole.retain(|path| !lost.contains(path));
            let message = format!("what lies on the target is not what was written: {}", lost.join(", "));
            Some(damaged(copy, message))
        }
        Task::Fill | Task::Scrub | Task::Remove | Task::RemoveAll => None,
    }
}

/// The generation that a fill says is the copy now: the one it was sent to make, or the earlier one where nothing has changed.
fn current(entry: &Entry<'_>, outcome: &Outcome) -> Option<i64> {
    let of_errand = [Some(entry.errand.generation), entry.errand.earlier];
    outcome.generation.filter(|number| of_errand.contains(&Some(*number)))
}

/// Whether a fill left no copy of what the source is.
fn came_to_nothing(entry: &Entry<'_>, outcome: &Outcome) -> bool {
    entry.errand.task == Task::Fill && current(entry, outcome).is_none()
}

/// Whether a run ended without having looked at everything. (That nothing is whole is a finding.)
fn is_trouble(outcome: &Outcome) -> bool {
    outcome.failure.as_ref().is_some_and(|failure| failure.reason != FailureReason::NothingWhole)
}

/// The generations that lie there still beside the one in use: as the mover saw it at its end.
fn superseded(copy: &CacheCopy, outcome: &Outcome, removed: &[i64]) -> Vec<i64> {
    let mut left = if outcome.present.is_empty() {
        // It did not get so far as to look, or its word had no room for it.
        copy.superseded
            .iter()
            .copied()
            .filter(|generation| outcome.failure.is_some() || !removed.contains(generation))
            .collect()
    } else {
        outcome.present.clone()
    };
    left.retain(|generation| copy.generation != Some(*generation));
    left.sort_unstable();
    left.dedup();
    left
}

/// Reason and sentence of a run that did not do what it was sent for.
fn failure(entry: &Entry<'_>) -> Option<(&'static str, String)> {
    let outcome = match entry.outcome {
        Err(why) => return Some(("MoverFailed", why.clone())),
        Ok(outcome) => outcome,
    };
    match &outcome.failure {
        // Findings of a comparison, and not that there was none.
        Some(Failure { reason: FailureReason::NothingWhole | FailureReason::GenerationGone, .. })
            if entry.errand.task == Task::Scrub =>
        {
            None
        }
        Some(Failure { reason, message }) => {
            let mut message = message.trim_end_matches('.').to_string();
            if *reason == FailureReason::TargetFull && !entry.room.is_empty() {
                message = format!("{message}; {}", entry.room);
            }
            Some((name(*reason), message))
        }
        None if came_to_nothing(entry, outcome) => {
            Some(("MoverFailed", "the mover ended well and says nothing of the generation".into()))
        }
        None => None,
    }
}

/// The reason, for a condition.
fn name(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::SourceUnreachable => "SourceUnreachable",
        FailureReason::AccessDenied => "AccessDenied",
        FailureReason::NoSuchBucket => "NoSuchBucket",
        FailureReason::TargetUnavailable => "TargetUnavailable",
        FailureReason::TargetFull => "TargetFull",
        FailureReason::NothingWhole => "NothingWhole",
        FailureReason::Interrupted => "Interrupted",
        FailureReason::GenerationGone | FailureReason::Failed => "MoverFailed",
    }
}

fn told_as(task: Task, reason: &'static str) -> &'static str {
    match task {
        Task::Fill if reason == "TargetFull" => "TargetTooSmall",
        Task::Fill => "FillFailed",
        Task::Scrub => "ScrubFailed",
        Task::Remove | Task::RemoveAll => "RemovalFailed",
    }
}

/// Writes each path's state; tells of those that ceased to be whole, or never were: of all of them in one Event of each reason, as
/// of several that agree in all but their notes only one is shown. Of a path that is whole a fill that came to no generation says
/// nothing: what pods get is the earlier one, with its files.
fn path_states(entry: &Entry<'_>, outcome: &Outcome, paths: &mut [CachedPath]) -> Vec<Happened> {
    let mut told: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (new, known) in outcome.paths.iter().zip(paths) {
        let is_news =
            known.state != new.state || (new.state == PathState::Whole && known.message != new.message);
        if !(known.state == PathState::Whole && came_to_nothing(entry, outcome)) {
            let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            *known = CachedPath {
                path: std::mem::take(&mut known.path),
                state: new.state,
                files: count(new.files),
                bytes: count(new.bytes),
                message: new.message.clone(),
            };
        }
        let because = if new.message.is_empty() { String::new() } else { format!(": {}", new.message) };
        let (reason, what) = match new.state {
            PathState::Whole if !new.message.is_empty() => (OBJECTS_NOT_PLAIN, "is kept"),
            PathState::Pending | PathState::Whole => continue,
            PathState::Evicted => ("Evicted", "was left out, there is no room for it"),
            PathState::Partial => ("PathNotWhole", "could not be copied or verified as a whole"),
            PathState::Missing => ("PathNotWhole", "is not in the source"),
            PathState::NotAFolder => ("PathNotWhole", "is no folder"),
        };
        if is_news {
            let room = if new.state == PathState::Evicted && !entry.room.is_empty() {
                format!("; {}", entry.room)
            } else {
                String::new()
            };
            told.entry(reason).or_default().push(format!("{} {what}{because}{room}", known.path));
        }
    }
    let node = of_node(&entry.errand.node);
    let event = |(reason, paths): (_, Vec<String>)| {
        let paths = paths.join("; ");
        match reason {
            OBJECTS_NOT_PLAIN => Happened { warning: false, reason, note: format!("{node}{paths}") },
            _ => {
                let note = format!("{node}{paths}. The copy is without that");
                Happened { warning: true, reason, note }
            }
        }
    };
    told.into_iter().map(event).collect()
}

/// What begins a sentence about one of several copies.
pub fn of_node(node: &str) -> String {
    if node == workspacefs_api::fs_cache::EVERYWHERE { String::new() } else { format!("node {node}: ") }
}
