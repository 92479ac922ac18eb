//! The description of one machine. The harness writes it as JSON into the folder that the machine mounts first;
//! PID 1 carries it out and knows nothing about Kubernetes or NFS itself.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The kernel argument that names the host folder with [`SPEC_FILE`]: `wsfs.machine=<absolute path>`.
pub const SPEC_ARGUMENT: &str = "wsfs.machine";
/// Name of the description in that folder.
pub const SPEC_FILE: &str = "machine.json";
/// Where the machine sees that folder. Logs of its services go to `log/` in it.
pub const MACHINE_DIR: &str = "/machine";

/// Everything that makes a machine what it is, in the order in which PID 1 uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// The kernel's host name.
    pub hostname: String,
    /// Host folders shown inside the machine.
    pub host_folders: Vec<HostFolder>,
    /// Network devices to set up. They exist already when the kernel starts.
    pub links: Vec<Link>,
    /// Static routes; there is no default route on purpose.
    pub routes: Vec<Route>,
    /// Kernel modules, loaded with what they depend on.
    pub modules: Vec<String>,
    /// Names below /proc/sys, with `/` between the parts, and their values.
    pub sysctls: Vec<(String, String)>,
    /// Files written on every boot.
    pub files: Vec<File>,
    /// What runs, in order.
    pub steps: Vec<Step>,
    /// Where the command channel listens once all steps are done.
    pub commands: SocketAddr,
}

/// A folder of the host inside the machine, through hostfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFolder {
    /// Absolute path on the host.
    pub source: String,
    /// Absolute path in the machine.
    pub target: String,
}

/// One network device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// `vec0` for the first.
    pub device: String,
    /// Address with prefix length: `10.99.0.11/24`.
    pub address: String,
}

/// A static route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination network.
    pub to: String,
    /// The next hop's address.
    pub via: String,
}

/// A file with its whole content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Absolute path; missing parent folders are made.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Text.
    pub content: String,
}

/// One thing to run while booting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Runs to its end; a failure ends the boot.
    Run {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// Starts a program that stays, and starts it again a second after it ends, whatever the reason.
    Serve {
        /// Name of its log file, without `.log`.
        name: String,
        /// Program and arguments.
        argv: Vec<String>,
        /// The boot goes on once this path exists.
        ready_path: Option<String>,
    },
}
