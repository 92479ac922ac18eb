//! What can go wrong with a machine, on purpose. Every fault lasts until its counterpart is called or the cluster goes
//! down.

use super::{BootError, Machine, Plugged, RunError};
use crate::host::namespace::NamespaceError;
use crate::host::network;
use crate::host::process::{Process, ProcessError};
use crate::topology::Drive;
use rustix::process::Signal;
use std::io;
use std::path::PathBuf;
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
    /// It does not come up again.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The image of a disk.
    #[error("cannot change {}", path.display())]
    Image {
        /// It.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// blockdev says no number.
    #[error("{0} says that a disk has `{1}` sectors")]
    Size(&'static str, String),
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

    /// Switches the machine off without telling it and on again, with these drives in this order: they get other names, and
    /// one that is not among them is not there. The next [`Machine::boot`] plugs all in as usual.
    pub fn reboot_with(&self, drives: &[Plugged]) -> Result<(), FaultError> {
        self.cut_power()?;
        Ok(self.boot_with(drives)?)
    }

    /// Pulls a drive, as far as this kernel can lose one: whatever is asked of it from now on fails with an I/O error, and its
    /// name and size stay. (An image that is cut to nothing would not do: this kernel reads zeros beyond a file's end, and
    /// writes make the file longer.)
    pub fn pull_drive(&self, drive: Drive) -> Result<(), FaultError> {
        self.set_pulled(drive, true).map_err(image)
    }

    /// Ends [`Machine::pull_drive`]. What was on it is there again.
    pub fn plug_drive(&self, drive: Drive) -> Result<(), FaultError> {
        self.set_pulled(drive, false).map_err(image)
    }

    fn kernel(&self) -> Result<Process, FaultError> {
        self.process()?.ok_or(FaultError::NeverStarted(self.name()))
    }
}

fn image((path, source): (PathBuf, io::Error)) -> FaultError {
    FaultError::Image { path, source }
}
