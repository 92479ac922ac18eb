//! FsCaches that cannot be, and two that want the same.

use serde_json::{Value, json};
use workspacefs_testkit::{FakeApi, builders};

use crate::cache::*;
use crate::local::{put_ready, told};
use crate::world::*;

#[tokio::test]
async fn what_cannot_be_a_cache_says_why_and_no_mover_is_sent() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_ready(&api, "nvme");
    let mut shared = builders::nfs("127.0.0.1", nfs.port);
    shared["backend"]["nfs"]["folder"] = json!("shared");
    api.put(&builders::file_system(SPACE, "shared", shared));
    let claimed = json!({"backend": {"persistentVolumeClaim": {"claimName": "c"}}});
    api.put(&builders::file_system(SPACE, "efs", claimed));
    let mut twin = builders::nfs("127.0.0.1", nfs.port);
    twin["nodeGroup"] = json!("gpu");
    api.put(&builders::file_system(SPACE, "twin", twin));
    let s3 = json!({"s3": {"bucket": "abc", "secretRef": {"name": "s"}}});
    let on = |target: Value| json!({"target": target});
    let of = |source: &str| json!({"source": {"fileSystem": source, "paths": ["/a"]}});
    let cases = [
        (of("none"), "SourceReachable", "SourceMissing", "no FileSystem none"),
        (of("efs"), "SourceReachable", "SourceNotSupported", "another driver's volume"),
        (on(json!({"fileSystem": "none"})), "TargetAvailable", "TargetMissing", "no FileSystem none"),
        (
            on(json!({"fileSystem": "efs"})),
            "TargetAvailable",
            "TargetNotSupported",
            "another driver's volume",
        ),
        (on(json!({"fileSystem": "shared"})), "TargetAvailable", "TargetNotDedicated", "nodeGroup"),
        (on(json!({"fileSystem": "twin"})), "TargetAvailable", "TargetIsSource", "same folder"),
        (on(json!({"localStorage": "none"})), "TargetAvailable", "TargetMissing", "no LocalStorage none"),
        (on(json!({"localStorage": "nvme"})), "TargetAvailable", "NotListed", "spec.workspaces"),
        // An object that is older than its rules.
        (json!({"source": s3}), "Ready", "NotSupported", "exposure must be Claim"),
        (json!({"refresh": {"schedule": "61 * * * *"}}), "Ready", "Invalid", "schedule"),
    ];
    for (n, (more, ..)) in cases.iter().enumerate() {
        let mut cache = spec(more.clone());
        if cache["source"]["fileSystem"] == "efs" || cache["target"]["fileSystem"] == "twin" {
            cache["source"]["paths"] = json!([format!("/{n}")]);
        }
        api.put(&builders::fs_cache(SPACE, &format!("c{n}"), cache));
    }
    let _operator = Operator::start(&api, "a", config());
    for (n, (_, kind, reason, words)) in cases.iter().enumerate() {
        let message = until_cache(&api, &format!("c{n}"), kind, reason).await;
        assert!(message.contains(words), "{reason}: {message}");
        assert_eq!(cache_condition(&api, &format!("c{n}"), "Ready").unwrap().status, "False");
    }
    api.settled(QUIET).await;
    assert!(api.all("Job").is_empty());
    // Deleting one for which nothing was ever begun needs nobody.
    for n in 0..cases.len() {
        assert!(api.delete("FsCache", SPACE, &format!("c{n}")));
    }
    api.until("all are gone", |api| api.all("FsCache").is_empty()).await;
    assert_eq!(told(&api, "CopiesKept"), 0);
}

#[tokio::test]
async fn what_is_missing_may_come_and_what_goes_stops_the_mover() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_cache(&api, json!({}));
    let _operator = Operator::start(&api, "a", config());
    until_cache(&api, "warm", "Ready", "TargetMissing").await;
    put_file_systems(&api, nfs.port);
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    until_bound(&api, "data").await;
    assert!(api.delete("FileSystem", SPACE, "data"));
    until_cache(&api, "warm", "SourceReachable", "SourceMissing").await;
    api.until("it is stopped", |api| api.all("Job").is_empty()).await;
    assert_eq!(copies(&api)[0].filling, Some(1), "what it began is known");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
    put_nfs(&api, "data", nfs.port);
    // It is another FileSystem: nothing that was begun of the one before comes into its copy.
    until_moved(&api, "it is filled", |api| has(api, 2)).await;
}

#[tokio::test]
async fn a_copy_of_a_source_that_was_made_again_is_shown_to_nobody_and_made_anew() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, json!({}));
    let _operator = Operator::start(&api, "a", config());
    until_moved(&api, "it is filled", |api| has(api, 1)).await;
    let source = |api: &FakeApi| file_system(api, SPACE, "data").and_then(|fs| fs.metadata.uid).unwrap();
    let first = source(&api);
    assert_eq!(copies(&api)[0].source, first);
    until_bound(&api, "data").await;
    assert!(api.delete("FileSystem", SPACE, "data"));
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
    put_nfs(&api, "data", nfs.port);
    until_cache(&api, "warm", "Ready", "SourceReplaced").await;
    let copy = copies(&api).remove(0);
    assert_eq!((copy.generation, copy.whole.len()), (Some(1), 0), "nodes show nothing of it");
    api.until("a mover is sent", |api| !api.all("Job").is_empty()).await;
    let job = api.all("Job").remove(0);
    assert_eq!((source_of(&job), &errand(&job)["earlier"]), (json!(source(&api)), &Value::Null));
    until_moved(&api, "it is filled anew", |api| has(api, 2)).await;
    until_cache(&api, "warm", "Ready", "Ready").await;
    let copy = copies(&api).remove(0);
    assert_eq!((copy.source, copy.whole.len()), (source(&api), 2));
    assert_ne!(source(&api), first);
    assert_eq!(told(&api, "SourceReplaced"), 1);
}

#[tokio::test]
async fn of_two_caches_on_one_path_the_second_says_so_and_keeps_its_other_paths() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_file_systems(&api, nfs.port);
    put_cache(&api, json!({}));
    let second = json!({"source": {"fileSystem": "data", "paths": ["/b", "/x"]}});
    api.put(&builders::fs_cache(SPACE, "zweite", spec(second)));
    let _operator = Operator::start(&api, "a", config());
    let message = until_cache(&api, "zweite", "Conflict", "PathTaken").await;
    assert!(message.contains("/b (FsCache warm)") && !message.contains("/x"), "{message}");
    until_moved(&api, "both are filled", |api| {
        ["warm", "zweite"]
            .iter()
            .all(|name| cache_condition(api, name, "Ready").is_some_and(|c| c.status == "True"))
    })
    .await;
    assert!(cache_condition(&api, "warm", "Conflict").is_none());
    // Nor does its Ready claim what the first shows.
    let message = until_cache(&api, "zweite", "Ready", "SomePathsTaken").await;
    assert!(message.contains("/b (FsCache warm)") && !message.contains("find them"), "{message}");
    let message = until_cache(&api, "warm", "Ready", "Ready").await;
    assert!(message.contains("find them"), "{message}");
    api.until("it is told", |api| told(api, "Conflict") == 1).await;
    // When the first goes the second hears of it, and does not wait for its next look.
    use_on(&api, "n1", i64::MAX, &[]);
    assert!(api.delete("FsCache", SPACE, "warm"));
    let asked = std::time::Instant::now();
    until_moved(&api, "there is no conflict any more", |api| {
        cache_condition(api, "zweite", "Conflict").is_none_or(|condition| condition.status != "True")
    })
    .await;
    assert!(asked.elapsed() < std::time::Duration::from_secs(20), "{:?}", asked.elapsed());
}
