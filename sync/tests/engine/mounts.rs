//! File systems that a case can fill, break and take away, and the programs that make them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Fails with how to install a program that is missing: a case is never skipped for that.
pub fn require(program: &str, package: &str) {
    let there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    assert!(there, "{program} is missing: install Debian's package {package} (apt-get install {package})");
}

pub fn program(program: &str, arguments: &[&str]) -> String {
    let output = tried(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn tried(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file system on a file, mounted beside it. Its loop device goes when the namespace goes.
pub struct Disk {
    at: PathBuf,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl Disk {
    /// `image` is the file's path; the mount point gets the same with `.mounted`.
    pub fn new(kind: FileSystem, image: &Path, mib: u64) -> Self {
        std::fs::File::create(image).unwrap().set_len(mib << 20).unwrap();
        let (make, package, arguments): (_, _, &[&str]) = match kind {
            FileSystem::Ext4 => ("mkfs.ext4", "e2fsprogs", &["-q", "-F", "-m", "0"]),
            FileSystem::Xfs => ("mkfs.xfs", "xfsprogs", &["-q"]),
            FileSystem::Btrfs => ("mkfs.btrfs", "btrfs-progs", &["-q"]),
        };
        require(make, package);
        program(make, &[arguments, &[text(image)]].concat());
        let at = image.with_extension("mounted");
        std::fs::create_dir(&at).unwrap();
        program("mount", &["-o", "loop", text(image), text(&at)]);
        Self { at }
    }

    pub fn path(&self) -> &Path {
        &self.at
    }

    /// As if its cable were pulled: whatever is asked of it fails from now on.
    pub fn pull(&self) {
        require("xfs_io", "xfsprogs");
        program("xfs_io", &["-x", "-c", "shutdown", text(&self.at)]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = tried("umount", &["--lazy", text(&self.at)]);
    }
}

/// Mounts anew with other options.
pub fn remount(at: &Path, options: &str) {
    program("mount", &["-o", &format!("remount,{options}"), text(at)]);
}
