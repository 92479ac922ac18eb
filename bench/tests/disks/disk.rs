//! A disk is there, becomes cold, and vanishes however its process ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use workspacefs_bench::arena::{Disk, Format, NamespaceError, ensure_private};
use workspacefs_bench::tree::Tree;

use crate::alone::{alone, inside};

/// Where the process that is to be killed makes its disk.
const FOLDER: &str = "WSFS_TEST_FOLDER";

/// The loop devices behind this file.
fn devices(image: &Path) -> String {
    let output = Command::new("losetup").arg("--associated").arg(image).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Whether it comes to be within ten seconds: the kernel detaches when it finds time to.
fn comes(to_be: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        if to_be() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// As far as can be told here: not everybody may look at process 1.
fn assert_private() {
    let private = ensure_private();
    assert!(matches!(private, Ok(()) | Err(NamespaceError::Unknown { of: "1", .. })), "{private:?}");
}

/// Type and options of what is mounted there.
fn mounted(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(4) == path.to_str());
    line.map(str::to_owned).unwrap_or_default()
}

#[test]
fn a_disk_of_each_format_keeps_its_files_while_it_is_chilled_and_leaves_nothing() {
    let name = "a_disk_of_each_format_keeps_its_files_while_it_is_chilled_and_leaves_nothing";
    alone(module_path!(), name, |folder| {
        assert_private();
        for (format, kind) in [(Format::Source, "ext4"), (Format::Ext4, "ext4"), (Format::Xfs, "xfs")] {
            let image = folder.join("disk.img");
            let disk = Disk::make(folder, "disk", format, 1 << 30, 500).unwrap();
            assert!(mounted(disk.path()).contains(&format!("- {kind} ")), "{}", mounted(disk.path()));
            let tree = Tree { directories: 3, files: 500, bytes: 1..=9000, seed: 2 };
            tree.make(&disk.path().join("tree")).unwrap();
            assert!(disk.sync().unwrap() > Duration::ZERO);
            let content = || fs::read(disk.path().join("tree/part-00000/img_0000007.jpg")).unwrap();
            let (before, device) = (content(), fs::metadata(disk.path()).unwrap().dev());

            Disk::chill(&[&disk]).unwrap();
            assert_eq!(fs::metadata(disk.path()).unwrap().dev(), device);
            assert!(content() == before && devices(&image).lines().count() == 1);
            // Sparse: what is not used takes no room.
            assert!(fs::metadata(&image).unwrap().blocks() * 512 < 300 << 20, "{format:?}");

            drop(disk);
            assert!(
                !image.exists() && !folder.join("disk").exists() && mounted(&folder.join("disk")).is_empty()
            );
            assert!(comes(|| devices(&image).is_empty()), "{}", devices(&image));
        }
    });
}

#[test]
fn what_was_read_is_read_from_the_disk_again_once_it_is_chilled() {
    alone(module_path!(), "what_was_read_is_read_from_the_disk_again_once_it_is_chilled", |folder| {
        let disk = Disk::make(folder, "disk", Format::Source, 256 << 20, 10).unwrap();
        Tree::large(1, 64 << 20).make(&disk.path().join("tree")).unwrap();
        let device = fs::metadata(disk.path()).unwrap().dev();
        let stat = format!("/sys/dev/block/{}:{}/stat", rustix::fs::major(device), rustix::fs::minor(device));
        // Its third number is of sectors that were read.
        let sectors = || -> u64 {
            fs::read_to_string(&stat).unwrap().split_ascii_whitespace().nth(2).unwrap().parse().unwrap()
        };
        let read = || {
            let before = sectors();
            fs::read(disk.path().join("tree/part-00000/img_0000000.jpg")).unwrap();
            (sectors() - before) * 512
        };
        Disk::chill(&[&disk]).unwrap();
        let cold = read();
        // Caches are everybody's, and so are those who drop them.
        let warm = (0..20).map(|_| read()).min().unwrap();
        Disk::chill(&[&disk]).unwrap();
        let again = read();
        assert!(cold >= 64 << 20 && again >= 64 << 20 && warm < 1 << 20, "{cold} {warm} {again}");
    });
}

#[test]
fn a_disk_in_use_is_not_chilled_and_says_so() {
    alone(module_path!(), "a_disk_in_use_is_not_chilled_and_says_so", |folder| {
        let disk = Disk::make(folder, "disk", Format::Ext4, 64 << 20, 10).unwrap();
        let file = fs::File::create(disk.path().join("file")).unwrap();
        assert_eq!(
            Disk::chill(&[&disk]).unwrap_err().to_string(),
            format!("cannot unmount {}", disk.path().display())
        );
        drop(file);
        Disk::chill(&[&disk]).unwrap();
    });
}

/// Has a disk until it is killed.
fn hold(folder: &Path) {
    let disk = Disk::make(folder, "disk", Format::Ext4, 64 << 20, 10).unwrap();
    println!("\nmounted {}", disk.path().display());
    std::thread::sleep(Duration::from_secs(100));
}

#[test]
fn nothing_stays_attached_of_a_process_that_was_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return hold(folder.as_ref());
    }
    let name = "nothing_stays_attached_of_a_process_that_was_killed";
    alone(module_path!(), name, |folder| {
        let mut holder =
            inside(module_path!(), name).env(FOLDER, folder).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mount: PathBuf =
            said.filter_map(|line| Some(line.strip_prefix("mounted ")?.into())).next().unwrap();
        let image = folder.join("disk.img");
        assert_eq!(devices(&image).lines().count(), 1);
        assert!(mounted(&mount).is_empty(), "it is seen here");
        // It passes the signal on to all that it has started, which is more than the first of them.
        let pid = i32::try_from(holder.id()).unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        holder.wait().unwrap();
        assert!(comes(|| devices(&image).is_empty()), "{}", devices(&image));
        // The file that stayed is no hindrance.
        drop(Disk::make(folder, "disk", Format::Ext4, 64 << 20, 10).unwrap());
        assert!(!image.exists());
    });
}

#[test]
fn a_process_that_shares_its_mounts_is_told_from_one_that_does_not() {
    alone(module_path!(), "a_process_that_shares_its_mounts_is_told_from_one_that_does_not", |folder| {
        assert_private();
        let none = rustix::mount::MountFlags::empty();
        rustix::mount::mount("memory", folder, "tmpfs", none, None).unwrap();
        rustix::mount::mount_change(folder, rustix::mount::MountPropagationFlags::SHARED).unwrap();
        assert!(matches!(ensure_private(), Err(NamespaceError::Propagates)));
        rustix::mount::unmount(folder, rustix::mount::UnmountFlags::empty()).unwrap();
    });
}
