//! Images, loop devices, mounts and what is on them, each gone when its value is.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::Hasher;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use workspacefs_nfs_server::storage::{Source, Storage, StorageError};
use workspacefs_storage::disk::Owner;
use workspacefs_storage::folders::Folders;
use workspacefs_storage::folders::model::{PROJECT_FIRST, PROJECT_LAST};
use workspacefs_storage::folders::types::{ClaimWish, FileSystemWish};
use workspacefs_storage::names::ClaimKey;
use workspacefs_sys::unmount;

pub const MIB: u64 = 1 << 20;
pub const KEEP: i64 = 3600;
pub const A: &str = "aaaaaaaa-d9cb-469f-a165-70867728950e";
pub const NAMESPACE: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
/// A user of pods.
pub const USER: u32 = 1000;

/// Runs a program that must succeed; what it printed.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = tried(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

pub fn tried(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder on a disk, not in memory.
pub fn folder() -> tempfile::TempDir {
    let parent = std::env::var_os("WSFS_TEST_DIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
    tempfile::tempdir_in(parent).unwrap()
}

/// A file as a block device.
pub struct Image {
    device: PathBuf,
    folder: tempfile::TempDir,
}

impl Image {
    pub fn blank(mib: u64) -> Self {
        let folder = folder();
        let file = folder.path().join("image");
        File::create(&file).unwrap().set_len(mib * MIB).unwrap();
        let device = run("losetup", &["--find", "--show", text(&file)]).into();
        Self { device, folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    pub fn device(&self) -> &Path {
        &self.device
    }

    pub fn source(&self) -> Source {
        Source::Device(self.device.clone())
    }

    pub fn grow(&self, mib: u64) {
        File::options().write(true).open(self.file()).unwrap().set_len(mib * MIB).unwrap();
        run("losetup", &["--set-capacity", text(&self.device)]);
    }

    /// Everything on it, as a number.
    pub fn content(&self) -> u64 {
        run("sync", &[]);
        let mut hasher = std::hash::DefaultHasher::new();
        let mut file = File::open(&self.device).unwrap();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).unwrap() {
                0 => return hasher.finish(),
                length => hasher.write(&buffer[..length]),
            }
        }
    }

    /// The same file under another device number.
    pub fn attach_again(&mut self) {
        run("losetup", &["--detach", text(&self.device)]);
        // Held by another file meanwhile, so that the number is another one.
        let placeholder = self.folder.path().join("placeholder");
        File::create(&placeholder).unwrap().set_len(MIB).unwrap();
        let held = run("losetup", &["--find", "--show", text(&placeholder)]);
        let new = run("losetup", &["--find", "--show", text(&self.file())]).into();
        let old = std::mem::replace(&mut self.device, new);
        run("losetup", &["--detach", &held]);
        assert_ne!(self.device, old);
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = tried("losetup", &["--detach", text(&self.device)]);
    }
}

/// A mount point, taken off at the end.
pub struct MountPoint(tempfile::TempDir);

impl MountPoint {
    pub fn new() -> Self {
        Self(folder())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn mount(&self, kind: &str, options: &str, device: &Path) {
        run("mount", &["-t", kind, "-o", options, text(device), text(self.path())]);
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        let _ = unmount::everything(self.path());
    }
}

/// A disk of ours. The parts go in this order.
pub struct Ours {
    pub folders: Arc<Folders>,
    pub now: Arc<AtomicI64>,
    pub mount: MountPoint,
    pub image: Image,
}

impl Ours {
    pub fn new(mib: u64) -> Self {
        Self::on(Image::blank(mib), MountPoint::new(), Arc::new(AtomicI64::new(1_000_000)))
    }

    fn on(image: Image, mount: MountPoint, now: Arc<AtomicI64>) -> Self {
        let storage = image.source().take(mount.path()).unwrap();
        let folders = open(storage, now.clone());
        Self { folders, now, mount, image }
    }

    /// Ends the process, so to say, and mounts again.
    pub fn restarted(self) -> Self {
        let Self { folders, now, mount, image } = self;
        drop(folders);
        unmount::plain(mount.path()).unwrap();
        Self::on(image, mount, now)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.mount.path().join(path)
    }

    pub fn own(&self) -> PathBuf {
        let folder = self.path(&format!("export/workspaces/{NAMESPACE}"));
        let mut names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        names.find(|path| path.to_string_lossy().contains("/default.")).unwrap()
    }

    pub fn claim(&self, name: &str) -> PathBuf {
        self.path(&format!("export/claims/{A}/{name}"))
    }

    pub fn wait(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    pub fn empty_trash(&self) {
        while let Some(doomed) = self.folders.doom(&BTreeSet::new()).unwrap() {
            while !self.folders.disk().remove_some(&doomed.place, 1000).unwrap().done {}
            self.folders.forget(&doomed).unwrap();
        }
    }
}

pub fn open(storage: Storage, now: Arc<AtomicI64>) -> Arc<Folders> {
    let clock = Arc::new(move || now.load(Ordering::Relaxed));
    Arc::new(Folders::open(Arc::new(storage.disk), clock, KEEP).unwrap())
}

/// What a refused disk says.
#[track_caller]
pub fn refused(result: Result<Storage, StorageError>, words: &[&str]) {
    let said = workspacefs_runtime::chain(&result.expect_err("it was not refused"));
    println!("    {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

pub fn file_system(mib: u64) -> FileSystemWish {
    FileSystemWish {
        uid: A.to_string().try_into().unwrap(),
        namespace_uid: NAMESPACE.to_string().try_into().unwrap(),
        namespace: "team-a".to_string().try_into().unwrap(),
        name: "default".to_string().try_into().unwrap(),
        capacity: mib * MIB,
        owner: Owner { uid: USER, gid: USER, mode: 0o2775 },
        adopt: None,
    }
}

pub fn claim(name: &str, mib: u64) -> ClaimWish {
    let owner = Owner { uid: 0, gid: 0, mode: 0o777 };
    ClaimWish { key: claim_key(name), required: mib * MIB, limit: 0, owner }
}

pub fn claim_key(name: &str) -> ClaimKey {
    ClaimKey::new(A.into(), name.into()).unwrap()
}

/// Writes so much to a file as a user; Err with what the program said if it was stopped.
pub fn write_as(user: u32, path: &Path, mib: u64) -> Result<(), String> {
    use std::os::unix::process::CommandExt;
    let output = Command::new("dd")
        .args(["if=/dev/zero", "bs=1M", "conv=fsync", "status=none"])
        .arg(format!("of={}", text(path)))
        .arg(format!("count={mib}"))
        .env("LC_ALL", "C")
        .uid(user)
        .gid(user)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Our projects that have a limit, on the file system at a path.
pub fn limited_projects(path: &Path) -> usize {
    let report = run("xfs_quota", &["-x", "-c", "report -p -n -N", text(path)]);
    let limited = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let project: Option<u32> = words.first().and_then(|name| name.strip_prefix('#')?.parse().ok());
        project.is_some_and(|project| (PROJECT_FIRST..=PROJECT_LAST).contains(&project))
            && words.get(3).is_some_and(|hard| *hard != "0")
    };
    report.lines().filter(limited).count()
}
