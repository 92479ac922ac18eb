//! What is to be written and done about an FsCache, decided from its status, its Jobs and the time. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use workspacefs_api::fs_cache::EVERYWHERE;
use workspacefs_api::{CacheCopy, CachePhase, CachedPath, Exposure, FsCacheSpec, FsCacheStatus, PathState};

use super::findings;
use super::ledger::{self, Entry};
use super::objects::{Errand, Task};
use super::plan::{self, Circumstances, Step};
use super::removal::Nodes;
use super::runs::{Run, State};
use super::setting::{Place, Setting};
use super::wanted::Wanted;
use crate::events::Happened;
use crate::filesystem::users;

/// What it is decided from.
pub struct Input<'a> {
    /// What is asked for.
    pub spec: &'a FsCacheSpec,
    /// When things are due.
    pub wanted: &'a Wanted,
    /// The value of the refresh annotation; empty where there is none.
    pub asked: &'a str,
    /// The status as the pass saw it.
    pub old: &'a FsCacheStatus,
    /// What it is between.
    pub setting: &'a Setting,
    /// Its Jobs.
    pub runs: &'a [Run],
    /// The nodes that could expose what lies on the target.
    pub exposing: &'a BTreeSet<String>,
    /// The time.
    pub now: Timestamp,
}

/// What is to be written and done.
#[derive(Debug, Default)]
pub struct Survey {
    /// For the status.
    pub copies: Vec<CacheCopy>,
    /// For the status.
    pub paths: Vec<CachedPath>,
    /// For the status.
    pub refreshed_for: String,
    /// For the status.
    pub last_generation: Option<i64>,
    /// What is to be told beside the changes of conditions.
    pub happened: Vec<Happened>,
    /// What is to be done once the status is written.
    pub acts: Vec<Act>,
    /// When to look again, even if nothing changes.
    pub times: Vec<Timestamp>,
}

/// Reason of a copy of a FileSystem that was deleted, and of which another has the name now.
pub const SOURCE_REPLACED: &str = "SourceReplaced";
const REPLACED: &str = "the copy is of a FileSystem that is gone, whose name another one has now";

/// Something to be done.
#[derive(Clone, Debug)]
pub enum Act {
    /// A mover is sent.
    Send(Errand),
    /// A Job goes: its outcome is in the status, or nobody waits for it.
    End(Arc<Job>),
}

impl Survey {
    /// Decides.
    pub fn of(input: &Input<'_>) -> Self {
        let paths = paths(input.spec, &input.old.paths);
        let copies = copies(&input.old.copies, &input.setting.places);
        let last_generation = plan::last_generation(input.old.last_generation, &input.old.copies);
        let mut survey = Self { copies, paths, last_generation, ..Self::default() };
        survey.forget_lost(input);
        for run in input.runs {
            survey.take_in(input, run);
        }
        survey.hide_copies_of_others(input);
        for at in 0..survey.copies.len() {
            survey.step(input, at);
        }
        survey.last_generation = plan::last_generation(survey.last_generation, &survey.copies);
        let phases: Vec<CachePhase> = survey.copies.iter().map(|copy| survey.phase(input, copy)).collect();
        survey.copies.iter_mut().zip(phases).for_each(|(copy, phase)| copy.phase = phase);
        sum_up_paths(&mut survey.paths, &survey.copies);
        survey.refreshed_for = survey.obeyed(input);
        survey
    }

    /// The value of the annotation that every copy obeys by now, but for those whose nodes are not ready.
    fn obeyed(&self, input: &Input<'_>) -> String {
        let mut concerned = self.copies.iter().filter(|copy| input.setting.is_ready(&copy.node)).peekable();
        let obeys = |copy: &CacheCopy| copy.refreshed_for == input.asked && copy.filling.is_none();
        let is_news = !input.asked.is_empty() && concerned.peek().is_some();
        if is_news && concerned.all(obeys) { input.asked.into() } else { input.old.refreshed_for.clone() }
    }

    fn forget_lost(&mut self, input: &Input<'_>) {
        let is_kept = |copy: &CacheCopy| self.copies.iter().any(|kept| kept.node == copy.node);
        let lost: Vec<String> =
            input.old.copies.iter().filter(|copy| !is_kept(copy)).map(|copy| copy.node.clone()).collect();
        if !lost.is_empty() {
            let note = format!("nodes that had a copy are gone: {}", users::named(&lost));
            self.happened.push(Happened { warning: false, reason: "CopyForgotten", note });
        }
    }

    fn take_in(&mut self, input: &Input<'_>, run: &Run) {
        let Some(copy) = self.copies.iter_mut().find(|copy| copy.node == run.errand.node) else {
            return self.acts.push(Act::End(run.job.clone()));
        };
        match &run.state {
            State::Running(_) | State::Leaving => {}
            State::Ended { outcome, at } => {
                let room = input.setting.room.as_str();
                let entry = Entry { job: run.uid(), errand: &run.errand, outcome, at: *at, room };
                self.happened.extend(ledger::take_in(&entry, copy, &mut self.paths));
                self.acts.push(Act::End(run.job.clone()));
            }
        }
    }

    /// What was read from a FileSystem that is no more is shown to nobody as the one that has its name now.
    fn hide_copies_of_others(&mut self, input: &Input<'_>) {
        let is_others = |copy: &&mut CacheCopy| {
            copy.generation.is_some() && copy.source != input.setting.source_uid && !copy.whole.is_empty()
        };
        let mut hidden = Vec::new();
        for copy in self.copies.iter_mut().filter(is_others) {
            copy.whole.clear();
            (copy.reason, copy.message) = (SOURCE_REPLACED.into(), REPLACED.into());
            hidden.push(copy.node.clone());
        }
        if !hidden.is_empty() {
            let note = format!("{REPLACED}: new pods do not see it, and it is copied again");
            self.happened.push(Happened { warning: true, reason: SOURCE_REPLACED, note });
        }
    }

    fn step(&mut self, input: &Input<'_>, at: usize) {
        let uses = &input.old.uses;
        let fresh = plan::fresh_generation(self.last_generation, &self.copies, uses);
        let Some(copy) = self.copies.get_mut(at) else { return };
        if input.runs.iter().any(|run| run.errand.node == copy.node) {
            return;
        }
        let removable = Nodes { exposing: input.exposing, uses }.removable(copy);
        let circumstances = Circumstances {
            wanted: input.wanted,
            asked: input.asked,
            source: &input.setting.source_uid,
            fresh,
            is_ready: input.setting.is_ready(&copy.node),
            removable: &removable,
            now: input.now,
        };
        match plan::next(copy, circumstances) {
            Step::Send(errand) => self.acts.push(Act::Send(errand)),
            Step::Wait(at) => self.times.extend(at),
        }
    }

    fn phase(&self, input: &Input<'_>, copy: &CacheCopy) -> CachePhase {
        let fills = |errand: &Errand| errand.node == copy.node && errand.task == Task::Fill;
        let is_filling = input.runs.iter().any(|run| run.is_running() && fills(&run.errand))
            || self.acts.iter().any(|act| matches!(act, Act::Send(errand) if fills(errand)));
        phase(copy, self.is_shown(input, copy), is_filling)
    }

    /// Whether pods that start now get something of a copy; of one that is had by a claim all of it or nothing.
    fn is_shown(&self, input: &Input<'_>, copy: &CacheCopy) -> bool {
        let has_enough = match input.spec.exposure {
            Exposure::Transparent => copy.generation.is_some() && !copy.whole.is_empty(),
            Exposure::Claim => findings::is_whole(copy, &self.paths),
        };
        has_enough
            && input.setting.is_ready(&copy.node)
            && input.setting.doubt(findings::TARGET_AVAILABLE).is_none()
            && findings::stale_at(copy, input.wanted).is_none_or(|at| at > input.now)
    }
}

/// The paths of the spec, with what is known of each.
fn paths(spec: &FsCacheSpec, known: &[CachedPath]) -> Vec<CachedPath> {
    let of = |path: String| {
        let found = known.iter().find(|known| known.path == path).cloned();
        found.unwrap_or_else(|| CachedPath { path, ..CachedPath::default() })
    };
    spec.source.kept_paths().into_iter().map(of).collect()
}

/// The copies that there are, and an entry for each place that is to have one: before anything is done there, so that
/// nothing that lies there is ever forgotten.
fn copies(known: &[CacheCopy], places: &[Place]) -> Vec<CacheCopy> {
    let of = |place: &Place| {
        let found = known.iter().find(|copy| copy.node == place.node).cloned();
        found.or_else(|| {
            place.is_ready.then(|| CacheCopy { node: place.node.clone(), ..CacheCopy::default() })
        })
    };
    places.iter().filter_map(of).collect()
}

/// Where a copy stands: whether new pods get it, and whether one is being made.
pub fn phase(copy: &CacheCopy, is_shown: bool, is_filling: bool) -> CachePhase {
    match (is_filling, is_shown) {
        (true, false) => CachePhase::Filling,
        (true, true) => CachePhase::Refreshing,
        (false, true) => CachePhase::Ready,
        (false, false) if copy.failures > 0 || copy.generation.is_some() => CachePhase::Failed,
        (false, false) => CachePhase::Pending,
    }
}

/// A path is whole if it is in every copy that pods get.
fn sum_up_paths(paths: &mut [CachedPath], copies: &[CacheCopy]) {
    for path in paths {
        let shown = || copies.iter().filter(|copy| copy.generation.is_some());
        let lacks: Vec<String> =
            shown().filter(|copy| !copy.whole.contains(&path.path)).map(|copy| copy.node.clone()).collect();
        if lacks.is_empty() && shown().next().is_some() {
            // What was said of it when it was not is over; what its mover says of a whole one stands.
            if path.state != PathState::Whole {
                (path.state, path.message) = (PathState::Whole, String::new());
            }
        } else if path.state == PathState::Whole {
            path.state = PathState::Partial;
            path.message = if lacks == [EVERYWHERE] {
                "not whole in the copy".into()
            } else {
                format!("not whole on {}", users::named(&lacks))
            };
        }
    }
}
