//! FsCaches of buckets.

use serde_json::{Value, json};
use workspacefs_api::PathState;
use workspacefs_api::mover::{Failure, FailureReason, Outcome, PathOutcome};
use workspacefs_testkit::FakeApi;

use crate::cache::*;
use crate::local::told;
use crate::world::*;

const REMARK: &str =
    "2 objects of the bucket cannot be files, first \"a//b\": a part of it between slashes is empty";

/// FsCache `warm` of bucket `abc` on FileSystem `near`.
async fn start() -> (FakeApi, NfsServer, Operator) {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    let s3 = json!({"bucket": "abc", "prefix": "train/", "secretRef": {"name": "keys"}});
    put_cache(&api, json!({"source": {"s3": s3}, "exposure": "Claim"}));
    let operator = Operator::start(&api, "a", config());
    (api, nfs, operator)
}

/// What a mover says of a bucket: it is one path.
fn one_path(api: &FakeApi, job: &Value) -> Outcome {
    let mut outcome = well(api, job);
    outcome.paths.truncate(1);
    outcome.paths.iter_mut().for_each(|path| path.message = REMARK.into());
    outcome
}

async fn until_filled(api: &FakeApi, generation: i64) {
    api.until("it is filled", |api| {
        play(api, one_path);
        has(api, generation)
    })
    .await;
}

#[tokio::test]
async fn a_bucket_is_copied_as_one_path_by_a_mover_that_alone_has_its_secret() {
    let (api, _nfs, _operator) = start().await;
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    let job = api.all("Job").remove(0);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod.pointer("/volumes/1/secret/secretName"), Some(&json!("keys")));
    assert_eq!(source_of(&job), json!("s3:abc"));
    until_filled(&api, 1).await;
    let ready = |api: &FakeApi| {
        let conditions = cache(api, "warm")?.status?.conditions;
        conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|ready| ready.message)
    };
    api.until("it is ready, and says what there is beside its files", |api| {
        ready(api).is_some_and(|said| said.contains("claimName: warm") && said.contains(REMARK))
    })
    .await;
    let status = cache(&api, "warm").unwrap().status.unwrap();
    let paths: Vec<_> = status.paths.iter().map(|path| (&*path.path, path.state, &*path.message)).collect();
    assert_eq!(paths, [("/", PathState::Whole, REMARK)]);
    assert_eq!(
        (&*status.copies[0].source, status.copies[0].whole.as_slice()),
        ("s3:abc", &["/".to_owned()][..])
    );
    api.until("it is told once", |api| told(api, "ObjectsNotPlain") == 1).await;
    ask(&api, "now");
    until_filled(&api, 2).await;
    api.settled(QUIET).await;
    assert_eq!(told(&api, "ObjectsNotPlain"), 1);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_read_says_why_and_what_was_copied_stays() {
    let (api, _nfs, _operator) = start().await;
    until_filled(&api, 1).await;
    ask(&api, "now");
    let gone = |_: &FakeApi, _: &Value| Outcome {
        present: vec![1],
        failure: Some(Failure {
            reason: FailureReason::NoSuchBucket,
            message: "cannot read the bucket: bucket: there is no bucket \"abc\" at this endpoint".into(),
        }),
        paths: Vec::<PathOutcome>::new(),
        ..Outcome::default()
    };
    let mut says = None;
    api.until("it says so", |api| {
        play(api, gone);
        says = cache_condition(api, "warm", "SourceReachable").filter(|c| c.reason == "NoSuchBucket");
        says.is_some()
    })
    .await;
    assert!(says.unwrap().message.contains("there is no bucket \"abc\""));
    assert_eq!(copies(&api)[0].generation, Some(1));
    assert_eq!(cache_condition(&api, "warm", "Ready").unwrap().status, "True");
}

#[tokio::test]
async fn of_a_refresh_that_came_to_nothing_only_the_failure_is_told_and_the_copy_keeps_its_figures() {
    const CHANGED: &str =
        "1 object of the bucket cannot be read, first \"much\": it was changed while it was read";
    let (api, _nfs, _operator) = start().await;
    until_filled(&api, 1).await;
    ask(&api, "now");
    let changed = |_: &FakeApi, _: &Value| Outcome {
        present: vec![1],
        failure: Some(Failure { reason: FailureReason::NothingWhole, message: CHANGED.into() }),
        paths: vec![PathOutcome { state: PathState::Partial, files: 1, bytes: 3, message: CHANGED.into() }],
        ..Outcome::default()
    };
    let mut says = None;
    api.until("it says so", |api| {
        play(api, changed);
        says = cache_condition(api, "warm", "Fresh").filter(|condition| condition.status == "False");
        says.is_some()
    })
    .await;
    assert!(says.unwrap().message.contains(CHANGED));
    let status = cache(&api, "warm").unwrap().status.unwrap();
    let paths: Vec<_> = status.paths.iter().map(|path| (path.state, path.files, path.bytes)).collect();
    assert_eq!(paths, [(PathState::Whole, 2, 10)]);
    assert_eq!((status.paths[0].message.as_str(), status.files.done), (REMARK, 2));
    api.until("it is told", |api| told(api, "PathNotWhole") == 1).await;
}

#[tokio::test]
async fn a_bucket_cache_that_is_deleted_has_its_copy_taken_away_without_the_secret() {
    let (api, _nfs, _operator) = start().await;
    until_filled(&api, 1).await;
    use_on(&api, "n1", i64::MAX, &[]);
    assert!(api.delete("FsCache", SPACE, "warm"));
    let mut volumes = Value::Null;
    api.until("it is gone", |api| {
        if let Some(job) = api.all("Job").first() {
            volumes = job["spec"]["template"]["spec"]["volumes"].clone();
        }
        play(api, one_path);
        cache(api, "warm").is_none()
    })
    .await;
    assert!(!volumes.to_string().contains("secret"), "{volumes}");
}
