//! Volumes that claims have on the disks of a LocalStorage: they hold it, and what becomes of them is told.

use serde_json::{Value, json};
use workspacefs_testkit::{FakeApi, builders};

use crate::local::*;
use crate::world::*;

/// A claim of workspace `work`, and its volume on n1.
fn put_volume(api: &FakeApi, claim: &str) {
    let uid = storage(api, "fast").unwrap().metadata.uid.unwrap();
    api.put(&builders::claim("work", claim, json!({"volumeName": format!("pvc-{claim}")})));
    api.put(&builders::local_volume(&uid, "n1", claim));
}

/// As its node writes the status.
fn set_status(api: &FakeApi, claim: &str, status: Value) {
    let set = |volume: &mut Value| volume["status"] = status;
    assert!(api.edit("LocalVolume", "", &format!("volume-{claim}"), set));
}

/// As the CSI controller ends one.
fn end(api: &FakeApi, claim: &str) {
    let name = format!("volume-{claim}");
    api.delete("LocalVolume", "", &name);
    assert!(api.edit("LocalVolume", "", &name, |volume| volume["metadata"]["finalizers"] = json!([])));
}

#[tokio::test]
async fn they_hold_it_and_are_counted_and_named() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    put_volume(&api, "data");
    put_volume(&api, "more");
    // Whose label somebody took off; and one of another LocalStorage.
    api.edit("LocalVolume", "", "volume-more", |volume| volume["metadata"]["labels"] = json!({}));
    api.put(&builders::local_volume("another", "n1", "theirs"));
    assert!(api.delete("LocalStorage", "", "fast"));
    let message = until_of(&api, "fast", "InUse", "ClaimsUseIt").await;
    assert_eq!(message, "2 claims use it: work/data on n1, work/more on n1. It goes when they are gone");
    api.settled(QUIET).await;
    assert_eq!(told(&api, "InUse"), 1);
    // No further claim begins.
    assert!(api.all("StorageClass").is_empty());
    end(&api, "data");
    api.until("one is left", |api| {
        of(api, "fast", "InUse").is_some_and(|c| c.message.starts_with("1 claim uses it: work/more"))
    })
    .await;
    end(&api, "more");
    api.until("it is gone", |api| storage(api, "fast").is_none()).await;
    assert_eq!(api.all("LocalVolume").len(), 1);
}

#[tokio::test]
async fn one_that_is_lost_is_told_to_whoever_has_the_claim_once_and_degrades_the_storage() {
    let api = api().await;
    put_ready(&api, "fast");
    let operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    put_volume(&api, "data");
    put_volume(&api, "more");
    api.settled(QUIET).await;
    assert!(of(&api, "fast", "Degraded").is_none());
    set_status(&api, "data", json!({"phase": "Lost", "message": "no folder of that name."}));
    let message = until_of(&api, "fast", "Degraded", "VolumesLost").await;
    assert!(message.contains("1 claim's volume is lost") && message.contains("work/data on n1"), "{message}");
    api.until("it is told", |api| told(api, "VolumeLost") == 1).await;
    let events = api.all("Event");
    let event = events.iter().find(|event| event["reason"] == "VolumeLost").unwrap();
    assert_eq!((&event["type"], &event["metadata"]["namespace"]), (&json!("Warning"), &json!("work")));
    let claim = claim(&api, "work", "data").unwrap();
    assert_eq!(event["regarding"]["uid"], claim.metadata.uid.unwrap().as_str());
    let note = event["note"].as_str().unwrap();
    assert!(note.contains("node n1") && note.contains("(no folder of that name)"), "{note}");

    // Its node looks again and again; and the operator is another.
    set_status(&api, "data", json!({"phase": "Lost", "message": "still none"}));
    api.settled(QUIET).await;
    operator.stop().await;
    let before = writes(&api).len();
    let _operator = Operator::start(&api, "b", config());
    set_status(&api, "data", json!({"phase": "Lost", "message": "none"}));
    api.settled(QUIET).await;
    assert_eq!(writes(&api).len(), before, "{:#?}", &writes(&api)[before..]);

    set_status(&api, "more", json!({"phase": "Lost"}));
    api.until("the other is told", |api| told(api, "VolumeLost") == 2).await;
    until_of(&api, "fast", "Degraded", "VolumesLost").await;
    for claim in ["data", "more"] {
        set_status(&api, claim, json!({"phase": "Ready"}));
    }
    api.until("all is well", |api| of(api, "fast", "Degraded").is_none()).await;
    api.settled(QUIET).await;
    assert_eq!(told(&api, "VolumeLost"), 2);
}

/// Makes a claim one that cannot be read, or mends it.
fn break_claim(api: &FakeApi, claim: &str, broken: bool) {
    let name = if broken { json!(7) } else { json!(format!("pvc-{claim}")) };
    assert!(api.edit("PersistentVolumeClaim", "work", claim, |claim| claim["spec"]["volumeName"] = name));
}

#[tokio::test]
async fn a_loss_that_could_not_be_told_is_told_later_and_those_before_it_not_again() {
    // Whether the operator has had a pass before there is anything to tell.
    for is_first_pass in [true, false] {
        let api = api().await;
        put_ready(&api, "fast");
        put_volume(&api, "data");
        put_volume(&api, "more");
        break_claim(&api, "more", true);
        let lose = || ["data", "more"].map(|claim| set_status(&api, claim, json!({"phase": "Lost"})));
        if is_first_pass {
            lose();
        }
        let _operator = Operator::start(&api, "a", config());
        until_claim(&api, "work", "fast").await;
        if !is_first_pass {
            api.settled(QUIET).await;
            lose();
        }
        until_of(&api, "fast", "Degraded", "VolumesLost").await;
        api.until("one is told", |api| told(api, "VolumeLost") == 1).await;
        // It tries again meanwhile.
        let reads = |api: &FakeApi| {
            let all = api.requests();
            all.iter().filter(|r| r.resource == "persistentvolumeclaims" && r.name == "more").count()
        };
        let before = reads(&api);
        tokio::time::timeout(std::time::Duration::from_secs(30), async {
            while reads(&api) < before + 2 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("it tries again");
        assert_eq!(told(&api, "VolumeLost"), 1);
        break_claim(&api, "more", false);
        api.until("the other is told", |api| told(api, "VolumeLost") == 2).await;
    }
}

#[tokio::test]
async fn many_that_are_not_ready_because_their_node_left_are_one_event() {
    let api = api().await;
    put_ready(&api, "fast");
    let _operator = Operator::start(&api, "a", config());
    until_labelled(&api, "fast", &["n1"]).await;
    for n in 0..10 {
        put_volume(&api, &format!("data-{n}"));
    }
    api.settled(QUIET).await;
    let before = event_reasons(&api).len();
    report(&api, "fast", "n1", false);
    for n in 0..10 {
        set_status(&api, &format!("data-{n}"), json!({"phase": "Ready", "reason": "NotReady"}));
    }
    until_labelled(&api, "fast", &[]).await;
    until_of(&api, "fast", "Ready", "NoneReady").await;
    api.settled(QUIET).await;
    // That the node left, and that none is ready.
    assert_eq!(event_reasons(&api).len(), before + 2, "{:?}", event_reasons(&api));
    assert_eq!((told(&api, "NodeNotReady"), told(&api, "NoneReady")), (1, 1));
    assert!(of(&api, "fast", "Degraded").is_none());
}

#[tokio::test]
async fn a_claim_that_was_made_again_under_that_name_has_lost_nothing() {
    let api = api().await;
    put_ready(&api, "fast");
    put_volume(&api, "data");
    api.delete("PersistentVolumeClaim", "work", "data");
    api.put(&builders::claim("work", "data", json!({"volumeName": "pvc-of-now"})));
    set_status(&api, "data", json!({"phase": "Lost"}));
    let _operator = Operator::start(&api, "a", config());
    until_of(&api, "fast", "Degraded", "VolumesLost").await;
    api.settled(QUIET).await;
    assert_eq!(told(&api, "VolumeLost"), 0);
}

#[tokio::test]
async fn one_that_cannot_be_read_stops_nobody_and_still_holds_it() {
    let api = api().await;
    put_ready(&api, "fast");
    put_volume(&api, "data");
    api.edit("LocalVolume", "", "volume-data", |volume| volume["spec"]["sizeBytes"] = json!("much"));
    let _operator = Operator::start(&api, "a", config());
    until_claim(&api, "work", "fast").await;
    assert!(api.delete("LocalStorage", "", "fast"));
    let message = until_of(&api, "fast", "InUse", "ClaimsUseIt").await;
    assert!(message.contains("volume-data"), "{message}");
    end(&api, "data");
    api.until("it is gone", |api| storage(api, "fast").is_none()).await;
}
