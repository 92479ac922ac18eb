//! The suite `cli`: the command `wfs` of the present build, the real clients of `lep storage` and the real rsync against the cluster,
//! on the host, in the cluster's network, with a home of their own.
//!
//! The cases have people as those of `files` have them, with the chart's roles; each file system is called `default`, the only one that
//! `lep storage upload --rsync` knows.

mod address;
mod caches;
mod clouds;
mod cut;
pub mod desk;
mod front;
mod hygiene;
mod kubeconfig;
mod lep;
mod manifests;
mod rights;
mod rsync;

use workspacefs_testkit::lep::{NEW, OLD};

use super::case::Suite;
use super::files;

/// What the cases call their FileSystem.
const FS: &str = "default";

/// The suite. The longest comes first; last, nothing may be left.
pub fn suite() -> Suite {
    let parts = [
        cut::cases(),
        lep::cases(),
        rsync::cases(),
        kubeconfig::cases(),
        caches::cases(),
        clouds::cases(),
        address::cases(),
        rights::cases(),
        manifests::cases(),
        hygiene::cases(),
    ];
    let cases = parts.into_iter().flatten().collect();
    Suite { name: "cli", cases, prepare: files::prepare, tidy_up: files::tidy_up }
}

/// Installs the real clients, once for all runs: from the cluster's network no package index can be reached.
///
/// # Panics
/// They cannot be installed.
pub fn install_clients() {
    for release in [NEW, OLD] {
        release.installed();
    }
}
