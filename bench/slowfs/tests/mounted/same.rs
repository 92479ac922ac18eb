//! Whatever is done through the mount is done below.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, RenameFlags, SeekFrom as Place, Timespec, Timestamps,
    Uid,
};
use rustix::io::Errno;
use workspacefs_slowfs::Settings;

use crate::alone::{alone, mounted, quick};
use crate::seen::{assert_same, odd_name, seen};

/// One file of each kind, with modes, owners, times and sizes out of the ordinary.
fn make_everything(folder: &Path) {
    let path = |name: &str| folder.join(name);
    fs::create_dir(path("dir")).unwrap();
    fs::create_dir(path("dir/in")).unwrap();
    fs::write(path("dir/in").join(odd_name()), "odd").unwrap();
    fs::write(path(&"n".repeat(255)), "long name").unwrap();
    fs::write(path("empty"), "").unwrap();
    let large: Vec<u8> = (0..3_000_001u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(path("large"), &large).unwrap();
    fs::hard_link(path("large"), path("dir/other name")).unwrap();
    symlink("../somewhere/else", path("link")).unwrap();
    symlink("x".repeat(4000), path("dir/long link")).unwrap();
    fs::hard_link(path("link"), path("dir/link to link")).unwrap();

    let sparse = File::create(path("sparse")).unwrap();
    sparse.write_all_at(b"end", 1 << 20).unwrap();
    sparse.set_len(2 << 20).unwrap();
    fs::write(path("shorter"), "123456789").unwrap();
    OpenOptions::new().write(true).open(path("shorter")).unwrap().set_len(3).unwrap();
    rustix::fs::openat(CWD, path("by fd"), rustix::fs::OFlags::CREATE | rustix::fs::OFlags::RDWR, Mode::RUSR)
        .unwrap();

    let fifo = Mode::from_raw_mode(0o640);
    rustix::fs::mknodat(CWD, path("fifo"), FileType::Fifo, fifo, 0).unwrap();
    let device = rustix::fs::makedev(259, 0x54321);
    rustix::fs::mknodat(CWD, path("device"), FileType::BlockDevice, fifo, device).unwrap();

    let owner = (Some(Uid::from_raw(1234)), Some(Gid::from_raw(70_000)));
    rustix::fs::chownat(CWD, path("empty"), owner.0, owner.1, AtFlags::empty()).unwrap();
    rustix::fs::chownat(CWD, path("link"), owner.0, None, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    fs::set_permissions(path("empty"), Permissions::from_mode(0o6751)).unwrap();
    fs::set_permissions(path("dir/in"), Permissions::from_mode(0o1711)).unwrap();
    for (name, tv_sec, tv_nsec) in [
        ("large", 1_234_567_890, 123_456_789),
        ("fifo", -2, 800_000_000),
        ("link", 4_000_000_000, 1),
        ("dir", 7, 0),
    ] {
        let time = Timespec { tv_sec, tv_nsec };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, path(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

#[test]
fn what_is_made_above_is_below_and_looks_the_same() {
    alone(module_path!(), "what_is_made_above_is_below_and_looks_the_same", |folder| {
        for plus in [false, true] {
            let folder = folder.join(plus.to_string());
            let mounted = mounted(&folder, quick(plus));
            make_everything(&mounted.above);
            let below = seen(&mounted.below);
            assert_eq!(below.len(), 16, "{plus}");
            assert_same(&seen(&mounted.above), &below);
            drop(mounted.slow);

            // And when nothing of it was known before.
            let mounted = self::mounted(&folder, quick(plus));
            assert_same(&seen(&mounted.above), &below);

            // What the same calls make without it, but for numbers and times.
            let direct = folder.join("direct");
            fs::create_dir(&direct).unwrap();
            make_everything(&direct);
            let direct = seen(&direct);
            assert!(direct.keys().eq(below.keys()));
            for (path, seen) in &direct {
                assert!(seen.is_like(&below[path]), "{}: {seen:?}\n{:?}", path.display(), below[path]);
            }
        }
    });
}

#[test]
fn names_are_renamed_exchanged_and_removed_as_below() {
    alone(module_path!(), "names_are_renamed_exchanged_and_removed_as_below", |folder| {
        let mounted = mounted(folder, quick(false));
        let path = |name: &str| mounted.above.join(name);
        let rename =
            |from: &str, to: &str, flags| rustix::fs::renameat_with(CWD, path(from), CWD, path(to), flags);
        fs::create_dir_all(path("a/b/c")).unwrap();
        fs::write(path("a/b/c/file"), "file").unwrap();
        fs::write(path("other"), "other").unwrap();

        assert_eq!(rename("other", "a/b/c/file", RenameFlags::NOREPLACE), Err(Errno::EXIST));
        rename("other", "a/b/c/file", RenameFlags::EXCHANGE).unwrap();
        assert_eq!(fs::read_to_string(mounted.below.join("other")).unwrap(), "file");
        assert_eq!(fs::read_to_string(path("a/b/c/file")).unwrap(), "other");

        // A file is found by its inode, wherever its directories went.
        let mut file = OpenOptions::new().read(true).append(true).open(path("a/b/c/file")).unwrap();
        fs::rename(path("a/b"), path("moved")).unwrap();
        file.write_all(b" and more").unwrap();
        fs::write(path("moved/c/new"), "new").unwrap();
        assert_eq!(fs::read_to_string(mounted.below.join("moved/c/file")).unwrap(), "other and more");
        assert_eq!(fs::read_to_string(mounted.below.join("moved/c/new")).unwrap(), "new");

        assert_eq!(fs::remove_dir(path("moved/c")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        fs::remove_file(path("moved/c/file")).unwrap();
        assert!(!mounted.below.join("moved/c/file").exists());
        assert_eq!((file.metadata().unwrap().nlink(), file.metadata().unwrap().len()), (0, 14));
        file.set_len(5).unwrap();
        file.set_permissions(Permissions::from_mode(0o600)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5)).unwrap();
        assert_eq!(file.metadata().unwrap().mtime(), 5);
        let mut content = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "other");
        fs::remove_dir_all(path("moved")).unwrap();
        assert!(!mounted.below.join("moved").exists());
    });
}

#[test]
fn holes_room_and_ranges_are_those_below() {
    alone(module_path!(), "holes_room_and_ranges_are_those_below", |folder| {
        let mounted = mounted(folder, quick(false));
        let open = |name: &str| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(mounted.above.join(name))
                .unwrap()
        };
        let (file, copy) = (open("file"), open("copy"));
        file.write_all_at(&[7; 300_000], 0).unwrap();
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, punch, 65_536, 131_072).unwrap();
        assert_eq!(rustix::fs::seek(&file, Place::Hole(0)), Ok(65_536));
        assert_eq!(rustix::fs::seek(&file, Place::Data(65_536)), Ok(196_608));
        assert_eq!(rustix::fs::seek(&file, Place::Data(400_000)), Err(Errno::NXIO));
        rustix::fs::fallocate(&copy, FallocateFlags::KEEP_SIZE, 0, 1 << 20).unwrap();
        assert_eq!((copy.metadata().unwrap().len(), copy.metadata().unwrap().blocks()), (0, 2048));

        let (mut from, mut to) = (10, 0);
        while rustix::fs::copy_file_range(&file, Some(&mut from), &copy, Some(&mut to), 1 << 20).unwrap() > 0
        {
        }
        file.sync_all().unwrap();
        copy.sync_data().unwrap();
        File::open(&mounted.above).unwrap().sync_all().unwrap();
        let below = |name: &str| fs::read(mounted.below.join(name)).unwrap();
        assert!(below("copy") == below("file")[10..] && below("copy")[..100] == [7; 100]);

        let room = |path: &Path| {
            let room = rustix::fs::statvfs(path).unwrap();
            (room.f_blocks, room.f_files, room.f_namemax, room.f_bsize, room.f_frsize)
        };
        assert_eq!(room(&mounted.above), room(&mounted.below));
        let attribute = rustix::fs::fgetxattr(&file, "user.x", &mut [0; 8]);
        assert_eq!(attribute, Err(Errno::OPNOTSUPP));
    });
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason_from_below() {
    alone(module_path!(), "what_cannot_be_done_is_refused_with_the_reason_from_below", |folder| {
        let mounted = mounted(folder, quick(false));
        let path = |name: &str| mounted.above.join(name);
        fs::write(path("file"), "old").unwrap();
        let new = || OpenOptions::new().write(true).create_new(true).open(path("file")).unwrap_err().kind();
        assert_eq!(new(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(path("missing")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::read(path("file/x")).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(fs::create_dir(path("file")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::write(path(&"n".repeat(256)), "").unwrap_err().kind(), ErrorKind::InvalidFilename);
        // Of a file system mounted below there are no numbers to tell.
        fs::create_dir(mounted.below.join("proc")).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("proc", mounted.below.join("proc"), "proc", flags, None).unwrap();
        assert_eq!(fs::metadata(path("proc")).unwrap_err().kind(), ErrorKind::CrossesDevices);
        rustix::mount::unmount(mounted.below.join("proc"), rustix::mount::UnmountFlags::empty()).unwrap();
        // What somebody else makes below is seen, a name that is missing is not believed to stay so.
        fs::write(mounted.below.join("missing"), "not any more").unwrap();
        assert_eq!(fs::read_to_string(path("missing")).unwrap(), "not any more");
    });
}

#[test]
fn nothing_is_changed_through_a_mount_that_is_read_only() {
    alone(module_path!(), "nothing_is_changed_through_a_mount_that_is_read_only", |folder| {
        fs::create_dir(folder.join("below")).unwrap();
        fs::write(folder.join("below/file"), "old").unwrap();
        let mounted = mounted(folder, Settings { read_only: true, ..quick(true) });
        assert_eq!(fs::read_to_string(mounted.above.join("file")).unwrap(), "old");
        for result in [
            fs::write(mounted.above.join("file"), "new"),
            fs::write(mounted.above.join("other"), "new"),
            fs::remove_file(mounted.above.join("file")),
            fs::create_dir(mounted.above.join("dir")),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
        }
    });
}

#[test]
fn sixteen_at_once_leave_what_each_of_them_made() {
    alone(module_path!(), "sixteen_at_once_leave_what_each_of_them_made", |folder| {
        let mounted = mounted(folder, quick(true));
        let shared = mounted.above.join("shared");
        fs::create_dir(&shared).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let shared = &shared;
                scope.spawn(move || {
                    for number in 0..100 {
                        let temporary = shared.join(format!(".{thread}-{number}"));
                        fs::write(&temporary, format!("{thread} {number}")).unwrap();
                        fs::rename(&temporary, shared.join(format!("{number}"))).unwrap();
                        fs::write(shared.join(format!("{thread}-{number}")), "own").unwrap();
                        if number % 2 == 1 {
                            fs::remove_file(shared.join(format!("{thread}-{number}"))).unwrap();
                        }
                        fs::read_dir(shared).unwrap().for_each(|entry| drop(entry.unwrap()));
                    }
                });
            }
        });
        let below = seen(&mounted.below);
        assert_eq!(below.len(), 2 + 100 + 16 * 50);
        assert_same(&seen(&mounted.above), &below);
    });
}
