//! Killed at every single write, before and after the server has carried it out: the next operator ends in the very state
//! that an undisturbed one reaches, with nothing twice.

use serde_json::{Value, json};
use workspacefs_testkit::{FakeApi, Fault, Moment, builders};

use crate::world::*;

/// A way from one stable state to another.
#[derive(Clone, Copy)]
struct Story {
    /// What the undisturbed operator has brought up before, if anything.
    before: fn(&FakeApi, u16),
    /// What happens then.
    event: fn(&FakeApi, u16),
    /// Whether everything is done.
    done: fn(&FakeApi) -> bool,
    /// At least so many writes must have been tried.
    writes_min: usize,
    /// Whether no Event may be there twice. (What goes and comes back is told each time.)
    events_once: bool,
}

fn bound(api: &FakeApi, namespace: &str, name: &str) -> bool {
    let is = |kind, status| {
        file_system(api, namespace, name)
            .is_some_and(|fs| fs.condition(kind).is_some_and(|c| c.status == status))
    };
    let claim_bound = claim(api, namespace, name).is_some_and(|claim| at(&claim, "/status/phase") == "Bound");
    is("Ready", "True") && is("Reachable", "True") && claim_bound
}

#[tokio::test]
async fn while_file_systems_are_brought_up() {
    tell(Story {
        before: |_, _| {},
        event: |api, port| {
            api.put(&builders::namespace("work", &[("workspacefs.io/workspace", "true")]));
            put_nfs(api, "data", port);
        },
        done: |api| bound(api, SPACE, "data") && bound(api, "work", "default"),
        writes_min: 9,
        events_once: true,
    })
    .await;
}

#[tokio::test]
async fn while_a_deleted_claim_is_made_again() {
    tell(Story {
        before: |api, port| drop(put_nfs(api, "data", port)),
        event: |api, _| assert!(api.delete("PersistentVolumeClaim", SPACE, "data")),
        done: |api| bound(api, SPACE, "data"),
        writes_min: 2,
        events_once: false,
    })
    .await;
}

#[tokio::test]
async fn while_a_file_system_is_taken_away() {
    tell(Story {
        before: |api, port| drop(put_nfs(api, "data", port)),
        event: |api, _| assert!(api.delete("FileSystem", SPACE, "data")),
        done: |api| {
            file_system(api, SPACE, "data").is_none()
                && api.all("PersistentVolume").is_empty()
                && api.all("PersistentVolumeClaim").is_empty()
        },
        writes_min: 3,
        events_once: false,
    })
    .await;
}

#[tokio::test]
async fn while_mount_options_change() {
    tell(Story {
        before: |api, port| drop(put_nfs(api, "data", port)),
        event: |api, _| {
            api.edit("FileSystem", SPACE, "data", |fs| {
                fs["spec"]["mountOptions"] = json!(["soft"]);
                fs["metadata"]["generation"] = json!(2);
            });
        },
        done: |api| {
            let observed = file_system(api, SPACE, "data").map(|fs| at(&fs, "/status/observedGeneration"));
            observed == Some(json!(2)) && bound(api, SPACE, "data")
        },
        writes_min: 2,
        events_once: false,
    })
    .await;
}

/// How many operators are killed side by side: each test mostly waits for quiet.
const AT_ONCE: usize = 5;

/// Runs a story undisturbed, then killed at each write.
async fn tell(story: Story) {
    let nfs = NfsServer::start().await;
    let undisturbed = play(story, nfs.port, None).await.expect("without a crash it ends");
    for first in (0..).step_by(AT_ONCE) {
        let crashes = (first..first + AT_ONCE).flat_map(|nth| [(nth, Moment::Before), (nth, Moment::After)]);
        let ends = crashes.map(|crash| async move { (crash, play(story, nfs.port, Some(crash)).await) });
        for ((nth, moment), end) in futures::future::join_all(ends).await {
            match end {
                Some(end) => assert_eq!(end, undisturbed, "killed at write {nth}, {moment:?}"),
                None => {
                    assert!(nth >= story.writes_min, "only {nth} writes were tried");
                    return;
                }
            }
        }
    }
}

/// The end state; None where there was no such write to be killed at.
async fn play(story: Story, port: u16, crash: Option<(usize, Moment)>) -> Option<Value> {
    let api = api().await;
    let config = || config_with_default(port);
    (story.before)(&api, port);
    let operator = Operator::start(&api, "a", config());
    api.until("the beginning", |api| {
        api.all("FileSystem").iter().all(|fs| {
            bound(
                api,
                fs["metadata"]["namespace"].as_str().unwrap(),
                fs["metadata"]["name"].as_str().unwrap(),
            )
        })
    })
    .await;
    api.settled(QUIET).await;
    operator.stop().await;

    let mut sprung =
        crash.map(|(nth, moment)| api.trap(nth, moment, Fault::Hold, |r| r.resource != "leases"));
    (story.event)(&api, port);
    let operator = Operator::start(&api, "a", config());
    let operator = match &mut sprung {
        None => operator,
        Some(sprung) => {
            let undisturbed = async {
                api.until("the end, without a crash", story.done).await;
                api.settled(QUIET).await;
            };
            tokio::select! {
                struck = sprung => struck.map(drop).expect("the trap is there"),
                () = undisturbed => return None,
            }
            operator.kill().await;
            Operator::start(&api, "a", config())
        }
    };
    api.until("the end", story.done).await;
    api.settled(QUIET).await;
    operator.stop().await;
    if story.events_once {
        let told = |event: &Value| format!("{}: {}", event["regarding"]["namespace"], event["reason"]);
        let mut events: Vec<String> = api.all("Event").iter().map(told).collect();
        events.sort_unstable();
        let all = events.len();
        events.dedup();
        assert_eq!(events.len(), all, "{events:?}");
    }
    Some(portrait(&api))
}

/// What there is in the end, without what differs from run to run: versions, times, and the uids of what was made.
fn portrait(api: &FakeApi) -> Value {
    let mut all: Vec<Value> = ["FileSystem", "PersistentVolume", "PersistentVolumeClaim"]
        .iter()
        .flat_map(|kind| api.all(kind))
        .collect();
    let mut names = Vec::new();
    for object in &all {
        let (kind, meta) = (&object["kind"], &object["metadata"]);
        names.push((
            meta["uid"].as_str().unwrap().to_string(),
            format!("<{kind} {}/{}>", meta["namespace"], meta["name"]),
        ));
        let namespace: Option<Value> = api.find("Namespace", "", meta["namespace"].as_str().unwrap_or(""));
        if let Some(uid) = namespace.and_then(|ns| ns["metadata"]["uid"].as_str().map(String::from)) {
            names.push((uid, "<namespace>".into()));
        }
    }
    all.iter_mut().for_each(strip);
    let mut text = serde_json::to_string(&all).unwrap();
    // A volume's name holds a uid, so volumes come last.
    for (uid, name) in names.iter().filter(|(_, name)| !name.contains("wsfs-")) {
        text = text.replace(uid, &name.replace('"', "'"));
    }
    for (uid, _) in &names {
        text = text.replace(uid, "<uid>");
    }
    serde_json::from_str(&text).unwrap()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for field in ["resourceVersion", "creationTimestamp", "lastTransitionTime"] {
                map.remove(field);
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
