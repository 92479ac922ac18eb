//! Copies of FsCaches in volumes. The source is folder `a` of export `e`, the target the FileSystem `near` on export
//! `c`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use csi_driver::node::NodeLabels;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tonic::Code;
use workspacefs_api::fs_cache::EVERYWHERE;
use workspacefs_api::{CacheCopy, CacheSource, CacheTarget, FsCache, FsCacheSpec, FsCacheStatus};
use workspacefs_csi_proto::csi::v1::NodePublishVolumeRequest;
use workspacefs_sys::tree::MountApi;

use super::local::{self, DISK, NAMESPACE_UID};
use crate::disk::FILES;
use crate::kill;
use crate::plugin::Settings;
use crate::source;
use crate::world::{Claim, GROUP, NAMESPACE, TestNode, UID, WithMode, World, inline, names, refused};

/// The FsCache's uid.
pub const CACHE: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae8";
const NEAR: &str = "22222222-d9cb-469f-a165-70867728950e";
/// The folders that are cached.
pub const PATHS: [&str; 2] = ["data", "more/deep"];

/// Of generation `generation`, in a FileSystem or a LocalStorage.
pub fn cache(generation: i64, target: CacheTarget) -> FsCache {
    let spec = FsCacheSpec {
        source: CacheSource { file_system: Some("default".into()), ..Default::default() },
        target,
        ..Default::default()
    };
    let mut cache = FsCache::new("warm", spec);
    cache.metadata.namespace = Some(NAMESPACE.into());
    cache.metadata.uid = Some(CACHE.into());
    let copy = CacheCopy {
        node: EVERYWHERE.into(),
        generation: Some(generation),
        source: UID.into(),
        whole: PATHS.map(|path| format!("/{path}")).into(),
        ..Default::default()
    };
    cache.status = Some(FsCacheStatus { copies: vec![copy], ..Default::default() });
    cache
}

pub fn near(generation: i64) -> FsCache {
    cache(generation, CacheTarget { file_system: Some("near".into()), local_storage: None })
}

/// What the API server knows: both FileSystems and the FsCache. Nothing is made.
pub fn known(world: World) -> World {
    let (source, target) = (world.path("exports/e"), world.path("exports/c"));
    let mut world = world.with_file_system(&target, "near");
    let mut fs = world.file_systems.remove("default").unwrap();
    fs.metadata.name = Some("near".into());
    fs.metadata.uid = Some(NEAR.into());
    fs.spec.node_group = Some("gpu".into());
    let mut world = world.with_file_system(&source, "a");
    world.labels = labels("gpu");
    world.file_systems.insert("near".into(), fs);
    world.fs_caches = vec![near(1)];
    world
}

pub fn labels(group: &str) -> NodeLabels {
    NodeLabels::fixed(Some([(GROUP.to_string(), group.to_string())].into()))
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Where the copies of a generation lie beneath a target's root.
fn copies(root: &Path, generation: i64) -> PathBuf {
    root.join(".workspacefs/cache").join(CACHE).join(generation.to_string()).join("data")
}

/// Files below a target's root, as the mover makes them.
pub fn fill(root: &Path, generation: i64) {
    for path in PATHS {
        write(&copies(root, generation).join(path).join("file"), &format!("copy {generation}"));
        write(&copies(root, generation).join(path).join("in/file"), "deeper");
    }
    fs::set_permissions(root.join(".workspacefs"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// With the source's files and a first generation.
pub fn filled(world: World) -> World {
    let source = world.export("e/a");
    for path in PATHS {
        write(&source.join(path).join("file"), "source");
        write(&source.join(path).join("in/file"), "source");
    }
    write(&source.join("plain/file"), "source");
    fill(&world.export("c/near"), 1);
    known(world)
}

fn off(mut request: NodePublishVolumeRequest) -> NodePublishVolumeRequest {
    request.volume_context.insert("cache".into(), "off".into());
    request.volume_id = "csi-off".into();
    request
}

pub fn read(volume: &Path, path: &str) -> String {
    fs::read_to_string(volume.join(path).join("file")).unwrap()
}

/// The generations that this node says it uses, where it has something to say.
pub fn in_use(node: &TestNode) -> Vec<i64> {
    let due = node.caches.due(|_| true);
    due.into_iter().flat_map(|due| due.entry.unwrap().in_use).collect()
}

/// Mounts at and below a path.
pub fn below(world: &World, path: &Path) -> usize {
    world.mounts().iter().filter(|mount| mount.mount_point.starts_with(path)).count()
}

pub async fn a_cached_path_is_shown_from_its_copy_at_its_place_and_nothing_is_written_to_it(world: World) {
    let mut world = filled(world);
    let node = world.node();
    let v = world.target("v");
    let claim = Claim::of(&world.export("e"), "a");
    for request in [inline(&v, ""), claim.at(&v)] {
        node.publish(request.clone()).await.unwrap();
        for path in [&v, &world.on_host("v")] {
            for cached in PATHS {
                assert_eq!(read(path, cached), "copy 1", "{}", path.display());
                let error = fs::write(path.join(cached).join("new"), "x").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
            }
            assert_eq!(read(path, "plain"), "source");
            fs::write(path.join("plain/new"), "x").unwrap();
        }
        let nested =
            world.mounts().into_iter().filter(|m| m.mount_point != v && m.mount_point.starts_with(&v));
        let nested: Vec<_> = nested.collect();
        assert_eq!(nested.len(), 2);
        for mount in nested {
            for option in ["ro", "nosuid", "nodev"] {
                assert!(mount.options.iter().any(|o| o == option), "{option} is missing: {mount:?}");
            }
        }
        // kubelet binds a subPath alone: below a cached path it is the copy, above one the source.
        let bound = world.target("bound");
        fs::create_dir_all(&bound).unwrap();
        for (sub, shown) in [("data", "copy 1"), ("data/in", "deeper"), ("more", "source")] {
            mount(Some(&v.join(sub)), &bound, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
            let file = if sub == "more" { bound.join("deep/file") } else { bound.join("file") };
            assert_eq!(fs::read_to_string(file).unwrap(), shown, "{sub}");
            umount2(&bound, MntFlags::MNT_DETACH).unwrap();
        }
        fs::remove_dir(&bound).unwrap();
        node.publish(request.clone()).await.unwrap();
        assert_eq!(below(&world, &v), 3, "nothing is doubled");
        node.undo(&request).await;
        assert_eq!(read(&world.export("e/a"), "data"), "source");
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
    // A node of another group notices nothing.
    world.labels = labels("cpu");
    let node = world.node();
    node.publish(inline(&v, "")).await.unwrap();
    assert_eq!((read(&v, "data").as_str(), below(&world, &v)), ("source", 1));
}

pub async fn a_volume_rooted_at_or_below_a_cached_path_is_the_copy_only_where_nothing_is_written(
    world: World,
) {
    let world = filled(world);
    let node = world.node();
    let v = world.target("v");
    for (from, read_only, place, shown, mounts) in [
        ("more", false, "deep", "copy 1", 2),
        ("data", false, "", "source", 1),
        ("data", true, "", "copy 1", 1),
        ("data/in", true, "", "deeper", 1),
        ("data/in", false, "", "source", 1),
        ("plain", true, "", "source", 1),
    ] {
        let request = inline(&v, from);
        let request = if read_only { request.read_only() } else { request };
        node.publish(request.clone()).await.unwrap();
        assert_eq!(read(&v, place), shown, "{from} read-only: {read_only}");
        assert_eq!(below(&world, &v), mounts, "{from} read-only: {read_only}");
        assert_eq!(node.stats("csi-0123456789abcdef", &v).await.unwrap().len(), 2, "{from}");
        node.undo(&request).await;
    }
    // Of the source nothing is needed then.
    fs::remove_dir_all(world.export("e/a")).unwrap();
    let request = inline(&v, "data").read_only();
    node.publish(request.clone()).await.unwrap();
    assert_eq!(read(&v, ""), "copy 1");
    node.undo(&request).await;
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn an_exports_root_shows_copies_and_still_hides_our_folder(world: World) {
    let world = filled(world);
    let export = world.export("e");
    for path in PATHS {
        write(&export.join(path).join("file"), "source");
    }
    let world = world.with_file_system(&export, "");
    let node = world.node();
    let v = world.target("v");
    node.publish(inline(&v, "")).await.unwrap();
    for path in [&v, &world.on_host("v")] {
        assert!(PATHS.iter().all(|cached| read(path, cached) == "copy 1"), "{}", path.display());
        assert_eq!(names(&path.join(".workspacefs")), Vec::<String>::new());
        assert!(fs::write(path.join(".workspacefs/x"), "x").is_err());
        // Nor is it uncovered by a bind of the root alone, while a cached path can be bound.
        let bound = world.target("bound");
        fs::create_dir_all(&bound).unwrap();
        let bind = |from: &Path| mount(Some(from), &bound, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        assert!(bind(path).is_err());
        bind(&path.join("data")).unwrap();
        assert_eq!(read(&bound, ""), "copy 1");
        umount2(&bound, MntFlags::MNT_DETACH).unwrap();
        fs::remove_dir(&bound).unwrap();
    }
    node.undo(&inline(&v, "")).await;
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn a_volume_without_caches_shows_none_whatever_the_order(world: World) {
    let world = filled(world);
    let node = world.node();
    let (v, w) = (world.target("v"), world.target("w"));
    let with = inline(&v, "");
    let without = off(inline(&w, ""));
    let is_clean = |published: &[&str]| {
        for name in published {
            let shown = if *name == "v" { "copy 1" } else { "source" };
            for path in [world.target(name), world.on_host(name)] {
                assert!(PATHS.iter().all(|cached| read(&path, cached) == shown), "{name} of {published:?}");
                assert_eq!(below(&world, &path), if *name == "v" { 3 } else { 1 }, "{name} of {published:?}");
            }
        }
        for share in names(&world.share_mounts()) {
            assert_eq!(
                below(&world, &world.share_mounts().join(share)),
                1,
                "the share's own mount and no other"
            );
        }
        assert_eq!(names(&world.path("state/staging")), Vec::<String>::new());
    };
    for with_first in [true, false] {
        for with_goes_first in [true, false] {
            let (first, second) = if with_first { (&with, &without) } else { (&without, &with) };
            node.publish(first.clone()).await.unwrap();
            is_clean(if with_first { &["v"] } else { &["w"] });
            node.publish(second.clone()).await.unwrap();
            is_clean(&["v", "w"]);
            let (first, second) = if with_goes_first { (&with, &without) } else { (&without, &with) };
            node.undo(first).await;
            is_clean(if with_goes_first { &["w"] } else { &["v"] });
            node.undo(second).await;
            is_clean(&[]);
        }
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
    let mut other = inline(&v, "");
    other.volume_context.insert("cache".into(), "on".into());
    refused(node.publish(other).await, Code::InvalidArgument, &["cache", "off"]);
}

pub async fn a_copy_that_cannot_be_had_leaves_its_path_to_the_source(world: World) {
    let world = filled(world);
    let near = world.export("c/near");
    let ours = near.join(".workspacefs");
    let data = copies(&near, 1).join("data");
    let v = world.target("v");
    let shows = async |world: &World, expected: [&str; 2], why: &str| {
        let node = world.node();
        let request = inline(&v, "");
        node.publish(request.clone()).await.unwrap();
        assert_eq!(PATHS.map(|path| read(&v, path)), expected, "{why}");
        let used = expected.iter().any(|shown| *shown != "source");
        assert_eq!(in_use(&node), if used { vec![1] } else { vec![] }, "{why}");
        node.publish(request.clone()).await.unwrap();
        node.undo(&request).await;
        assert!(in_use(&node).is_empty());
        node.node.sweep().await;
        world.assert_nothing_left(&["v"]);
    };
    let (both, one, none) = (["copy 1", "copy 1"], ["source", "copy 1"], ["source", "source"]);
    shows(&world, both, "all is well").await;
    let aside = near.join("aside");
    fs::rename(&data, &aside).unwrap();
    shows(&world, one, "its folder is missing").await;
    fs::write(&data, "x").unwrap();
    shows(&world, one, "it is a file").await;
    fs::remove_file(&data).unwrap();
    symlink("../../../../../aside", &data).unwrap();
    assert!(data.join("file").exists());
    shows(&world, one, "it is a link").await;
    fs::remove_file(&data).unwrap();
    fs::rename(&aside, &data).unwrap();
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o770)).unwrap();
    shows(&world, none, "others may write above it").await;
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&ours, Some(1000), None).unwrap();
    shows(&world, none, "it is not root's").await;
    chown(&ours, Some(0), None).unwrap();
    shows(&world, both, "all is well again").await;
    let mut away = world.clone();
    let fs_near = away.file_systems.get_mut("near").unwrap();
    fs_near.spec.backend.nfs.as_mut().unwrap().server = source::AWAY.into();
    shows(&away, none, "its server is not there").await;
    // A place that is not there, or is a link, has no copy either.
    let place = world.export("e/a").join("data");
    fs::rename(&place, world.export("e/a").join("moved")).unwrap();
    let node = world.node();
    node.publish(inline(&v, "")).await.unwrap();
    assert!(!v.join("data").exists() && read(&v, PATHS[1]) == "copy 1");
    node.undo(&inline(&v, "")).await;
    // Its helpers hold the shares.
    node.node.sweep().await;
    drop(node);
    symlink("moved", &place).unwrap();
    shows(&world, one, "its place is a link").await;
}

pub async fn a_silent_target_holds_one_pod_for_a_while_and_no_other(world: World) {
    let mut world = filled(world);
    world.deadline = Duration::from_secs(4);
    let near = world.file_systems.get_mut("near").unwrap();
    near.spec.backend.nfs.as_mut().unwrap().server = source::SILENT.into();
    let node = world.node();
    let (v, w) = (world.target("v"), world.target("w"));
    let started = Instant::now();
    node.publish(inline(&v, "")).await.unwrap();
    let first = started.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&first), "{first:?}");
    let started = Instant::now();
    let mut second = inline(&w, "");
    second.volume_id = "csi-second".into();
    node.publish(second).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    assert_eq!((read(&v, "data"), read(&w, "data")), ("source".into(), "source".into()));
    assert!(in_use(&node).is_empty());
}

pub async fn copies_are_hidden_in_their_target_but_from_their_mover(world: World) {
    let mut world = filled(world);
    let near = world.export("c/near");
    symlink(".workspacefs/cache", near.join("into")).unwrap();
    let node = world.node();
    let v = world.target("v");
    let of_near = |from: &str| {
        let mut request = inline(&v, from);
        request.volume_context.insert("fileSystem".into(), "near".into());
        request
    };
    let request = off(of_near(""));
    node.publish(request.clone()).await.unwrap();
    for path in [&v, &world.on_host("v")] {
        assert_eq!(names(&path.join(".workspacefs")), Vec::<String>::new());
        assert!(fs::write(path.join(".workspacefs/x"), "x").is_err());
        fs::write(path.join("own"), "x").unwrap();
    }
    node.undo(&request).await;
    refused(node.publish(of_near("into")).await, Code::InvalidArgument, &["into"]);
    // The mover's own volume.
    let fill = |uid: &str| {
        let mut request = of_near("");
        request.volume_context.remove("mountFrom");
        request.volume_context.insert("fillCache".into(), uid.into());
        request
    };
    node.publish(fill(CACHE)).await.unwrap();
    assert_eq!(names(&v), ["1"]);
    write(&v.join("filling-2/data/x"), "x");
    node.undo(&fill(CACHE)).await;
    let other = "33333333-d9cb-469f-a165-70867728950e";
    node.publish(fill(other)).await.unwrap();
    let made = fs::metadata(near.join(".workspacefs/cache").join(other)).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o7777), (0, 0o700));
    node.undo(&fill(other)).await;
    refused(node.publish(fill("../x")).await, Code::InvalidArgument, &["fillCache"]);
    // One in which somebody else could change copies is no place for them.
    chown(near.join(".workspacefs"), Some(1000), None).unwrap();
    refused(node.publish(fill(CACHE)).await, Code::FailedPrecondition, &[".workspacefs"]);
    chown(near.join(".workspacefs"), Some(0), None).unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
    // Of a FileSystem that is no cache's target nothing is covered.
    world.fs_caches.clear();
    let node = world.node();
    node.publish(of_near("")).await.unwrap();
    assert_eq!(names(&v.join(".workspacefs")), ["cache"]);
}

pub async fn what_a_volume_uses_is_told_and_kept_mounted_until_it_is_gone(world: World) {
    let world = filled(world);
    let node = world.node();
    let v = world.target("v");
    let request = inline(&v, "");
    node.publish(request.clone()).await.unwrap();
    node.node.sweep().await;
    assert_eq!(names(&world.share_mounts()).len(), 2, "the share of the copies is in use");
    assert_eq!(in_use(&node), [1]);
    drop(node);
    // The next plugin knows it from the record, though the FsCache has moved on, or is not known yet.
    let mut refreshed = world.clone();
    refreshed.fs_caches = vec![near(2)];
    let node = refreshed.node();
    node.node.sweep().await;
    assert_eq!(names(&world.share_mounts()).len(), 2);
    assert_eq!(in_use(&node), [1]);
    assert_eq!(node.caches.due(|_| true)[0].entry.as_ref().unwrap().seen, 2);
    // kubelet publishes again what it finds: nothing changes.
    let before = world.mounts();
    node.publish(request.clone()).await.unwrap();
    assert_eq!(world.mounts(), before);
    assert_eq!(in_use(&node), [1]);
    node.undo(&request).await;
    assert!(in_use(&node).is_empty());
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn a_volume_keeps_the_generation_it_was_published_with(world: World) {
    let world = filled(world);
    let node = world.node();
    let (v, w) = (world.target("v"), world.target("w"));
    node.publish(inline(&v, "")).await.unwrap();
    fill(&world.export("c/near"), 2);
    node.caches.put(&near(2));
    let mut second = inline(&w, "");
    second.volume_id = "csi-second".into();
    node.publish(second.clone()).await.unwrap();
    assert_eq!((read(&v, "data"), read(&w, "data")), ("copy 1".into(), "copy 2".into()));
    assert_eq!(in_use(&node), [1, 2]);
    node.undo(&inline(&v, "")).await;
    assert_eq!(in_use(&node), [2]);
    // Word of an older one is not believed.
    node.caches.put(&near(1));
    node.publish(inline(&v, "")).await.unwrap();
    assert_eq!(read(&v, "data"), "source");
    assert_eq!(in_use(&node), [2]);
}

pub async fn copies_on_this_nodes_disk_are_shown_and_hidden_in_the_workspaces_share(world: World) {
    let mut world = filled(world);
    let target = CacheTarget { file_system: None, local_storage: Some("fast".into()) };
    world.fs_caches = vec![cache(1, target)];
    let disk = local::plugin(&world, |_| {});
    world.disk = Some((disk.storages.clone(), disk.disks.clone()));
    let share = world.path(DISK).join(FILES).join(NAMESPACE_UID);
    fill(&share, 1);
    fs::write(share.join("own"), "x").unwrap();
    let node = world.node();
    let (v, w) = (world.target("v"), world.target("w"));
    // Before its disk was looked at nothing of it is used.
    node.publish(inline(&v, "")).await.unwrap();
    assert_eq!((read(&v, "data").as_str(), node.node.uses_disk(UID)), ("source", false));
    node.undo(&inline(&v, "")).await;
    disk.look().await;
    node.publish(inline(&v, "")).await.unwrap();
    assert_eq!(read(&v, "data"), "copy 1");
    assert!(fs::write(v.join("data/x"), "x").is_err());
    assert!(node.node.uses_disk(UID), "the disk stays");
    assert_eq!(in_use(&node), [1]);
    for (pod, sees) in [("train-0", &[][..]), ("wsfs-cache-", &["cache"])] {
        let mut claim = local::claim(&w);
        claim.volume_context.insert("csi.storage.k8s.io/pod.name".into(), pod.into());
        disk.publish(claim.clone()).await.unwrap();
        assert_eq!(names(&w.join(".workspacefs")), sees, "{pod}");
        assert_eq!(fs::read_to_string(w.join("own")).unwrap(), "x");
        disk.undo(&claim).await;
    }
    node.undo(&inline(&v, "")).await;
    assert!(!node.node.uses_disk(UID));
    // Where others may write to them they are not believed.
    fs::set_permissions(share.join(".workspacefs"), fs::Permissions::from_mode(0o777)).unwrap();
    node.publish(inline(&v, "")).await.unwrap();
    assert_eq!(read(&v, "data"), "source");
    node.undo(&inline(&v, "")).await;
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

pub async fn a_copy_of_a_source_that_was_made_again_under_its_name_is_not_shown(world: World) {
    let world = filled(world);
    let node = world.node();
    let v = world.target("v");
    for (source, shown) in
        [("", "source"), ("9c9e6679-7425-40de-944b-e07fc1f90ae8", "source"), (UID, "copy 1")]
    {
        let mut cache = near(1);
        cache.status.as_mut().unwrap().copies[0].source = source.into();
        node.caches.put(&cache);
        node.publish(inline(&v, "")).await.unwrap();
        assert_eq!(read(&v, "data"), shown, "{source:?}");
        node.undo(&inline(&v, "")).await;
    }
}

fn settings(world: &World, unpublish: bool) -> Settings {
    let text = |path: PathBuf| path.to_str().unwrap().to_string();
    Settings {
        api: if world.api == MountApi::Legacy { "legacy" } else { "modern" }.into(),
        root: text(world.root().into()),
        export: text(world.path("exports/e")),
        folder: "a".into(),
        target: text(world.target("v")),
        unpublish,
        copies: true,
    }
}

async fn unpublished(world: &World, node: &TestNode, claim: &Claim) {
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    assert!(in_use(node).is_empty());
    // The helpers of the plugin that was killed may still be on their way out.
    for _ in 0..100 {
        node.node.sweep().await;
        if names(&world.share_mounts()).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.assert_nothing_left(&["v"]);
}

pub async fn a_publish_with_copies_killed_at_any_step_has_both_after_the_next(world: World) {
    let world = filled(world);
    let claim = Claim::of(&world.export("e"), "a");
    let v = world.target("v");
    let mut stop = 0;
    while kill::killed_at(&settings(&world, false), stop) {
        // What is there is the volume with its copies, or nothing.
        let mounted = world.mounts_at(&v);
        assert_eq!(below(&world, &v), 3 * mounted, "killed at stop {stop}");
        let node = world.node();
        let told = in_use(&node);
        assert!(mounted == 0 || told == [1], "killed at stop {stop}: {told:?}");
        node.publish(claim.at(&v)).await.unwrap();
        for path in [&v, &world.on_host("v")] {
            assert!(PATHS.iter().all(|cached| read(path, cached) == "copy 1"), "killed at stop {stop}");
            assert_eq!(below(&world, path), 3, "killed at stop {stop}");
        }
        assert_eq!(in_use(&node), [1], "killed at stop {stop}");
        unpublished(&world, &node, &claim).await;
        stop += 1;
    }
    assert!(stop > 100, "only {stop} schedules: were the system calls seen?");
    println!("{stop} schedules");
}

pub async fn an_unpublish_with_copies_killed_at_any_step_is_completed_by_the_next(world: World) {
    let world = filled(world);
    let claim = Claim::of(&world.export("e"), "a");
    let mut stop = 0;
    loop {
        world.node().publish(claim.at(&world.target("v"))).await.unwrap();
        let killed = kill::killed_at(&settings(&world, true), stop);
        let node = world.node();
        unpublished(&world, &node, &claim).await;
        assert!(PATHS.iter().all(|path| read(&world.export("e/a"), path) == "source"));
        assert!(PATHS.iter().all(|path| read(&copies(&world.export("c/near"), 1), path) == "copy 1"));
        if !killed {
            break;
        }
        stop += 1;
    }
    assert!(stop > 20, "only {stop} schedules: were the system calls seen?");
    println!("{stop} schedules");
}
