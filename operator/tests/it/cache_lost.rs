//! What the operator says of a copy that new pods do not get: its disk or its server is gone, it lies there no more, or it is
//! too old.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use workspacefs_api::mover::{Failure, FailureReason, Outcome};
use workspacefs_testkit::FakeApi;

use crate::cache::*;
use crate::cache_local::{on_nodes, put_storage, warm};
use crate::local::{report, told};
use crate::world::*;

async fn start_on(nodes: &[&str], more: Value) -> (FakeApi, NfsServer, Operator) {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    put_storage(&api, nodes);
    put_cache(&api, on_nodes(more));
    let operator = Operator::start(&api, "a", config());
    (api, nfs, operator)
}

fn status_of(api: &FakeApi, kind: &str) -> String {
    cache_condition(api, "warm", kind).map(|condition| condition.status).unwrap_or_default()
}

/// What movers say that read the source so long ago.
fn read_ago(ago: SignedDuration) -> impl Fn(&FakeApi, &Value) -> Outcome {
    move |api, job| {
        let mut outcome = well(api, job);
        outcome.as_of = outcome.as_of.map(|_| (Timestamp::now() - ago).as_second());
        outcome
    }
}

async fn until_filled(api: &FakeApi, say: impl Fn(&FakeApi, &Value) -> Outcome) {
    api.until("it is filled", |api| {
        play(api, &say);
        api.all("Job").is_empty()
            && copies(api).iter().all(|copy| copy.generation.is_some())
            && !copies(api).is_empty()
    })
    .await;
}

#[tokio::test]
async fn the_only_disk_with_a_copy_that_is_lost_is_told_by_conditions_and_an_event_until_it_is_back() {
    let (api, _nfs, _operator) = start_on(&["n1"], json!({})).await;
    until_filled(&api, well).await;
    until_cache(&api, "warm", "Ready", "Ready").await;
    assert_eq!(told(&api, "TargetUnavailable"), 0);
    report(&api, "nvme", "n1", false);
    let message = until_cache(&api, "warm", "TargetAvailable", "NotReady").await;
    assert!(message.contains("nvme"), "{message}");
    let message = until_cache(&api, "warm", "Ready", "TargetUnavailable").await;
    assert!(message.contains("pods read the source"), "{message}");
    assert_eq!(
        (status_of(&api, "Ready"), status_of(&api, "TargetAvailable")),
        ("False".into(), "False".into())
    );
    api.until("it is told", |api| told(api, "TargetUnavailable") == 1).await;
    report(&api, "nvme", "n1", true);
    until_cache(&api, "warm", "Ready", "Ready").await;
    until_cache(&api, "warm", "TargetAvailable", "Available").await;
}

#[tokio::test]
async fn one_lost_disk_of_two_is_named_and_the_other_nodes_pods_still_get_the_copy() {
    let (api, _nfs, _operator) = start_on(&["n1", "n2"], json!({})).await;
    until_filled(&api, well).await;
    until_cache(&api, "warm", "Ready", "Ready").await;
    report(&api, "nvme", "n2", false);
    let message = until_cache(&api, "warm", "Ready", "SomeNodesNotReady").await;
    assert!(message.contains("1 of 2 nodes") && message.contains("n2"), "{message}");
    assert_eq!(status_of(&api, "Ready"), "True");
    let message = until_cache(&api, "warm", "TargetAvailable", "NotReady").await;
    assert!(message.contains("n2") && !message.contains("n1"), "{message}");
    api.until("it is told", |api| told(api, "TargetUnavailable") == 1).await;
    // A node that leaves the group has no pods that could miss it.
    api.edit("Node", "", "n2", |node| {
        node["metadata"]["labels"].as_object_mut().unwrap().remove("workspacefs.io/node-group");
    });
    until_cache(&api, "warm", "TargetAvailable", "Available").await;
    until_cache(&api, "warm", "Ready", "Ready").await;
}

#[tokio::test]
async fn a_target_whose_server_does_not_answer_is_not_ready_for_anybody() {
    let (api, source, target) = (api().await, NfsServer::start().await, NfsServer::start().await);
    put_file_systems(&api, source.port);
    api.edit("FileSystem", SPACE, "near", |near| {
        near["spec"]["backend"]["nfs"]["port"] = json!(target.port);
    });
    put_cache(&api, json!({}));
    let _operator = Operator::start(&api, "a", config());
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    until_cache(&api, "warm", "Ready", "Ready").await;
    target.stop().await;
    until_cache(&api, "warm", "TargetAvailable", "NotReachable").await;
    let message = until_cache(&api, "warm", "Ready", "TargetUnavailable").await;
    assert!(message.contains("near") && message.contains("pods read the source"), "{message}");
    assert_eq!(status_of(&api, "Ready"), "False");
    api.until("it is told", |api| told(api, "TargetUnavailable") == 1).await;
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_told_and_what_is_kept_stays_ready() {
    let (api, source, target) = (api().await, NfsServer::start().await, NfsServer::start().await);
    put_file_systems(&api, target.port);
    api.edit("FileSystem", SPACE, "data", |data| {
        data["spec"]["backend"]["nfs"]["port"] = json!(source.port);
    });
    put_cache(&api, json!({}));
    let _operator = Operator::start(&api, "a", config());
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    source.stop().await;
    until_cache(&api, "warm", "SourceReachable", "NotReachable").await;
    api.until("it is told", |api| told(api, "SourceUnreachable") == 1).await;
    until_cache(&api, "warm", "Ready", "Ready").await;
}

#[tokio::test]
async fn a_generation_that_lies_there_no_more_is_shown_to_nobody_and_copied_again_linking_nothing() {
    let gone = |api: &FakeApi, job: &Value| match errand(job)["task"].as_str() {
        Some("Scrub") => {
            let reason = FailureReason::GenerationGone;
            let message = "generation 1 does not lie on the target".into();
            Outcome { failure: Some(Failure { reason, message }), ..Outcome::default() }
        }
        _ => well(api, job),
    };
    let (api, _nfs, _operator) = start(json!({"scrub": "1h"})).await;
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    let long_ago = "2026-01-01T00:00:00Z";
    api.edit("FsCache", SPACE, "warm", |cache| cache["status"]["copies"][0]["verifiedAt"] = json!(long_ago));
    api.until("it is damaged", |api| {
        if errands(api).first().is_some_and(|errand| errand["task"] == "Scrub") {
            play(api, gone);
        }
        copies(api)[0].reason == "Damaged"
            && errands(api).first().is_some_and(|errand| errand["task"] == "Fill")
    })
    .await;
    assert!(copies(&api)[0].whole.is_empty(), "nodes show it no more");
    until_cache(&api, "warm", "Ready", "NothingWhole").await;
    assert_eq!(errands(&api), [json!({"node": "*", "task": "Fill", "generation": 2})]);
    api.until("it is told once", |api| told(api, "Damaged") == 1).await;
    until_moved(&api, "it is copied again", |api| has(api, 2)).await;
    until_cache(&api, "warm", "Ready", "Ready").await;
}

#[tokio::test]
async fn a_mover_that_does_not_see_the_generation_in_use_has_it_copied_again_but_not_one_that_did_not_look() {
    let (api, _nfs, _operator) = start(json!({})).await;
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    let failed = |present: &[i64]| {
        let failure = Failure { reason: FailureReason::SourceUnreachable, message: "silent".into() };
        Outcome { failure: Some(failure), present: present.to_vec(), ..Outcome::default() }
    };
    for (asked, present, whole) in [("1", &[][..], 2), ("2", &[1], 2), ("3", &[7], 0)] {
        ask(&api, asked);
        let outcome = failed(present);
        let jobs = copies(&api)[0].last_job.clone();
        api.until("it failed", |api| {
            play(api, |_, _| outcome.clone());
            copies(api)[0].last_job != jobs
        })
        .await;
        assert_eq!(copies(&api)[0].whole.len(), whole, "{present:?}");
    }
    api.until("it is told once", |api| told(api, "Damaged") == 1).await;
    // Why it is not mended is said still.
    until_cache(&api, "warm", "SourceReachable", "SourceUnreachable").await;
}

#[tokio::test]
async fn a_copy_that_becomes_too_old_is_told_in_time_and_its_node_is_not_warm_any_more() {
    let (api, _nfs, _operator) = start_on(&["n1"], json!({"maxAge": "1m"})).await;
    let begun = Instant::now();
    until_filled(&api, read_ago(SignedDuration::from_secs(45))).await;
    until_cache(&api, "warm", "Ready", "Ready").await;
    api.until("it is warm", |api| warm(api) == ["n1"]).await;
    until_cache(&api, "warm", "Fresh", "Refreshed").await;
    // Nothing happens but that time goes by: the operator wakes up by itself, and not by its look every minute.
    let message = until_cache(&api, "warm", "Fresh", "Stale").await;
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert!(message.contains("new pods read the source"), "{message}");
    let message = until_cache(&api, "warm", "Ready", "Stale").await;
    assert!(!message.contains("find them"), "{message}");
    assert_eq!(status_of(&api, "Ready"), "False");
    api.until("it is cold", |api| warm(api).is_empty()).await;
    api.until("it is told", |api| told(api, "Stale") == 1).await;
    // The next refresh ends it.
    ask(&api, "now");
    api.until("it is refreshed", |api| {
        play(api, read_ago(SignedDuration::ZERO));
        has(api, 2)
    })
    .await;
    until_cache(&api, "warm", "Ready", "Ready").await;
    until_cache(&api, "warm", "Fresh", "Refreshed").await;
    api.until("it is warm again", |api| warm(api) == ["n1"]).await;
}

#[tokio::test]
async fn of_a_claim_that_is_too_old_it_is_said_that_pods_wait() {
    let (api, _nfs, _operator) = start(json!({"maxAge": "1m", "exposure": "Claim"})).await;
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    for kind in ["Fresh", "Ready"] {
        let message = until_cache(&api, "warm", kind, "Stale").await;
        assert!(message.contains("with its claim wait") && !message.contains("source"), "{message}");
    }
    api.until("it is told", |api| told(api, "Stale") == 1).await;
    let events = api.all("Event");
    let note =
        |event: &Value| event["note"].as_str().or(event["message"].as_str()).unwrap_or_default().to_owned();
    let stale: Vec<String> = events.iter().filter(|event| event["reason"] == "Stale").map(note).collect();
    assert!(stale[0].contains("with its claim wait") && !stale[0].contains("source"), "{stale:?}");
}

#[tokio::test]
async fn a_node_whose_clock_is_ahead_makes_no_copy_of_the_future() {
    let (api, _nfs, _operator) = start(json!({"maxAge": "1m"})).await;
    // Times in a status have no parts of seconds.
    let asked = Timestamp::now() - SignedDuration::from_secs(1);
    until_filled(&api, read_ago(SignedDuration::from_hours(-24))).await;
    let as_of = copies(&api)[0].as_of.as_ref().unwrap().0;
    assert!(as_of >= asked && as_of <= Timestamp::now(), "{as_of}");
    // A clock that shows no time that there is.
    ask(&api, "now");
    let absurd = |api: &FakeApi, job: &Value| Outcome { as_of: Some(i64::MAX), ..well(api, job) };
    api.until("it is refreshed", |api| {
        play(api, absurd);
        has(api, 2)
    })
    .await;
    let as_of = copies(&api)[0].as_of.as_ref().expect("a copy without a time would never be too old").0;
    assert!(as_of >= asked && as_of <= Timestamp::now(), "{as_of}");
}

#[tokio::test]
async fn a_scrub_that_fails_is_no_failed_refresh_and_is_named() {
    let (api, _nfs, operator) = start(json!({"scrub": "1h"})).await;
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    let long_ago = "2026-01-01T00:00:00Z";
    api.edit("FsCache", SPACE, "warm", |cache| cache["status"]["copies"][0]["verifiedAt"] = json!(long_ago));
    let fails = |api: &FakeApi, job: &Value| {
        let failure = Failure { reason: FailureReason::TargetUnavailable, message: "read error".into() };
        Outcome { failure: Some(failure), paths: Vec::new(), ..well(api, job) }
    };
    api.until("the scrub failed", |api| {
        play(api, fails);
        copies(api)[0].upkeep.first().is_some_and(|failed| failed.failures == 1) && api.all("Job").is_empty()
    })
    .await;
    let copy = copies(&api).remove(0);
    assert_eq!((copy.failures, copy.upkeep[0].task.as_str()), (0, "Scrub"));
    let message = until_cache(&api, "warm", "Fresh", "Refreshed").await;
    assert!(message.contains("not compared with its digests: read error"), "{message}");
    until_cache(&api, "warm", "TargetAvailable", "TargetUnavailable").await;
    assert_eq!((told(&api, "ScrubFailed"), told(&api, "FillFailed")), (1, 0));
    let failures = operator.figures("cache_failures");
    assert!(failures[0].ends_with(" 1"), "{failures:?}");
    // A refresh does not wait for it, and a new copy owes nothing.
    ask(&api, "now");
    until_moved(&api, "it is refreshed", |api| has(api, 2)).await;
    api.until("it is forgotten", |api| copies(api)[0].upkeep.is_empty()).await;
}
