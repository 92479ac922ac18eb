//! What an interrupted start leaves is removed, and nothing of another cluster with it. Needs root, as the harness
//! itself does; starts no machine.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;
use std::process::Command;
use workspacefs_e2e::host::namespace::{Namespace, NamespaceError};
use workspacefs_e2e::host::network;
use workspacefs_e2e::host::process::Process;
use workspacefs_e2e::progress::Progress;
use workspacefs_e2e::{Cluster, ClusterConfig};

/// Half a cluster: network and processes as an interrupted `up` leaves them. Removed when dropped, whatever the test
/// found.
struct Half {
    config: ClusterConfig,
    recorded: Process,
}

impl Half {
    fn start(name: &str, cache: &Path) -> Half {
        let config = ClusterConfig::new(name, cache).unwrap();
        let namespace = Namespace::of_cluster(name);
        namespace.create().unwrap();
        namespace.ip(&network::commands()).unwrap();
        let recorded = start(&config, "recorded", true);
        Half { config, recorded }
    }

    fn namespace(&self) -> Namespace {
        Namespace::of_cluster(self.config.name())
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        Cluster::down(&self.config, &Progress::default()).unwrap();
    }
}

/// A process in the cluster's namespace; without its record it is as if the harness had died before writing it.
fn start(config: &ClusterConfig, name: &str, keep_record: bool) -> Process {
    let layout = config.layout();
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let namespace = Namespace::of_cluster(config.name());
    let process = Process::start(&namespace, name, &sleep, &layout.log(name), &layout.processes()).unwrap();
    if !keep_record {
        fs::remove_file(layout.processes().join(name)).unwrap();
    }
    process
}

fn names() -> (String, String) {
    let id = std::process::id();
    (format!("ta-{id}"), format!("tb-{id}"))
}

#[test]
fn down_removes_half_a_cluster_and_leaves_another_one_alone() {
    let cache = tempfile::tempdir().unwrap();
    let (name, other) = names();
    let (half, other) = (Half::start(&name, cache.path()), Half::start(&other, cache.path()));
    let unrecorded = start(&half.config, "unrecorded", false);
    assert!(half.recorded.runs() && unrecorded.runs());

    Cluster::down(&half.config, &Progress::default()).unwrap();
    assert!(!half.recorded.runs() && !unrecorded.runs());
    assert!(!half.namespace().exists());
    assert!(!half.config.layout().root().exists());

    // The other one: same addresses and interface names, a network of its own.
    assert!(other.recorded.runs());
    assert!(other.namespace().processes().contains(&other.recorded.pid().cast_unsigned()));
}

#[test]
fn down_of_nothing_is_fine() {
    let cache = tempfile::tempdir().unwrap();
    let config = ClusterConfig::new(&format!("tc-{}", std::process::id()), cache.path()).unwrap();
    Cluster::down(&config, &Progress::default()).unwrap();
    assert!(!config.layout().root().exists());
}

#[test]
fn processes_are_ended_even_when_the_namespace_lost_its_name() {
    let cache = tempfile::tempdir().unwrap();
    let half = Half::start(&format!("td-{}", std::process::id()), cache.path());
    half.namespace().delete().unwrap();
    assert!(half.recorded.runs());
    Cluster::down(&half.config, &Progress::default()).unwrap();
    assert!(!half.recorded.runs());
}

#[test]
fn the_network_has_no_way_out() {
    let cache = tempfile::tempdir().unwrap();
    let half = Half::start(&format!("te-{}", std::process::id()), cache.path());
    let routes = half.namespace().within(|| {
        let output = Command::new("ip").args(["route", "get", "192.0.2.1"]).output();
        Ok::<_, NamespaceError>(output.unwrap())
    });
    let routes = routes.unwrap();
    assert!(!routes.status.success(), "{}", String::from_utf8_lossy(&routes.stdout));
}
