//! kubectl, and any other program, inside the cluster's network; images.

use super::{Cluster, NoSuchProgram};
use crate::host::command::{CommandError, Ended, command, run, run_any};
use crate::host::namespace::NamespaceError;
use crate::machine::{Machine, RunError};
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// Time for one call of kubectl.
const LIMIT: Duration = Duration::from_secs(120);

/// Time for an image.
const IMPORT_TIME_MAX: Duration = Duration::from_secs(600);

/// A program in the cluster's network that did not work.
#[derive(Debug, thiserror::Error)]
pub enum KubectlError {
    /// The program does not exist.
    #[error(transparent)]
    Program(#[from] NoSuchProgram),
    /// The network namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// It failed; its own words are in the message.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It could not be started.
    #[error("cannot start it")]
    Start(#[from] io::Error),
}

/// An image that did not reach a machine.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive cannot be shared with the machines.
    #[error("cannot share {0} with the machines")]
    Share(String, #[source] io::Error),
    /// A machine refused it.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Cluster {
    /// Runs kubectl as a user, which must succeed; gives its standard output as text.
    pub fn kubectl(&self, user: &str, arguments: &[&str]) -> Result<String, KubectlError> {
        self.kubectl_with(user, arguments, b"")
    }

    /// As [`Cluster::kubectl`], with standard input: `apply -f -`.
    pub fn kubectl_with(&self, user: &str, arguments: &[&str], input: &[u8]) -> Result<String, KubectlError> {
        let mut kubectl = self.command("kubectl", user)?;
        kubectl.args(arguments);
        let output = self.namespace.within(|| Ok::<_, KubectlError>(run(&mut kubectl, input, LIMIT)?))?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Runs kubectl where a failure is an answer too.
    pub fn try_kubectl(&self, user: &str, arguments: &[&str], input: &[u8]) -> Result<Ended, KubectlError> {
        let mut kubectl = self.command("kubectl", user)?;
        kubectl.args(arguments);
        self.namespace.within(|| Ok(run_any(&mut kubectl, input, LIMIT)?))
    }

    /// One of the cluster's programs with a user's kubeconfig, to be completed by the caller and run with
    /// [`Cluster::run`] or [`Cluster::run_attached`].
    pub fn command(&self, program: &str, user: &str) -> Result<Command, NoSuchProgram> {
        let mut command = command(&[self.program(program)?]);
        command.env("KUBECONFIG", self.kubeconfig(user));
        Ok(command)
    }

    /// Runs a host program inside the cluster's network; it must succeed within `limit`.
    pub fn run(&self, command: &mut Command, input: &[u8], limit: Duration) -> Result<Vec<u8>, KubectlError> {
        self.namespace.within(|| Ok(run(command, input, limit)?))
    }

    /// Runs a host program inside the cluster's network, where a failure is an answer too.
    pub fn try_run(
        &self,
        command: &mut Command,
        input: &[u8],
        limit: Duration,
    ) -> Result<Ended, KubectlError> {
        self.namespace.within(|| Ok(run_any(command, input, limit)?))
    }

    /// Runs a host program inside the cluster's network with this process's own input and output, to its end.
    pub fn run_attached(&self, command: &mut Command) -> Result<ExitStatus, KubectlError> {
        self.namespace.within(|| Ok(command.status()?))
    }

    /// Gives every worker's containerd the image in a docker-archive tar.
    pub fn import_image(&self, archive: &Path) -> Result<(), ImportError> {
        let shared = self
            .share(archive)
            .map_err(|source| ImportError::Share(archive.display().to_string(), source))?;
        let import = |machine: &Machine| {
            let argv = ["ctr", "--namespace", "k8s.io", "images", "import", &shared];
            let output = machine.run_within(&argv, b"", IMPORT_TIME_MAX)?;
            if output.code == 0 {
                return Ok(());
            }
            Err(RunError::Failed { machine: machine.name(), command: argv.join(" "), output })
        };
        let workers: Vec<Machine> =
            self.machines().filter(|machine| machine.plan().pods().is_some()).collect();
        std::thread::scope(|scope| {
            let jobs: Vec<_> = workers.iter().map(|machine| scope.spawn(|| import(machine))).collect();
            for job in jobs {
                job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(())
        })
    }
}
