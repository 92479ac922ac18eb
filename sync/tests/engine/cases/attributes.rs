//! Modes, owners, times, extended attributes, access control lists.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, lsetxattr};
use workspacefs_sync::{Keep, Options};

use crate::judge;
use crate::model::build::{acl, noise, set_mtime};
use crate::tree::{Terms, assert_same, look};
use crate::world::{World, mirror, two_in, workers};

const EVERYTHING: Terms = Terms { owner: true, xattrs: true, acls: true };

fn keeping(owner: bool, xattrs: bool, acls: bool) -> Options {
    Options { keep: Keep { owner, xattrs, acls }, ..workers(2) }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn two(world: &World) -> [PathBuf; 2] {
    two_in(&world.memory("inside", "mode=0755"))
}

pub fn set_id_programs_keep_their_bits_with_their_owner_only(world: &World) {
    let [source, destination] = two(world);
    fs::create_dir(source.join("folder")).unwrap();
    for name in ["program", "folder/program"] {
        fs::write(source.join(name), "program").unwrap();
    }
    for name in ["program", "folder", "folder/program"] {
        chown(source.join(name), Some(1000), Some(1000)).unwrap();
        set_mode(&source.join(name), 0o6755);
    }
    for (owner, mode) in [(false, 0o755), (true, 0o6755)] {
        mirror(&source, &destination, &keeping(owner, false, false));
        for name in ["program", "folder", "folder/program"] {
            let metadata = fs::metadata(destination.join(name)).unwrap();
            let uid = if owner { 1000 } else { 0 };
            assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (uid, mode), "{name}");
        }
    }
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
}

pub fn capabilities_and_attributes_are_kept_when_asked(world: &World) {
    let [source, destination] = two(world);
    // VFS_CAP_REVISION_2, effective; CAP_NET_BIND_SERVICE.
    let capability = [[1, 0, 0, 2], [0, 4, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
    fs::create_dir(source.join("folder")).unwrap();
    std::os::unix::fs::symlink("anywhere", source.join("link")).unwrap();
    for name in ["program", "large", "folder"] {
        if name != "folder" {
            fs::write(source.join(name), noise(1, if name == "large" { 20 << 20 } else { 10 })).unwrap();
            set_xattr(&source.join(name), "security.capability", &capability);
        }
        set_xattr(&source.join(name), "user.text", b"text");
        set_xattr(&source.join(name), "user.empty", b"");
        set_xattr(&source.join(name), "user.large", &noise(3, 3_000));
        set_xattr(&source.join(name), "trusted.bytes", &[0, 255, 0]);
    }
    set_xattr(&source.join("link"), "trusted.of-the-link", b"itself");
    mirror(&source, &destination, &keeping(true, false, false));
    assert!(look(&destination).values().all(|entry| entry.xattrs.is_empty()), "not asked for");
    // The content is there; attributes come all the same, and what the source has not goes.
    set_xattr(&destination.join("program"), "user.stray", b"x");
    let run = mirror(&source, &destination, &keeping(true, true, false));
    assert_same(&look(&destination), &look(&source), EVERYTHING);
    judge::assert_satisfied(&source, &destination, Terms { acls: false, ..EVERYTHING });
    assert_eq!(run.last.bytes_read, 0, "content was read for attributes: {:?}", run.report);
    fs::write(source.join("program"), "a newer one").unwrap();
    set_xattr(&source.join("program"), "security.capability", &capability);
    mirror(&source, &destination, &keeping(true, true, false));
    assert_same(&look(&destination), &look(&source), EVERYTHING);
}

pub fn access_control_lists_are_kept_when_asked_and_inherited_by_nobody(world: &World) {
    let [source, destination] = two(world);
    fs::create_dir_all(source.join("folder/inner")).unwrap();
    for name in ["folder/plain", "folder/with-list"] {
        fs::write(source.join(name), name).unwrap();
        set_mode(&source.join(name), 0o640);
    }
    let list = acl(0o640, 6, 7);
    set_xattr(&source.join("folder/with-list"), "system.posix_acl_access", &list);
    // Set last, so that nothing in the source has it from its directory.
    set_xattr(&source.join("folder"), "system.posix_acl_default", &acl(0o750, 7, 7));
    // A destination that hands down rights of its own: nobody gets more than in the source.
    set_xattr(&destination, "system.posix_acl_default", &acl(0o777, 7, 7));
    mirror(&source, &destination, &keeping(true, false, true));
    assert_same(&look(&destination), &look(&source), EVERYTHING);
    judge::assert_satisfied(&source, &destination, Terms { xattrs: false, ..EVERYTHING });
    let second = mirror(&source, &destination, &keeping(true, false, true)).report;
    assert_eq!((second.files.done.files, second.directories.done.files), (0, 0), "{second:?}");
    // Without lists too, the mode is the source's and nothing more.
    let plain = destination.with_file_name("plain-destination");
    fs::create_dir(&plain).unwrap();
    set_xattr(&plain, "system.posix_acl_default", &acl(0o777, 7, 7));
    mirror(&source, &plain, &keeping(true, false, false));
    for name in ["folder", "folder/inner", "folder/plain"] {
        let mode = |root: &Path| format!("{:o}", fs::metadata(root.join(name)).unwrap().mode());
        assert_eq!(mode(&plain), mode(&source), "{name}");
    }
}

pub fn times_before_the_epoch_are_kept(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    fs::create_dir(source.join("folder")).unwrap();
    std::os::unix::fs::symlink("x", source.join("link")).unwrap();
    let times = [
        (0, 0),
        (0, 1),
        (-1, 0),
        (-1, 999_999_999),
        (-1_000_000_000, 5),
        (1, 999_999_999),
        (4_000_000_000, 7),
    ];
    for (n, time) in times.iter().enumerate() {
        fs::write(source.join(format!("{n}")), "x").unwrap();
        set_mtime(&source.join(format!("{n}")), *time);
    }
    set_mtime(&source.join("link"), times[3]);
    set_mtime(&source.join("folder"), times[4]);
    set_mtime(&source, times[1]);
    mirror(&source, &destination, &workers(2));
    assert_same(&look(&destination), &look(&source), Terms::PLAIN);
    let second = mirror(&source, &destination, &workers(2));
    assert_eq!((second.report.files.done.files, second.last.bytes_read), (0, 0), "{:?}", second.report);
}

pub fn attributes_alone_are_set_without_reading_content(world: &World) {
    let [source, destination] = two(world);
    fs::create_dir(source.join("folder")).unwrap();
    fs::write(source.join("folder/file"), noise(1, 100_000)).unwrap();
    mirror(&source, &destination, &workers(2));
    for name in ["folder", "folder/file"] {
        set_mode(&source.join(name), 0o711);
        chown(source.join(name), Some(1000), Some(1000)).unwrap();
    }
    let run = mirror(&source, &destination, &workers(2));
    assert_eq!(run.last.bytes_read, 0, "{:?}", run.report);
    assert_same(&look(&destination), &look(&source), Terms::PLAIN);
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
}
