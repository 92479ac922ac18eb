//! FileSystems with `localCache`: which mount is read through the node's cache, in whatever order.

use std::collections::HashMap;
use std::path::Path;

use csi_driver::local_cache::LocalCache;
use csi_driver::share::ShareSpec;
use workspacefs_csi_proto::csi::v1::NodePublishVolumeRequest;

use crate::world::{Claim, WithMode, World, inline, names};

/// The world with a FileSystem that wishes for a cache, on a node that keeps one and has not bound it yet.
fn wishing(mut world: World) -> (World, LocalCache) {
    let export = world.export("e");
    std::fs::create_dir(export.join("a")).unwrap();
    world = world.with_file_system(&export, "a");
    world.file_systems.get_mut("default").unwrap().spec.local_cache = true;
    world.local_cache = LocalCache::new();
    let cache = world.local_cache.clone();
    (world, cache)
}

fn bind(cache: &LocalCache) {
    cache.learn(Some("uid".into()), HashMap::new());
}

fn off(mut request: NodePublishVolumeRequest) -> NodePublishVolumeRequest {
    request.volume_context.insert("cache".into(), "off".into());
    request
}

/// The options of each mounted share, as its record has them.
fn shares(world: &World) -> Vec<Vec<String>> {
    let records = world.path("state/shares");
    let read = |name: String| {
        let spec: ShareSpec = serde_json::from_slice(&std::fs::read(records.join(name)).unwrap()).unwrap();
        spec.options.into_iter().map(|(key, _)| key).collect()
    };
    let mut found: Vec<Vec<String>> = names(&records).into_iter().map(read).collect();
    found.sort();
    found
}

const CACHED: &[&str] = &["fsc", "nosharecache"];
/// Of who asks for no cache.
const AROUND: &[&str] = &["nosharecache"];

pub async fn a_mount_is_cached_where_the_cache_is_there_when_it_is_made_and_stays_what_it_is(world: World) {
    let (world, cache) = wishing(world);
    let node = world.node();
    let at = |name: &str| inline(&world.target(name), "");
    node.publish(at("before")).await.unwrap();
    assert_eq!(shares(&world), [[""; 0]]);
    bind(&cache);
    node.publish(at("with")).await.unwrap();
    assert_eq!(shares(&world), [&[][..], CACHED], "what was mounted before stays as it is");
    // The cache goes, and so does the plugin: a volume that is published again is what it was.
    cache.unbound();
    drop(node);
    let node = world.node();
    let mounts = world.mounts();
    node.publish(at("with")).await.unwrap();
    assert_eq!(world.mounts(), mounts);
    assert_eq!(shares(&world), [&[][..], CACHED]);
    node.publish(at("after")).await.unwrap();
    for name in ["with", "before", "after"] {
        node.undo(&at(name)).await;
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["before", "with", "after"]);
}

pub async fn who_asks_for_no_cache_never_shares_a_mount_with_who_has_one_whatever_the_order(world: World) {
    let (world, cache) = wishing(world);
    bind(&cache);
    let node = world.node();
    let with = inline(&world.target("with"), "");
    let without = off(inline(&world.target("without"), ""));
    for order in [[&with, &without], [&without, &with]] {
        for request in order {
            node.publish(request.clone()).await.unwrap();
        }
        assert_eq!(shares(&world), [CACHED, AROUND]);
        for request in order {
            node.undo(request).await;
        }
        node.node.sweep().await;
        world.assert_nothing_left(&["with", "without"]);
    }
}

pub async fn a_claims_option_is_the_same_wish_and_a_node_that_keeps_no_cache_passes_it_on(world: World) {
    let (mut world, cache) = wishing(world);
    let claim = Claim::of(&world.export("e"), "a");
    let at = |target: &Path| claim.at(target).with_flags(&["fsc"]);
    let node = world.node();
    node.publish(at(&world.target("unbound"))).await.unwrap();
    assert_eq!(shares(&world), [[""; 0]]);
    bind(&cache);
    node.publish(at(&world.target("bound"))).await.unwrap();
    assert_eq!(shares(&world), [&[][..], CACHED]);
    for name in ["unbound", "bound"] {
        node.unpublish(&claim.id(), &world.target(name)).await.unwrap();
    }
    node.node.sweep().await;
    world.local_cache = LocalCache::off();
    let node = world.node();
    node.publish(at(&world.target("passed"))).await.unwrap();
    assert_eq!(shares(&world), [["fsc"]]);
    node.unpublish(&claim.id(), &world.target("passed")).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["unbound", "bound", "passed"]);
}
