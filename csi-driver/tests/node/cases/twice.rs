//! A second NodePublishVolume of one volume, for each line of the specification's table, on real mounts; and what the
//! specification calls idempotent on a node.

use std::fs;

use std::path::Path;

use tonic::{Code, Status};
use workspacefs_csi_proto::csi::v1::NodePublishVolumeRequest;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessType, MountVolume};

use super::local;
use super::local::LocalDisk;
use super::local_volumes;
use crate::world::{Claim, TestNode, WithMode, World, refused};

const MODES: [Mode; 7] = [
    Mode::SingleNodeWriter,
    Mode::SingleNodeReaderOnly,
    Mode::MultiNodeReaderOnly,
    Mode::MultiNodeSingleWriter,
    Mode::MultiNodeMultiWriter,
    Mode::SingleNodeSingleWriter,
    Mode::SingleNodeMultiWriter,
];

/// A way in which the other arguments of a second call differ.
type Change = fn(&mut NodePublishVolumeRequest);

/// None of them says another mount at once, so that each can be published by itself, too.
const CHANGES: [(&str, Change); 3] = [
    ("readonly", |request| request.readonly = !request.readonly),
    ("a publish context", |request| drop(request.publish_context.insert("key".into(), "value".into()))),
    ("a file system type", |request| {
        let mount = MountVolume { fs_type: "nfs".into(), ..Default::default() };
        if let Some(capability) = &mut request.volume_capability {
            capability.access_type = Some(AccessType::Mount(mount));
        }
    }),
];

/// What the table of the specification says (the one for plugins with SINGLE_NODE_MULTI_WRITER), by the modes' names.
fn wanted(mode: Mode, same_target: bool, same_arguments: bool) -> Code {
    let several = mode.as_str_name().starts_with("MULTI_NODE_") || mode == Mode::SingleNodeMultiWriter;
    match (same_target, same_arguments, several) {
        (true, true, _) | (false, _, true) => Code::Ok,
        (true, false, _) => Code::AlreadyExists,
        (false, _, false) => Code::FailedPrecondition,
    }
}

/// A node of either driver.
trait Publishes {
    async fn publish(&self, request: NodePublishVolumeRequest) -> Result<(), Status>;
    async fn undo(&self, request: &NodePublishVolumeRequest);
}

impl Publishes for TestNode {
    async fn publish(&self, request: NodePublishVolumeRequest) -> Result<(), Status> {
        TestNode::publish(self, request).await
    }
    async fn undo(&self, request: &NodePublishVolumeRequest) {
        TestNode::undo(self, request).await;
    }
}

impl Publishes for LocalDisk {
    async fn publish(&self, request: NodePublishVolumeRequest) -> Result<(), Status> {
        LocalDisk::publish(self, request).await
    }
    async fn undo(&self, request: &NodePublishVolumeRequest) {
        LocalDisk::undo(self, request).await;
    }
}

pub async fn every_line_of_the_specifications_table_holds_for_real_mounts(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    every_line(&world, &node, |target| claim.at(target)).await;
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

pub async fn every_line_of_the_table_holds_for_local_volumes_of_both_kinds(world: World) {
    let node = local::plugin(&world, |_| {});
    node.look().await;
    every_line(&world, &node, local::claim).await;
    local_volumes::make(&node).await;
    every_line(&world, &node, local_volumes::claim).await;
    local::assert_nothing_left(&world);
}

/// Publishes one volume twice, in every way. `at` is the publish of that volume at a target.
async fn every_line(world: &World, node: &impl Publishes, at: impl Fn(&Path) -> NodePublishVolumeRequest) {
    let mut lines = 0;
    for mode in MODES {
        let first = at(&world.target("v")).with_mode(mode);
        node.publish(first.clone()).await.unwrap();
        for same_target in [true, false] {
            let target = world.target(if same_target { "v" } else { "w" });
            let same: (&str, Change) = ("nothing", |_| ());
            for (what, change) in [same].into_iter().chain(CHANGES) {
                let mut second = at(&target).with_mode(mode);
                change(&mut second);
                let result = node.publish(second.clone()).await;
                let code = result.map_or_else(|status| status.code(), |()| Code::Ok);
                let line = format!("{mode:?}, same target {same_target}, differs by {what}");
                assert_eq!(code, wanted(mode, same_target, what == "nothing"), "{line}");
                // Refused or not: the first mount is as it was, and there is one mount per target that was granted.
                assert_eq!(world.mounts_at(&world.target("v")), 1, "{line}");
                let granted = !same_target && code == Code::Ok;
                assert_eq!(world.mounts_at(&world.target("w")), usize::from(granted), "{line}");
                assert_eq!(world.target("w").exists(), granted, "{line}");
                if !same_target {
                    node.undo(&second).await;
                }
                lines += 1;
            }
        }
        node.undo(&first).await;
    }
    assert_eq!(lines, 7 * 2 * 4);
}

pub async fn node_publish_volume_is_idempotent(world: World) {
    let export = world.export("e");
    let claim = Claim::of(&export, "a");
    for mode in MODES {
        let request = claim.at(&world.target("v")).with_mode(mode);
        // By the process that did it, and by its successor.
        for _ in 0..2 {
            let node = world.node();
            for _ in 0..2 {
                node.publish(request.clone()).await.unwrap();
                assert_eq!(world.mounts_at(&world.target("v")), 1, "{mode:?}");
            }
        }
        world.node().undo(&request).await;
    }
}

pub async fn node_unpublish_volume_is_idempotent(world: World) {
    let export = world.export("e");
    let claim = Claim::of(&export, "a");
    let request = claim.at(&world.target("v"));
    let node = world.node();
    node.publish(request.clone()).await.unwrap();
    fs::write(world.target("v").join("file"), "x").unwrap();
    for node in [&node, &node, &world.node()] {
        node.undo(&request).await;
        assert!(!world.target("v").exists());
        assert_eq!(world.mounts_at(&world.target("v")), 0);
    }
    assert!(export.join("a/file").exists());
    // What was never published is unpublished already.
    refused(node.unpublish("", &world.target("v")).await, Code::InvalidArgument, &[]);
    node.unpublish(&claim.id(), &world.target("never")).await.unwrap();
}
