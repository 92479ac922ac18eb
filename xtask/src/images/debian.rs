//! What an image has of Debian: a few programs, the libraries that these load, and the licences of the packages that they
//! are from. No package manager, and no shell unless it is asked for: 20 MB for the NFS server instead of 160.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use workspacefs_e2e::build::cache::{self, Key};
use workspacefs_e2e::progress::Progress;

use crate::shell;

/// Debian's release: Ganesha 4.3, xfsprogs 6.1, fio 3.33.
const RELEASE: &str = "bookworm";

/// A tree to be made.
pub struct Tree {
    /// What it is for: its entry in the cache is `<name>-debian-<key>`.
    pub name: &'static str,
    /// The packages, without what they recommend.
    pub packages: &'static str,
    /// What is taken of them, beside the libraries that it loads.
    pub files: &'static [&'static str],
}

/// For the embedded server.
pub const NFS_SERVER: Tree = Tree {
    name: "nfs-server",
    packages: "base-files,netbase,nfs-ganesha,nfs-ganesha-vfs,util-linux,xfsprogs",
    files: &[
        "etc/debian_version",
        "etc/netconfig",
        "etc/protocols",
        "etc/services",
        "usr/bin/ganesha.nfsd",
        "usr/lib/os-release",
        "usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so",
        // Ganesha does not start without a mapper of names, though it is told to use numbers.
        "usr/lib/x86_64-linux-gnu/libnfsidmap/nsswitch.so",
        "usr/sbin/blkid",
        "usr/sbin/mkfs.xfs",
        "usr/sbin/xfs_growfs",
        "usr/sbin/xfs_quota",
        "usr/sbin/xfs_repair",
    ],
};

/// For the node plugin: what finds out whether a disk is blank, and formats it.
pub const NODE: Tree = Tree {
    name: "node",
    packages: "base-files,e2fsprogs,util-linux,xfsprogs",
    files: &[
        "etc/debian_version",
        "etc/mke2fs.conf",
        "usr/lib/os-release",
        "usr/sbin/blkid",
        "usr/sbin/mkfs.ext4",
        "usr/sbin/mkfs.xfs",
    ],
};

/// For the rsync daemon. It runs no shell: the program that starts it is its shell.
pub const RSYNC: Tree = Tree {
    name: "rsync",
    packages: "base-files,rsync",
    files: &["etc/debian_version", "usr/bin/rsync", "usr/lib/os-release"],
};

/// Where Debian's programs look for their loader.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";

/// Raised when the recipe changes in a way that the constants do not show.
const RECIPE: &[u8] = b"3";

impl Tree {
    /// The tree, built where the cache in `folder` does not have it.
    pub fn path(&self, folder: &Path) -> Result<PathBuf> {
        let mut key = Key::default();
        key.add(RECIPE).add(RELEASE.as_bytes()).add(self.packages.as_bytes());
        self.files.iter().for_each(|file| {
            key.add(file.as_bytes());
        });
        let entry = folder.join(format!("{}-debian-{}", self.name, key.finish()));
        let entry = cache::entry(&entry, &Progress::default(), |target| build(self, target))?;
        cache::prune(&entry, super::recently_used_in(folder))?;
        Ok(entry)
    }
}

fn build(tree: &Tree, target: &Path) -> Result<()> {
    shell::ensure_program("mmdebstrap", "mmdebstrap")?;
    let all = target.with_extension("all");
    cache::remove(&all)?;
    let mut make = Command::new("mmdebstrap");
    // Only unpacked: no script of a package is needed for what is taken.
    make.args(["--quiet", "--mode=root", "--variant=extract"]);
    make.args([
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        "--aptopt=APT::Install-Recommends \"false\"",
    ]);
    shell::output(make.arg(format!("--include={}", tree.packages)).arg(RELEASE).arg(&all))?;
    for folder in
        ["etc", "usr/bin", "usr/sbin", "usr/lib64", "usr/share/doc", "run", "tmp", "var/log", "var/lib"]
    {
        fs::create_dir_all(target.join(folder))?;
    }
    for folder in ["bin", "lib", "lib64", "sbin"] {
        std::os::unix::fs::symlink(format!("usr/{folder}"), target.join(folder))?;
    }
    std::os::unix::fs::symlink("/run", target.join("var/run"))?;
    // Ganesha reads it to learn which file system an export lies on, and mkfs.ext4 whether a disk is mounted.
    std::os::unix::fs::symlink("/proc/self/mounts", target.join("etc/mtab"))?;
    // Users and groups, as far as programs insist on them.
    fs::write(target.join("etc/passwd"), "root:x:0:0:root:/:/sbin/nologin\n")?;
    fs::write(target.join("etc/group"), "root:x:0:\n")?;
    fs::write(target.join("etc/idmapd.conf"), "[General]\nDomain = localdomain\n")?;
    fs::write(target.join("etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n")?;
    for file in tree.files.iter().map(|file| (*file).to_owned()).chain(libraries(tree.files, &all)?) {
        copy(&all, target, &file)?;
    }
    licences(&all, target)?;
    Ok(cache::remove(&all)?)
}

/// The loader, and what it loads for each of the programs and plug-ins: paths beneath the tree.
fn libraries(files: &[&str], all: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::from([LOADER.to_owned()]);
    for file in files.iter().filter(|file| file.contains("bin/") || file.ends_with(".so")) {
        let mut list = Command::new("chroot");
        list.arg(all).arg(format!("/{LOADER}")).args(["--list", &format!("/{file}")]);
        let said = shell::output(&mut list)?;
        ensure!(!said.contains("not found"), "{file} lacks a library: {said}");
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f...)`
        let path = |line: &str| Some(line.split(" => /").nth(1)?.split(' ').next()?.to_owned());
        found.extend(said.lines().filter_map(path));
    }
    Ok(found)
}

/// Copies one file, with what its symbolic links lead to under the name that they have.
fn copy(from: &Path, to: &Path, file: &str) -> Result<()> {
    // `lib` leads to `usr/lib` in both trees.
    let target = to.join(file);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from.join(file), &target).with_context(|| format!("cannot take {file}"))?;
    Ok(())
}

/// The licences of all packages: which of them a file is from is not worth finding out.
fn licences(from: &Path, to: &Path) -> Result<()> {
    for package in fs::read_dir(from.join("usr/share/doc"))? {
        let name = package?.file_name();
        let copyright = Path::new("usr/share/doc").join(&name).join("copyright");
        if from.join(&copyright).exists() {
            fs::create_dir_all(to.join("usr/share/doc").join(&name))?;
            fs::copy(from.join(&copyright), to.join(&copyright))?;
        }
    }
    let common = Path::new("usr/share/common-licenses");
    shell::output(Command::new("cp").arg("-a").arg(from.join(common)).arg(to.join("usr/share")))?;
    Ok(())
}
