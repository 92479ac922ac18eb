//! All of it together: start, attach, stop, and what tests do with a running cluster.
//!
//! `cluster.json` in the cluster's folder is written when a start has worked, last: a folder without it is what an
//! interrupted start left.

mod down;
mod kubectl;
mod status;
mod up;

pub use down::DownError;
pub use kubectl::{ImportError, KubectlError};
pub use status::{PartStatus, Status};
pub use up::UpError;

use crate::build::programs::Programs;
use crate::config::{ClusterConfig, Layout};
use crate::host::namespace::{Namespace, NamespaceError};
use crate::machine::Machine;
use crate::topology::{MACHINES, Plan};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The test image: busybox with its usual names.
pub const BUSYBOX_IMAGE: &str = "workspacefs.io/busybox:dev";

/// A running cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    config: ClusterConfig,
    namespace: Namespace,
    state: State,
}

/// What a cluster runs on; the content of `cluster.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    programs: Programs,
    image: PathBuf,
}

/// Why there is no cluster to attach to.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It was never started, or its start failed.
    #[error("there is no cluster {name}: start it with `make cluster-up WSFS_CLUSTER={name}`")]
    NotUp {
        /// Its name.
        name: String,
        /// Why its state cannot be read.
        #[source]
        source: io::Error,
    },
}

/// A name that no machine has.
#[derive(Debug, thiserror::Error)]
#[error("there is no machine `{0}`; the machines are n1, n2 and nfs")]
pub struct NoSuchMachine(String);

/// A program that the cluster does not have.
#[derive(Debug, thiserror::Error)]
#[error("no set of programs has `{0}`")]
pub struct NoSuchProgram(String);

impl Cluster {
    /// The cluster that an earlier `up` started. Does not look whether it is well: see [`Cluster::status`].
    pub fn attach(config: &ClusterConfig) -> Result<Cluster, AttachError> {
        let not_up = |source| AttachError::NotUp { name: config.name().to_owned(), source };
        let text = fs::read(config.layout().state()).map_err(not_up)?;
        let state = serde_json::from_slice(&text).map_err(|error| not_up(error.into()))?;
        Ok(Cluster { config: config.clone(), namespace: Namespace::of_cluster(config.name()), state })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.config.name()
    }

    /// Its files.
    pub fn layout(&self) -> Layout {
        self.config.layout()
    }

    /// One of its machines: n1, n2 or nfs.
    pub fn machine(&self, name: &str) -> Result<Machine, NoSuchMachine> {
        let plan = MACHINES.iter().find(|plan| plan.name == name);
        plan.map(|plan| self.machine_of(plan)).ok_or_else(|| NoSuchMachine(name.to_owned()))
    }

    /// All machines.
    pub fn machines(&self) -> impl Iterator<Item = Machine> + '_ {
        MACHINES.iter().map(|plan| self.machine_of(plan))
    }

    fn machine_of(&self, plan: &Plan) -> Machine {
        Machine::new(*plan, self.layout(), self.namespace.clone(), self.state.image.clone())
    }

    /// The path of a program that was built for the cluster: `kubectl`, `helm`, `csi-sanity`, `etcd` ...
    pub fn program(&self, name: &str) -> Result<PathBuf, NoSuchProgram> {
        self.state.programs.path(name).ok_or_else(|| NoSuchProgram(name.to_owned()))
    }

    /// The kubeconfig of a user: `admin`, `nobody`, or a component's.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.layout().kubeconfig(user)
    }

    /// The cluster's network namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Moves the calling thread into the cluster's network, for good; so are the threads and programs it starts
    /// afterwards. Call it before a runtime starts its threads, or in their start hook.
    pub fn enter_network(&self) -> Result<(), NamespaceError> {
        self.namespace.enter()
    }

    /// Copies a file into the folder that every machine sees as `/host` and gives its path there.
    pub fn share(&self, file: &Path) -> Result<String, io::Error> {
        let name = file.file_name().ok_or_else(|| io::Error::other("a path without a file name"))?;
        let folder = self.layout().host();
        fs::create_dir_all(&folder)?;
        // Under another name first: a machine that still runs the old file keeps it.
        let unfinished = folder.join(format!(".{}.unfinished", name.to_string_lossy()));
        fs::copy(file, &unfinished)?;
        fs::rename(&unfinished, folder.join(name))?;
        Ok(format!("/host/{}", name.to_string_lossy()))
    }
}
