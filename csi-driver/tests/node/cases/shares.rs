//! The share's own mount, and what is found again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use tonic::Code;
use workspacefs_sys::unmount;

use crate::source;
use crate::world::{Claim, WithMode, World, names, refused};

pub async fn the_last_volume_gone_the_share_is_unmounted(world: World) {
    let export = world.export("e");
    let node = world.node();
    let one = Claim::of(&export, "a");
    let other = Claim { uid: "11111111-d9cb-469f-a165-70867728950e".into(), ..Claim::of(&export, "b") };
    let elsewhere = Claim {
        server: source::OTHER,
        uid: "21111111-d9cb-469f-a165-70867728950e".into(),
        ..Claim::of(&export, "c")
    };
    node.publish(one.at(&world.target("v"))).await.unwrap();
    node.publish(other.at(&world.target("w"))).await.unwrap();
    assert_eq!(names(&world.share_mounts()).len(), 1, "two folders of one export are one share");
    node.publish(elsewhere.at(&world.target("x"))).await.unwrap();
    assert_eq!(names(&world.share_mounts()).len(), 2);
    node.unpublish(&one.id(), &world.target("v")).await.unwrap();
    node.node.sweep().await;
    assert_eq!(names(&world.share_mounts()).len(), 2, "a share in use stays");
    node.unpublish(&other.id(), &world.target("w")).await.unwrap();
    node.node.sweep().await;
    assert_eq!(names(&world.share_mounts()).len(), 1);
    node.publish(other.at(&world.target("w"))).await.unwrap();
    for (claim, target) in [(&other, "w"), (&elsewhere, "x")] {
        node.unpublish(&claim.id(), &world.target(target)).await.unwrap();
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w", "x"]);
}

pub async fn a_share_that_was_never_recorded_is_found_again(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    world.node().publish(claim.at(&world.target("v"))).await.unwrap();
    // tmpfs was wiped under us: mounts are there, records are not.
    for folder in ["state/targets", "state/shares"] {
        fs::remove_dir_all(world.path(folder)).unwrap();
    }
    // A share whose server nobody knows any more is let go, too.
    let lost = world.share_mounts().join("0123456789abcdef0123456789abcdef");
    fs::create_dir(&lost).unwrap();
    mount(Some(&world.path("outside")), &lost, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    let node = world.node();
    node.publish(claim.at(&world.target("w"))).await.unwrap();
    node.node.sweep().await;
    let share = world.share_mounts().join(&names(&world.share_mounts())[0]);
    assert_eq!(world.mounts_at(&share), 1, "the share is not mounted twice");
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    node.unpublish(&claim.id(), &world.target("w")).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

pub async fn a_new_plugin_finds_what_the_old_one_mounted(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    world.node().publish(claim.at(&world.target("v"))).await.unwrap();
    let before = world.mounts();
    let node = world.node();
    assert_eq!(world.mounts(), before, "a restart changes no mount");
    node.node.sweep().await;
    assert_eq!(world.mounts(), before, "the share of a volume that was found again is in use");
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    assert_eq!(world.mounts(), before);
    refused(node.publish(claim.at(&world.target("v")).read_only()).await, Code::AlreadyExists, &[]);
    assert!(!node.stats(&claim.id(), &world.target("v")).await.unwrap().is_empty());
    node.publish(claim.at(&world.target("w"))).await.unwrap();
    drop(node);
    let node = world.node();
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    node.unpublish(&claim.id(), &world.target("w")).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

/// A record's text can be anything (another version's, say): whose it was is unknown then, but not that there was one.
pub async fn a_volume_whose_record_is_damaged_keeps_its_share(world: World) {
    let export = world.export("e");
    let claim = Claim::of(&export, "a");
    let records = world.path("state/targets");
    let unused = Claim { server: source::OTHER, ..Claim::of(&export, "b") };
    for republished in [false, true] {
        let node = world.node();
        node.publish(claim.at(&world.target("v"))).await.unwrap();
        node.publish(unused.at(&world.target("w"))).await.unwrap();
        node.unpublish(&unused.id(), &world.target("w")).await.unwrap();
        drop(node);
        let damaged = names(&records);
        fs::write(records.join(&damaged[0]), "{\"targ").unwrap();
        // One at whose target nothing is mounted claims nothing.
        fs::write(records.join("0123456789abcdef0123456789abcdef.json"), "{}").unwrap();
        let node = world.node();
        node.node.sweep().await;
        let shares = names(&world.share_mounts());
        assert_eq!(shares.len(), 2, "a share of nobody knows whom was unmounted");
        assert!(shares.iter().all(|share| world.mounts_at(&world.share_mounts().join(share)) == 1));
        assert_eq!(names(&records), damaged);
        // It is mounted, so it must not be said that there is no such volume.
        let stats = node.stats(&claim.id(), &world.target("v")).await.map(drop);
        refused(stats, Code::Unavailable, &["record"]);
        refused(node.stats(&claim.id(), &world.target("w")).await.map(drop), Code::NotFound, &[]);
        if republished {
            // As kubelet does when it starts.
            node.publish(claim.at(&world.target("v"))).await.unwrap();
            assert_eq!(world.mounts_at(&world.target("v")), 1);
            assert!(!node.stats(&claim.id(), &world.target("v")).await.unwrap().is_empty());
            node.node.sweep().await;
            assert_eq!(names(&world.share_mounts()).len(), 1, "now it is known which share is used");
        }
        node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
        node.node.sweep().await;
        world.assert_nothing_left(&["v", "w"]);
    }
}

/// The helper may still be closing its copy of the view.
pub fn somebody_unmounts(path: &Path) {
    let started = Instant::now();
    while let Err(errno) = unmount::plain(path) {
        assert!(started.elapsed() < Duration::from_secs(5), "{}: {errno}", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub async fn half_gone_targets_are_unpublished(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    // Unmounted by somebody else.
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    somebody_unmounts(&world.target("v"));
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    // Its folder removed, too.
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    somebody_unmounts(&world.target("v"));
    fs::remove_dir(world.target("v")).unwrap();
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    // Mounted three times over.
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    for _ in 0..2 {
        let v = world.target("v");
        mount(Some(&v), &v, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }
    assert!(world.mounts_at(&world.target("v")) >= 3);
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    // In use.
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    let open = fs::File::create(world.target("v").join("open")).unwrap();
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    drop(open);
    // After a reboot: no record, no mount, but kubelet's folder.
    fs::create_dir(world.target("v")).unwrap();
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn a_mount_without_a_record_is_replaced(world: World) {
    let export = world.export("e");
    fs::create_dir(export.join("a")).unwrap();
    fs::write(export.join("a/file"), "right").unwrap();
    let v = world.target("v");
    fs::create_dir(&v).unwrap();
    mount(Some(&world.path("outside")), &v, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    let claim = Claim::of(&export, "a");
    let node = world.node();
    node.publish(claim.at(&v)).await.unwrap();
    assert_eq!(world.mounts_at(&v), 1);
    assert_eq!(fs::read_to_string(v.join("file")).unwrap(), "right");
}

pub async fn files_under_a_target_are_never_removed(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    let v = world.target("v");
    fs::create_dir(&v).unwrap();
    fs::write(v.join("precious"), "x").unwrap();
    refused(node.unpublish(&claim.id(), &v).await, Code::FailedPrecondition, &["pods/v"]);
    // A volume may cover them for a while, as mounts do.
    node.publish(claim.at(&v)).await.unwrap();
    assert!(!v.join("precious").exists());
    refused(node.unpublish(&claim.id(), &v).await, Code::FailedPrecondition, &["pods/v"]);
    assert_eq!(fs::read_to_string(v.join("precious")).unwrap(), "x");
    fs::remove_file(v.join("precious")).unwrap();
    node.unpublish(&claim.id(), &v).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}
