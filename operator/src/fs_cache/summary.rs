//! What the status of an FsCache says of all copies together. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use workspacefs_api::{Amount, CacheCopy, CachePhase, FsCacheStatus, PathState, quantity};

use super::progress::tally::Tally;
use super::survey::{self, Survey};

/// The status, but for `uses`, which is the nodes'. `tally` is what movers say, while some run.
pub fn status(
    generation: Option<i64>,
    survey: &Survey,
    tally: Option<&Tally>,
    conditions: Vec<Condition>,
) -> FsCacheStatus {
    let phase = phase(&survey.copies);
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
        uses: Vec::new(),
        conditions,
    }
}

/// The status of one for which nothing runs.
pub fn at_rest(mut status: FsCacheStatus) -> FsCacheStatus {
    status.copies.iter_mut().for_each(|copy| copy.phase = survey::phase(copy, &[], &[]));
    status.phase = Some(phase(&status.copies));
    status
}

/// Files and bytes of what is whole.
fn copied(survey: &Survey) -> (Amount, Amount) {
    let whole = || survey.paths.iter().filter(|path| path.state == PathState::Whole);
    let all = |number: i64| Amount { total: number, done: number };
    let sum = |numbers: &mut dyn Iterator<Item = i64>| all(numbers.fold(0, i64::saturating_add));
    (sum(&mut whole().map(|path| path.files)), sum(&mut whole().map(|path| path.bytes)))
}

fn phase(copies: &[CacheCopy]) -> CachePhase {
    let any = |phase| copies.iter().any(|copy| copy.phase == phase);
    let has_copy = copies.iter().any(|copy| copy.generation.is_some());
    match (any(CachePhase::Filling) || any(CachePhase::Refreshing), has_copy) {
        (true, false) => CachePhase::Filling,
        (true, true) => CachePhase::Refreshing,
        (false, true) => CachePhase::Ready,
        (false, false) if any(CachePhase::Failed) => CachePhase::Failed,
        (false, false) => CachePhase::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_copies_together_are_ready_if_one_is_and_refreshing_while_anything_runs() {
        use CachePhase::{Failed, Filling, Pending, Ready, Refreshing};
        for (phases, wanted) in [
            (&[][..], Pending),
            (&[Pending], Pending),
            (&[Failed, Pending], Failed),
            (&[Failed, Filling], Filling),
            (&[Ready, Failed], Ready),
            (&[Ready, Filling], Refreshing),
            (&[Ready, Refreshing], Refreshing),
        ] {
            let copy = |phase: &CachePhase| CacheCopy {
                phase: *phase,
                generation: matches!(phase, Ready | Refreshing).then_some(1),
                ..CacheCopy::default()
            };
            assert_eq!(phase(&phases.iter().map(copy).collect::<Vec<_>>()), wanted, "{phases:?}");
        }
    }
}
