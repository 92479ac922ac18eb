//! The share's trash: what has lain there long enough goes, a little at a time, and nothing else ever does.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use csi_driver::share::{
    Keep, Leaving, PosixOwner, ShareError, ShareSpec, Shares, TrashSlice, TrashSwept, VolumeName,
    VolumeRecord,
};
use nix::mount::{MsFlags, mount};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::kill::Killer;
use crate::world::{Claim, UID, World, names};

/// A time long ago, as names have it.
const OLD: u64 = 1_600_000_000;

struct Trash {
    shares: Shares,
    spec: ShareSpec,
    export: PathBuf,
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn name(plain: &str, seconds: u64) -> String {
    format!("{plain}.{seconds}.00c0ffee")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn slice(keep_seconds: u64) -> TrashSlice {
    TrashSlice { keep_seconds, entries_max: 10_000, work_ms: 10_000, except: BTreeSet::new() }
}

impl Trash {
    fn of(world: &World) -> Self {
        let export = world.export("e");
        let ours = export.join(".workspacefs");
        fs::create_dir_all(ours.join("trash")).unwrap();
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o700)).unwrap();
        let spec = ShareSpec::new(&Claim::of(&export, "").attributes(), &[]);
        Self { shares: world.shares_kept(Keep::Detached), spec, export }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.export.join(".workspacefs/trash").join(name)
    }

    /// A folder in the trash with a file in it.
    fn put(&self, name: &str) {
        fs::create_dir_all(self.path(name).join("deep")).unwrap();
        fs::write(self.path(name).join("deep/file"), "x").unwrap();
    }

    fn names(&self) -> Vec<String> {
        names(&self.path(""))
    }

    async fn try_sweep(&self, slice: TrashSlice) -> Result<TrashSwept, ShareError> {
        self.shares.empty_trash(&self.spec, slice, soon()).await
    }

    async fn sweep(&self, slice: TrashSlice) -> TrashSwept {
        self.try_sweep(slice).await.unwrap()
    }
}

pub async fn what_was_deleted_goes_after_its_time_and_not_before(world: World) {
    let trash = Trash::of(&world);
    let volume = VolumeName { file_system: UID.into(), name: "pvc-1".into() };
    let owner = PosixOwner { uid: 1000, gid: 100, mode: 0o2770 };
    let (shares, spec) = (&trash.shares, &trash.spec);
    shares.create_volume(spec, volume.clone(), VolumeRecord::default(), owner, soon()).await.unwrap();
    let to = Leaving::Trash("pvc-1".into());
    shares.remove_volume(spec, volume, to, soon()).await.unwrap();
    // Its name says that it came here long ago, and its ctime knows better.
    trash.put(&name("old-name", OLD));
    assert_eq!(trash.sweep(slice(3600)).await, TrashSwept::default());
    assert_eq!(trash.names().len(), 2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    trash.put(&name("young-name", now()));
    // One that was moved there by a clock that is ahead: its ctime counts alone.
    trash.put(&name("from-the-future", now() + 1_000_000));
    let swept = trash.sweep(slice(4)).await;
    assert_eq!(swept.emptied.len(), 2, "{swept:?}");
    assert!(swept.stuck.is_empty() && !swept.more, "{swept:?}");
    assert_eq!(trash.names().len(), 2, "{:?}", trash.names());
    assert_eq!(trash.sweep(slice(0)).await.emptied.len(), 2);
    assert_eq!(trash.names(), Vec::<String>::new());
}

pub async fn nothing_but_our_own_entries_of_the_trash_is_ever_removed(world: World) {
    let trash = Trash::of(&world);
    let ours = trash.export.join(".workspacefs");
    let outside = world.path("outside");
    let precious = [
        outside.join("file"),
        trash.export.join("team/file"),
        ours.join("archive").join(name("team.data", OLD)).join("file"),
        ours.join("owners").join(name("x", OLD)),
        ours.join(format!("volumes/{UID}/{}", name("x", OLD))),
        trash.path("by-hand/file"),
        trash.path(&format!(".hidden.{OLD}.00c0ffee/file")),
        trash.path(&format!("no-digits.{OLD}/file")),
        trash.path(&format!("with space.{OLD}.00c0ffee/file")),
        trash.path(&format!("new\nline.{OLD}.00c0ffee/file")),
        trash.path(&format!("{}.bak/file", name("copy", OLD))),
    ];
    for file in &precious {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "precious").unwrap();
    }
    // What a tenant left in a folder that was deleted: links out of it, absolute and not, to files and folders.
    let doomed = trash.path(&name("doomed", OLD));
    for folder in ["", "a", "a/b/c"] {
        let folder = doomed.join(folder);
        fs::create_dir_all(&folder).unwrap();
        for (link, target) in [
            ("out", outside.clone()),
            ("up", "..".into()),
            ("far-up", "../../../../..".into()),
            ("file", outside.join("file")),
            ("team", trash.export.join("team")),
            ("itself", ".".into()),
        ] {
            symlink(target, folder.join(link)).unwrap();
        }
        fs::write(folder.join("\u{7f}\n -rf"), "x").unwrap();
        fs::create_dir(folder.join("...")).unwrap();
    }
    fs::hard_link(trash.export.join("team/file"), doomed.join("same")).unwrap();
    // A link, and a file, where a folder of ours should be.
    symlink(&outside, trash.path(&name("link", OLD))).unwrap();
    symlink("../archive", trash.path(&format!("{}.emptying", name("marked", OLD)))).unwrap();
    fs::write(trash.path(&name("file", OLD)), "x").unwrap();
    // Deeper than any path can say.
    let mut here = fs::File::open({
        fs::create_dir(trash.path(&name("deep", OLD))).unwrap();
        trash.path(&name("deep", OLD))
    })
    .unwrap();
    for _ in 0..2500 {
        use rustix::fs::{Mode, OFlags, mkdirat, openat};
        mkdirat(&here, "d", Mode::RWXU).unwrap();
        here = openat(&here, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap().into();
    }
    drop(here);

    let swept = trash.sweep(slice(0)).await;
    assert_eq!(swept.emptied.len(), 5, "{swept:?}");
    assert!(swept.stuck.is_empty() && !swept.more, "{swept:?}");
    for file in &precious {
        assert_eq!(fs::read_to_string(file).unwrap(), "precious", "{file:?}");
    }
    assert_eq!(trash.names().len(), 6, "{:?}", trash.names());
}

pub async fn a_trash_that_is_not_ours_is_not_looked_at(world: World) {
    let trash = Trash::of(&world);
    trash.put(&name("a", OLD));
    let ours = trash.export.join(".workspacefs");
    // Anybody could have put it there.
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(trash.sweep(slice(0)).await, TrashSwept::default());
    // A link in the trash's place, to where there is much to remove.
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(ours.join("trash"), trash.export.join("elsewhere")).unwrap();
    symlink("../elsewhere", ours.join("trash")).unwrap();
    let refused = trash.try_sweep(slice(0)).await;
    assert!(matches!(refused, Err(ShareError::LeadsOut { .. })), "{refused:?}");
    assert!(trash.export.join("elsewhere").join(name("a", OLD)).join("deep/file").exists());
    // No trash at all, and nothing of ours at all.
    fs::remove_file(ours.join("trash")).unwrap();
    assert_eq!(trash.sweep(slice(0)).await, TrashSwept::default());
    fs::remove_dir_all(&ours).unwrap();
    assert_eq!(trash.sweep(slice(0)).await, TrashSwept::default());
    assert!(!ours.exists(), "and none is made");
}

fn count(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| 1 + if path.is_dir() { count(&path) } else { 0 })
        .sum()
}

pub async fn a_slice_has_its_count_and_its_time_and_the_next_goes_on(world: World) {
    let trash = Trash::of(&world);
    for folder in 0..3 {
        let folder = trash.path(&name(&format!("f{folder}"), OLD));
        fs::create_dir(&folder).unwrap();
        for file in 0..200 {
            fs::write(folder.join(file.to_string()), "x").unwrap();
        }
    }
    let mut left = count(&trash.path(""));
    let mut slices = 0;
    loop {
        // One slice by count, one without any time.
        let limits = if slices % 2 == 0 { (50, 10_000) } else { (10_000, 0) };
        let swept = trash.sweep(TrashSlice { entries_max: limits.0, work_ms: limits.1, ..slice(0) }).await;
        let now = count(&trash.path(""));
        assert_eq!(left - now, swept.entries, "it says what it did");
        assert!((1..=50).contains(&swept.entries), "{limits:?}: {swept:?}");
        if limits.1 == 0 {
            assert_eq!(swept.entries, 1, "without time one goes, to bring it forward: {swept:?}");
        }
        assert!(swept.stuck.is_empty(), "{swept:?}");
        left = now;
        slices += 1;
        if !swept.more {
            break;
        }
        let marked = trash.names().iter().filter(|name| name.ends_with(".emptying")).count();
        assert!(marked <= 1, "one is finished before the next is begun: {:?}", trash.names());
        assert!(slices < 200, "it does not end");
    }
    assert_eq!(left, 0);
    assert!(slices >= 12, "{slices}");
}

pub async fn a_folder_that_cannot_be_removed_is_named_and_the_others_go(world: World) {
    let trash = Trash::of(&world);
    let stuck = name("stuck", OLD);
    trash.put(&stuck);
    // As a file system of its own on the server.
    let none = None::<&str>;
    mount(Some("inner"), &trash.path(&stuck).join("deep"), Some("tmpfs"), MsFlags::empty(), none).unwrap();
    fs::write(trash.path(&stuck).join("deep/file"), "precious").unwrap();
    for other in ["a", "z"] {
        trash.put(&name(other, OLD + 1));
    }
    let swept = trash.sweep(slice(0)).await;
    let stuck = format!("{stuck}.emptying");
    assert_eq!(swept.stuck.iter().map(|stuck| stuck.name.as_str()).collect::<Vec<_>>(), [&stuck]);
    assert!(!swept.stuck[0].reason.is_empty());
    assert_eq!(swept.emptied.len(), 2, "{swept:?}");
    assert_eq!(trash.names(), [stuck.as_str()]);
    let except = BTreeSet::from([stuck.clone()]);
    assert_eq!(trash.sweep(TrashSlice { except, ..slice(0) }).await, TrashSwept::default());
    assert_eq!(fs::read_to_string(trash.path(&stuck).join("deep/file")).unwrap(), "precious");
}

pub async fn a_helper_killed_at_any_step_of_emptying_is_followed_by_one_that_goes_on(world: World) {
    let trash = Trash::of(&world);
    let mut stop = 0;
    loop {
        for folder in ["one", "two"] {
            trash.put(&name(folder, OLD));
            symlink(world.path("outside"), trash.path(&name(folder, OLD)).join("out")).unwrap();
        }
        trash.put("by-hand");
        trash.shares.space(&trash.spec, soon()).await.unwrap();
        let id = trash.shares.helper_id(&trash.spec.key()).await.unwrap();
        let killer = Killer::of(Pid::from_raw(id.try_into().unwrap()), stop);
        // The table asks once more where the helper has died: a second one, which goes on.
        let swept = trash.sweep(slice(0)).await;
        let killed = killer.has_killed();
        assert!(swept.stuck.is_empty() && !swept.more, "killed at stop {stop}: {swept:?}");
        assert_eq!(trash.names(), ["by-hand"], "killed at stop {stop}");
        assert!(trash.path("by-hand/deep/file").exists() && world.path("outside").exists());
        stop += 1;
        if !killed {
            break;
        }
    }
    assert!(stop > 30, "only {stop} schedules: were the system calls seen?");
}
