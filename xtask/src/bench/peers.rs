//! The programs that our copies are measured against: Debian's, and two from crates.io at pinned versions, built once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::shell;

/// Debian's: a program and the package that brings it.
const DEBIAN: [(&str, &str); 5] = [
    ("rsync", "rsync"),
    ("rclone", "rclone"),
    ("fpsync", "fpart"),
    ("unshare", "util-linux"),
    ("mkfs.ext4", "e2fsprogs"),
];
/// Those of them whose versions are worth telling.
const TOLD: [&str; 4] = ["rsync", "coreutils", "rclone", "fpart"];
/// A crate, its only program and the version that is measured.
const CRATES: [(&str, &str); 2] = [("xcp", "0.24.9"), ("cpz", "3.2.1")];

/// The peers, installed.
pub struct Peers {
    /// Where the programs of crates are, each in a folder of its own.
    pub folders: Vec<PathBuf>,
    /// Names and versions, for the page.
    pub versions: String,
}

/// Installs what is missing.
pub fn install(cache: &Path) -> Result<Peers> {
    for (program, package) in DEBIAN {
        shell::ensure_program(program, package)?;
    }
    let folders = CRATES.iter().map(|(name, version)| install_crate(cache, name, version));
    let folders = folders.collect::<Result<_>>()?;
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${Version}\n"]).args(TOLD);
    let debian = shell::output(&mut query)?;
    let crates = CRATES.iter().map(|(name, version)| format!("{name} {version}"));
    let versions: Vec<String> = debian.lines().map(str::to_owned).chain(crates).collect();
    Ok(Peers { folders, versions: versions.join(", ") })
}

/// The folder of the crate's program.
fn install_crate(cache: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let folder = cache.join(format!("tools/{name}-{version}"));
    if !folder.join("bin").join(name).exists() {
        println!("building {name} {version}, once (minutes)");
        let mut cargo = shell::cargo();
        cargo.args(["install", "--quiet", "--locked", name, "--version", version, "--root"]).arg(&folder);
        // Its own target folder: ours would keep its dependencies for ever.
        shell::run(cargo.env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(folder.join("bin"))
}
