//! `cargo xtask images`: static release binaries, and the container images made of them, as docker-archive tars in
//! `$WSFS_CACHE/images`. A tar is named by the hash of what is in it, so an unchanged image is not built again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::shell;

/// One image of ours: `workspacefs.io/<name>:dev`, made by `deploy/docker/<name>.Dockerfile` from one binary.
struct Image {
    name: &'static str,
    binary: &'static str,
}

const IMAGES: [Image; 2] = [
    Image {
        name: "node",
        binary: "csi-driver",
    },
    Image {
        name: "operator",
        binary: "operator",
    },
];

/// Tars of earlier contents go when nobody made or used them for this long.
const KEEP: Duration = Duration::from_secs(24 * 3600);

#[derive(clap::Args)]
pub struct Args {}

/// Builds what changed and says where it is.
pub fn run(_args: Args) -> Result<()> {
    for tar in build()? {
        println!("{}", tar.display());
    }
    Ok(())
}

/// Builds binaries and images as far as they changed. Returns the tars, in docker-archive form.
pub fn build() -> Result<Vec<PathBuf>> {
    let binaries = static_binaries()?;
    let folder = shell::cache()?.join("images");
    fs::create_dir_all(&folder)?;
    // Two runs at once would each build the same image in the same place.
    let lock = File::create(folder.join(".lock"))?;
    lock.lock().context("cannot lock the folder of images")?;
    IMAGES
        .iter()
        .map(|image| image.archive(&binaries, &folder))
        .collect()
}

/// Builds the programs so that they need nothing but a kernel, and returns their folder.
fn static_binaries() -> Result<PathBuf> {
    let target = host_target()?;
    let mut cargo = shell::cargo();
    // A target has to be named: without one the flag would reach procedural macros, which cannot be static.
    cargo
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--bins",
            "--target",
            &target,
        ])
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    for image in &IMAGES {
        cargo.args(["--package", image.binary]);
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
        let dockerfile = shell::root()
            .join("deploy/docker")
            .join(format!("{}.Dockerfile", self.name));
        let mut hash = blake3::Hasher::new();
        for input in [&dockerfile, &binaries.join(self.binary)] {
            hash.update(&fs::read(input).with_context(|| format!("cannot read {}", input.display()))?);
        }
        let key = hash.finalize().to_hex();
        let tar = folder.join(format!("{}-{}.tar", self.name, &key[..16]));
        if tar.exists() {
            File::options()
                .append(true)
                .open(&tar)?
                .set_modified(SystemTime::now())?;
        } else {
            self.build(&dockerfile, binaries, &tar)?;
        }
        self.forget_old(folder)?;
        Ok(tar)
    }

    /// Builds with buildah, which needs neither an engine nor a registry for FROM scratch. Its storage lasts one build.
    fn build(&self, dockerfile: &Path, context: &Path, tar: &Path) -> Result<()> {
        shell::ensure_program("buildah", "buildah")?;
        let storage = tempfile::tempdir_in(tar.parent().context("the tar has a folder")?)?;
        let reference = format!("workspacefs.io/{}:dev", self.name);
        let buildah = || {
            let mut buildah = Command::new("buildah");
            buildah
                .arg("--root")
                .arg(storage.path().join("root"))
                .arg("--runroot")
                .arg(storage.path().join("run"))
                .args(["--storage-driver", "vfs"]);
            buildah
        };
        let mut bud = buildah();
        bud.args([
            "bud",
            "--isolation",
            "chroot",
            "--timestamp",
            "0",
            "--tag",
            &reference,
            "--file",
        ]);
        shell::output(bud.arg(dockerfile).arg(context))?;
        let unfinished = storage.path().join("image.tar");
        let archive = format!("docker-archive:{}:{reference}", unfinished.display());
        shell::output(buildah().args(["push", "--quiet", &reference, &archive]))?;
        // Only a whole archive gets the name that says it is there.
        fs::rename(&unfinished, tar)?;
        Ok(())
    }

    fn forget_old(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours = name.to_string_lossy().starts_with(&format!("{}-", self.name));
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if ours && age > KEEP {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}
