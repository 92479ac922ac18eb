//! What the operator's metrics tell of FsCaches.

use serde_json::json;
use workspacefs_api::mover::{Failure, FailureReason};

use crate::cache::*;
use crate::cache_ends::GOING;
use crate::world::*;

/// What is said of the FsCache `warm`: metric and value.
fn told(operator: &Operator) -> Vec<(String, String)> {
    let labels = format!("{{namespace=\"{SPACE}\",name=\"warm\"}} ");
    let line = |line: &String| line.split_once(&labels).map(|(name, value)| (name.into(), value.into()));
    operator.figures("cache_").iter().filter_map(line).collect()
}

fn is(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

#[tokio::test]
async fn a_cache_is_told_of_by_four_gauges_and_no_more_when_it_is_gone() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, json!({}));
    let operator = Operator::start(&api, "a", config());
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    assert!(told(&operator).contains(&is("cache_ready", "0")), "{:?}", told(&operator));
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    api.settled(QUIET).await;
    let mut figures = told(&operator);
    figures.sort();
    let expected = [
        is("cache_as_of_timestamp_seconds", "1000000000"),
        is("cache_bytes", "20"),
        is("cache_failures", "0"),
        is("cache_ready", "1"),
    ];
    assert_eq!(figures, expected);

    assert!(api.delete("FsCache", SPACE, "warm"));
    use_on(&api, "n1", GOING, &[]);
    until_moved(&api, "it is gone", |api| cache(api, "warm").is_none()).await;
    api.settled(QUIET).await;
    assert_eq!(told(&operator), []);
}

#[tokio::test]
async fn movers_that_fail_in_a_row_are_counted_and_a_success_ends_the_count() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, json!({}));
    let operator = Operator::start(&api, "a", config());
    let fails = |api: &workspacefs_testkit::FakeApi, job: &serde_json::Value| {
        let mut outcome = well(api, job);
        (outcome.generation, outcome.as_of) = (None, None);
        let reason = FailureReason::TargetUnavailable;
        outcome.failure = Some(Failure { reason, message: "read-only".into() });
        outcome
    };
    api.until("it failed", |api| {
        play(api, fails);
        copies(api).first().is_some_and(|copy| copy.failures == 1)
    })
    .await;
    api.settled(QUIET).await;
    assert!(told(&operator).contains(&is("cache_failures", "1")), "{:?}", told(&operator));
    ask(&api, "now");
    until_moved(&api, "it is filled", |api| {
        copies(api).first().is_some_and(|copy| copy.generation.is_some())
    })
    .await;
    api.settled(QUIET).await;
    assert!(told(&operator).contains(&is("cache_failures", "0")), "{:?}", told(&operator));
}
