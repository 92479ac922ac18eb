//! Starting a machine: its folder, its disks, its description, its kernel.

use super::description::{self, Part};
use super::disks::{self, Plugged};
use super::remote::RunError;
use super::{Machine, storage, worker};
use crate::credentials::{Credentials, CredentialsError};
use crate::host::command::{command, last_lines};
use crate::host::process::{Process, ProcessError};
use crate::topology::Role;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use workspacefs_node_init::spec::{SPEC_ARGUMENT, SPEC_FILE};

/// The user-mode kernel.
const KERNEL: &str = "/usr/bin/linux.uml";

/// How long a machine may take until it answers.
const BOOT_TIME_MAX: Duration = Duration::from_secs(90);

/// Why a machine does not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A file of the machine.
    #[error("cannot prepare the machine {machine}: {}", path.display())]
    File {
        /// Its name.
        machine: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cluster's credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The kernel's process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It runs already.
    #[error("the machine {0} runs already")]
    Running(&'static str),
    /// The kernel ended, or nothing answered in time.
    #[error("the machine {machine} did not come up; the end of {}:\n{tail}", console.display())]
    NotUp {
        /// Its name.
        machine: &'static str,
        /// Its console's log.
        console: PathBuf,
        /// The end of it.
        tail: String,
        /// The last try to reach it.
        #[source]
        source: Box<RunError>,
    },
}

impl Machine {
    /// Writes what the first boot needs: folder, blank disks, description. Everything from an earlier life is gone.
    pub(crate) fn prepare(&self) -> Result<(), BootError> {
        let name = self.name();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| BootError::File { machine: name, path, source }
        };
        let folder = self.layout.machine(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed(&folder))?;
        }
        let guest = self.layout.guest(name);
        fs::create_dir_all(guest.join("log")).map_err(failed(&guest))?;
        self.make_disks().map_err(|(path, source)| failed(&path)(source))?;
        let spec = description::describe(&self.plan, &self.layout, self.part()?);
        let path = guest.join(SPEC_FILE);
        let text = serde_json::to_vec_pretty(&spec).map_err(io::Error::from);
        text.and_then(|text| fs::write(&path, text)).map_err(failed(&path))
    }

    fn part(&self) -> Result<Part, BootError> {
        match self.plan.role {
            Role::Storage => Ok(storage::part()),
            Role::Worker { .. } => {
                let read = |user: &str| {
                    let path = self.layout.kubeconfig(user);
                    fs::read_to_string(&path).map_err(|source| BootError::File {
                        machine: self.name(),
                        path,
                        source,
                    })
                };
                let credentials = Credentials::of(&self.layout);
                let secrets = worker::Secrets {
                    authority: credentials.read("ca.crt")?,
                    certificate: credentials.read(&format!("{}.crt", self.name()))?,
                    key: credentials.read(&format!("{}.key", self.name()))?,
                    kubelet: read(self.name())?,
                    proxy: read("kube-proxy")?,
                };
                Ok(worker::part(&self.plan, &self.plan.pods().unwrap_or_default(), secrets))
            }
        }
    }

    /// Switches the machine on, with the disks as they are; does not wait for it.
    pub(crate) fn power_on(&self) -> Result<(), BootError> {
        self.power_on_with(&Plugged::all(&self.plan))
    }

    fn power_on_with(&self, drives: &[Plugged]) -> Result<(), BootError> {
        if self.is_running()? {
            return Err(BootError::Running(self.name()));
        }
        Process::start(
            &self.namespace,
            self.name(),
            &self.kernel_command(drives),
            &self.console(),
            &self.layout.processes(),
        )?;
        Ok(())
    }

    /// Waits until it answers commands.
    pub(crate) fn wait_until_up(&self) -> Result<(), BootError> {
        let started = Instant::now();
        loop {
            let Err(error) = self.answers() else { return Ok(()) };
            if !self.is_running()? || started.elapsed() > BOOT_TIME_MAX {
                let console = self.console();
                let text = fs::read(&console).unwrap_or_default();
                let tail = last_lines(&String::from_utf8_lossy(&text), 25);
                return Err(BootError::NotUp {
                    machine: self.name(),
                    console,
                    tail,
                    source: Box::new(error),
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Switches the machine on after [`Machine::cut_power`] and waits until it answers. Its disks are as they were.
    pub fn boot(&self) -> Result<(), BootError> {
        self.power_on()?;
        self.wait_until_up()
    }

    /// The same with these drives in this order.
    pub(super) fn boot_with(&self, drives: &[Plugged]) -> Result<(), BootError> {
        self.power_on_with(drives)?;
        self.wait_until_up()
    }

    fn kernel_command(&self, drives: &[Plugged]) -> Command {
        let folder = self.layout.machine(self.name());
        // All on one processor: each system call of a guest is a switch between two of the kernel's processes, which
        // takes several times as long when they wake each other across processors.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let processor = usize::from(self.plan.number) % processors;
        let mut kernel = command(&["taskset", "--cpu-list", &processor.to_string(), KERNEL]);
        kernel.arg(format!("mem={}M", self.plan.memory_mib));
        kernel.arg(format!("umid={}", self.name())).arg(format!("uml_dir={}/uml", folder.display()));
        kernel.args(disks::arguments(&self.plan, &folder, &self.image, drives));
        // Fixed hardware addresses: after a reboot nobody's neighbour table is wrong. gro=1: large frames are dropped
        // without it.
        let number = self.plan.number;
        for (device, tap, network) in [("vec0", self.plan.tap(), 99), ("vec1", self.plan.command_tap(), 98)] {
            kernel.arg(format!(
                "{device}:transport=tap,ifname={tap},depth=64,gro=1,mac=02:00:0a:{network:02x}:00:{number:02x}"
            ));
        }
        kernel.args(["root=/dev/ubda", "rw", "init=/usr/local/sbin/node-init"]);
        kernel.args(["con=null", "con0=null,fd:1", "quiet", "panic=1"]);
        kernel.arg(format!("{SPEC_ARGUMENT}={}", self.layout.guest(self.name()).display()));
        kernel.env("LD_PRELOAD", self.layout.shim());
        kernel
    }
}
