//! From the kernel's hand-over to a machine that answers: reads the description and carries it out in order.

use crate::children::Children;
use crate::commands;
use crate::services::{self, StepError};
use crate::system::{self, SystemError};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::sync::Arc;
use workspacefs_node_init::spec::{MACHINE_DIR, MachineSpec, SPEC_ARGUMENT, SPEC_FILE, Step};

/// Why a machine did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Mounts, control groups, files.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The kernel was started without the argument.
    #[error("the kernel's command line has no {SPEC_ARGUMENT}=FOLDER")]
    NoArgument,
    /// No readable description.
    #[error("cannot read the machine's description")]
    Unreadable(#[source] io::Error),
    /// A description of another version.
    #[error("the machine's description is not understood")]
    Malformed(#[source] serde_json::Error),
    /// sethostname(2).
    #[error("cannot set the host name")]
    Hostname(#[source] Errno),
    /// A program of the set-up.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The command channel's port.
    #[error("cannot listen for commands")]
    Listen(#[source] io::Error),
}

/// Brings the machine up and then serves commands; returns only on failure.
pub fn boot(children: &Arc<Children>) -> Result<(), BootError> {
    system::mount_all()?;
    let spec = read_spec()?;
    println!("node-init: {} starts", spec.hostname);
    for folder in &spec.host_folders {
        system::mount_one("hostfs", "none", &folder.target, &folder.source)?;
    }
    rustix::system::sethostname(spec.hostname.as_bytes()).map_err(BootError::Hostname)?;
    services::run(children, &modprobe(&spec.modules))?;
    for (name, value) in &spec.sysctls {
        system::set(&format!("/proc/sys/{name}"), value)?;
    }
    for file in &spec.files {
        system::write_file(&file.path, &file.content, file.mode)?;
    }
    for argv in network(&spec) {
        services::run(children, &argv)?;
    }
    for step in &spec.steps {
        match step {
            Step::Run { argv } => services::run(children, argv)?,
            Step::Serve { name, argv, ready_path } => {
                services::serve(children, name, argv)?;
                if let Some(path) = ready_path {
                    services::wait_for_path(name, path)?;
                }
            }
        }
    }
    println!("node-init: {} is up", spec.hostname);
    commands::serve(children, spec.commands).map_err(BootError::Listen)
}

fn read_spec() -> Result<MachineSpec, BootError> {
    let arguments = fs::read_to_string("/proc/cmdline").map_err(BootError::Unreadable)?;
    let folder = argument(&arguments, SPEC_ARGUMENT).ok_or(BootError::NoArgument)?;
    system::mount_one("hostfs", "none", MACHINE_DIR, folder)?;
    let text = fs::read(format!("{MACHINE_DIR}/{SPEC_FILE}")).map_err(BootError::Unreadable)?;
    serde_json::from_slice(&text).map_err(BootError::Malformed)
}

/// The value of `name=value` in a kernel command line.
fn argument<'a>(arguments: &'a str, name: &str) -> Option<&'a str> {
    arguments.split_whitespace().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
}

fn modprobe(modules: &[String]) -> Vec<String> {
    let mut argv = words("modprobe -a");
    argv.extend(modules.iter().cloned());
    argv
}

/// The commands that set up the network.
fn network(spec: &MachineSpec) -> Vec<Vec<String>> {
    let mut commands = vec![words("ip link set lo up")];
    for link in &spec.links {
        commands.push(words(&format!("ip address add {} dev {}", link.address, link.device)));
        commands.push(words(&format!("ip link set {} up", link.device)));
    }
    for route in &spec.routes {
        commands.push(words(&format!("ip route add {} via {}", route.to, route.via)));
    }
    commands
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_is_found_by_its_whole_name() {
        let line = "root=/dev/ubda xwsfs.machine=/no wsfs.machine=/a/b quiet\n";
        assert_eq!(argument(line, SPEC_ARGUMENT), Some("/a/b"));
        assert_eq!(argument("wsfs.machinery=/a", SPEC_ARGUMENT), None);
    }
}
