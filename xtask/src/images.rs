//! `cargo xtask images`: static release binaries, and the container images made of them, as docker-archive tars in
//! `$WSFS_CACHE/images/container-<name>-<key>/`. The key is a hash of what is in the image: an unchanged one is not built again.

mod debian;
mod fio;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use workspacefs_e2e::ClusterConfig;
use workspacefs_e2e::build::cache::{self, Key};
use workspacefs_e2e::build::programs::Programs;
use workspacefs_e2e::build::sidecars;
use workspacefs_e2e::progress::Progress;

use crate::{shell, ui};

/// One image of ours: `workspacefs.io/<name>:dev`, made by `deploy/docker/<name>.Dockerfile` from these binaries.
struct Image {
    name: &'static str,
    binaries: &'static [&'static str],
    /// What the build context has in its folder `debian`, if anything.
    debian: Option<&'static debian::Tree>,
}

const IMAGES: [Image; 4] = [
    Image { name: "node", binaries: &["csi-driver"], debian: Some(&debian::NODE) },
    Image { name: "operator", binaries: &["operator", "mover"], debian: None },
    // The file API and the gateway: two programs that speak to each other, so of one version.
    Image { name: "files", binaries: &["files", "dashboard"], debian: None },
    Image { name: "rsync", binaries: &["rsyncd"], debian: Some(&debian::RSYNC) },
];

const NFS_SERVER: Image =
    Image { name: "nfs-server", binaries: &["nfs-server"], debian: Some(&debian::NFS_SERVER) };

/// How long an image that nobody asked for is kept: another checkout's cluster may be about to load it.
const KEEP: Duration = Duration::from_secs(24 * 3600);

#[derive(clap::Args)]
pub struct Args {}

/// Builds what changed and says where it is.
pub fn run(_args: Args) -> Result<()> {
    let binaries = static_binaries()?;
    for image in IMAGES.iter().chain([&NFS_SERVER]) {
        println!("{}", image.archive(&binaries, &folder()?)?.display());
    }
    Ok(())
}

/// Everything that the chart runs without the embedded server: our images as far as they changed, and the sidecars'.
/// Returns the tars, in docker-archive form.
pub fn build() -> Result<Vec<PathBuf>> {
    let binaries = static_binaries()?;
    let folder = folder()?;
    let mut tars: Vec<PathBuf> =
        IMAGES.iter().map(|image| image.archive(&binaries, &folder)).collect::<Result<_>>()?;
    let programs = Programs::build(&ClusterConfig::from_environment("images")?, &Progress::default())?;
    tars.extend(sidecars::archives(&programs, &folder)?);
    Ok(tars)
}

/// The same, with the embedded server.
pub fn build_with_server() -> Result<Vec<PathBuf>> {
    let mut tars = build()?;
    tars.push(NFS_SERVER.archive(&static_binaries()?, &folder()?)?);
    Ok(tars)
}

/// What cases of a suite run in their pods, beside busybox, which every cluster has.
pub fn of_suite(suite: &str) -> Result<Vec<PathBuf>> {
    match suite {
        "managed" => Ok(vec![fio()?]),
        _ => Ok(Vec::new()),
    }
}

/// The image of fio.
pub fn fio() -> Result<PathBuf> {
    fio::archive(&folder()?)
}

fn folder() -> Result<PathBuf> {
    Ok(ClusterConfig::from_environment("images")?.cache().join("images"))
}

/// Every program that is built static. Always all of them in one call: cargo gives shared dependencies the features that
/// the named packages ask for, and another set of packages would compile most of them again.
const PROGRAMS: [&str; 10] = [
    "csi-driver",
    "mover",
    "nfs-server",
    "operator",
    "workspacefs-bench",
    "workspacefs-cli",
    "workspacefs-dashboard",
    "workspacefs-files",
    "workspacefs-rsyncd",
    "workspacefs-slowfs",
];

/// Builds our programs so that they need nothing but a kernel, and returns their folder.
pub fn static_binaries() -> Result<PathBuf> {
    // The gateway has them in it.
    ui::pages()?;
    let target = host_target()?;
    let mut cargo = shell::cargo();
    // A target has to be named: without one the flag would reach procedural macros, which cannot be static.
    cargo
        .args(["build", "--release", "--locked", "--bins", "--target", &target])
        .args(["--features", "workspacefs-dashboard/ui"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    for package in PROGRAMS {
        cargo.args(["--package", package]);
    }
    shell::run(&mut cargo)?;
    Ok(target_dir().join(target).join("release"))
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| shell::root().join("target"), PathBuf::from)
}

fn host_target() -> Result<String> {
    let said = shell::output(Command::new("rustc").arg("-vV").current_dir(shell::root()))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

impl Image {
    fn archive(&self, binaries: &Path, folder: &Path) -> Result<PathBuf> {
        let dockerfile = shell::root().join("deploy/docker").join(format!("{}.Dockerfile", self.name));
        let mut key = Key::default();
        let programs = self.binaries.iter().map(|binary| binaries.join(binary));
        for input in std::iter::once(dockerfile.clone()).chain(programs) {
            key.add(&fs::read(&input).with_context(|| format!("cannot read {}", input.display()))?);
        }
        let debian = self.debian.map(|tree| tree.path(folder)).transpose()?;
        if let Some(debian) = &debian {
            // Its name holds the key of its content.
            key.add(debian.as_os_str().as_encoded_bytes());
        }
        let entry = folder.join(format!("container-{}-{}", self.name, key.finish()));
        let progress = Progress::default();
        let entry = cache::entry(&entry, &progress, |unfinished| match &debian {
            None => self.build(&dockerfile, binaries, unfinished),
            Some(debian) => {
                let context = unfinished.join("context");
                fs::create_dir_all(&context)?;
                for binary in self.binaries {
                    fs::copy(binaries.join(binary), context.join(binary))?;
                }
                shell::output(Command::new("cp").arg("-a").arg(debian).arg(context.join("debian")))?;
                self.build(&dockerfile, &context, unfinished)?;
                Ok(fs::remove_dir_all(context)?)
            }
        })?;
        File::open(&entry)?.set_modified(SystemTime::now())?;
        cache::prune(&entry, recently_used_in(folder))?;
        Ok(entry.join(format!("{}.tar", self.name)))
    }

    /// Builds with buildah, which needs neither an engine nor a registry for FROM scratch. Its storage lasts one build.
    fn build(&self, dockerfile: &Path, context: &Path, folder: &Path) -> Result<()> {
        shell::ensure_program("buildah", "buildah")?;
        let storage = folder.join("storage");
        let reference = format!("workspacefs.io/{}:dev", self.name);
        let buildah = || {
            let mut buildah = Command::new("buildah");
            buildah.arg("--root").arg(&storage).arg("--runroot").arg(storage.join("run"));
            buildah.args(["--storage-driver", "vfs"]);
            buildah
        };
        let mut bud = buildah();
        bud.args(["bud", "--isolation", "chroot", "--timestamp", "0", "--tag", &reference, "--file"]);
        shell::output(bud.arg(dockerfile).arg(context))?;
        let tar = folder.join(format!("{}.tar", self.name));
        let archive = format!("docker-archive:{}:{reference}", tar.display());
        shell::output(buildah().args(["push", "--quiet", &reference, &archive]))?;
        fs::remove_dir_all(storage)?;
        Ok(())
    }
}

/// Which entries of a folder somebody asked for of late.
fn recently_used_in(folder: &Path) -> impl Fn(&str) -> bool {
    move |entry| {
        let used = fs::metadata(folder.join(entry)).and_then(|metadata| metadata.modified());
        used.is_ok_and(|used| used.elapsed().unwrap_or_default() < KEEP)
    }
}
