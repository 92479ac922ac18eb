//! Debian packages that the harness itself runs.

use crate::host::command::{CommandError, command, run, run_any};
use crate::progress::Progress;
use std::time::Duration;

/// Packages and what of them is used: linux.uml and its modules; the maker of the machines' Debian; ip and tc;
/// mkfs.ext4; setsid and taskset.
const PACKAGES: [&str; 6] =
    ["user-mode-linux", "mmdebstrap", "debian-archive-keyring", "iproute2", "e2fsprogs", "util-linux"];

/// Time for apt, which may wait for another apt.
const LIMIT: Duration = Duration::from_secs(600);

/// Installs what is missing; asks no server when nothing is.
pub fn install_missing(progress: &Progress) -> Result<(), CommandError> {
    let installed = versions(&PACKAGES)?;
    let missing: Vec<&str> =
        PACKAGES.into_iter().filter(|name| !installed.iter().any(|(package, _)| package == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let _step = progress.long(&format!("installing Debian packages: {}", missing.join(" ")));
    run(&mut command(&["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "update"]), b"", LIMIT)?;
    let mut install = command(&["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "install"]);
    install.arg("--no-install-recommends").args(&missing).env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut install, b"", LIMIT)?;
    Ok(())
}

/// The version of an installed package.
pub fn version(package: &str) -> Result<Option<String>, CommandError> {
    Ok(versions(&[package])?.pop().map(|(_, version)| version))
}

/// Names and versions of those that are installed.
fn versions(packages: &[&str]) -> Result<Vec<(String, String)>, CommandError> {
    let mut query = command(&["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"]);
    // It fails when one is unknown and still lists the others.
    let listed = run_any(query.args(packages), b"", LIMIT)?;
    Ok(parse(&String::from_utf8_lossy(&listed.stdout)))
}

fn parse(listing: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some(name), Some(version), Some("installed")) => Some((name.to_owned(), version.to_owned())),
            _ => None,
        }
    };
    listing.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_what_is_fully_installed_counts() {
        let listing = "iproute2 6.1.0-3 installed\nkmod  not-installed\nmmdebstrap 1.3 config-files\n";
        assert_eq!(parse(listing), [("iproute2".to_owned(), "6.1.0-3".to_owned())]);
    }
}
