//! Folders that leave a share: into the trash or the archive, whole, once, and only if they are ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use csi_driver::share::{
    Keep, Leaving, OwnFolder, PosixOwner, ShareError, ShareSpec, Shares, Taken, VolumeName, VolumeRecord,
};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::kill::Killer;
use crate::world::{Claim, UID, World, names};

const OTHER: &str = "11111111-d9cb-469f-a165-70867728950e";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn uid(number: u32) -> String {
    format!("{number:08x}-d9cb-469f-a165-70867728950e")
}

/// A FileSystem's folder, made by a first mount, with a file in it.
async fn made(world: &World, export: &Path, uid: &str, folder: &str) {
    let node = world.node();
    let claim = Claim { uid: uid.into(), ..Claim::of(export, folder) };
    node.publish(claim.at(&world.target("made"))).await.unwrap();
    fs::write(world.target("made").join("file"), folder).unwrap();
    node.unpublish(&claim.id(), &world.target("made")).await.unwrap();
}

struct Share {
    shares: Shares,
    spec: ShareSpec,
    export: PathBuf,
}

impl Share {
    fn of(world: &World, export: &Path) -> Self {
        let spec = ShareSpec::new(&Claim::of(export, "").attributes(), &[]);
        Self { shares: world.shares_kept(Keep::Detached), spec, export: export.into() }
    }

    async fn take(&self, uid: &str, path: &str, leaving: Leaving) -> Result<Taken, ShareError> {
        let folder = OwnFolder { path: path.into(), file_system: uid.into() };
        self.shares.remove_own(&self.spec, folder, leaving, soon()).await
    }

    async fn archive(&self, uid: &str, path: &str) -> Taken {
        self.take(uid, path, Leaving::Archive("team-a.data.20260801T120000Z".into())).await.unwrap()
    }

    fn record(&self, uid: &str) -> bool {
        self.export.join(format!(".workspacefs/owners/{uid}.json")).exists()
    }

    fn on_their_way(&self) -> Vec<String> {
        names(&self.export.join(".workspacefs/leaving"))
    }
}

fn reason(taken: Taken) -> String {
    match taken {
        Taken::NotOurs(reason) => reason,
        other => panic!("it was touched: {other:?}"),
    }
}

pub async fn a_deleted_volume_is_archived_under_the_name_that_was_asked_for(world: World) {
    let export = world.export("e");
    let share = Share::of(&world, &export);
    let name = || VolumeName { file_system: UID.into(), name: "pvc-1".into() };
    let owner = PosixOwner { uid: 0, gid: 0, mode: 0o777 };
    share.shares.create_volume(&share.spec, name(), VolumeRecord::default(), owner, soon()).await.unwrap();
    fs::write(export.join(format!(".workspacefs/volumes/{UID}/pvc-1/file")), "precious").unwrap();
    let archive = || Leaving::Archive("team-a.data.pvc-1.20260801T120000Z".into());
    let place = share.shares.remove_volume(&share.spec, name(), archive(), soon()).await.unwrap().unwrap();
    assert_eq!(place, ".workspacefs/archive/team-a.data.pvc-1.20260801T120000Z");
    assert_eq!(fs::read_to_string(export.join(&place).join("file")).unwrap(), "precious");
    assert_eq!(share.shares.remove_volume(&share.spec, name(), archive(), soon()).await, Ok(None));
    for bad in ["../out", "a/b", "", ".hidden"] {
        let to = Leaving::Archive(bad.into());
        let result = share.shares.remove_volume(&share.spec, name(), to, soon()).await;
        assert!(matches!(result, Err(ShareError::Local { .. })), "{bad:?}: {result:?}");
    }
}

pub async fn a_file_systems_own_folder_leaves_if_we_made_it(world: World) {
    let export = world.export("e");
    let share = Share::of(&world, &export);
    made(&world, &export, UID, "teams/a").await;
    made(&world, &export, OTHER, "teams/ab").await;
    let place = match share.take(UID, "teams/a", Leaving::Trash("team-a.data".into())).await.unwrap() {
        Taken::Moved(place) => place,
        other => panic!("{other:?}"),
    };
    assert!(place.starts_with(".workspacefs/trash/team-a.data."), "{place}");
    assert_eq!(fs::read_to_string(export.join(&place).join("file")).unwrap(), "teams/a");
    assert_eq!(names(&export.join("teams")), ["ab"], "its neighbour stays");
    assert!(!share.record(UID) && share.record(OTHER));
    assert_eq!(share.on_their_way(), Vec::<String>::new());
    // Again, and of a FileSystem that nobody ever mounted.
    assert_eq!(share.archive(UID, "teams/a").await, Taken::Absent);
    assert_eq!(share.archive(&uid(7), "never").await, Taken::Absent);
    let archived = share.archive(OTHER, "teams/ab").await;
    assert_eq!(archived, Taken::Moved(".workspacefs/archive/team-a.data.20260801T120000Z".into()));
    // The same folder for another FileSystem begins anew.
    made(&world, &export, &uid(8), "teams/a").await;
    assert_eq!(names(&export.join("teams/a")), ["file"]);
}

pub async fn a_folder_that_is_not_known_to_be_ours_stays(world: World) {
    let export = world.export("e");
    let share = Share::of(&world, &export);
    // No records at all.
    fs::create_dir(export.join("by-hand")).unwrap();
    fs::write(export.join("by-hand/file"), "x").unwrap();
    assert!(reason(share.archive(UID, "by-hand").await).contains("no records"));
    assert_eq!(share.archive(UID, "missing").await, Taken::Absent);
    // It was there before its FileSystem.
    made(&world, &export, UID, "by-hand").await;
    made(&world, &export, OTHER, "made").await;
    assert!(reason(share.archive(UID, "by-hand").await).contains("no record on the share"));
    // It was made for another, or at another place.
    assert!(reason(share.archive(UID, "made").await).contains("no record on the share"));
    assert!(reason(share.archive(OTHER, "by-hand").await).contains("no record on the share"));
    // It was never finished, or its record is torn.
    for (number, text) in [(1, r#"{"folder":"unfinished","created":false}"#), (2, "{\"fol")] {
        fs::create_dir_all(export.join("unfinished")).unwrap();
        fs::write(export.join(format!(".workspacefs/owners/{}.json", uid(number))), text).unwrap();
        assert!(reason(share.archive(&uid(number), "unfinished").await).contains("no record on the share"));
    }
    // The export as a whole, and what climbs out of it.
    for path in ["", "/", "..", "a/..", "made/", "./made", ".workspacefs/owners"] {
        assert!(reason(share.archive(OTHER, path).await).contains("whole export"), "{path:?}");
    }
    // A link has taken its place, or lies on the way.
    made(&world, &export, &uid(3), "deep/er").await;
    fs::rename(export.join("deep"), export.join("moved")).unwrap();
    std::os::unix::fs::symlink("moved", export.join("deep")).unwrap();
    assert!(reason(share.archive(&uid(3), "deep/er").await).contains("symbolic link"));
    fs::rename(export.join("made"), export.join("renamed")).unwrap();
    std::os::unix::fs::symlink("by-hand", export.join("made")).unwrap();
    assert!(reason(share.archive(OTHER, "made").await).contains("no directory"));
    assert_eq!(fs::read_to_string(export.join("by-hand/file")).unwrap(), "by-hand");
    assert!(export.join("moved/er/file").exists() && export.join("renamed/file").exists());
    assert_eq!(names(&export.join(".workspacefs/archive")), Vec::<String>::new());
    assert_eq!(share.on_their_way(), Vec::<String>::new());
}

pub async fn a_folder_that_others_have_a_part_in_stays(world: World) {
    let export = world.export("e");
    let share = Share::of(&world, &export);
    made(&world, &export, UID, "a").await;
    made(&world, &export, OTHER, "a/b").await;
    // Of the objects nothing is known here: one may be long gone, and its files retained.
    for (uid, path, other) in [(UID, "a", OTHER), (OTHER, "a/b", UID)] {
        let reason = reason(share.archive(uid, path).await);
        assert!(reason.contains(other), "{reason}");
    }
    assert!(export.join("a/b/file").exists());
    // Once the inner one is given up by hand, the outer one may go.
    fs::remove_file(export.join(format!(".workspacefs/owners/{OTHER}.json"))).unwrap();
    assert!(matches!(share.archive(UID, "a").await, Taken::Moved(_)));
}

pub async fn what_stands_at_the_old_place_of_a_folder_that_left_is_not_taken_for_it(world: World) {
    let export = world.export("e");
    let share = Share::of(&world, &export);
    made(&world, &export, UID, "a").await;
    // As a helper leaves it that was killed right after the rename, and then somebody used the free name.
    let ours = export.join(".workspacefs");
    let record = fs::read(ours.join(format!("owners/{UID}.json"))).unwrap();
    let archived = share.archive(UID, "a").await;
    fs::write(ours.join(format!("owners/{UID}.json")), record).unwrap();
    let way = r#"{"place":"archive","name":"team-a.data.20260801T120000Z"}"#;
    fs::write(ours.join(format!("leaving/{UID}.json")), way).unwrap();
    fs::create_dir(export.join("a")).unwrap();
    fs::write(export.join("a/file"), "a stranger's").unwrap();
    assert_eq!(share.archive(UID, "a").await, archived);
    assert!(reason(share.archive(UID, "a").await).contains("no record on the share"));
    assert_eq!(fs::read_to_string(export.join("a/file")).unwrap(), "a stranger's");
}

/// A helper of this share that is alive, to be killed.
async fn helper(share: &Share) -> Pid {
    share.shares.space(&share.spec, soon()).await.unwrap();
    let id = share.shares.helper_id(&share.spec.key()).await.unwrap();
    Pid::from_raw(id.try_into().unwrap())
}

pub async fn a_helper_killed_at_any_step_of_a_leave_loses_nothing_and_the_next_completes_it(world: World) {
    let export = world.export("e");
    let share = Share::of(&world, &export);
    let mut stop = 0;
    loop {
        let (uid, folder) = (uid(stop), format!("folder-{stop}"));
        made(&world, &export, &uid, &folder).await;
        let killer = Killer::of(helper(&share).await, usize::try_from(stop).unwrap());
        let name = format!("team-a.data-{stop}");
        let taken = share.take(&uid, &folder, Leaving::Archive(name.clone())).await.unwrap();
        let killed = killer.has_killed();
        // The second helper does what is left to do. Of a leave that was complete but for its answer it only knows that
        // there is no such folder.
        let moved = Taken::Moved(format!(".workspacefs/archive/{name}"));
        assert!([moved, Taken::Absent].contains(&taken), "killed at stop {stop}: {taken:?}");
        let file = export.join(format!(".workspacefs/archive/{name}/file"));
        assert_eq!(fs::read_to_string(file).unwrap(), folder, "killed at stop {stop}");
        assert!(!export.join(&folder).exists(), "killed at stop {stop}");
        assert!(!share.record(&uid), "killed at stop {stop}");
        assert_eq!(share.on_their_way(), Vec::<String>::new(), "killed at stop {stop}");
        stop += 1;
        if !killed {
            break;
        }
    }
    assert!(stop > 20, "only {stop} schedules: were the system calls seen?");
}

pub async fn a_helper_killed_at_any_step_of_a_volumes_life_leaves_nothing_half_made(world: World) {
    let export = world.export("e");
    let share = Share::of(&world, &export);
    let owner = PosixOwner { uid: 1000, gid: 100, mode: 0o2770 };
    for deleting in [false, true] {
        let mut stop = 0;
        loop {
            let volume = VolumeName { file_system: UID.into(), name: format!("pvc-{deleting}-{stop}") };
            let create = async || {
                let (name, record) = (volume.clone(), VolumeRecord::default());
                share.shares.create_volume(&share.spec, name, record, owner, soon()).await.unwrap()
            };
            if deleting {
                create().await;
            }
            let killer = Killer::of(helper(&share).await, stop);
            let remove = async || {
                let to = Leaving::Trash(volume.name.clone());
                share.shares.remove_volume(&share.spec, volume.clone(), to, soon()).await.unwrap()
            };
            if deleting {
                remove().await;
            } else {
                create().await;
            }
            let killed = killer.has_killed();
            let folder = export.join(format!(".workspacefs/volumes/{UID}/{}", volume.name));
            let record = export.join(format!(".workspacefs/owners/{UID}.{}.json", volume.name));
            if !deleting {
                let metadata = fs::metadata(&folder).unwrap();
                use std::os::unix::fs::MetadataExt;
                let looks = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
                assert_eq!(looks, (1000, 100, 0o2770), "killed at stop {stop}");
                let known = share.shares.volume_record(&share.spec, volume.clone(), soon()).await;
                assert_eq!(known, Ok(Some(VolumeRecord::default())), "killed at stop {stop}");
                remove().await;
            }
            assert!(!folder.exists() && !record.exists(), "{deleting}: killed at stop {stop}");
            let trash = names(&export.join(".workspacefs/trash"));
            let kept = trash.iter().filter(|name| name.starts_with(&format!("{}.", volume.name)));
            assert_eq!(kept.count(), 1, "{deleting}: killed at stop {stop}");
            stop += 1;
            if !killed {
                break;
            }
        }
        assert!(stop > 15, "only {stop} schedules: were the system calls seen?");
    }
}
