//! What the conditions of an FsCache say, decided from what was seen. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use workspacefs_api::fs_cache::EVERYWHERE;
use workspacefs_api::{CacheCopy, CachedPath, PathState};

use super::ledger::{not_done, of_node, upkeep};
use super::objects::{Identity, Task};
use super::runs::{Run, State};
use super::setting::{NOT_READY, Setting, Target};
use super::survey::{SOURCE_REPLACED, Survey};
use super::wanted::Wanted;
use crate::child::Child;
use crate::conditions::Finding;
use crate::filesystem::users;
use crate::pair;

/// There is a verified copy.
pub const READY: &str = "Ready";
/// The copies are as new as they should be.
pub const FRESH: &str = "Fresh";
/// The source can be read.
pub const SOURCE_REACHABLE: &str = "SourceReachable";
/// The target can be written.
pub const TARGET_AVAILABLE: &str = "TargetAvailable";
/// Another FsCache has a path already. Said only where that is so.
pub const CONFLICT: &str = "Conflict";

/// Every condition that the operator writes.
pub const OURS: [&str; 5] = [READY, FRESH, SOURCE_REACHABLE, TARGET_AVAILABLE, CONFLICT];

/// Reason of Ready where nothing is missing.
pub const ALL_WELL: &str = "Ready";

const SOURCE_FAILURES: [&str; 3] = ["SourceUnreachable", "AccessDenied", "NoSuchBucket"];
const TARGET_FAILURES: [&str; 2] = ["TargetUnavailable", "TargetFull"];

/// Of an object that asks for what cannot be.
pub fn invalid(why: &str) -> Finding {
    Finding::new(READY, false, "Invalid", format!("the spec is not valid: {why}"))
}

/// Of one that something keeps from being a cache. That is said by the condition it concerns, and by Ready.
pub fn kept_from(obstacle: Finding) -> Vec<Finding> {
    let ready = Finding { kind: READY, status: "False", ..obstacle.clone() };
    if obstacle.kind == READY { vec![ready] } else { vec![ready, obstacle] }
}

/// Of one whose exposure is Claim: Ready, if pods cannot use its claim for what there is under its name or that of its volume.
pub fn claim(
    cache: &Identity,
    volume: &Child<PersistentVolume>,
    claim: &Child<PersistentVolumeClaim>,
) -> Option<Finding> {
    let obstacle = pair::obstacle("FsCache", (&cache.name, claim), (&cache.volume_name(), volume), "");
    obstacle.map(|(reason, message)| Finding::new(READY, false, reason, message))
}

/// Whether all of what the FsCache keeps is in a copy: nothing less is shown by a claim.
pub fn is_whole(copy: &CacheCopy, paths: &[CachedPath]) -> bool {
    copy.generation.is_some()
        && !copy.whole.is_empty()
        && paths.iter().all(|path| copy.whole.contains(&path.path))
}

/// Of one that is being deleted.
pub fn terminating(message: impl Into<String>) -> Finding {
    Finding::new(READY, false, "Terminating", message)
}

/// What the conditions of one that can be a cache are decided from.
pub struct Seen<'a> {
    /// What it is between.
    pub setting: &'a Setting,
    /// What was decided.
    pub survey: &'a Survey,
    /// Its Jobs.
    pub runs: &'a [Run],
    /// When things are due.
    pub wanted: &'a Wanted,
    /// The nodes that could expose what lies on the target.
    pub exposing: &'a BTreeSet<String>,
    /// The time.
    pub now: Timestamp,
    /// The name of its claim, where its copies are had by that.
    pub claim: Option<&'a str>,
}

impl Seen<'_> {
    /// The copies that somebody waits for: not those of nodes that left the group, which keep what they have.
    fn concerned(&self) -> impl Iterator<Item = &CacheCopy> {
        let concerns =
            |node: &str| node == EVERYWHERE || self.setting.is_ready(node) || self.exposing.contains(node);
        self.survey.copies.iter().filter(move |copy| concerns(&copy.node))
    }

    /// Whether pods that start now can get a copy, as far as that is not a matter of what is in it.
    pub fn is_had(&self, copy: &CacheCopy) -> bool {
        self.withheld(copy).is_none()
    }

    fn is_stale(&self, copy: &CacheCopy) -> bool {
        stale_at(copy, self.wanted).is_some_and(|at| at <= self.now)
    }

    /// Why new pods do not get a copy that they would get otherwise: a reason for them all, and a word about this one.
    fn withheld(&self, copy: &CacheCopy) -> Option<(Withheld, &'static str)> {
        if copy.generation.is_none() {
            Some((Withheld::NotFilled, ""))
        } else if !self.setting.is_ready(&copy.node) {
            Some((Withheld::NotReady, "its storage is not ready"))
        } else if self.is_stale(copy) {
            Some((Withheld::Stale, "older than maxAge"))
        } else {
            None
        }
    }

    /// What pods do that get no copy.
    fn without(&self) -> &'static str {
        match self.claim {
            None => "pods read the source",
            Some(_) => "pods with its claim wait",
        }
    }

    /// The nodes whose copies new pods do not get, with why, and the reason for Ready.
    fn lacks(&self) -> Option<(&'static str, Vec<String>)> {
        let lacks: Vec<(Withheld, String)> = self
            .concerned()
            .filter_map(|copy| self.withheld(copy).map(|(why, word)| (why, lacking(copy, word))))
            .collect();
        let reason = lacks.iter().map(|(why, _)| *why).min()?;
        Some((reason.on_some_nodes(), lacks.into_iter().map(|(_, node)| node).collect()))
    }
}

/// Why a copy is not for new pods. The first is the one that speaks for several.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Withheld {
    NotFilled,
    NotReady,
    Stale,
}

impl Withheld {
    fn on_some_nodes(self) -> &'static str {
        match self {
            Self::NotFilled => "SomeNodesNotFilled",
            Self::NotReady => "SomeNodesNotReady",
            Self::Stale => "SomeNodesStale",
        }
    }
}

/// All of one that can be a cache, but for conflicts.
pub fn all(seen: &Seen<'_>) -> Vec<Finding> {
    vec![
        ready(seen),
        fresh(seen),
        reached(SOURCE_REACHABLE, &SOURCE_FAILURES, seen),
        reached(TARGET_AVAILABLE, &TARGET_FAILURES, seen),
    ]
}

fn ready(seen: &Seen<'_>) -> Finding {
    let not = |reason, message| Finding::new(READY, false, reason, message);
    let Seen { setting, survey, .. } = seen;
    let without = seen.without();
    let has_some = |copy: &&CacheCopy| copy.generation.is_some() && !copy.whole.is_empty();
    let whole: Vec<&CacheCopy> = survey.copies.iter().filter(has_some).collect();
    if survey.copies.iter().all(|copy| copy.generation.is_none()) {
        return not_yet(seen);
    }
    if whole.is_empty()
        && let Some(copy) = survey.copies.iter().find(|copy| copy.reason == SOURCE_REPLACED)
    {
        return not(SOURCE_REPLACED, format!("{}. It is copied again; {without} meanwhile", copy.message));
    }
    if whole.is_empty() {
        return not("NothingWhole", format!("no path is whole; {without}: {}", not_whole(&survey.paths)));
    }
    if let Some(doubt) = setting.doubt(TARGET_AVAILABLE) {
        return not("TargetUnavailable", format!("{}; new {without} meanwhile", doubt.message));
    }
    if !whole.iter().any(|copy| setting.is_ready(&copy.node)) {
        let message = format!("no node that has a copy has its storage ready; new {without} meanwhile");
        return not("TargetUnavailable", message);
    }
    if whole.iter().all(|copy| seen.withheld(copy).is_some()) {
        return not("Stale", format!("older than maxAge: new {without} until the next refresh"));
    }
    match seen.claim {
        None => ready_in_place(seen),
        Some(claim) => ready_by_claim(claim, seen),
    }
}

/// Of copies of which one at least has a path that can be shown at its place.
fn ready_in_place(seen: &Seen<'_>) -> Finding {
    let (group, survey) = (seen.setting.target.group(), seen.survey);
    let yes = |reason, message| Finding::new(READY, true, reason, message);
    if let Some(kept) = some_kept(group, survey) {
        let others = not_whole(&survey.paths);
        return yes("SomePathsNotWhole", format!("{kept}; pods read the others from the source: {others}"));
    }
    if let Some((reason, lacks)) = seen.lacks() {
        let wants = seen.concerned().count();
        let (has, lacks) = (wants - lacks.len(), users::named(&lacks));
        let message = format!("kept on {has} of {wants} nodes. Others' pods read the source: {lacks}");
        return yes(reason, message);
    }
    let message = format!(
        "all paths are kept for node group {group}: pods that start there from now on find them at their places"
    );
    yes(ALL_WELL, message)
}

/// Of copies that are had by a claim: all of it or nothing.
fn ready_by_claim(claim: &str, seen: &Seen<'_>) -> Finding {
    let (group, survey, paths) = (seen.setting.target.group(), seen.survey, &seen.survey.paths);
    let wants = seen.concerned().count();
    let has = seen.concerned().filter(|copy| is_whole(copy, paths) && seen.withheld(copy).is_none()).count();
    if has == 0 {
        let message = match some_kept(group, survey) {
            Some(kept) => format!("{kept}; pods with its claim wait for the others: {}", not_whole(paths)),
            None => "no copy that pods can get now has all paths; pods with its claim wait".into(),
        };
        return Finding::new(READY, false, "NothingWhole", message);
    }
    let mut mounted = format!("pods of node group {group} mount it with claimName: {claim}");
    if has < wants {
        let (reason, lacks) = seen.lacks().unwrap_or((Withheld::NotFilled.on_some_nodes(), Vec::new()));
        let those =
            if lacks.is_empty() { String::new() } else { format!("; not on {}", users::named(&lacks)) };
        return Finding::new(
            READY,
            true,
            reason,
            format!("{mounted}, on {has} of {wants} nodes so far{those}"),
        );
    }
    // What a bucket has beside its files.
    for remark in paths.iter().map(|path| &path.message).filter(|remark| !remark.is_empty()) {
        mounted = format!("{mounted}. {remark}");
    }
    Finding::new(READY, true, ALL_WELL, mounted)
}

/// How many paths are kept, where that is not all.
fn some_kept(group: &str, survey: &Survey) -> Option<String> {
    let all = survey.paths.len();
    let whole = survey.paths.iter().filter(|path| path.state == PathState::Whole).count();
    (whole < all).then(|| format!("{whole} of {all} paths are kept for node group {group}"))
}

/// A node without a copy for new pods, with why: `word`, or what its last mover said.
fn lacking(copy: &CacheCopy, word: &str) -> String {
    match (word, &*copy.reason) {
        ("", "") => copy.node.clone(),
        ("", reason) => format!("{} ({reason}: {})", copy.node, copy.message),
        (word, _) => format!("{} ({word})", copy.node),
    }
}

/// Ready, before there is any copy.
fn not_yet(seen: &Seen<'_>) -> Finding {
    let not = |reason, message| Finding::new(READY, false, reason, message);
    let (copies, without) = (&seen.survey.copies, seen.without());
    let waits = seen.runs.iter().find_map(waits);
    if let Some(failed) = copies.iter().find(|copy| copy.failures > 0) {
        let (node, why) = (of_node(&failed.node), &failed.message);
        let message =
            format!("{node}{why}. It is tried again{}; {without} meanwhile", because(held_up(seen)));
        return not(known(&failed.reason), message);
    }
    match (held_up(seen), &seen.setting.target) {
        (Some(why), _) => {
            not("MoverWaits", format!("the first copy is not begun: {why}; {without} meanwhile"))
        }
        (None, Target::LocalStorage { name, .. })
            if !copies.iter().any(|copy| seen.setting.is_ready(&copy.node)) =>
        {
            not(
                "NoNodes",
                format!("no node has LocalStorage {name} ready; the first copy is made when one has"),
            )
        }
        _ => {
            let waits = waits.map_or(String::new(), |waits| format!(". The mover's {waits}"));
            not("Filling", format!("the first copy is being made; {without} meanwhile{waits}"))
        }
    }
}

/// Why the pod of a run does not run.
fn waits(run: &Run) -> Option<&String> {
    match &run.state {
        State::Running(mover) if !mover.waits.is_empty() => Some(&mover.waits),
        _ => None,
    }
}

/// Of a fill that should have begun long ago, why it has not.
fn held_up(seen: &Seen<'_>) -> Option<String> {
    let is_late = |run: &&Run| run.errand.task == Task::Fill && run.starts_by() <= seen.now;
    let mut late = seen.runs.iter().filter(is_late);
    late.find_map(|run| Some(format!("{}the mover's {}", of_node(&run.errand.node), waits(run)?)))
}

fn because(held_up: Option<String>) -> String {
    held_up.map_or(String::new(), |why| format!(", which does not begin: {why}"))
}

/// The reasons that a copy can have, as conditions have them.
fn known(reason: &str) -> &'static str {
    let all =
        SOURCE_FAILURES.iter().chain(&TARGET_FAILURES).chain(&["NothingWhole", "Interrupted", "Damaged"]);
    all.copied().find(|known| *known == reason).unwrap_or("MoverFailed")
}

fn not_whole(paths: &[CachedPath]) -> String {
    let those = paths.iter().filter(|path| path.state != PathState::Whole);
    let said: Vec<String> = those
        .map(|path| {
            let because = if path.message.is_empty() { String::new() } else { format!(", {}", path.message) };
            format!("{} ({:?}{because})", path.path, path.state)
        })
        .collect();
    users::named(&said)
}

fn fresh(seen: &Seen<'_>) -> Finding {
    let not = |reason, message| Finding::new(FRESH, false, reason, message);
    let shown: Vec<&CacheCopy> = seen.survey.copies.iter().filter(|copy| copy.generation.is_some()).collect();
    if shown.is_empty() {
        return Finding::unknown(FRESH, "NoCopy", "there is no copy yet");
    }
    let held_up = held_up(seen);
    let stale: Vec<String> =
        shown.iter().filter(|copy| seen.is_stale(copy)).map(|copy| copy.node.clone()).collect();
    if !stale.is_empty() {
        let which = if shown.len() == 1 {
            "the copy is".into()
        } else {
            format!("copies are ({})", users::named(&stale))
        };
        let (because, without) = (because(held_up), seen.without());
        return not(
            "Stale",
            format!("{which} older than maxAge: new {without} until the next refresh{because}"),
        );
    }
    if let Some(copy) = shown.iter().find(|copy| copy.failures > 0) {
        let (node, why) = (of_node(&copy.node), &copy.message);
        let message = format!("{node}the last refresh failed: {why}. It is tried again{}", because(held_up));
        return not("RefreshFailed", message);
    }
    if let Some(why) = held_up {
        return not("MoverWaits", format!("the refresh that is due does not begin: {why}"));
    }
    let mut message = "the last refresh succeeded; status.asOf says as of when the copies are".to_string();
    for (copy, failed) in shown.iter().flat_map(|copy| copy.upkeep.iter().map(move |failed| (copy, failed))) {
        let task = if upkeep(Task::Scrub) == Some(&failed.task) { Task::Scrub } else { Task::Remove };
        let (node, what) = (of_node(&copy.node), not_done(task));
        message = format!("{message}. {node}{what}: {}. It is tried again", failed.message);
    }
    Finding::new(FRESH, true, "Refreshed", message)
}

/// When a copy becomes too old for new pods.
pub fn stale_at(copy: &CacheCopy, wanted: &Wanted) -> Option<Timestamp> {
    copy.generation?;
    copy.as_of.as_ref()?.0.checked_add(wanted.max_age?).ok()
}

/// SourceReachable and TargetAvailable: what the source or target says of itself, else what movers met.
fn reached(kind: &'static str, failures: &[&'static str], seen: &Seen<'_>) -> Finding {
    let not = |reason, message| Finding::new(kind, false, reason, message);
    if let Some(doubt) = seen.setting.doubt(kind) {
        return doubt.clone();
    }
    if kind == TARGET_AVAILABLE
        && let Some(lost) = lost(seen)
    {
        return not(NOT_READY, lost);
    }
    for copy in &seen.survey.copies {
        let refresh = (copy.failures > 0).then_some((&copy.reason, &copy.message));
        let upkeep = copy.upkeep.iter().map(|failed| (&failed.reason, &failed.message));
        for (why, message) in refresh.into_iter().chain(upkeep) {
            if let Some(reason) = failures.iter().find(|reason| *reason == why) {
                return not(reason, format!("{}{message}", of_node(&copy.node)));
            }
        }
    }
    Finding::new(kind, true, "Available", "nothing is known against it")
}

/// The nodes that have a copy which nobody gets there now, since its disk is gone.
fn lost(seen: &Seen<'_>) -> Option<String> {
    let Target::LocalStorage { name, .. } = &seen.setting.target else { return None };
    let is_lost = |copy: &&CacheCopy| copy.generation.is_some() && !seen.setting.is_ready(&copy.node);
    let lost: Vec<String> = seen.concerned().filter(is_lost).map(|copy| copy.node.clone()).collect();
    let (nodes, without) = (users::named(&lost), seen.without());
    (!lost.is_empty()).then(|| {
        format!("LocalStorage {name} is not ready where a copy lies: {nodes}. New {without} there; its status.nodes says why")
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::batch::v1::Job;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
    use serde_json::json;

    use super::*;
    use crate::fs_cache::objects::Errand;
    use crate::fs_cache::runs::Mover;
    use crate::fs_cache::setting::Place;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    /// A copy for a group, made at second 1000.
    fn copy() -> CacheCopy {
        CacheCopy {
            node: EVERYWHERE.into(),
            generation: Some(3),
            as_of: Some(at(1000)),
            whole: vec!["/a".into()],
            ..CacheCopy::default()
        }
    }

    /// Ready and Fresh at a second, with a mover that waits and was sent at second 2000, if it is for something.
    fn said(copy: CacheCopy, second: i64, mover: Option<Task>, claim: Option<&str>) -> [Finding; 2] {
        let setting = Setting {
            source: None,
            source_uid: String::new(),
            target: Target::FileSystem { name: "near".into(), group: "gpu".into() },
            places: vec![Place { node: EVERYWHERE.into(), is_ready: true }],
            doubts: vec![],
            room: String::new(),
        };
        let path = CachedPath { path: "/a".into(), state: PathState::Whole, ..CachedPath::default() };
        let survey = Survey { copies: vec![copy], paths: vec![path], ..Survey::default() };
        let run = |task| Run {
            job: Arc::new(Job {
                metadata: ObjectMeta { creation_timestamp: Some(at(2000)), ..ObjectMeta::default() },
                ..Job::default()
            }),
            errand: Errand {
                node: EVERYWHERE.into(),
                task,
                generation: 4,
                earlier: None,
                source: String::new(),
                remove: vec![],
            },
            state: State::Running(Mover { address: None, waits: "pod p has no node: 0/3".into() }),
        };
        let spec = json!({"source": {"fileSystem": "s", "paths": ["/a"]}, "target": {"fileSystem": "near"},
                          "maxAge": "1h"});
        let seen = Seen {
            setting: &setting,
            survey: &survey,
            runs: &mover.map(run).into_iter().collect::<Vec<_>>(),
            wanted: &Wanted::of(&serde_json::from_value(spec).unwrap()).unwrap(),
            exposing: &BTreeSet::new(),
            now: at(second).0,
            claim,
        };
        let [ready, fresh, _, _]: [Finding; 4] = all(&seen).try_into().unwrap();
        [ready, fresh]
    }

    #[test]
    fn a_copy_is_stale_from_its_max_age_on_and_what_pods_do_then_depends_on_how_they_get_it() {
        for (second, claim, reasons, words) in [
            (4599, None, ["Ready", "Refreshed"], ["find them at their places", "succeeded"]),
            (4600, None, ["Stale", "Stale"], ["new pods read the source", "new pods read the source"]),
            (4599, Some("c"), ["Ready", "Refreshed"], ["claimName: c", "succeeded"]),
            (4600, Some("c"), ["Stale", "Stale"], ["with its claim wait", "with its claim wait"]),
        ] {
            let found = said(copy(), second, None, claim);
            assert_eq!(found.each_ref().map(|one| one.reason), reasons, "{second} {claim:?}");
            for (one, word) in found.iter().zip(words) {
                assert!(one.message.contains(word), "{one:?}");
                assert_eq!(one.status, if second < 4600 { "True" } else { "False" });
            }
        }
    }

    #[test]
    fn a_refresh_whose_mover_does_not_start_is_told_once_it_should_have_and_no_other_task_is() {
        for (second, task, reason) in [
            (2059, Task::Fill, "Refreshed"),
            (2060, Task::Fill, "MoverWaits"),
            (2060, Task::Scrub, "Refreshed"),
            (2060, Task::Remove, "Refreshed"),
        ] {
            let [_, fresh] = said(copy(), second, Some(task), None);
            assert_eq!(fresh.reason, reason, "{second} {task:?}");
            assert_eq!(
                (fresh.status == "False", fresh.message.contains("0/3")),
                (reason == "MoverWaits", reason == "MoverWaits")
            );
        }
        let [_, fresh] = said(copy(), 5000, Some(Task::Fill), None);
        assert!(fresh.reason == "Stale" && fresh.message.contains("0/3"), "{fresh:?}");
    }
}
