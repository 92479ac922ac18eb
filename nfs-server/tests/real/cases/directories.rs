//! An administrator's directory as storage.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use workspacefs_nfs_server::storage::Source;
use workspacefs_sys::unmount;

use crate::world::{
    A, Image, MIB, MountPoint, claim, file_system, folder, names, open, refused, run, text, write_as,
};

fn xfs(options: &str) -> (MountPoint, Image) {
    let (mount, image) = (MountPoint::new(), Image::blank(640));
    run("mkfs.xfs", &["-q", text(image.device())]);
    mount.mount("xfs", options, image.device());
    (mount, image)
}

fn take(
    path: &Path,
) -> Result<workspacefs_nfs_server::storage::Storage, workspacefs_nfs_server::storage::StorageError> {
    // The mount point is for devices only.
    Source::Directory(path.into()).take(Path::new("/nowhere"))
}

pub fn a_directory_needs_xfs_with_enforced_quota() {
    refused(take(folder().path()), &["not on XFS", "prjquota"]);
    refused(take(Path::new("/no/such")), &["/no/such", "cannot be opened"]);
    let (mount, image) = xfs("noquota");
    refused(take(mount.path()), &["enforces no project quota", "prjquota"]);
    unmount::plain(mount.path()).unwrap();
    // Counted, but not enforced.
    mount.mount("xfs", "pqnoenforce", image.device());
    refused(take(mount.path()), &["enforces no project quota"]);
    assert!(names(mount.path()).is_empty());
    unmount::plain(mount.path()).unwrap();
    mount.mount("xfs", "prjquota", image.device());
    let base = mount.path().join("srv/nfs");
    fs::create_dir_all(&base).unwrap();
    let storage = take(&base).unwrap();
    assert!(storage.growth().is_none(), "the disk is the administrator's");
    let folders = open(storage, Arc::new(AtomicI64::new(0)));
    folders.ensure_file_system(&file_system(200)).unwrap();
    folders.ensure_claim(&claim("a", 100)).unwrap();
    let claim = base.join(format!("export/claims/{A}/a"));
    assert!(write_as(0, &claim.join("big"), 150).unwrap_err().contains("No space left"));
    // What others have on the same disk counts as gone.
    let before = folders.overview().unwrap().bytes_unpromised;
    write_as(0, &mount.path().join("others"), 100).unwrap();
    let after = folders.overview().unwrap().bytes_unpromised;
    assert!(before - after > 99 * MIB, "{before} {after}");
}

pub fn a_directory_with_a_project_or_with_files_is_refused() {
    let (mount, _image) = xfs("prjquota");
    let base = mount.path().join("base");
    fs::create_dir(&base).unwrap();
    fs::write(base.join("notes.txt"), "x").unwrap();
    refused(take(&base), &["notes.txt", "nothing was written"]);
    fs::remove_file(base.join("notes.txt")).unwrap();
    run("xfs_io", &["-r", "-c", "chproj 42", "-c", "chattr +P", text(&base)]);
    refused(take(&base), &["project id 42", "do not nest"]);
    run("xfs_io", &["-r", "-c", "chproj 0", "-c", "chattr -P", text(&base)]);
    take(&base).unwrap();
}

pub fn the_node_of_the_directorys_device_is_made() {
    let (mount, image) = xfs("prjquota");
    let number = fs::metadata(image.device()).unwrap().rdev();
    fs::remove_file(image.device()).unwrap();
    take(mount.path()).unwrap();
    let node = fs::metadata(image.device()).unwrap();
    assert!(node.file_type().is_block_device() && node.rdev() == number);
    // Its name is taken by something else.
    fs::rename(image.device(), "/dev/wsfs-test-saved").unwrap();
    fs::write(image.device(), "in the way").unwrap();
    take(mount.path()).unwrap();
    assert_eq!(fs::metadata("/dev/workspacefs-disk").unwrap().rdev(), number);
    fs::remove_file("/dev/workspacefs-disk").unwrap();
    fs::rename("/dev/wsfs-test-saved", image.device()).unwrap();
}

pub fn two_agents_never_have_one_directory() {
    let (mount, _image) = xfs("prjquota");
    let first = take(mount.path()).unwrap();
    refused(take(mount.path()), &["another nfs-server uses it"]);
    drop(first);
    take(mount.path()).unwrap();
}
