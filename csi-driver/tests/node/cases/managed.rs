//! Volumes on the embedded NFS server: folders that its agent made, shown and never created; figures from the status.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tonic::Code;
use workspacefs_api::path::RelativePath;
use workspacefs_api::volume::{Folder, VolumeAttributes};
use workspacefs_api::{
    Backend, ClaimUsage, FileSystem, FileSystemSpec, FileSystemStatus, ManagedBackend, SharePlace, Usage,
};
use workspacefs_csi_proto::csi::v1::NodePublishVolumeRequest;

use crate::source;
use crate::world::{Claim, NAMESPACE, UID, World, inline, names, refused};

const OWN: &str = "workspaces/22222222-d9cb-469f-a165-70867728950e/default";

fn claims_folder() -> String {
    format!("claims/{UID}/pvc-1")
}

/// A publish of the volume `id` in a folder of the export.
fn publish(export: &Path, id: &str, folder: &str, target: &Path) -> NodePublishVolumeRequest {
    let claim = Claim::of(export, "");
    let folder = Folder::Existing(RelativePath::parse(folder).unwrap());
    let attributes = VolumeAttributes { folder, ..claim.attributes() };
    NodePublishVolumeRequest {
        volume_id: id.into(),
        volume_context: attributes.to_map().into_iter().collect(),
        ..claim.at(target)
    }
}

fn own(export: &Path, target: &Path) -> NodePublishVolumeRequest {
    publish(export, &format!("v1.fs.{UID}"), OWN, target)
}

fn claim(export: &Path, target: &Path) -> NodePublishVolumeRequest {
    publish(export, &format!("v1.vol.{UID}.pvc-1"), &claims_folder(), target)
}

/// A managed FileSystem `default`, once its folder is made.
fn file_system(export: &Path, made: bool) -> FileSystem {
    let backend = Backend { managed: Some(ManagedBackend::default()), ..Default::default() };
    let mut fs = FileSystem::new("default", FileSystemSpec { backend, ..Default::default() });
    fs.metadata.namespace = Some(NAMESPACE.into());
    fs.metadata.uid = Some(UID.into());
    let export = export.to_str().unwrap().into();
    let share = SharePlace { server: source::GOOD.into(), export, folder: OWN.into() };
    fs.status = Some(FileSystemStatus { share: made.then_some(share), ..Default::default() });
    fs
}

pub async fn folders_of_the_embedded_server_are_shown_and_never_created(world: World) {
    let export = world.export("e");
    let node = world.node();
    for (request, folder) in [
        (own(&export, &world.target("v")), OWN.to_string()),
        (claim(&export, &world.target("v")), claims_folder()),
    ] {
        refused(node.publish(request.clone()).await, Code::NotFound, &[&folder, "does not exist"]);
        assert!(!export.join(&folder).exists(), "it would have no quota");
        fs::create_dir_all(export.join(&folder)).unwrap();
        node.publish(request.clone()).await.unwrap();
        fs::write(world.on_host("v").join("file"), "x").unwrap();
        assert!(export.join(&folder).join("file").exists());
        node.undo(&request).await;
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
    assert_eq!(names(&export), ["claims", "workspaces"], "nothing of ours is needed there");
}

pub async fn a_link_on_the_way_to_such_a_folder_is_not_followed(world: World) {
    let export = world.export("e");
    fs::create_dir_all(export.join("victim/default")).unwrap();
    fs::create_dir_all(export.join("workspaces")).unwrap();
    symlink("../victim", export.join(OWN).parent().unwrap()).unwrap();
    fs::create_dir_all(export.join(claims_folder()).parent().unwrap()).unwrap();
    symlink("../../victim/default", export.join(claims_folder())).unwrap();
    let node = world.node();
    for request in [own(&export, &world.target("v")), claim(&export, &world.target("v"))] {
        refused(node.publish(request).await, Code::InvalidArgument, &["is not followed"]);
        assert!(!world.target("v").exists());
    }
}

pub async fn an_inline_volume_of_a_managed_file_system_waits_until_it_is_made(mut world: World) {
    let export = world.export("e");
    fs::create_dir_all(export.join(OWN).join("data")).unwrap();
    world.file_systems.insert("default".into(), file_system(&export, false));
    let request = inline(&world.target("v"), "data");
    let words = ["team-a/default", "no folder on the embedded NFS server yet"];
    refused(world.node().publish(request.clone()).await, Code::Unavailable, &words);
    world.file_systems.insert("default".into(), file_system(&export, true));
    let node = world.node();
    node.publish(request.clone()).await.unwrap();
    fs::write(world.on_host("v").join("file"), "x").unwrap();
    assert!(export.join(OWN).join("data/file").exists());
    node.undo(&request).await;
}

pub async fn usage_and_limit_are_those_of_the_file_systems_status(mut world: World) {
    let export = world.export("e");
    for folder in [OWN, &claims_folder()] {
        fs::create_dir_all(export.join(folder)).unwrap();
    }
    let size = |gib: u64| Quantity(format!("{gib}Gi"));
    let figures =
        ClaimUsage { volume: "pvc-1".into(), capacity: size(4), used: size(1), inodes: 100, inodes_used: 1 };
    let mut fs = file_system(&export, true);
    fs.status.as_mut().unwrap().usage = Some(Usage {
        scope: Default::default(),
        capacity: size(10),
        used: size(2),
        available: size(4),
        inodes: 1000,
        inodes_used: 10,
        claims: vec![figures],
        observed_at: Time(k8s_openapi::jiff::Timestamp::now()),
    });
    world.file_systems.insert("default".into(), fs);
    let node = world.node();
    let inline = inline(&world.target("i"), "");
    let requests = [own(&export, &world.target("o")), claim(&export, &world.target("c")), inline];
    let gib = |number: i64| number << 30;
    let wanted = [
        [(gib(6), gib(2), gib(4)), (1000, 10, 990)],
        [(gib(4), gib(1), gib(3)), (100, 1, 99)],
        [(gib(6), gib(2), gib(4)), (1000, 10, 990)],
    ];
    for (request, wanted) in requests.into_iter().zip(wanted) {
        node.publish(request.clone()).await.unwrap();
        // A plugin that has just started knows it, too.
        for node in [&node, &world.node()] {
            let usage = node.stats(&request.volume_id, request.target_path.as_ref()).await.unwrap();
            let lines: Vec<_> = usage.iter().map(|line| (line.total, line.used, line.available)).collect();
            assert_eq!(lines, wanted, "{}", request.volume_id);
        }
        node.undo(&request).await;
    }
    // Without figures in the status they are the share's own.
    world.file_systems.insert("default".into(), file_system(&export, true));
    let node = world.node();
    let request = own(&export, &world.target("o"));
    node.publish(request.clone()).await.unwrap();
    let usage = node.stats(&request.volume_id, request.target_path.as_ref()).await.unwrap();
    assert!(usage[0].total > 0 && usage[0].total != gib(6), "{usage:?}");
}
