//! What can go wrong with a machine, on purpose. Every fault lasts until its counterpart is called or the cluster goes
//! down.

use super::{Machine, RunError};
use crate::host::namespace::NamespaceError;
use crate::host::network;
use crate::host::process::{Process, ProcessError};
use rustix::process::Signal;
use std::time::Duration;

/// A fault that could not be made or undone.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The kernel's process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The cable.
    #[error(transparent)]
    Network(#[from] NamespaceError),
    /// The machine's own help was needed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It was never started.
    #[error("the machine {0} was never started")]
    NeverStarted(&'static str),
}

impl Machine {
    /// Stops the whole machine, as a hang would: it keeps its connections and answers nothing.
    pub fn freeze(&self) -> Result<(), FaultError> {
        Ok(self.kernel()?.signal(Signal::STOP)?)
    }

    /// Ends [`Machine::freeze`].
    pub fn thaw(&self) -> Result<(), FaultError> {
        Ok(self.kernel()?.signal(Signal::CONT)?)
    }

    /// Takes the machine off the cluster's network. Commands still reach it: they have a network of their own.
    pub fn pull_cable(&self) -> Result<(), FaultError> {
        Ok(self.namespace.ip(&[network::pull(&self.plan.tap())])?)
    }

    /// Ends [`Machine::pull_cable`].
    pub fn plug_cable(&self) -> Result<(), FaultError> {
        Ok(self.namespace.ip(&[network::plug(&self.plan.tap())])?)
    }

    /// Delays every frame that the machine sends to the cluster's network by `delay` and loses `loss_percent` of them;
    /// replaces an earlier setting. Done in the machine, over the command network: its kernel surely has netem, the
    /// host's need not.
    pub fn set_latency(&self, delay: Duration, loss_percent: f32) -> Result<(), FaultError> {
        let (delay, loss) = (format!("{}us", delay.as_micros()), format!("{loss_percent}%"));
        let netem =
            ["tc", "qdisc", "replace", "dev", "vec0", "root", "netem", "limit", "100000", "delay", &delay];
        let mut argv = netem.to_vec();
        argv.extend(["loss", &loss]);
        self.run(&argv)?;
        Ok(())
    }

    /// Ends [`Machine::set_latency`]; fine if there is none.
    pub fn clear_latency(&self) -> Result<(), FaultError> {
        self.run(&["tc", "qdisc", "replace", "dev", "vec0", "root", "pfifo"])?;
        Ok(())
    }

    /// Switches the machine off without telling it. What it wrote to its disks stays; [`Machine::boot`] starts it.
    pub fn cut_power(&self) -> Result<(), FaultError> {
        Ok(self.kernel()?.kill()?)
    }

    fn kernel(&self) -> Result<Process, FaultError> {
        self.process()?.ok_or(FaultError::NeverStarted(self.name()))
    }
}
