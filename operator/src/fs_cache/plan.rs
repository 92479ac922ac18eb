//! The next step for a copy that nothing is at work on. Pure: decided from its entry, what is wanted, and the time.
//! What is decided is written into the entry first, so that a pass that is cut off decides the same again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use workspacefs_api::{CacheCopy, CacheUse};

use super::ledger::{is_damaged, upkeep};
use super::objects::{Errand, Task};
use super::wanted::Wanted;

/// After the first failure; twice as long after each further one.
const RETRY_FIRST: SignedDuration = SignedDuration::from_secs(30);
/// A source that is away for a day is asked for at least this often.
const RETRY_MAX: SignedDuration = SignedDuration::from_secs(1800);
/// Older generations wait for a refresh that is due within this time, and go with it.
const REMOVAL_WAITS: SignedDuration = SignedDuration::from_secs(600);

/// What the decision depends on beside the copy.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// When things are due.
    pub wanted: &'a Wanted,
    /// The value of the refresh annotation; empty where there is none.
    pub asked: &'a str,
    /// The uid of the source as it is now.
    pub source: &'a str,
    /// The number of a generation that would be made now: none ever had it.
    pub fresh: i64,
    /// Whether a mover can work there.
    pub is_ready: bool,
    /// Generations of the copy that may be taken away.
    pub removable: &'a [i64],
    /// The time.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing, until then.
    Wait(Option<Timestamp>),
    /// A mover is sent.
    Send(Errand),
}

/// The number after all that was ever given (`last`, see [`last_generation`]), and all that any copy or node knows of: old ones
/// are never used again.
pub fn fresh_generation(last: Option<i64>, copies: &[CacheCopy], uses: &[CacheUse]) -> i64 {
    let of_copies = copies.iter().flat_map(|copy| given(copy).chain(copy.superseded.iter().copied()));
    let of_uses = uses.iter().flat_map(|entry| entry.in_use.iter().copied().chain([entry.seen]));
    last.into_iter().chain(of_copies).chain(of_uses).max().unwrap_or(0).saturating_add(1)
}

/// The highest number that was given: what was known of it before, and the numbers of these copies. It is not lowered when a copy goes
/// with its Node. What nodes say and what lies on targets does not raise it: that somebody wrote there would be remembered for ever.
pub fn last_generation<'a>(
    last: Option<i64>,
    copies: impl IntoIterator<Item = &'a CacheCopy>,
) -> Option<i64> {
    last.into_iter().chain(copies.into_iter().flat_map(given)).max()
}

/// The numbers of a copy that were given by us.
fn given(copy: &CacheCopy) -> impl Iterator<Item = i64> {
    copy.generation.into_iter().chain(copy.filling)
}

/// Decides, and writes into the copy what is to be remembered of it.
pub fn next(copy: &mut CacheCopy, c: Circumstances<'_>) -> Step {
    if !c.is_ready {
        return Step::Wait(None);
    }
    let is_asked = !c.asked.is_empty() && copy.refreshed_for != c.asked;
    if is_asked {
        // What was begun before may have been read before.
        begin(copy, &c);
        copy.refreshed_for = c.asked.into();
    } else if let Some(at) = retry_at(copy).filter(|at| *at > c.now) {
        return Step::Wait(Some(at));
    }
    let due = refresh_due(copy, c.wanted, c.source);
    // Something lies under its number that is not what was to be made, or its mover would have said that it is.
    let is_taken = copy.filling.is_some_and(|number| copy.superseded.contains(&number));
    let is_begun = copy.filling.is_some() && copy.reading == c.source && !is_taken;
    if !is_begun && (copy.filling.is_some() || due.is_some_and(|due| due <= c.now)) {
        begin(copy, &c);
    }
    if let Some(generation) = copy.filling {
        return Step::Send(errand(copy, Task::Fill, generation, &c));
    }
    let not_before = |task, at: Timestamp| upkeep_retry_at(copy, task).map_or(at, |retry| retry.max(at));
    let scrub = scrub_due(copy, c.wanted).map(|at| not_before(Task::Scrub, at));
    let soon = due.is_some_and(|due| due.duration_since(c.now) < REMOVAL_WAITS);
    let removal = (!c.removable.is_empty() && !soon).then(|| not_before(Task::Remove, Timestamp::MIN));
    let is_due = |at: &Option<Timestamp>| at.is_some_and(|at| at <= c.now);
    let task = [(scrub, Task::Scrub), (removal, Task::Remove)].into_iter().find(|(at, _)| is_due(at));
    match (task, copy.generation) {
        (Some((_, task)), Some(generation)) => Step::Send(errand(copy, task, generation, &c)),
        _ => Step::Wait(due.into_iter().chain(scrub).chain(removal).min()),
    }
}

/// A generation under a new number: nothing that was begun under another, perhaps of another source, comes into it.
fn begin(copy: &mut CacheCopy, c: &Circumstances<'_>) {
    (copy.filling, copy.reading) = (Some(c.fresh), c.source.into());
}

fn errand(copy: &CacheCopy, task: Task, generation: i64, c: &Circumstances<'_>) -> Errand {
    // Unchanged files of a copy that is damaged, or of another source, are not linked: that they are as they were is not
    // known by their size and time.
    let links = task == Task::Fill && !is_damaged(copy) && copy.source == c.source;
    let earlier = copy.generation.filter(|_| links);
    let source = if task == Task::Fill { c.source.into() } else { String::new() };
    Errand { node: copy.node.clone(), task, generation, earlier, source, remove: c.removable.to_vec() }
}

/// When the next refresh is due. None: when somebody asks.
pub fn refresh_due(copy: &CacheCopy, wanted: &Wanted, source: &str) -> Option<Timestamp> {
    let at_once = copy.generation.is_none() || is_damaged(copy) || copy.source != source;
    let ended = copy.refreshed_at.as_ref().filter(|_| !at_once).map(|time| time.0);
    match ended {
        None => Some(Timestamp::MIN),
        Some(ended) => wanted.refresh_due(copy.as_of.as_ref().map_or(ended, |time| time.0), ended),
    }
}

fn scrub_due(copy: &CacheCopy, wanted: &Wanted) -> Option<Timestamp> {
    let verified = copy.verified_at.as_ref()?.0;
    copy.generation.and(wanted.scrub).and_then(|interval| verified.checked_add(interval).ok())
}

/// When a copy whose last refresh failed is tried again.
pub fn retry_at(copy: &CacheCopy) -> Option<Timestamp> {
    again(copy.failures, copy.failed_at.as_ref()?.0)
}

/// When a task that is no refresh is tried again, of those that failed the last time.
fn upkeep_retry_at(copy: &CacheCopy, task: Task) -> Option<Timestamp> {
    let failed = copy.upkeep.iter().find(|failed| Some(failed.task.as_str()) == upkeep(task))?;
    again(failed.failures, failed.failed_at.0)
}

fn again(failures: i32, failed: Timestamp) -> Option<Timestamp> {
    let doublings = u32::try_from(failures.checked_sub(1)?).ok()?.min(16);
    let wait = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
    failed.checked_add(wait).ok()
}

/// For how long a pass need not be repeated, if nothing changes. A clock that is set forward is noticed within the
/// hour.
pub fn until(times: impl IntoIterator<Item = Timestamp>, now: Timestamp) -> Option<Duration> {
    let first = times.into_iter().min()?;
    let wait = first.duration_since(now).max(SignedDuration::from_secs(1)).min(SignedDuration::from_hours(1));
    Duration::try_from(wait).ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};
    use workspacefs_api::fs_cache::EVERYWHERE;
    use workspacefs_api::{FailedUpkeep, FsCacheSpec};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn wanted(more: Value) -> Wanted {
        let mut spec = json!({"source": {"fileSystem": "a", "paths": ["/x"]}, "target": {"fileSystem": "b"}});
        more.as_object().unwrap().iter().for_each(|(field, value)| spec[field] = value.clone());
        Wanted::of(&serde_json::from_value::<FsCacheSpec>(spec).unwrap()).unwrap()
    }

    /// Generation 3, read from second 900 on, done at 1000.
    fn filled() -> CacheCopy {
        CacheCopy {
            node: EVERYWHERE.into(),
            generation: Some(3),
            source: "s".into(),
            as_of: Some(Time(at(900))),
            refreshed_at: Some(Time(at(1000))),
            verified_at: Some(Time(at(1000))),
            ..CacheCopy::default()
        }
    }

    fn decide(
        copy: &mut CacheCopy,
        more: Value,
        second: i64,
        change: impl FnOnce(&mut Circumstances<'_>),
    ) -> Step {
        let wanted = wanted(more);
        let mut c = Circumstances {
            wanted: &wanted,
            asked: "",
            source: "s",
            fresh: 7,
            is_ready: true,
            removable: &[],
            now: at(second),
        };
        change(&mut c);
        next(copy, c)
    }

    fn sent(step: Step) -> (Task, i64, Option<i64>, Vec<i64>) {
        match step {
            Step::Send(errand) => (errand.task, errand.generation, errand.earlier, errand.remove),
            Step::Wait(at) => panic!("waits until {at:?}"),
        }
    }

    #[test]
    fn a_copy_that_is_not_there_is_made_and_decided_once() {
        let mut copy = CacheCopy { node: "n".into(), ..CacheCopy::default() };
        assert_eq!(sent(decide(&mut copy, json!({}), 0, |_| {})), (Task::Fill, 7, None, vec![]));
        assert_eq!(copy.filling, Some(7));
        // Cut off there; meanwhile others have got further.
        assert_eq!(sent(decide(&mut copy, json!({}), 0, |c| c.fresh = 9)).1, 7);
        let mut nowhere = CacheCopy::default();
        assert_eq!(decide(&mut nowhere, json!({}), 0, |c| c.is_ready = false), Step::Wait(None));
        assert_eq!(nowhere.filling, None);
    }

    #[test]
    fn of_a_source_that_was_made_again_a_new_copy_is_made_at_once_into_which_nothing_of_the_old_one_comes() {
        let mut copy = filled();
        let step = decide(&mut copy, json!({}), 1001, |c| c.source = "another");
        let Step::Send(errand) = step else { panic!("{step:?}") };
        assert_eq!((errand.task, errand.generation, errand.earlier), (Task::Fill, 7, None));
        assert_eq!(errand.source, "another");
        // Not into what was begun of the old one either.
        let mut begun = CacheCopy { filling: Some(5), reading: "s".into(), ..filled() };
        assert_eq!(sent(decide(&mut begun, json!({}), 1001, |_| {})).1, 5);
        assert_eq!(sent(decide(&mut begun, json!({}), 1001, |c| c.source = "another")).1, 7);
        assert_eq!((begun.filling, begun.reading.as_str()), (Some(7), "another"));
    }

    #[test]
    fn a_refresh_is_due_by_interval_schedule_or_when_asked_for() {
        let hourly = json!({"refresh": {"interval": "1h"}});
        assert_eq!(decide(&mut filled(), hourly.clone(), 4599, |_| {}), Step::Wait(Some(at(4600))));
        assert_eq!(sent(decide(&mut filled(), hourly, 4600, |_| {})), (Task::Fill, 7, Some(3), vec![]));
        let daily = json!({"refresh": {"schedule": "0 0 * * *"}});
        assert_eq!(decide(&mut filled(), daily, 1001, |_| {}), Step::Wait(Some(at(86_400))));
        assert_eq!(decide(&mut filled(), json!({}), 1_000_000, |_| {}), Step::Wait(None));
        let mut copy = filled();
        assert_eq!(sent(decide(&mut copy, json!({}), 1001, |c| c.asked = "x")).1, 7);
        assert_eq!(copy.refreshed_for, "x");
        copy.filling = None;
        assert_eq!(
            decide(&mut copy, json!({}), 1002, |c| c.asked = "x"),
            Step::Wait(None),
            "once for each value"
        );
    }

    #[test]
    fn whoever_asks_gets_what_is_read_from_then_on_and_waits_for_no_retry() {
        let mut copy = filled();
        (copy.filling, copy.failures, copy.failed_at) = (Some(4), 5, Some(Time(at(2000))));
        let sent = sent(decide(&mut copy, json!({}), 2001, |c| c.asked = "x"));
        assert_eq!(sent.1, 7, "not the one that was begun before");
    }

    #[test]
    fn retries_wait_longer_and_longer_and_go_on_with_what_was_begun() {
        let mut copy = filled();
        (copy.filling, copy.failed_at) = (Some(4), Some(Time(at(2000))));
        copy.reading = "s".into();
        for (failures, wait) in [(1, 30), (2, 60), (3, 120), (7, 1800), (1000, 1800)] {
            copy.failures = failures;
            assert_eq!(
                decide(&mut copy, json!({}), 2001, |_| {}),
                Step::Wait(Some(at(2000 + wait))),
                "{failures}"
            );
            assert_eq!(
                sent(decide(&mut copy, json!({}), 2000 + wait, |_| {})),
                (Task::Fill, 4, Some(3), vec![])
            );
        }
    }

    #[test]
    fn what_may_go_goes_with_the_next_run_or_by_one_of_its_own_if_none_is_near() {
        let hourly = || json!({"refresh": {"interval": "1h"}});
        let remove = |second| decide(&mut filled(), hourly(), second, |c| c.removable = &[1, 2]);
        assert_eq!(sent(remove(1001)), (Task::Remove, 3, None, vec![1, 2]));
        assert_eq!(remove(4100), Step::Wait(Some(at(4600))));
        assert_eq!(sent(remove(4600)), (Task::Fill, 7, Some(3), vec![1, 2]));
    }

    #[test]
    fn a_copy_is_compared_with_its_digests_in_time_and_made_anew_where_it_is_damaged() {
        let scrub = || json!({"scrub": "1h"});
        assert_eq!(decide(&mut filled(), scrub(), 1001, |_| {}), Step::Wait(Some(at(4600))));
        assert_eq!(sent(decide(&mut filled(), scrub(), 4600, |_| {})), (Task::Scrub, 3, None, vec![]));
        let mut copy = CacheCopy { verified_at: None, ..filled() };
        assert_eq!(
            sent(decide(&mut copy, scrub(), 1001, |_| {})),
            (Task::Fill, 7, None, vec![]),
            "linking nothing"
        );
    }

    #[test]
    fn each_task_that_failed_waits_by_itself_and_holds_no_refresh_up() {
        let more = || json!({"scrub": "1h", "refresh": {"interval": "10h"}});
        let failed = |task: &str, failures, second| FailedUpkeep {
            task: task.into(),
            reason: "MoverFailed".into(),
            message: "m".into(),
            failures,
            failed_at: Time(at(second)),
        };
        let copy = |upkeep: &[FailedUpkeep]| CacheCopy { upkeep: upkeep.to_vec(), ..filled() };
        let of = |upkeep: &[FailedUpkeep], second, removable: &'static [i64]| {
            decide(&mut copy(upkeep), more(), second, |c| c.removable = removable)
        };
        let scrub = failed("Scrub", 3, 4700);
        assert_eq!(of(std::slice::from_ref(&scrub), 4701, &[]), Step::Wait(Some(at(4820))));
        assert_eq!(sent(of(std::slice::from_ref(&scrub), 4820, &[])).0, Task::Scrub);
        assert_eq!(sent(of(std::slice::from_ref(&scrub), 4701, &[1])).0, Task::Remove);
        let both = [scrub, failed("Remove", 1, 4701)];
        assert_eq!(of(&both, 4702, &[1]), Step::Wait(Some(at(4731))));
        assert_eq!(sent(of(&both, 4731, &[1])).0, Task::Remove);
        // A refresh is due meanwhile, or asked for.
        assert_eq!(sent(of(&[failed("Scrub", 9, 37_000)], 37_001, &[])).0, Task::Fill);
        let asked = decide(&mut copy(&both), more(), 4702, |c| c.asked = "x");
        assert_eq!(sent(asked).0, Task::Fill);
    }

    #[test]
    fn what_lies_there_already_under_the_number_of_a_refresh_that_failed_is_not_tried_for_ever() {
        let mut copy = CacheCopy { filling: Some(4), reading: "s".into(), superseded: vec![2], ..filled() };
        assert_eq!(sent(decide(&mut copy, json!({}), 1001, |_| {})).1, 4);
        copy.superseded.push(4);
        assert_eq!(sent(decide(&mut copy, json!({}), 1001, |_| {})).1, 7);
        assert_eq!(copy.filling, Some(7));
    }

    #[test]
    fn a_number_that_was_given_or_that_anybody_knows_is_never_used_again() {
        let copy = |generation, filling, superseded: &[i64]| CacheCopy {
            generation,
            filling,
            superseded: superseded.to_vec(),
            ..CacheCopy::default()
        };
        let used = |seen, in_use: &[i64]| CacheUse { node: "n".into(), seen, in_use: in_use.to_vec() };
        assert_eq!(fresh_generation(None, &[], &[]), 1);
        assert_eq!(fresh_generation(None, &[copy(Some(3), None, &[1]), copy(None, Some(5), &[])], &[]), 6);
        assert_eq!(fresh_generation(Some(4), &[copy(None, None, &[8])], &[used(4, &[])]), 9);
        assert_eq!(fresh_generation(None, &[], &[used(4, &[6])]), 7);
        // Of copies that are not there any more.
        let all = [copy(Some(3), Some(9), &[1]), copy(Some(5), None, &[70])];
        let last = last_generation(last_generation(None, &all), &all[1..]);
        assert_eq!((last, fresh_generation(last, &all[..0], &[])), (Some(9), 10));
        assert_eq!(last_generation(Some(12), &all), Some(12));
        assert_eq!(last_generation(None, &[]), None);
    }

    #[test]
    fn a_pass_is_repeated_when_the_first_thing_is_due() {
        assert_eq!(until([], at(0)), None);
        assert_eq!(until([at(100), at(50)], at(0)), Some(Duration::from_secs(50)));
        assert_eq!(until([at(0)], at(9)), Some(Duration::from_secs(1)));
        assert_eq!(until([Timestamp::MAX], at(0)), Some(Duration::from_secs(3600)));
    }
}
