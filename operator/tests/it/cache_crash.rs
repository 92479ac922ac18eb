//! Killed at every single write about an FsCache, before and after the server has carried it out: the next operator
//! ends in the very state that an undisturbed one reaches.

use serde_json::json;

use crate::cache::*;
use crate::cache_local::{on_nodes, put_storage, warm};
use crate::crash::{NFS, Scene, Story, tell};
use crate::local::{put_node, report};
use crate::world::*;

const GOING: i64 = i64::MAX;

fn is_ready(scene: &Scene) -> bool {
    let is_good =
        |kind| cache_condition(&scene.api, "warm", kind).is_some_and(|found| found.status == "True");
    ["Ready", "Fresh", "SourceReachable", "TargetAvailable"].into_iter().all(is_good)
}

fn has_moved(scene: &Scene, generation: i64) -> bool {
    play(&scene.api, well);
    has(&scene.api, generation) && is_ready(scene)
}

const FILLED: Story = Story {
    before: |scene| {
        scene.put_cache_file_systems();
        put_cache(&scene.api, json!({}));
    },
    begun: |scene| has_moved(scene, 1),
    ..NFS
};

#[tokio::test]
async fn while_a_cache_is_filled() {
    tell(Story {
        before: |scene| scene.put_cache_file_systems(),
        event: |scene| drop(put_cache(&scene.api, json!({}))),
        done: |scene| has_moved(scene, 1),
        writes_min: 5,
        ..NFS
    })
    .await;
}

#[tokio::test]
async fn while_a_cache_is_refreshed_and_the_older_generation_goes() {
    tell(Story {
        event: |scene| {
            use_on(&scene.api, "n1", 1, &[1]);
            ask(&scene.api, "now");
        },
        done: |scene| {
            if has_moved(scene, 2) && copies(&scene.api)[0].superseded == [1] {
                use_on(&scene.api, "n1", 2, &[]);
            }
            has_moved(scene, 2)
                && copies(&scene.api)[0].superseded.is_empty()
                && at(&cache(&scene.api, "warm"), "/status/refreshedFor") == "now"
        },
        writes_min: 6,
        ..FILLED
    })
    .await;
}

#[tokio::test]
async fn while_a_cache_is_taken_away() {
    tell(Story {
        event: |scene| {
            use_on(&scene.api, "n1", GOING, &[]);
            assert!(scene.api.delete("FsCache", SPACE, "warm"));
        },
        done: |scene| {
            play(&scene.api, well);
            cache(&scene.api, "warm").is_none() && scene.api.all("Job").is_empty()
        },
        writes_min: 4,
        ..FILLED
    })
    .await;
}

#[tokio::test]
async fn while_a_node_with_a_copy_leaves_and_another_joins() {
    tell(Story {
        before: |scene| {
            scene.put_cache_file_systems();
            put_storage(&scene.api, &["n1"]);
            put_cache(&scene.api, on_nodes(json!({})));
        },
        begun: |scene| {
            play(&scene.api, well);
            warm(&scene.api) == ["n1"] && is_ready(scene) && scene.api.all("Job").is_empty()
        },
        event: |scene| {
            let api = &scene.api;
            put_node(api, "n2");
            report(api, "nvme", "n2", true);
            assert!(api.delete("Node", "", "n1"));
        },
        done: |scene| {
            play(&scene.api, well);
            let of_n1 =
                crate::local::storage(&scene.api, "nvme").is_some_and(|nvme| nvme.on_node("n1").is_some());
            warm(&scene.api) == ["n2"]
                && is_ready(scene)
                && generations(&scene.api).len() == 1
                && scene.api.all("Job").is_empty()
                && !of_n1
        },
        writes_min: 6,
        ..NFS
    })
    .await;
}
