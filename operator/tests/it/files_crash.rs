//! Killed at every single write while `files` come and go: the next operator ends in the same state, with nothing twice.

use serde_json::Value;
use workspacefs_api::files::FILES_SECRET;

use crate::crash::{NFS, Scene, Since, Story, tell};
use crate::files::deployment;
use crate::world::*;

const FILES: Story = Story {
    files: |_| true,
    before: |scene| drop(put_nfs(&scene.api, "data", scene.port)),
    begun: |scene| runs(scene),
    ..NFS
};

/// What runs the files of `data` is there, and said.
fn runs(scene: &Scene) -> bool {
    deployment(&scene.api).is_some()
        && condition(&scene.api, "data", "FilesReady").is_some_and(|c| c.reason == "Starting")
}

/// Nothing of it is left in the workspace.
fn is_gone(scene: &Scene) -> bool {
    let api = &scene.api;
    deployment(api).is_none()
        && api.find::<Value>("Secret", SPACE, FILES_SECRET).is_none()
        && ["Service", "NetworkPolicy"].iter().all(|kind| api.all(kind).is_empty())
}

#[tokio::test]
async fn while_files_are_switched_on() {
    tell(Story {
        files: |now| now == Since::Event,
        begun: |_| true,
        done: |scene| runs(scene) && scene.bound(SPACE, "data"),
        // Three keys, and what runs one FileSystem: Secret, Service, NetworkPolicy, Deployment, condition.
        writes_min: 8,
        ..FILES
    })
    .await;
}

#[tokio::test]
async fn while_a_second_file_system_of_the_workspace_comes() {
    tell(Story {
        event: |scene| drop(put_nfs(&scene.api, "more", scene.port)),
        done: |scene| {
            scene.bound(SPACE, "more")
                && condition(&scene.api, "more", "FilesReady").is_some_and(|c| c.reason == "Starting")
        },
        writes_min: 9,
        ..FILES
    })
    .await;
}

#[tokio::test]
async fn while_a_file_system_is_taken_away() {
    tell(Story {
        event: |scene| assert!(scene.api.delete("FileSystem", SPACE, "data")),
        done: |scene| scene.empty() && is_gone(scene),
        writes_min: 8,
        ..FILES
    })
    .await;
}

#[tokio::test]
async fn while_files_are_switched_off() {
    tell(Story {
        files: |now| now == Since::Before,
        done: |scene| {
            let api = &scene.api;
            is_gone(scene)
                && ["Secret", "ConfigMap"].iter().all(|kind| api.all(kind).is_empty())
                && condition(api, "data", "FilesReady").is_some_and(|c| c.reason == "Disabled")
        },
        writes_min: 7,
        ..FILES
    })
    .await;
}
