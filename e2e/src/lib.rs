//! The test cluster: a real Kubernetes, two worker machines and a storage host on one Debian 12 machine, without Docker
//! and without KVM. `docs/adr/0003-uml-test-nodes.md` says why it looks like this.
//!
//! ```no_run
//! use workspacefs_e2e::{Cluster, ClusterConfig};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::up(&ClusterConfig::from_environment("dev")?)?;
//! let nodes = cluster.kubectl("admin", &["get", "nodes"])?;
//! let uptime = cluster.machine("n1")?.run(&["uptime"])?;
//! cluster.machine("nfs")?.freeze()?;
//! # Ok(()) }
//! ```
//!
//! Layers, lowest first: [`host`] (programs, processes and the network namespace of this computer), [`build`] (what is
//! made once and cached), [`machine`] (one user-mode Linux and its faults), [`cluster`] (all together), [`product`]
//! (ours, installed on it).

pub mod build;
pub mod cluster;
pub mod config;
pub mod control_plane;
pub mod credentials;
pub mod disks;
pub mod host;
pub mod machine;
pub mod product;
pub mod progress;
pub mod suites;
pub mod topology;

pub use cluster::Cluster;
pub use config::ClusterConfig;
pub use machine::{Machine, Output};
