//! The same on a real NFS server and a kernel with an NFS client: run inside a test machine by `cargo xtask mounts`, since
//! the computer that runs `cargo test` may have neither. The server exports `/export/shared`, `/export/squashed` and
//! `/export/closed` (to others) as the test cluster's does.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tonic::Code;
use workspacefs_api::{NfsVersion, Owner, mount_options};
use workspacefs_csi_proto::csi::v1::NodePublishVolumeRequest;

use crate::world::{Claim, TestNode, WithMode, World, names, refused};

fn server() -> &'static str {
    Box::leak(std::env::var("WSFS_TEST_NFS").unwrap().into_boxed_str())
}

/// A folder that no other run knows.
fn fresh(world: &World, name: &str) -> String {
    format!("test-{}-{:?}-{name}", std::process::id(), world.api)
}

fn claim(export: &str, folder: &str) -> Claim {
    Claim { server: server(), ..Claim::of(Path::new(export), folder) }
}

fn other_uid(n: u32) -> String {
    format!("{n}1111111-d9cb-469f-a165-70867728950e")
}

/// The mount options of what is mounted at a path, as /proc has them.
fn options(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts.lines().rfind(|l| l.split(' ').nth(1) == path.to_str());
    line.unwrap().to_string()
}

pub async fn every_version_mounts_and_the_newest_is_preferred(world: World) {
    let node = world.node();
    let asked = [
        (None, "vers=4.2"),
        (Some(NfsVersion::V4_2), "vers=4.2"),
        (Some(NfsVersion::V4_1), "vers=4.1"),
        (Some(NfsVersion::V4_0), "vers=4.0"),
        (Some(NfsVersion::V3), "vers=3"),
    ];
    for (version, expected) in asked {
        let claim = claim("/export/shared", &fresh(&world, "versions"));
        let mut attributes = claim.attributes();
        attributes.version = version;
        let mut request = claim.at(&world.target("v"));
        request.volume_context = attributes.to_map().into_iter().collect();
        let started = Instant::now();
        node.publish(request.clone()).await.unwrap();
        println!("{expected}: mounted in {:?}: {}", started.elapsed(), options(&world.target("v")));
        assert!(options(&world.target("v")).contains(expected));
        fs::write(world.target("v").join("file"), "over the network").unwrap();
        assert_eq!(fs::read_to_string(world.on_host("v").join("file")).unwrap(), "over the network");
        assert!(node.stats(&claim.id(), &world.target("v")).await.unwrap()[0].total > 0);
        node.undo(&request).await;
        node.node.sweep().await;
        world.assert_nothing_left(&["v"]);
    }
}

pub async fn every_option_on_the_allow_list_is_known_to_the_kernel(world: World) {
    let node = world.node();
    for option in mount_options::every_form() {
        let claim = claim("/export/shared", "");
        let request = claim.at(&world.target("v")).with_flags(&[&option]);
        node.publish(request.clone()).await.unwrap_or_else(|error| panic!("{option}: {error}"));
        node.undo(&request).await;
        node.node.sweep().await;
    }
    world.assert_nothing_left(&["v"]);
}

pub async fn what_is_wrong_with_a_server_is_said_in_words(world: World) {
    let node = world.node();
    let publish = async |claim: Claim, port: Option<u16>| {
        let mut attributes = claim.attributes();
        attributes.port = port;
        let mut request = claim.at(&world.target("v"));
        request.volume_context = attributes.to_map().into_iter().collect();
        let started = Instant::now();
        let result = node.publish(request).await;
        println!("{:?}: {}", started.elapsed(), result.clone().unwrap_err().message());
        assert!(started.elapsed() < Duration::from_secs(9));
        result
    };
    let at = |server: &'static str| Claim { server, ..claim("/export/shared", "a") };
    refused(publish(claim("/export/missing", "a"), None).await, Code::NotFound, &["/export/missing"]);
    refused(
        publish(claim("/export/shared,vers=3", "a"), None).await,
        Code::NotFound,
        &["/export/shared,vers=3"],
    );
    let closed = publish(claim("/export/closed", "a"), None).await.unwrap_err();
    assert!(matches!(closed.code(), Code::PermissionDenied | Code::NotFound), "{closed}");
    refused(publish(at(server()), Some(1)).await, Code::Unavailable, &["connection refused", ":1"]);
    refused(publish(at("10.99.0.99"), None).await, Code::Unavailable, &["10.99.0.99", "unreachable"]);
    refused(publish(at("no-such-host.invalid"), None).await, Code::Unavailable, &["cannot be resolved"]);
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn a_server_that_squashes_root_is_named(world: World) {
    let node = world.node();
    let result = node.publish(claim("/export/squashed", "made-by-us").at(&world.target("v"))).await;
    refused(
        result,
        Code::PermissionDenied,
        &["root_squash", "no_root_squash", "by hand", "/export/squashed/made-by-us"],
    );
    // Its root can be mounted all the same.
    let root = claim("/export/squashed", "").at(&world.target("v"));
    node.publish(root.clone()).await.unwrap();
    node.undo(&root).await;
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn folders_get_their_owner_and_ours_stays_hidden(world: World) {
    let folder = fresh(&world, "owner");
    let node = world.node();
    let owner = Owner { uid: 1000, gid: 2000, mode: "2770".into() };
    let claim = Claim { owner, ..claim("/export/shared", &folder) };
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    let metadata = fs::metadata(world.target("v")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (1000, 2000, 0o2770));
    let root = Claim { uid: other_uid(1), ..self::claim("/export/shared", "") };
    node.publish(root.at(&world.target("root"))).await.unwrap();
    assert!(world.target("root").join(&folder).exists());
    assert_eq!(names(&world.on_host("root").join(".workspacefs")), Vec::<String>::new());
    assert_eq!(names(&world.share_mounts()).len(), 1);
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    node.unpublish(&root.id(), &world.target("root")).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "root"]);
}

/// Another client removes the folder and makes a new one of the same name: what is mounted is the old one's handle.
pub async fn a_folder_made_anew_on_the_server_is_mounted_anew(world: World) {
    let node = world.node();
    let folder = fresh(&world, "anew");
    let claim = claim("/export/shared", &folder);
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    // Another version is another client, as far as caches go.
    let root = Claim { uid: other_uid(1), ..self::claim("/export/shared", "") };
    let mut attributes = root.attributes();
    attributes.version = Some(NfsVersion::V4_0);
    let mut request = root.at(&world.target("admin"));
    request.volume_context = attributes.to_map().into_iter().collect();
    node.publish(request).await.unwrap();
    let on_server = world.target("admin").join(&folder);
    fs::remove_dir_all(&on_server).unwrap();
    fs::create_dir(&on_server).unwrap();
    fs::write(on_server.join("new"), "x").unwrap();
    println!("the old mount says {:?}", fs::read_dir(world.target("v")).map(drop));
    // The next look finds out, and says so.
    refused(
        node.stats(&claim.id(), &world.target("v")).await.map(drop),
        Code::Unavailable,
        &["stale file handle"],
    );
    assert_eq!(node.health(&claim.id()).await.unwrap()[0].reason, "StaleHandle");
    // A new target shows the new folder, and so does the old one once it is published again.
    node.publish(claim.at(&world.target("w"))).await.unwrap();
    assert_eq!(names(&world.on_host("w")), ["new"]);
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    assert_eq!(names(&world.on_host("v")), ["new"]);
    for (id, target) in [(claim.id(), "v"), (claim.id(), "w"), (root.id(), "admin")] {
        node.unpublish(&id, &world.target(target)).await.unwrap();
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w", "admin"]);
}

/// An NFS client knows fewer renames than a local file system, and the times are the server's.
pub async fn a_deleted_folder_is_removed_over_nfs_after_its_time(world: World) {
    use csi_driver::share::{Keep, Leaving, OwnFolder, ShareSpec, Taken, TrashSlice, TrashSwept};
    let node = world.node();
    for (number, version) in [(3, NfsVersion::V4_2), (4, NfsVersion::V4_0), (5, NfsVersion::V3)] {
        // A name each: this client believes for a minute what a name meant before.
        let folder = fresh(&world, &format!("trash-{number}"));
        let claim = Claim { uid: other_uid(number), ..claim("/export/shared", &folder) };
        node.publish(claim.at(&world.target("v"))).await.unwrap();
        let volume = world.target("v");
        fs::create_dir_all(volume.join("a/b/c/d/e")).unwrap();
        for place in ["", "a", "a/b", "a/b/c/d/e"] {
            for file in 0..20 {
                fs::write(volume.join(place).join(file.to_string()), "x").unwrap();
            }
            std::os::unix::fs::symlink("/", volume.join(place).join("out")).unwrap();
        }
        node.unpublish(&claim.id(), &volume).await.unwrap();

        let shares = world.shares_kept(Keep::Detached);
        let spec = ShareSpec { version: Some(version), ..ShareSpec::new(&claim.attributes(), &[]) };
        let soon = || tokio::time::Instant::now() + Duration::from_secs(20);
        let own = OwnFolder { path: folder.clone(), file_system: claim.uid.clone() };
        let taken = shares.remove_own(&spec, own, Leaving::Trash(folder.clone()), soon()).await.unwrap();
        assert!(matches!(taken, Taken::Moved(_)), "{version:?}: {taken:?}");
        let sweep = async |keep_seconds| {
            let slice =
                TrashSlice { keep_seconds, entries_max: 1000, work_ms: 300, except: Default::default() };
            shares.empty_trash(&spec, slice, soon()).await.unwrap()
        };
        let TrashSwept { emptied, .. } = sweep(3600).await;
        let early = emptied.iter().any(|name| name.starts_with(&folder));
        assert!(!early, "{version:?}: it is not an hour old");
        let mut emptied = Vec::new();
        loop {
            let swept = sweep(0).await;
            assert!(swept.stuck.is_empty(), "{version:?}: {swept:?}");
            emptied.extend(swept.emptied);
            if !swept.more {
                break;
            }
        }
        let ours = emptied.iter().filter(|name| name.starts_with(&folder)).count();
        assert_eq!(ours, 1, "{version:?}: {emptied:?}");
    }
}

/// Prints a line that asks whoever runs this to do something to the server, and waits until it is so.
fn wait_for_server(answers: bool) {
    println!("waiting until the server {}", if answers { "answers" } else { "is frozen" });
    let address = format!("{}:2049", server()).parse().unwrap();
    let started = Instant::now();
    // A busy one misses some, and whoever freezes it may hear of this late.
    let enough = if answers { 1 } else { 20 };
    let mut in_a_row = 0;
    while in_a_row < enough {
        let connected = TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok();
        in_a_row = if connected == answers { in_a_row + 1 } else { 0 };
        assert!(started.elapsed() < Duration::from_secs(120), "nobody touched the server");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The server is frozen under mounted volumes that are being written to, and thawed again, by whoever runs this.
pub async fn a_frozen_server_wedges_nothing(mut world: World) {
    world.deadline = Duration::from_secs(5);
    let node = world.node();
    let folder = fresh(&world, "frozen");
    let one = claim("/export/shared", &folder);
    // A server that was frozen a moment ago takes its time to let clients in again.
    let started = Instant::now();
    while let Err(error) = node.publish(one.at(&world.target("v"))).await {
        assert!(started.elapsed() < Duration::from_secs(120), "{error}");
    }
    node.publish(one.at(&world.target("w"))).await.unwrap();
    node.stats(&one.id(), &world.target("v")).await.unwrap();
    let writer = Command::new("dd")
        .arg("if=/dev/zero")
        .arg(format!("of={}", world.on_host("v").join("big").display()))
        .args(["bs=64k", "conv=fsync", "count=100000"])
        .spawn()
        .unwrap();
    // Also where the case fails: else it writes until the server's disk is full.
    let writer = Ended(writer);
    wait_for_server(false);
    let timed = async |what: &str, limit: f32, call: &mut dyn AsyncCall| {
        let started = Instant::now();
        call.call(&node).await;
        println!("{what}: {:?}", started.elapsed());
        assert!(started.elapsed().as_secs_f32() < limit, "{what}: {:?}", started.elapsed());
    };
    timed("publish on it", 5.5, &mut Publish(one.at(&world.target("x")), false)).await;
    timed("publish of what is published", 0.2, &mut Publish(one.at(&world.target("v")), true)).await;
    timed(
        "first mount on it",
        5.5,
        &mut Publish(
            Claim { uid: other_uid(2), ..claim("/export/squashed", "") }.at(&world.target("x")),
            false,
        ),
    )
    .await;
    timed("unpublish", 0.5, &mut Unpublish(one.id(), world.target("w"))).await;
    timed("unpublish while it is written to", 0.5, &mut Unpublish(one.id(), world.target("v"))).await;
    timed("sweep", 12.0, &mut Sweep).await;
    assert!(!names(&world.share_mounts()).is_empty(), "the share of a silent server was unmounted");
    let stuck = stuck_threads();
    assert!(stuck.is_empty(), "threads of ours in D state: {stuck:?}");
    wait_for_server(true);
    drop(writer);
    let started = Instant::now();
    while !names(&world.share_mounts()).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "the share is never unmounted");
        node.node.sweep().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    node.publish(one.at(&world.target("v"))).await.unwrap();
    node.unpublish(&one.id(), &world.target("v")).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w", "x"]);
}

/// A program that is killed at the end. Not waited for: that could be as long as its server is silent.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// Threads of this process that no signal reaches.
fn stuck_threads() -> Vec<PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|e| e.unwrap().path());
    tasks
        .filter(|task| {
            let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('D'))
        })
        .collect()
}

#[async_trait::async_trait(?Send)]
trait AsyncCall {
    async fn call(&mut self, node: &TestNode);
}

struct Publish(NodePublishVolumeRequest, bool);
struct Unpublish(String, PathBuf);
struct Sweep;

#[async_trait::async_trait(?Send)]
impl AsyncCall for Publish {
    async fn call(&mut self, node: &TestNode) {
        let result = node.publish(self.0.clone()).await;
        if let Err(error) = &result {
            println!("  {:?} {}", error.code(), error.message());
        }
        assert_eq!(result.is_ok(), self.1);
    }
}

#[async_trait::async_trait(?Send)]
impl AsyncCall for Unpublish {
    async fn call(&mut self, node: &TestNode) {
        node.unpublish(&self.0, &self.1).await.unwrap();
    }
}

#[async_trait::async_trait(?Send)]
impl AsyncCall for Sweep {
    async fn call(&mut self, node: &TestNode) {
        node.node.sweep().await;
    }
}
