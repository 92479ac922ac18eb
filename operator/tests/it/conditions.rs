//! Conditions and Events, and that nothing is asked or written without need.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use workspacefs_testkit::{Verb, builders};

use crate::world::*;

#[tokio::test]
async fn reachable_follows_the_server_and_each_change_is_one_event() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let port = nfs.port;
    put_nfs(&api, "data", port);
    let _operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Reachable", "Answered").await;
    let up = condition(&api, "data", "Reachable").unwrap();
    nfs.stop().await;
    let message = until_reason(&api, "data", "Reachable", "Refused").await;
    assert!(message.contains(&port.to_string()), "{message}");
    assert!(has_reason(&api, "data", "Bound"), "a server that is away does not unbind the claim");
    let _nfs = NfsServer::start_on(port).await;
    until_reason(&api, "data", "Reachable", "Answered").await;
    let again = condition(&api, "data", "Reachable").unwrap();
    assert!(again.last_transition_time.0 >= up.last_transition_time.0);
    api.settled(QUIET).await;
    let events = event_reasons(&api);
    for reason in ["Unreachable", "Reachable"] {
        assert_eq!(events.iter().filter(|event| *event == reason).count(), 1, "{events:?}");
    }
}

#[tokio::test]
async fn when_all_is_well_passes_ask_and_write_nothing() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let mut spec = builders::nfs("127.0.0.1", nfs.port);
    // Written in a form that the API server would write differently.
    spec["capacity"] = json!("1024Gi");
    api.put(&builders::file_system(SPACE, "data", spec));
    let _operator = Operator::start(&api, "a", config_with_default(nfs.port));
    until_reason(&api, "data", "Reachable", "Answered").await;
    until_bound(&api, "data").await;
    api.edit("PersistentVolume", "", &volume(&api, "data").unwrap().metadata.name.unwrap(), |volume| {
        volume["spec"]["capacity"]["storage"] = json!("1Ti");
    });
    api.settled(QUIET).await;
    let (before, asked) = (requests(&api), nfs.calls());
    sleep(Duration::from_millis(1500)).await;
    let after = requests(&api);
    assert_eq!(before.len(), after.len(), "{:?}", &after[before.len()..]);
    assert!(nfs.calls() > asked + 2, "no pass ran meanwhile: the test proves nothing");
}

#[tokio::test]
async fn an_operator_that_starts_where_all_is_well_writes_nothing() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Reachable", "Answered").await;
    until_bound(&api, "data").await;
    api.settled(QUIET).await;
    operator.stop().await;
    let (before, asked) = (writes(&api).len(), nfs.calls());
    let _operator = Operator::start(&api, "a", config());
    while nfs.calls() < asked + 2 {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(writes(&api).len(), before, "{:#?}", &writes(&api)[before..]);
}

#[tokio::test]
async fn bringing_one_file_system_up_takes_few_writes() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_reason(&api, "data", "Reachable", "Answered").await;
    until_bound(&api, "data").await;
    api.settled(QUIET).await;
    let writes = writes(&api);
    let count = |verb, resource| writes.iter().filter(|r| r.verb == verb && r.resource == resource).count();
    assert_eq!(count(Verb::Create, "persistentvolumes"), 1);
    assert_eq!(count(Verb::Create, "persistentvolumeclaims"), 1);
    // The finalizer, and a status for "being made", "asking" and "answered" at most.
    assert!(count(Verb::Patch, "filesystems") <= 5, "{writes:#?}");
    assert!(writes.len() <= 9, "{writes:#?}");
}

#[tokio::test]
async fn many_file_systems_on_one_server_cost_it_one_question_an_interval() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    for i in 0..20 {
        put_nfs(&api, &format!("data-{i}"), nfs.port);
    }
    let mut config = config();
    config.probe_interval = Duration::from_secs(30);
    let _operator = Operator::start(&api, "a", config);
    for i in 0..20 {
        until_reason(&api, &format!("data-{i}"), "Reachable", "Answered").await;
    }
    assert_eq!(nfs.calls(), 1);
}

#[tokio::test]
async fn version_3_says_that_locks_are_local() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let mut spec = builders::nfs("127.0.0.1", nfs.port);
    spec["backend"]["nfs"]["version"] = json!("3");
    api.put(&builders::file_system(SPACE, "data", spec));
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    let locks = condition(&api, "data", "LocksLocal").unwrap();
    assert_eq!((locks.status.as_str(), locks.reason.as_str()), ("True", "NfsVersion3"));
}

#[tokio::test]
async fn an_object_older_than_its_rules_or_not_readable_at_all_says_so_and_stops_nobody() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let raw = |name: &str, spec: Value| {
        json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem",
            "metadata": {"namespace": SPACE, "name": name}, "spec": spec,
        })
    };
    api.put(&raw("two-minds", json!({"backend": {}})));
    api.put(&raw("options", {
        let mut spec = builders::nfs("127.0.0.1", nfs.port);
        spec["mountOptions"] = json!(["sec=none"]);
        spec
    }));
    api.put(&raw("unreadable", json!({"backend": "none of your business"})));
    put_nfs(&api, "fine", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "fine").await;
    let ready = |api: &workspacefs_testkit::FakeApi, name: &str| {
        let fs: Value = api.find("FileSystem", SPACE, name).unwrap();
        let conditions = fs["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|c| c["type"] == "Ready").unwrap_or_default()
    };
    for (name, word) in [("two-minds", "exactly one"), ("options", "sec=none"), ("unreadable", "backend")] {
        api.until(name, |api| ready(api, name)["reason"] == "Invalid").await;
        let message = ready(&api, name)["message"].as_str().unwrap().to_string();
        assert!(message.contains(word) || name == "unreadable", "{name}: {message}");
    }
    api.settled(QUIET).await;
    let before = writes(&api).len();
    sleep(Duration::from_millis(700)).await;
    assert_eq!(
        writes(&api).len(),
        before,
        "the status of an object that cannot be read is written again and again"
    );

    // They can be deleted like any other.
    for name in ["two-minds", "options", "unreadable"] {
        api.delete("FileSystem", SPACE, name);
        api.until("it is gone", |api| api.find::<Value>("FileSystem", SPACE, name).is_none()).await;
    }
}

#[tokio::test]
async fn what_was_said_of_an_object_that_cannot_be_read_is_not_said_again_nor_dated_anew() {
    let api = api().await;
    api.put(&json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem",
        "metadata": {"namespace": SPACE, "name": "data"}, "spec": {"backend": "none of your business"},
    }));
    let _operator = Operator::start(&api, "a", config());
    let status = |api: &workspacefs_testkit::FakeApi| {
        api.find::<Value>("FileSystem", SPACE, "data").unwrap()["status"].clone()
    };
    api.until("it is told", |api| status(api)["observedGeneration"] == 1).await;
    api.settled(QUIET).await;
    let first = status(&api)["conditions"][0].clone();
    assert_eq!(first["reason"], "Invalid", "{first}");
    // Times are in whole seconds.
    sleep(Duration::from_millis(1100)).await;
    api.edit("FileSystem", SPACE, "data", |fs| {
        fs["spec"]["backend"] = json!("nor of mine");
        fs["metadata"]["generation"] = json!(2);
    });
    api.until("a pass has seen the change", |api| status(api)["observedGeneration"] == 2).await;
    api.settled(QUIET).await;
    let second = status(&api)["conditions"][0].clone();
    assert_eq!(second["reason"], "Invalid", "{second}");
    assert_eq!(second["lastTransitionTime"], first["lastTransitionTime"]);
    let told = writes(&api).into_iter().filter(|request| request.resource == "events").count();
    assert_eq!(told, 1, "{:?}", event_reasons(&api));
}

#[tokio::test]
async fn a_watch_that_is_told_to_begin_anew_misses_nothing() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let _operator = Operator::start(&api, "a", config());
    put_nfs(&api, "one", nfs.port);
    until_bound(&api, "one").await;
    api.set_outage(workspacefs_testkit::faults::Outage::Refusing);
    // The watches end.
    sleep(Duration::from_millis(100)).await;
    put_nfs(&api, "two", nfs.port);
    api.delete("PersistentVolumeClaim", SPACE, "one");
    api.compact();
    api.set_outage(workspacefs_testkit::faults::Outage::None);
    until_bound(&api, "two").await;
    api.until("the claim is back", |api| claim(api, SPACE, "one").is_some()).await;
}
