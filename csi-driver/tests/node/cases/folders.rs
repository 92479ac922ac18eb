//! Which folder is shown, who owns it, and what cannot be reached.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tonic::Code;
use workspacefs_api::Owner;

use crate::source;
use crate::world::{Claim, UID, World, inline, names, refused};

fn owner(uid: u32, gid: u32, mode: &str) -> Owner {
    Owner { uid, gid, mode: mode.into() }
}

fn looks(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

fn record(export: &Path, uid: &str) -> Option<serde_json::Value> {
    let bytes = fs::read(export.join(format!(".workspacefs/owners/{uid}.json"))).ok()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

fn other_uid(n: u32) -> String {
    format!("{n}1111111-d9cb-469f-a165-70867728950e")
}

pub async fn a_missing_folder_is_created_with_its_owner(world: World) {
    let export = world.export("e");
    let node = world.node();
    let claim = Claim { owner: owner(1000, 2000, "2770"), ..Claim::of(&export, "teams/a") };
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    assert_eq!(looks(&export.join("teams/a")), (1000, 2000, 0o2770));
    assert_eq!(looks(&export.join("teams")), (0, 0, 0o755));
    assert_eq!(looks(&export.join(".workspacefs")), (0, 0, 0o700));
    let record = record(&export, UID).unwrap();
    assert_eq!(record, serde_json::json!({"folder": "teams/a", "created": true}));
    let default = Claim { uid: other_uid(1), ..Claim::of(&export, "teams/b") };
    node.publish(default.at(&world.target("w"))).await.unwrap();
    assert_eq!(looks(&export.join("teams/b")), (0, 0, 0o777), "like an emptyDir");
    assert_eq!(names(&export.join("teams")), ["a", "b"]);
}

pub async fn an_existing_folder_keeps_its_owner(world: World) {
    let export = world.export("e");
    fs::create_dir(export.join("a")).unwrap();
    chown(export.join("a"), Some(7), Some(8)).unwrap();
    fs::set_permissions(export.join("a"), fs::Permissions::from_mode(0o711)).unwrap();
    let claim = Claim { owner: owner(1000, 1000, "0777"), ..Claim::of(&export, "a") };
    world.node().publish(claim.at(&world.target("v"))).await.unwrap();
    assert_eq!(looks(&export.join("a")), (7, 8, 0o711));
    assert_eq!(record(&export, UID), None, "it is not ours");
}

pub async fn a_cut_creation_is_finished_and_a_strangers_folder_is_not_touched(world: World) {
    let export = world.export("e");
    let owners = export.join(".workspacefs/owners");
    fs::create_dir_all(&owners).unwrap();
    fs::set_permissions(export.join(".workspacefs"), fs::Permissions::from_mode(0o700)).unwrap();
    let claim = |uid: &str, folder: &str| Claim {
        uid: uid.into(),
        owner: owner(1000, 1000, "0750"),
        ..Claim::of(&export, folder)
    };
    let begun = |n, folder: &str| {
        let text = serde_json::json!({"folder": folder, "created": false}).to_string();
        fs::write(owners.join(format!("{}.json", other_uid(n))), text).unwrap();
    };
    let make = |folder: &str, mode| {
        fs::create_dir(export.join(folder)).unwrap();
        fs::set_permissions(export.join(folder), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Killed after mkdir.
    begun(1, "made");
    make("made", 0o700);
    // Killed after chown.
    begun(2, "owned");
    make("owned", 0o700);
    chown(export.join("owned"), Some(1000), Some(1000)).unwrap();
    // Killed before mkdir, and then somebody made a folder by hand and used it.
    begun(3, "by-hand");
    make("by-hand", 0o700);
    fs::write(export.join("by-hand/file"), "x").unwrap();
    // Killed while the record was written.
    fs::write(owners.join(format!("{}.json", other_uid(4))), "{\"fol").unwrap();
    make("torn", 0o700);
    // Killed before mkdir.
    begun(5, "nothing-yet");
    let node = world.node();
    for (n, folder) in [(1, "made"), (2, "owned"), (3, "by-hand"), (4, "torn"), (5, "nothing-yet")] {
        node.publish(claim(&other_uid(n), folder).at(&world.target(folder))).await.unwrap();
        let expected = if n == 3 { (0, 0, 0o700) } else { (1000, 1000, 0o750) };
        assert_eq!(looks(&export.join(folder)), expected, "{folder}");
        let created = record(&export, &other_uid(n)).map(|r| r["created"] == true);
        assert_eq!(created, if n == 3 { None } else { Some(true) }, "{folder}");
    }
}

pub async fn a_finished_folders_record_is_asked_for_once_and_a_folder_made_anew_is_finished_all_the_same(
    world: World,
) {
    let export = world.export("e");
    let node = world.node();
    let path = export.join(format!(".workspacefs/owners/{UID}.json"));
    let claim = Claim { owner: owner(1000, 1000, "0750"), ..Claim::of(&export, "a") };
    let publish = async |name: &str| node.publish(claim.at(&world.target(name))).await.unwrap();
    publish("makes-it").await;
    publish("finds-it").await;
    fs::write(&path, "{\"fol").unwrap();
    publish("knows-it").await;
    assert_eq!(fs::read(&path).unwrap(), b"{\"fol", "the record was read, and mended");
    // Somebody removed the folder, and another node was killed while it made it again.
    fs::remove_dir(export.join("a")).unwrap();
    fs::create_dir(export.join("a")).unwrap();
    fs::set_permissions(export.join("a"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(&path, serde_json::json!({"folder": "a", "created": false}).to_string()).unwrap();
    publish("finishes-it").await;
    assert_eq!(looks(&export.join("a")), (1000, 1000, 0o750));
    assert_eq!(record(&export, UID).unwrap()["created"], true);
}

pub async fn what_hides_our_folder_is_never_seen_on_the_share(world: World) {
    let export = world.export("e");
    let node = world.node();
    let keeper = Claim::of(&export, "keeper");
    node.publish(keeper.at(&world.target("keeper"))).await.unwrap();
    // As a plugin finds the share that an earlier container mounted: in one peer group with the host's.
    let share = world.share_mounts().join(&names(&world.share_mounts())[0]);
    mount(None::<&str>, &share, None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
    let covered = share.join(".workspacefs");
    let done = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let done = done.clone();
        move || {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
                assert!(!mounts.contains(covered.to_str().unwrap()), "{mounts}");
                looks += 1;
            }
            looks
        }
    });
    let root = Claim { uid: "1".repeat(8) + &UID[8..], ..Claim::of(&export, "") };
    for _ in 0..100 {
        node.publish(root.at(&world.target("v"))).await.unwrap();
        node.unpublish(&root.id(), &world.target("v")).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    assert!(watcher.join().unwrap() > 100, "it hardly looked");
}

pub async fn root_squash_is_named_and_nothing_is_left(world: World) {
    let remedies = ["root_squash", "no_root_squash", "by hand"];
    // A directory of root's: nobody may not even make the folder.
    let closed = world.export("closed");
    let claim = Claim { server: source::SQUASHING, ..Claim::of(&closed, "a") };
    let node = world.node();
    let result = node.publish(claim.at(&world.target("v"))).await;
    refused(result, Code::PermissionDenied, &[&remedies[..], &["create", "closed/a"]].concat());
    // A directory for everybody: the folder can be made, but not given away.
    let open = world.export("open");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let claim = Claim { server: source::SQUASHING, ..Claim::of(&open, "a/b") };
    for _ in 0..2 {
        let result = node.publish(claim.at(&world.target("v"))).await;
        refused(result, Code::PermissionDenied, &[&remedies[..], &["set the owner of", "open/a/b"]].concat());
        assert!(!open.join("a").exists(), "the second attempt would take it for a finished one");
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn a_squashed_share_with_a_ready_folder_is_mounted(world: World) {
    let export = world.export("e");
    fs::create_dir(export.join("a")).unwrap();
    chown(export.join("a"), Some(1000), Some(1000)).unwrap();
    let claim = Claim { server: source::SQUASHING, ..Claim::of(&export, "a") };
    let node = world.node();
    // Here the helper is nobody for local folders, too; on a real share it is not.
    fs::set_permissions(world.path("state/staging"), fs::Permissions::from_mode(0o777)).unwrap();
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    assert_eq!(world.mounts_at(&world.target("v")), 1);
    assert_eq!(names(&export), ["a"], "nothing could be recorded, and nothing had to be");
}

pub async fn a_file_systems_folder_is_not_looked_for_behind_links(world: World) {
    let export = world.export("e");
    fs::create_dir_all(export.join("ws/team-b/deep")).unwrap();
    fs::write(export.join("ws/team-b/secret"), "x").unwrap();
    // An administrator's own, for all that we can know.
    symlink("ws/team-b", export.join("alias")).unwrap();
    let world = world.with_file_system(&export, "ws/team-a/data");
    let node = world.node();
    let data = Claim::of(&export, "ws/team-a/data");
    node.publish(data.at(&world.target("v"))).await.unwrap();
    node.unpublish(&data.id(), &world.target("v")).await.unwrap();
    let default = Claim { uid: other_uid(1), ..Claim::of(&export, "ws/team-a") };
    node.publish(default.at(&world.target("home"))).await.unwrap();
    // What a pod of theirs can do to the way to another of their FileSystems.
    let home = world.target("home");
    fs::rename(home.join("data"), home.join("mine")).unwrap();
    symlink("../team-b", home.join("data")).unwrap();
    symlink("../team-b/fresh", home.join("dangling")).unwrap();
    symlink("mine", home.join("own")).unwrap();
    let refusal = |result, link: &str| {
        let words = [&format!("e/{link} is a symbolic link"), "directory itself", "new FileSystem"];
        refused(result, Code::FailedPrecondition, &words);
        assert!(!world.target("v").exists(), "{link}");
    };
    refusal(node.publish(inline(&world.target("v"), "")).await, "ws/team-a/data");
    let table = [
        ("ws/team-a/data", "ws/team-a/data"),
        ("ws/team-a/data/deep", "ws/team-a/data"),
        ("ws/team-a/data/new/deep", "ws/team-a/data"),
        ("ws/team-a/dangling", "ws/team-a/dangling"),
        ("ws/team-a/dangling/new", "ws/team-a/dangling"),
        ("ws/team-a/own", "ws/team-a/own"),
        ("alias/deep", "alias"),
    ];
    for (number, (folder, link)) in (2..).zip(table) {
        let claim = Claim { uid: other_uid(number), ..Claim::of(&export, folder) };
        refusal(node.publish(claim.at(&world.target("v"))).await, link);
        assert_eq!(record(&export, &claim.uid), None, "{folder}");
    }
    assert_eq!(names(&export.join("ws/team-b")), ["deep", "secret"], "nothing was made behind a link");
    // The remedy works.
    let direct = Claim { uid: other_uid(9), ..Claim::of(&export, "ws/team-b/deep") };
    node.publish(direct.at(&world.target("v"))).await.unwrap();
}

pub async fn mount_from_is_a_folder_beneath(world: World) {
    let export = world.export("e");
    fs::create_dir_all(export.join("a/data/deep")).unwrap();
    fs::write(export.join("a/data/deep/file"), "deep").unwrap();
    symlink("data/deep", export.join("a/link")).unwrap();
    symlink("../data/./deep/../deep", export.join("a/data/winding")).unwrap();
    let world = world.with_file_system(&export, "a");
    let node = world.node();
    for from in ["/data/deep", "data/deep", "link", "/data//winding/"] {
        let request = inline(&world.target("v"), from);
        node.publish(request.clone()).await.unwrap();
        assert_eq!(fs::read_to_string(world.on_host("v").join("file")).unwrap(), "deep", "{from}");
        node.undo(&request).await;
    }
    let whole = inline(&world.target("v"), "");
    node.publish(whole.clone()).await.unwrap();
    assert_eq!(names(&world.target("v")), ["data", "link"]);
    node.undo(&whole).await;
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn mount_from_that_leads_elsewhere_is_refused_with_its_path(world: World) {
    let export = world.export("e");
    fs::create_dir_all(export.join("a/data")).unwrap();
    fs::create_dir_all(export.join("other-tenant")).unwrap();
    fs::write(export.join("a/file"), "x").unwrap();
    symlink("/etc", export.join("a/absolute")).unwrap();
    symlink("../other-tenant", export.join("a/up")).unwrap();
    symlink("loop", export.join("a/loop")).unwrap();
    symlink("/proc/self/root", export.join("a/magic")).unwrap();
    let world = world.with_file_system(&export, "a");
    let node = world.node();
    let table = [
        ("missing/deep", Code::NotFound),
        ("file", Code::FailedPrecondition),
        ("file/beneath", Code::FailedPrecondition),
        ("absolute", Code::InvalidArgument),
        ("up", Code::InvalidArgument),
        ("loop", Code::InvalidArgument),
        ("magic", Code::InvalidArgument),
        ("../other-tenant", Code::InvalidArgument),
    ];
    for (from, code) in table {
        refused(node.publish(inline(&world.target("v"), from)).await, code, &[from]);
        assert!(!world.target("v").exists(), "{from}");
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

fn bind_alone(from: &Path, to: &Path) -> Result<(), Errno> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
}

pub async fn our_own_folder_is_hidden_and_out_of_reach(world: World) {
    let export = world.export("e");
    fs::create_dir_all(export.join(".workspacefs/trash/secret")).unwrap();
    fs::set_permissions(export.join(".workspacefs"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(export.join("visible"), "x").unwrap();
    symlink(".workspacefs/trash", export.join("into")).unwrap();
    symlink(".", export.join("myself")).unwrap();
    fs::create_dir(export.join("sub")).unwrap();
    symlink("../.workspacefs", export.join("sub/into")).unwrap();
    let world = world.with_file_system(&export, "");
    let node = world.node();
    for from in ["", "myself"] {
        let request = inline(&world.target("v"), from);
        node.publish(request.clone()).await.unwrap();
        for path in [world.target("v"), world.on_host("v")] {
            assert!(path.join("visible").exists());
            assert_eq!(
                names(&path.join(".workspacefs")),
                Vec::<String>::new(),
                "{from:?} {}",
                path.display()
            );
            assert!(fs::create_dir(path.join(".workspacefs/x")).is_err());
            assert!(fs::rename(path.join(".workspacefs"), path.join("moved")).is_err());
            // A bind of the root alone, as kubelet makes of `subPath: .`, would show it.
            let bound = world.target("bound");
            fs::create_dir_all(&bound).unwrap();
            assert_eq!(bind_alone(&path, &bound), Err(Errno::EINVAL), "{}", path.display());
            // Any other folder is bound as ever, and read-only if that is asked for.
            bind_alone(&path.join("sub"), &bound).unwrap();
            let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(None::<&str>, &bound, None::<&str>, read_only, None::<&str>).unwrap();
            umount2(&bound, MntFlags::MNT_DETACH).unwrap();
            fs::remove_dir(&bound).unwrap();
        }
        node.undo(&request).await;
        assert!(!world.target("v").exists());
    }
    for from in [
        ".workspacefs",
        "into",
        "into/secret",
        "sub/into",
        "myself/.workspacefs/trash",
        ".WorkspaceFS/../into",
    ] {
        refused(node.publish(inline(&world.target("v"), from)).await, Code::InvalidArgument, &[]);
    }
    // An export without it gets one, so that no volume can make it first.
    let fresh = world.export("fresh");
    node.publish(Claim::of(&fresh, "").at(&world.target("w"))).await.unwrap();
    assert_eq!(fs::metadata(fresh.join(".workspacefs")).unwrap().mode() & 0o7777, 0o700);
    assert!(fs::write(world.target("w").join(".workspacefs/forged"), "x").is_err());
    node.unpublish(&Claim::of(&fresh, "").id(), &world.target("w")).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
    assert!(export.join(".workspacefs/trash/secret").exists());
}
