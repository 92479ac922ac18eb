//! FsCache → movers, and what comes of them: fills, refreshes, removals, failures, progress.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use workspacefs_api::mover::{Failure, FailureReason, Outcome, Progress, Step};
use workspacefs_api::{CachePhase, PathState};
use workspacefs_testkit::{FakeApi, Verb};

use crate::cache::*;
use crate::local::{put_node, told};
use crate::world::*;

#[tokio::test]
async fn a_copy_is_made_and_the_status_says_what_pods_may_see_of_it() {
    let (api, _nfs, _operator) = start(json!({})).await;
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    until_cache(&api, "warm", "Ready", "Filling").await;
    let job = &api.all("Job")[0];
    assert_eq!(job["metadata"]["namespace"], SPACE);
    assert_eq!(errand(job), json!({"node": "*", "task": "Fill", "generation": 1}));
    let status = cache(&api, "warm").unwrap().status.unwrap();
    assert_eq!((status.phase, status.copies[0].whole.len()), (Some(CachePhase::Filling), 0));

    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    let message = until_cache(&api, "warm", "Ready", "Ready").await;
    assert!(message.contains("node group gpu"), "{message}");
    for (kind, reason) in
        [("Fresh", "Refreshed"), ("SourceReachable", "Available"), ("TargetAvailable", "Available")]
    {
        until_cache(&api, "warm", kind, reason).await;
    }
    let cache = cache(&api, "warm").unwrap();
    let status = cache.status.unwrap();
    assert_eq!(status.copies[0].whole, ["/a", "/b/c"]);
    assert_eq!(at(&status.as_of, ""), "2001-09-09T01:46:40Z");
    assert_eq!((status.phase, status.bytes.total, status.files.done), (Some(CachePhase::Ready), 20, 4));
    assert!(status.paths.iter().all(|path| path.state == PathState::Whole));
    assert_eq!(cache.metadata.finalizers.unwrap(), ["workspacefs.io/fscache"]);
    assert_eq!(told(&api, "Filled"), 1);
}

#[tokio::test]
async fn a_refresh_makes_a_newer_generation_and_the_older_goes_when_every_node_has_moved_on() {
    let (api, _nfs, _operator) = start(json!({})).await;
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    put_node(&api, "n2");
    use_on(&api, "n1", 1, &[1]);
    let long_ago = "2026-01-01T00:00:00Z";
    api.edit("FsCache", SPACE, "warm", |cache| cache["status"]["copies"][0]["verifiedAt"] = json!(long_ago));
    ask(&api, "now");
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    assert_eq!(errands(&api), [json!({"node": "*", "task": "Fill", "generation": 2, "earlier": 1})]);
    let refreshing = |api: &FakeApi| cache(api, "warm").and_then(|cache| cache.status?.phase);
    api.until("it says so", |api| refreshing(api) == Some(CachePhase::Refreshing)).await;
    assert_eq!(copies(&api)[0].whole.len(), 2, "the copy that is there is shown meanwhile");
    until_moved(&api, "it is refreshed", |api| has(api, 2)).await;
    assert_eq!(copies(&api)[0].superseded, [1]);
    let verified = copies(&api)[0].verified_at.as_ref().map(|at| at.0.to_string());
    assert_eq!(verified.as_deref(), Some(long_ago), "what was linked was not read again");
    assert_eq!(cache(&api, "warm").unwrap().status.unwrap().refreshed_for, "now");
    assert_eq!(told(&api, "Refreshed"), 1);

    // n1 still uses it, and n2 was never heard of.
    use_on(&api, "n1", 2, &[1, 2]);
    api.settled(QUIET).await;
    use_on(&api, "n1", 2, &[2]);
    api.settled(QUIET).await;
    assert!(api.all("Job").is_empty() && copies(&api)[0].superseded == [1]);
    use_on(&api, "n2", 2, &[]);
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    assert_eq!(errands(&api), [json!({"node": "*", "task": "Remove", "generation": 2, "remove": [1]})]);
    until_moved(&api, "it is gone", |api| copies(api)[0].superseded.is_empty() && has(api, 2)).await;
}

#[tokio::test]
async fn a_refresh_that_finds_nothing_changed_keeps_the_generation_and_makes_it_younger() {
    let (api, _nfs, _operator) = start(json!({})).await;
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    let before = copies(&api).remove(0);
    ask(&api, "now");
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    let later = 1_000_000_060;
    let nothing_changed = |api: &FakeApi, job: &Value| {
        let said = well(api, job);
        Outcome { generation: Some(1), as_of: Some(later), present: vec![1], ..said }
    };
    api.until("it is refreshed", |api| {
        play(api, nothing_changed);
        has(api, 1) && copies(api)[0].as_of != before.as_of
    })
    .await;
    let after = copies(&api).remove(0);
    assert_eq!((after.failures, &after.superseded, &after.filling), (0, &vec![], &None), "{after:?}");
    assert_eq!((&after.whole, &after.verified_at), (&before.whole, &before.verified_at));
    assert_eq!(after.as_of.unwrap().0.as_second(), later);
    assert_eq!(cache(&api, "warm").unwrap().status.unwrap().refreshed_for, "now");
    assert_eq!((told(&api, "Refreshed"), told(&api, "FillFailed")), (1, 0));
    // The next one that finds something has a number that none was sent for before.
    ask(&api, "again");
    until_moved(&api, "it is refreshed", |api| has(api, 3)).await;
}

#[tokio::test]
async fn a_failure_is_told_with_its_reason_and_tried_again_after_a_while_with_the_same_generation() {
    let (api, _nfs, operator) = start(json!({})).await;
    let fail = |_: &FakeApi, _: &Value| {
        let failure =
            Failure { reason: FailureReason::TargetFull, message: "needs 20 bytes, 7 are left".into() };
        Outcome { failure: Some(failure), ..Outcome::default() }
    };
    api.until("the failure is taken in", |api| {
        play(api, fail);
        copies(api).first().is_some_and(|copy| copy.failures == 1) && api.all("Job").is_empty()
    })
    .await;
    let message = until_cache(&api, "warm", "TargetAvailable", "TargetFull").await;
    assert!(message.contains("7 are left"), "{message}");
    until_cache(&api, "warm", "Ready", "TargetFull").await;
    assert_eq!((copies(&api)[0].phase, told(&api, "TargetTooSmall")), (CachePhase::Failed, 1));
    api.settled(QUIET).await;
    assert!(api.all("Job").is_empty(), "not at once");
    operator.stop().await;
    // As if it had been a minute ago.
    api.edit("FsCache", SPACE, "warm", |cache| {
        cache["status"]["copies"][0]["failedAt"] = json!("2026-01-01T00:00:00Z")
    });
    let _operator = Operator::start(&api, "b", config());
    api.until("it is tried again", |api| !api.all("Job").is_empty()).await;
    assert_eq!(errands(&api), [json!({"node": "*", "task": "Fill", "generation": 1})]);
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    until_cache(&api, "warm", "TargetAvailable", "Available").await;
    assert_eq!(copies(&api)[0].failures, 0);
}

#[tokio::test]
async fn a_path_that_is_not_whole_is_not_shown_and_the_others_are() {
    let (api, _nfs, _operator) = start(json!({})).await;
    let partly = |api: &FakeApi, job: &Value| {
        let mut outcome = well(api, job);
        outcome.paths[1].state = PathState::Partial;
        outcome.paths[1].message = "1 file, x: permission denied".into();
        outcome
    };
    api.until("it is filled", |api| {
        play(api, partly);
        has(api, 1)
    })
    .await;
    let message = until_cache(&api, "warm", "Ready", "SomePathsNotWhole").await;
    assert!(message.contains("/b/c") && message.contains("permission denied"), "{message}");
    assert_eq!(copies(&api)[0].whole, ["/a"]);
    assert_eq!(told(&api, "PathNotWhole"), 1);
}

/// Of Events that agree in all but the note only the first note is shown.
#[tokio::test]
async fn several_paths_that_are_not_whole_are_told_of_together() {
    let paths = json!({"fileSystem": "data", "paths": ["/a", "/b/c", "/d"]});
    let (api, _nfs, _operator) = start(json!({"source": paths})).await;
    let partly = |api: &FakeApi, job: &Value| {
        let mut outcome = well(api, job);
        outcome.paths.push(outcome.paths[0].clone());
        outcome.paths[1].state = PathState::Missing;
        outcome.paths[2].state = PathState::NotAFolder;
        outcome
    };
    api.until("both are told of", |api| {
        play(api, partly);
        let events = api.all("Event");
        let note = events.iter().find(|event| event["reason"] == "PathNotWhole").map(|event| &event["note"]);
        let note = note.and_then(Value::as_str).unwrap_or_default();
        note.contains("/b/c is not in the source") && note.contains("/d is no folder")
    })
    .await;
    assert_eq!(told(&api, "PathNotWhole"), 1);
}

#[tokio::test]
async fn a_damaged_copy_is_shown_no_more_and_made_anew_without_linking_anything() {
    let (api, _nfs, operator) = start(json!({"scrub": "1h"})).await;
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    operator.stop().await;
    api.edit("FsCache", SPACE, "warm", |cache| {
        cache["status"]["copies"][0]["verifiedAt"] = json!("2026-01-01T00:00:00Z")
    });
    let _operator = Operator::start(&api, "b", config());
    api.until("it is compared", |api| !api.all("Job").is_empty()).await;
    assert_eq!(errands(&api), [json!({"node": "*", "task": "Scrub", "generation": 1})]);
    let damaged = |api: &FakeApi, job: &Value| {
        let mut outcome = well(api, job);
        if errand(job)["task"] == "Scrub" {
            outcome.paths[0].state = PathState::Partial;
        }
        outcome
    };
    api.until("it is made anew", |api| {
        let fills = |job: &&Value| errand(job)["task"] == "Fill" && job["status"].is_null();
        if let Some(job) = api.all("Job").iter().find(fills) {
            assert_eq!(copies(api)[0].whole, ["/b/c"]);
            assert_eq!(errand(job), json!({"node": "*", "task": "Fill", "generation": 2}));
        }
        play(api, damaged);
        has(api, 2)
    })
    .await;
    assert_eq!(copies(&api)[0].whole.len(), 2);
    assert_eq!(told(&api, "Damaged"), 1);
}

#[tokio::test]
async fn a_mover_that_is_gone_without_a_word_is_a_failure_and_a_job_that_nobody_understands_goes() {
    let (api, _nfs, _operator) = start(json!({})).await;
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    let name = api.all("Job")[0]["metadata"]["name"].as_str().unwrap().to_string();
    let over =
        json!({"conditions": [{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]});
    api.edit("Job", SPACE, &name, |job| job["status"] = over);
    let message = until_cache(&api, "warm", "Ready", "MoverFailed").await;
    assert!(message.contains("BackoffLimitExceeded"), "{message}");
    api.until("its Job is gone", |api| api.all("Job").is_empty()).await;
    let cache = cache(&api, "warm").unwrap();
    let uid = cache.metadata.uid.unwrap();
    let owner =
        json!({"apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache", "name": "warm", "uid": uid});
    let labels = json!({"workspacefs.io/fscache-uid": uid});
    let meta = json!({"namespace": SPACE, "name": "x", "labels": labels, "ownerReferences": [owner]});
    let spec = json!({"template": {"spec": {"containers": []}}});
    api.put::<Value>(&json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}));
    api.until("that too", |api| api.all("Job").is_empty()).await;
}

#[tokio::test]
async fn while_a_mover_runs_the_status_says_how_far_it_is() {
    let (api, _nfs, _operator) = start(json!({})).await;
    // An address of loopback that no other test has.
    let address = format!("127.83.{}.{}", std::process::id() / 250 % 250, 1 + std::process::id() % 250);
    let said = Progress {
        generation: 1,
        step: Step::Copying,
        files_found: 8,
        files_done: 4,
        bytes_found: 1000,
        bytes_done: 420,
        bytes_per_second: 10,
        eta_seconds: Some(58),
    };
    let router = Router::new().route("/progress", get(async move || Json(said)));
    let listener = TcpListener::bind((address.as_str(), 9811)).await.unwrap();
    let served = tokio::spawn(async move { axum::serve(listener, router).await });
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    let job = api.all("Job").remove(0);
    put_pod(&api, &job, json!({"running": {}}));
    let pod = format!("{}-x", job["metadata"]["name"].as_str().unwrap());
    api.edit("Pod", SPACE, &pod, |pod| pod["status"]["podIP"] = json!(address));
    let status = |api: &FakeApi| cache(api, "warm").and_then(|cache| cache.status).unwrap_or_default();
    api.until("the status says so", |api| status(api).progress.as_deref() == Some("42%")).await;
    let now = status(&api);
    assert_eq!(
        (now.files.total, now.bytes.done, now.rate, now.eta.as_deref()),
        (8, 420, Some(10), Some("58s"))
    );
    assert!(api.delete("Pod", SPACE, &pod));
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    assert_eq!((status(&api).progress, status(&api).rate, status(&api).eta), (None, None, None));
    served.abort();
}

#[tokio::test]
async fn a_mover_that_finds_no_node_says_so() {
    let (api, _nfs, _operator) = start(json!({})).await;
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    let job = api.all("Job").remove(0);
    put_pod(&api, &job, json!({}));
    let pod = format!("{}-x", job["metadata"]["name"].as_str().unwrap());
    api.edit("Pod", SPACE, &pod, |pod| {
        let unplaced =
            json!({"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"});
        pod["status"] = json!({"phase": "Pending", "conditions": [unplaced]});
    });
    api.until("it is said at once", |api| {
        let ready = cache_condition(api, "warm", "Ready");
        ready.is_some_and(|ready| ready.reason == "Filling" && ready.message.contains("0/3 nodes"))
    })
    .await;
    assert_eq!(told(&api, "MoverWaits"), 0, "every pod waits for a while");
    age(&api, &job);
    let message = until_cache(&api, "warm", "Ready", "MoverWaits").await;
    assert!(message.contains("0/3 nodes"), "{message}");
    api.until("it is told", |api| told(api, "MoverWaits") == 1).await;
}

/// Of Events that agree in all but the note there is one, which says how often.
fn times_told(api: &FakeApi, reason: &str) -> i64 {
    let events = api.all("Event").into_iter().filter(|event| event["reason"] == reason);
    events.map(|event| event["series"]["count"].as_i64().unwrap_or(1)).sum()
}

/// The job controller makes pods: what refuses them refuses no Job, and only an Event on that says so.
#[tokio::test]
async fn a_mover_whose_pod_may_not_be_made_is_told_of_at_the_first_fill_and_at_a_refresh() {
    let (api, _nfs, _operator) = start(json!({})).await;
    for (generation, condition) in [(1, "Ready"), (2, "Fresh")] {
        api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
        let job = api.all("Job").remove(0);
        age(&api, &job);
        let message = until_cache(&api, "warm", condition, "MoverWaits").await;
        let name = job["metadata"]["name"].as_str().unwrap();
        assert!(message.contains(&format!("Job {name} gets no pod")), "{message}");
        assert!(message.contains(&format!("kubectl --namespace {SPACE} describe job {name}")), "{message}");
        api.until("it is told", |api| times_told(api, "MoverWaits") == generation).await;
        // Whoever lifts the quota need do nothing more.
        until_moved(&api, "it is filled", |api| has(api, generation)).await;
        until_cache(&api, "warm", "Ready", "Ready").await;
        until_cache(&api, "warm", "Fresh", "Refreshed").await;
        ask(&api, "now");
    }
}

#[tokio::test]
async fn an_operator_that_starts_where_all_is_well_writes_nothing() {
    let (api, _nfs, operator) = start(json!({"refresh": {"interval": "1h"}})).await;
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    until_cache(&api, "warm", "Ready", "Ready").await;
    until_bound(&api, "data").await;
    until_bound(&api, "near").await;
    api.settled(QUIET).await;
    operator.stop().await;
    let before = writes(&api).len();
    let _operator = Operator::start(&api, "b", config());
    api.until("it has looked", |api| {
        api.requests().iter().any(|r| r.client == "b" && r.verb == Verb::Watch && r.resource == "fscaches")
    })
    .await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(writes(&api).len(), before, "{:#?}", &writes(&api)[before..]);
}
