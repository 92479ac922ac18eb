//! Killed at every single write about a LocalStorage, before and after the server has carried it out: the next operator ends
//! in the very state that an undisturbed one reaches.

use serde_json::{Value, json};
use workspacefs_testkit::{FakeApi, builders};

use crate::crash::{NFS, Scene, Story, tell};
use crate::local::*;
use crate::world::*;

fn is_up(scene: &Scene) -> bool {
    let api = &scene.api;
    let reason = |kind| of(api, "fast", kind).map(|condition| condition.reason);
    is_bound(api, "work", "fast")
        && reason("WorkspacesReady").as_deref() == Some("Bound")
        && reason("Ready").as_deref() == Some("Ready")
        && labelled(api, "fast") == ["n1"]
        && has_class(api)
}

fn has_class(api: &FakeApi) -> bool {
    api.find::<Value>("StorageClass", "", "workspacefs-local-fast").is_some()
}

/// How many there are; the workspace has one of its default FileSystem, too.
fn local_volumes(api: &FakeApi) -> usize {
    let of_local = |volume: &Value| volume["spec"]["csi"]["driver"] == "local.csi.workspacefs.io";
    api.all("PersistentVolume").iter().filter(|volume| of_local(volume)).count()
}

const UP: Story = Story { before: |scene| put_ready(&scene.api, "fast"), begun: is_up, ..NFS };

#[tokio::test]
async fn while_a_local_storage_is_brought_up() {
    tell(Story {
        event: |scene| {
            put_ready(&scene.api, "fast");
            // Of a node that never was.
            report(&scene.api, "fast", "gone", true);
        },
        done: |scene| {
            is_up(scene)
                && scene.bound("work", "default")
                && storage(&scene.api, "fast").is_some_and(|fast| fast.on_node("gone").is_none())
        },
        writes_min: 7,
        ..NFS
    })
    .await;
}

#[tokio::test]
async fn while_a_node_leaves_and_another_joins() {
    tell(Story {
        event: |scene| {
            let api = &scene.api;
            put_node(api, "n2");
            report(api, "fast", "n2", true);
            api.edit("Node", "", "n1", |node| {
                node["metadata"]["labels"]["workspacefs.io/node-group"] = json!("cpu");
            });
        },
        done: |scene| {
            labelled(&scene.api, "fast") == ["n2"]
                && storage(&scene.api, "fast").is_some_and(|fast| fast.on_node("n1").is_none())
        },
        writes_min: 3,
        ..UP
    })
    .await;
}

#[tokio::test]
async fn while_a_deleted_local_claim_is_made_again() {
    tell(Story {
        event: |scene| assert!(scene.api.delete("PersistentVolumeClaim", "work", "fast")),
        done: is_up,
        writes_min: 2,
        ..UP
    })
    .await;
}

#[tokio::test]
async fn while_one_workspace_takes_the_place_of_another() {
    tell(Story {
        event: |scene| {
            let api = &scene.api;
            api.put(&builders::namespace("other", &WORKSPACE));
            api.edit("LocalStorage", "", "fast", |fast| {
                fast["spec"]["workspaces"] = json!(["other"]);
                fast["metadata"]["generation"] = json!(2);
            });
        },
        done: |scene| {
            let api = &scene.api;
            is_bound(api, "other", "fast")
                && scene.bound("other", "default")
                && claim(api, "work", "fast").is_none()
                && local_volumes(api) == 1
                && of(api, "fast", "WorkspacesReady").is_some_and(|c| c.reason == "Bound")
        },
        writes_min: 5,
        ..UP
    })
    .await;
}

#[tokio::test]
async fn while_a_local_storage_is_taken_away() {
    tell(Story {
        event: |scene| assert!(scene.api.delete("LocalStorage", "", "fast")),
        done: |scene| {
            let api = &scene.api;
            storage(api, "fast").is_none()
                && labelled(api, "fast").is_empty()
                && claim(api, "work", "fast").is_none()
                && local_volumes(api) == 0
                && !has_class(api)
        },
        writes_min: 4,
        ..UP
    })
    .await;
}
