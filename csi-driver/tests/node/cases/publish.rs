//! Publishing and unpublishing as kubelet does it.

use std::fs;
use std::io::ErrorKind;

use csi_driver::node::NodeLabels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nix::mount::{MsFlags, mount};
use tonic::Code;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessType, BlockVolume};

use crate::world::{Claim, WithMode, World, inline, names, refused};

pub async fn publish_shows_the_folder_and_unpublish_leaves_nothing(world: World) {
    let export = world.export("e");
    fs::create_dir(export.join("a")).unwrap();
    fs::write(export.join("a/file"), "from the server").unwrap();
    let node = world.node();
    let request = Claim::of(&export, "a").at(&world.target("v"));
    node.publish(request.clone()).await.unwrap();
    for path in [world.target("v"), world.on_host("v")] {
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "from the server");
        fs::write(path.join("written"), "x").unwrap();
    }
    assert!(export.join("a/written").exists());
    node.publish(request.clone()).await.unwrap();
    assert_eq!(world.mounts_at(&world.target("v")), 1, "nothing is doubled");
    node.undo(&request).await;
    node.undo(&request).await;
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
    assert!(export.join("a/written").exists(), "files are never touched");
}

pub async fn a_second_publish_gets_what_the_specification_says(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    let modes = [
        (Mode::SingleNodeWriter, false),
        (Mode::SingleNodeReaderOnly, false),
        (Mode::SingleNodeSingleWriter, false),
        (Mode::SingleNodeMultiWriter, true),
        (Mode::MultiNodeReaderOnly, true),
        (Mode::MultiNodeSingleWriter, true),
        (Mode::MultiNodeMultiWriter, true),
    ];
    for (mode, several) in modes {
        let first = claim.at(&world.target("v")).with_mode(mode);
        node.publish(first.clone()).await.unwrap();
        node.publish(first.clone()).await.unwrap();
        refused(node.publish(first.clone().read_only()).await, Code::AlreadyExists, &[]);
        let other = Claim { uid: "11111111-d9cb-469f-a165-70867728950e".into(), ..claim.clone() };
        refused(node.publish(other.at(&world.target("v"))).await, Code::AlreadyExists, &[]);
        for second in [claim.at(&world.target("w")), claim.at(&world.target("w")).read_only()] {
            let second = second.with_mode(mode);
            if several {
                node.publish(second.clone()).await.unwrap();
            } else {
                refused(node.publish(second.clone()).await, Code::FailedPrecondition, &["pods/v"]);
                assert!(!world.target("w").exists());
            }
            node.undo(&second).await;
        }
        node.undo(&first).await;
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

pub async fn read_only_holds_for_whoever_sees_the_mount(world: World) {
    let export = world.export("e");
    let claim = Claim::of(&export, "a");
    let node = world.node();
    let requests = [
        claim.at(&world.target("flag")).read_only(),
        claim.at(&world.target("mode")).with_mode(Mode::MultiNodeReaderOnly),
    ];
    for (request, name) in requests.into_iter().zip(["flag", "mode"]) {
        node.publish(request.clone()).await.unwrap();
        for path in [world.target(name), world.on_host(name)] {
            let error = fs::write(path.join("x"), "x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{}", path.display());
        }
        node.undo(&request).await;
    }
    node.publish(claim.at(&world.target("rw"))).await.unwrap();
    fs::write(world.on_host("rw").join("x"), "x").unwrap();
    assert!(export.join("a/x").exists());
}

pub async fn every_view_is_nosuid_nodev_and_no_ones_peer(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    for name in ["v", "w"] {
        node.publish(claim.at(&world.target(name))).await.unwrap();
    }
    let mounts = world.mounts();
    // Two targets, each here and on the host, and the share itself, here and there.
    assert_eq!(mounts.len(), 6, "{mounts:#?}");
    for m in &mounts {
        for option in ["nosuid", "nodev"] {
            assert!(m.options.iter().any(|o| o == option), "{option} is missing: {m:?}");
        }
    }
    let group = |path| mounts.iter().find(|m| m.mount_point == path).unwrap().shared;
    let (v, w) = (group(world.target("v")), group(world.target("w")));
    assert!(v != w || v.is_none(), "two volumes are peers");
    let share = mounts.iter().find(|m| m.mount_point.starts_with(world.share_mounts())).unwrap();
    assert_eq!(share.shared, None, "what is cloned has peers");
}

pub async fn what_is_nested_in_one_volume_shows_in_no_other(world: World) {
    let export = world.export("e");
    fs::create_dir_all(export.join("a/cached")).unwrap();
    let claim = Claim::of(&export, "a");
    let node = world.node();
    for name in ["v", "w"] {
        node.publish(claim.at(&world.target(name))).await.unwrap();
    }
    let nested = world.target("v").join("cached");
    mount(Some("cache"), &nested, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    fs::write(nested.join("file"), "x").unwrap();
    let elsewhere = [
        world.target("w").join("cached/file"),
        world.on_host("w").join("cached/file"),
        export.join("a/cached/file"),
    ];
    for path in elsewhere {
        assert!(!path.exists(), "{}", path.display());
    }
    // Nor in one that is published later.
    node.publish(claim.at(&world.target("later"))).await.unwrap();
    assert!(!world.target("later").join("cached/file").exists());
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    assert!(!world.target("v").exists(), "a volume goes with what is nested in it");
}

pub async fn bad_arguments_change_nothing(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    let good = claim.at(&world.target("v"));
    let changed = |change: fn(&mut workspacefs_csi_proto::csi::v1::NodePublishVolumeRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let invalid = [
        changed(|r| r.volume_id.clear()),
        changed(|r| r.target_path.clear()),
        changed(|r| r.target_path.push_str("/../x")),
        changed(|r| r.volume_capability = None),
        changed(|r| {
            r.volume_capability.as_mut().unwrap().access_type = Some(AccessType::Block(BlockVolume {}))
        }),
        changed(|r| drop(r.volume_context.insert("extra".into(), "x".into()))),
        changed(|r| drop(r.volume_context.insert("folder".into(), ".workspacefs/trash".into()))),
        good.clone().with_flags(&["addr=10.0.0.1"]),
    ];
    for request in invalid {
        refused(node.publish(request).await, Code::InvalidArgument, &[]);
    }
    refused(node.publish(changed(|r| r.volume_id = "unknown".into())).await, Code::NotFound, &[]);
    let orphan = claim.at(&world.target("no-such-pod/v"));
    refused(node.publish(orphan).await, Code::FailedPrecondition, &["no-such-pod"]);
    refused(node.unpublish("", &world.target("v")).await, Code::InvalidArgument, &[]);
    refused(node.unpublish("v", "".as_ref()).await, Code::InvalidArgument, &[]);
    node.unpublish("never-published", &world.target("never")).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn a_dedicated_file_system_stays_in_its_node_group(mut world: World) {
    let claim = Claim { node_group: Some("gpu".into()), ..Claim::of(&world.export("e"), "a") };
    let group =
        |name: &str| NodeLabels::fixed(Some([("workspacefs.io/node-group".into(), name.into())].into()));
    world.labels = group("cpu");
    let words = ["nodeSelector workspacefs.io/node-group: gpu", "team-a/default"];
    refused(world.node().publish(claim.at(&world.target("v"))).await, Code::FailedPrecondition, &words);
    assert!(!world.target("v").exists());
    world.labels = NodeLabels::fixed(None);
    world.node().publish(claim.at(&world.target("v"))).await.unwrap();
    world.labels = group("gpu");
    world.node().publish(claim.at(&world.target("w"))).await.unwrap();
    // The node changed its group: what is mounted stays, and that is the answer to whoever asks again.
    world.labels = group("cpu");
    let node = world.node();
    node.publish(claim.at(&world.target("w"))).await.unwrap();
    refused(node.publish(claim.at(&world.target("x"))).await, Code::FailedPrecondition, &words);
}

/// kubelet publishes again whatever it finds when it starts, with the options that the PersistentVolume has by then.
pub async fn a_volume_keeps_the_options_it_was_mounted_with(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let (v, w) = (world.target("v"), world.target("w"));
    world.node().publish(claim.at(&v).with_flags(&["timeo=50"])).await.unwrap();
    let before = world.mounts();
    let node = world.node();
    for flags in [&["timeo=60", "nconnect=4"][..], &[]] {
        node.publish(claim.at(&v).with_flags(flags)).await.unwrap();
        assert_eq!(world.mounts(), before, "{flags:?}");
    }
    // Whoever is mounted from now on has the new ones, and both can go.
    node.publish(claim.at(&w).with_flags(&["timeo=60"])).await.unwrap();
    assert_eq!(names(&world.share_mounts()).len(), 2, "the options of a share make the share");
    for target in [&v, &w] {
        node.unpublish(&claim.id(), target).await.unwrap();
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

pub async fn what_is_mounted_already_is_so_whatever_became_of_its_file_system(world: World) {
    let export = world.export("e");
    fs::create_dir(export.join("a")).unwrap();
    let mut world = world.with_file_system(&export, "a");
    let asked = inline(&world.target("v"), "");
    world.node().publish(asked.clone()).await.unwrap();
    let before = world.mounts();
    let elsewhere = inline(&world.target("w"), "");
    let again = async |world: &World, code, words: &[&str]| {
        let node = world.node();
        node.publish(asked.clone()).await.unwrap();
        assert_eq!(world.mounts(), before);
        assert_eq!(node.health(&asked.volume_id).await.unwrap(), [], "nothing failed");
        // It is an answer about what is there, not leave to mount more.
        refused(node.publish(elsewhere.clone()).await, code, words);
        // Nor an answer to whoever asks for something else.
        let other = inline(&world.target("v"), "b");
        assert!(node.publish(other).await.is_err());
        assert_eq!(world.mounts(), before);
    };
    let file_system = world.file_systems.get_mut("default").unwrap();
    file_system.metadata.deletion_timestamp = Some(Time(Default::default()));
    again(&world, Code::FailedPrecondition, &["is being deleted"]).await;
    world.file_systems.clear();
    again(&world, Code::NotFound, &["team-a"]).await;
    world.api_server_away = true;
    again(&world, Code::Unavailable, &["API server"]).await;
    let node = world.node();
    node.undo(&asked).await;
    refused(node.publish(asked).await, Code::Unavailable, &["API server"]);
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

pub async fn two_calls_at_one_target_do_not_meet(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    let (one, other, elsewhere) = tokio::join!(
        node.publish(claim.at(&world.target("v"))),
        node.publish(claim.at(&world.target("v"))),
        node.publish(claim.at(&world.target("w"))),
    );
    one.unwrap();
    refused(other, Code::Aborted, &[]);
    elsewhere.unwrap();
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    assert_eq!(world.mounts_at(&world.target("v")), 1);
}
