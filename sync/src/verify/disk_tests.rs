//! A disk that changes behind the kernel's back: what this machine remembers of a file is not what is verified. Mounts, so it
//! runs in a process with a mount namespace of its own, and needs to be root.

use std::fs::{self, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::tests::{Tree, bytes};
use super::{Difference, Entry, Verify, Wrong, verify_entries};
use crate::digest::CHUNK_LEN;

const INSIDE: &str = "WSFS_TEST_IN_NAMESPACE";

#[test]
fn content_is_read_from_the_disk_and_not_from_memory() {
    if std::env::var_os(INSIDE).is_some() {
        flip_beneath_the_cache(EXT4, "loop");
        // With a journal for data too, ext4 takes O_DIRECT and reads through its cache.
        flip_beneath_the_cache(EXT4, "loop,data=journal");
        flip_beneath_the_cache(XFS, "loop,nouuid");
        for (mkfs, options) in [(EXT4, "loop,data=journal"), (XFS, "loop,nouuid")] {
            large_entries_are_on_the_disk_when_they_have_been_read_back(mkfs, options);
        }
        return;
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut child = Command::new("unshare");
    child.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    child.arg(format!("{module}::content_is_read_from_the_disk_and_not_from_memory"));
    let output = child.args(["--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "needs to be root\n{out}\n{err}");
}

const EXT4: &[&str] = &["mkfs.ext4", "-q", "-F", "-b", "4096"];
const XFS: &[&str] = &["mkfs.xfs", "-q", "-f"];

/// An image and the folder `root` where it is mounted.
fn mounted(dir: &TempDir, mkfs: &[&str], options: &str) -> (PathBuf, PathBuf) {
    let (image, root) = (dir.path().join("image"), dir.path().join("root"));
    // XFS wants 300 MB; the file is sparse.
    fs::File::create_new(&image).unwrap().set_len(320 << 20).unwrap();
    fs::create_dir(&root).unwrap();
    run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image));
    run(Command::new("mount").args(["-o", options]).arg(&image).arg(&root));
    (image, root)
}

fn flip_beneath_the_cache(mkfs: &[&str], options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (image, _) = mounted(&dir, mkfs, options);
    let disk = OpenOptions::new().write(true).open(&image).unwrap();
    let files = ["good", "bad"].map(|name| (name.into(), bytes(name.len() as u64, 100_000)));
    let tree = Tree::within(dir, &files, |_| true);
    assert!(tree.verify(Verify::Checksum).is_good());

    let bad = tree.root.join("bad");
    let remembered = fs::read(&bad).unwrap();
    flip_on_disk(&disk, &image, &remembered[8192..12288]);
    assert!(fs::read(&bad).unwrap() == remembered, "the kernel has noticed: this tests nothing");
    let wrong = Wrong { path: "bad".into(), what: Difference::Content };
    assert_eq!(tree.verify(Verify::Checksum).wrong, [wrong], "{mkfs:?} {options}");
    run(Command::new("umount").arg(&tree.root));
}

/// Nobody has synced it before.
fn large_entries_are_on_the_disk_when_they_have_been_read_back(mkfs: &[&str], options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (image, root) = mounted(&dir, mkfs, options);
    let content = bytes(7, 2 * CHUNK_LEN as usize);
    fs::write(root.join("large"), &content).unwrap();
    let (size, time) = (content.len() as u64, crate::Time::default());
    let digest = Some(*blake3::hash(&content).as_bytes());
    let entry = Entry { path: "large".into(), size, mtime: time, ctime: time, digest };
    let on_disk = |block: &[u8]| fs::read(&image).unwrap().chunks(block.len()).any(|bytes| bytes == block);
    let last = &content[content.len() - 4096..];
    let before = on_disk(last);
    let directory = fs::File::open(&root).unwrap();
    assert!(verify_entries(directory.as_fd(), &[entry], Verify::Checksum).unwrap().is_good());
    assert!(on_disk(last), "{mkfs:?} {options}; before: {before}");
    drop(directory);
    run(Command::new("umount").arg(&root));
}

/// Flips a bit in every copy of this block: one may lie in the file system's journal.
fn flip_on_disk(disk: &fs::File, image: &Path, block: &[u8]) {
    let content = fs::read(image).unwrap();
    let copies = content.chunks(block.len()).enumerate().filter(|(_, bytes)| *bytes == block);
    let mut flipped = 0;
    for (number, _) in copies {
        disk.write_all_at(&[block[77] ^ 1], (number * block.len() + 77) as u64).unwrap();
        flipped += 1;
    }
    assert!(flipped > 0, "the block is not on the disk");
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
