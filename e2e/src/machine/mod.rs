//! One machine: a user-mode Linux kernel, an ordinary process of the host. Boots, runs programs, and suffers faults.

mod description;
mod disks;
mod faults;
mod kernel;
mod mapped;
mod remote;
mod storage;
mod worker;

pub use disks::Plugged;
pub use faults::FaultError;
pub use kernel::BootError;
pub use mapped::Behaviour;
pub use remote::{Output, RunError, Stream};
pub use worker::PAUSE_IMAGE;

use crate::config::Layout;
use crate::host::namespace::Namespace;
use crate::host::process::{Process, ProcessError};
use crate::topology::Plan;
use std::path::PathBuf;

/// A machine of a cluster. Cheap to copy; holds no connection.
#[derive(Debug, Clone)]
pub struct Machine {
    plan: Plan,
    layout: Layout,
    namespace: Namespace,
    image: PathBuf,
}

impl Machine {
    /// The machine `plan` of the cluster whose files lie in `layout`, booting from `image`.
    pub(crate) fn new(plan: Plan, layout: Layout, namespace: Namespace, image: PathBuf) -> Machine {
        Machine { plan, layout, namespace, image }
    }

    /// Its host name.
    pub fn name(&self) -> &'static str {
        self.plan.name
    }

    /// Name, addresses, role.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The log of one of its services: `kubelet`, `containerd`, `kube-proxy`, `rpc.mountd` ...
    pub fn log(&self, service: &str) -> PathBuf {
        self.layout.guest(self.name()).join("log").join(format!("{service}.log"))
    }

    /// What its kernel prints.
    pub fn console(&self) -> PathBuf {
        self.layout.console(self.name())
    }

    /// Its kernel's process, if it was ever started.
    pub(crate) fn process(&self) -> Result<Option<Process>, ProcessError> {
        Process::read(&self.layout.processes(), self.name())
    }

    /// Whether its kernel runs (a frozen one does).
    pub fn is_running(&self) -> Result<bool, ProcessError> {
        Ok(self.process()?.is_some_and(|process| process.runs()))
    }
}
