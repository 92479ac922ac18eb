//! What the status of an FsCache says of all copies together. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use workspacefs_api::{Amount, CacheCopy, CachePhase, FsCacheStatus, PathState, quantity};

use super::findings::READY;
use super::progress::tally::Tally;
use super::survey::{self, Survey};

/// The status, but for `uses`, which is the nodes'. `tally` is what movers say, while some run.
pub fn status(
    generation: Option<i64>,
    survey: &Survey,
    tally: Option<&Tally>,
    conditions: Vec<Condition>,
) -> FsCacheStatus {
    let phase = phase(&survey.copies, &conditions);
    let moving = matches!(phase, CachePhase::Filling | CachePhase::Refreshing);
    let tally = tally.filter(|_| moving);
    let copied = copied(survey);
    let (files, bytes) = tally.map_or(copied, |tally| (tally.files, tally.bytes));
    let has_copy = survey.copies.iter().any(|copy| copy.generation.is_some());
    FsCacheStatus {
        observed_generation: generation,
        phase: Some(phase),
        progress: tally.map(Tally::percent),
        files,
        bytes,
        rate: tally.map(|tally| tally.rate),
        eta: tally.and_then(Tally::eta),
        size: has_copy.then(|| quantity::rounded(u64::try_from(copied.1.done).unwrap_or(0))),
        as_of: survey
            .copies
            .iter()
            .filter(|copy| copy.generation.is_some())
            .filter_map(|copy| copy.as_of.clone())
            .min(),
        claim_name: None,
        refreshed_for: survey.refreshed_for.clone(),
        paths: survey.paths.clone(),
        copies: survey.copies.clone(),
        last_generation: survey.last_generation,
        uses: Vec::new(),
        conditions,
    }
}

/// The status of one that cannot be a cache: nothing runs for it, and what it has is had by nobody.
pub fn at_rest(mut status: FsCacheStatus) -> FsCacheStatus {
    status.copies.iter_mut().for_each(|copy| copy.phase = survey::phase(copy, false, false));
    status.phase = Some(phase(&status.copies, &status.conditions));
    status
}

/// The status of one that is being deleted, with the copies that it has still: no pod gets any of it.
pub fn leaving(mut status: FsCacheStatus, copies: Vec<CacheCopy>) -> FsCacheStatus {
    status.copies = copies;
    status.copies.iter_mut().for_each(|copy| copy.phase = CachePhase::Pending);
    status.phase = Some(CachePhase::Pending);
    status
}

/// Files and bytes of what is whole.
fn copied(survey: &Survey) -> (Amount, Amount) {
    let whole = || survey.paths.iter().filter(|path| path.state == PathState::Whole);
    let all = |number: i64| Amount { total: number, done: number };
    let sum = |numbers: &mut dyn Iterator<Item = i64>| all(numbers.fold(0, i64::saturating_add));
    (sum(&mut whole().map(|path| path.files)), sum(&mut whole().map(|path| path.bytes)))
}

/// Of all copies together. Whether pods get any is what condition Ready says, so that the two never say different things.
fn phase(copies: &[CacheCopy], conditions: &[Condition]) -> CachePhase {
    let is_ready = conditions.iter().any(|condition| condition.type_ == READY && condition.status == "True");
    let any = |phases: &[CachePhase]| copies.iter().any(|copy| phases.contains(&copy.phase));
    match (any(&[CachePhase::Filling, CachePhase::Refreshing]), is_ready) {
        (true, false) => CachePhase::Filling,
        (true, true) => CachePhase::Refreshing,
        (false, true) => CachePhase::Ready,
        // Of copies that are ready by themselves something else keeps pods off: another's claim has the name, say.
        (false, false) if any(&[CachePhase::Failed, CachePhase::Ready]) => CachePhase::Failed,
        (false, false) => CachePhase::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::{self, Finding};

    #[test]
    fn a_cache_is_ready_while_its_condition_says_so_and_refreshing_while_anything_runs() {
        use CachePhase::{Failed, Filling, Pending, Ready, Refreshing};
        for (phases, status, wanted) in [
            (&[][..], "False", Pending),
            (&[Pending], "False", Pending),
            (&[Failed, Pending], "False", Failed),
            (&[Failed, Filling], "False", Filling),
            (&[Ready, Failed], "True", Ready),
            (&[Ready, Filling], "True", Refreshing),
            (&[Ready, Refreshing], "True", Refreshing),
            (&[Ready], "False", Failed),
            (&[Ready], "Unknown", Failed),
            (&[Refreshing], "False", Filling),
        ] {
            let copy = |phase: &CachePhase| CacheCopy { phase: *phase, ..CacheCopy::default() };
            let copies: Vec<CacheCopy> = phases.iter().map(copy).collect();
            let finding = Finding { status, ..Finding::new(READY, true, "R", "m") };
            let now = jiff::Timestamp::UNIX_EPOCH;
            let conditions = conditions::update(&[], &[finding], None, now);
            assert_eq!(phase(&copies, &conditions), wanted, "{phases:?} {status}");
        }
    }
}
