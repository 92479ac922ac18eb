//! The plugin killed at each border of each system call; the next one completes the work, or cleans up.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use workspacefs_api::Owner;
use workspacefs_sys::tree::MountApi;

use super::faults::{helper, no_helpers_left};
use crate::kill::{self, Killer};
use crate::plugin::Settings;
use crate::world::{Claim, World, names};

const FOLDER: &str = "a/b";

fn settings(world: &World, export: &Path, unpublish: bool) -> Settings {
    Settings {
        api: if world.api == MountApi::Legacy { "legacy" } else { "modern" }.into(),
        root: world.root().to_str().unwrap().into(),
        export: export.to_str().unwrap().into(),
        folder: FOLDER.into(),
        target: world.target("v").to_str().unwrap().into(),
        unpublish,
        copies: false,
    }
}

pub async fn a_publish_killed_at_any_step_is_completed_by_the_next(world: World) {
    let mut schedules = 0;
    // Once with everything to do, share and folder included, and once on a share that is mounted already.
    for warm in [false, true] {
        let keeper = Claim {
            uid: "11111111-d9cb-469f-a165-70867728950e".into(),
            ..Claim::of(&world.export("e"), "keeper")
        };
        let mut stop = 0;
        loop {
            let export = world.export("e");
            if warm {
                world.node().publish(keeper.at(&world.target("keeper"))).await.unwrap();
            }
            let killed = kill::killed_at(&settings(&world, &export, false), stop);
            let node = world.node();
            let claim = Claim::of(&export, FOLDER);
            node.publish(claim.at(&world.target("v"))).await.unwrap();
            assert_eq!(world.mounts_at(&world.target("v")), 1, "killed at stop {stop}");
            assert_eq!(world.mounts_at(&world.on_host("v")), 1, "killed at stop {stop}");
            let shares = names(&world.share_mounts());
            assert_eq!(shares.len(), 1, "killed at stop {stop}");
            assert_eq!(world.mounts_at(&world.share_mounts().join(&shares[0])), 1, "killed at stop {stop}");
            fs::write(world.target("v").join("file"), "x").unwrap();
            assert!(export.join(FOLDER).join("file").exists(), "killed at stop {stop}");
            clean(&world, &node, &claim, warm.then_some(&keeper)).await;
            fs::remove_dir_all(&export).unwrap();
            if !killed {
                break;
            }
            stop += 1;
        }
        schedules += stop;
    }
    assert!(schedules > 100, "only {schedules} schedules: were the system calls seen?");
    println!("{schedules} schedules");
}

/// Sweeps as the plugin itself does, again and again: the helper of the plugin that was killed may still be on its way out
/// and hold the share a moment longer.
async fn swept(world: &World, node: &crate::world::TestNode) {
    for _ in 0..100 {
        node.node.sweep().await;
        if names(&world.share_mounts()).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn clean(world: &World, node: &crate::world::TestNode, claim: &Claim, keeper: Option<&Claim>) {
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    if let Some(keeper) = keeper {
        node.unpublish(&keeper.id(), &world.target("keeper")).await.unwrap();
    }
    swept(world, node).await;
    world.assert_nothing_left(&["v", "keeper"]);
}

pub async fn an_unpublish_killed_at_any_step_is_completed_by_the_next(world: World) {
    let export = world.export("e");
    let claim = Claim::of(&export, FOLDER);
    let mut stop = 0;
    loop {
        world.node().publish(claim.at(&world.target("v"))).await.unwrap();
        fs::write(export.join(FOLDER).join("file"), "x").unwrap();
        let killed = kill::killed_at(&settings(&world, &export, true), stop);
        let node = world.node();
        clean(&world, &node, &claim, None).await;
        assert!(export.join(FOLDER).join("file").exists(), "files are never touched");
        if !killed {
            break;
        }
        stop += 1;
    }
    assert!(stop > 20, "only {stop} schedules: were the system calls seen?");
    println!("{stop} schedules");
}

pub async fn a_killed_publish_that_is_never_repeated_leaves_nothing(world: World) {
    let export = world.export("e");
    let claim = Claim::of(&export, FOLDER);
    let mut stop = 0;
    while kill::killed_at(&settings(&world, &export, false), stop) {
        // Its helper may be in the middle of attaching something.
        no_helpers_left();
        let node = world.node();
        // kubelet unpublishes what it tried to publish, unless it was killed, too.
        if stop % 2 == 0 || world.mounts_at(&world.target("v")) > 0 {
            node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
        }
        swept(&world, &node).await;
        world.assert_nothing_left(&["v"]);
        stop += 1;
    }
    assert!(stop > 50, "only {stop} schedules: were the system calls seen?");
}

pub async fn a_helper_killed_at_any_step_leaves_no_folder_half_made(world: World) {
    let export = world.export("e");
    let owner = Owner { uid: 1000, gid: 2000, mode: "2750".into() };
    let node = world.node();
    let keeper = Claim::of(&export, "keeper");
    node.publish(keeper.at(&world.target("keeper"))).await.unwrap();
    // Each step of the first creation, then of one after somebody removed the folder.
    let (mut stop, mut removed) = (0, false);
    loop {
        let uid = format!("{stop:08x}-d9cb-469f-a165-{:012}", u8::from(removed));
        let folder = format!("folder-{stop}-{removed}/deep");
        let claim = Claim { uid: uid.clone(), owner: owner.clone(), ..Claim::of(&export, &folder) };
        if removed {
            node.publish(claim.at(&world.target("v"))).await.unwrap();
            node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
            fs::remove_dir(export.join(&folder)).unwrap();
        }
        // The last one may have been killed after its answer: this publish makes sure that one is alive.
        let awake = Claim::of(&export, "awake");
        node.publish(awake.at(&world.target("awake"))).await.unwrap();
        node.unpublish(&awake.id(), &world.target("awake")).await.unwrap();
        let killer = Killer::of(helper(&node, &keeper).await, stop);
        // The plugin starts another helper and asks again: its caller notices nothing.
        node.publish(claim.at(&world.target("v"))).await.unwrap();
        let killed = killer.has_killed();
        let metadata = fs::metadata(world.target("v")).unwrap();
        let looks = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        assert_eq!(looks, (1000, 2000, 0o2750), "killed at stop {stop}, removed before: {removed}");
        let record = fs::read(export.join(format!(".workspacefs/owners/{uid}.json"))).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["created"], true, "killed at stop {stop}, removed before: {removed}");
        assert_eq!(
            world.mounts_at(&world.target("v")),
            1,
            "killed at stop {stop}, removed before: {removed}"
        );
        node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
        stop += 1;
        if !killed {
            assert!(stop > 50, "only {stop} schedules: were the system calls seen?");
            if removed {
                break;
            }
            (stop, removed) = (0, true);
        }
    }
    node.unpublish(&keeper.id(), &world.target("keeper")).await.unwrap();
    swept(&world, &node).await;
    world.assert_nothing_left(&["v", "keeper"]);
}
