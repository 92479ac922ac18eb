//! What can go wrong with a machine, on purpose. Every fault lasts until its counterpart is called or the cluster goes
//! down; none needs the machine's help.

use super::Machine;
use crate::host::namespace::NamespaceError;
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
        Ok(self
            .namespace
            .ip(&[format!("link set {} down", self.plan.tap())])?)
    }

    /// Ends [`Machine::pull_cable`].
    pub fn plug_cable(&self) -> Result<(), FaultError> {
        Ok(self.namespace.ip(&[format!("link set {} up", self.plan.tap())])?)
    }

    /// Delays every frame to the machine by `delay` and loses `loss_percent` of them; replaces an earlier setting.
    pub fn set_latency(&self, delay: Duration, loss_percent: f32) -> Result<(), FaultError> {
        let (tap, delay, loss) = (
            self.plan.tap(),
            format!("{}us", delay.as_micros()),
            format!("{loss_percent}%"),
        );
        let netem = [
            "qdisc", "replace", "dev", &tap, "root", "netem", "limit", "100000", "delay", &delay,
        ];
        let mut arguments = netem.to_vec();
        arguments.extend(["loss", &loss]);
        Ok(self.namespace.tc(&arguments)?)
    }

    /// Ends [`Machine::set_latency`]; fine if there is none.
    pub fn clear_latency(&self) -> Result<(), FaultError> {
        // Replacing first makes the removal succeed in either case.
        self.set_latency(Duration::ZERO, 0.0)?;
        Ok(self
            .namespace
            .tc(&["qdisc", "del", "dev", &self.plan.tap(), "root"])?)
    }

    /// Switches the machine off without telling it. What it wrote to its disks stays; [`Machine::boot`] starts it.
    pub fn cut_power(&self) -> Result<(), FaultError> {
        Ok(self.kernel()?.kill()?)
    }

    fn kernel(&self) -> Result<Process, FaultError> {
        self.process()?.ok_or(FaultError::NeverStarted(self.name()))
    }
}
