//! Faults that end with their scope: whatever becomes of a case, the cluster is whole again after it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::context::Context;
use crate::Machine;
use crate::host::process::Process;
use crate::machine::Plugged;
use crate::topology::Drive;

/// What is broken; dropping it repairs it.
#[must_use = "the fault ends when this is dropped"]
pub struct Fault {
    repair: Option<Repair>,
}

type Repair = Box<dyn FnOnce() -> Result<()> + Send>;

impl Fault {
    /// What undoes it.
    pub(super) fn new(repair: impl FnOnce() -> Result<()> + Send + 'static) -> Fault {
        Fault { repair: Some(Box::new(repair)) }
    }

    /// Repairs it now and says whether that worked.
    pub async fn end(mut self) -> Result<()> {
        match self.repair.take() {
            Some(repair) => tokio::task::spawn_blocking(repair).await.context("the repair panicked")?,
            None => Ok(()),
        }
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        if let Some(repair) = self.repair.take()
            && let Err(error) = repair()
        {
            println!("a fault could not be undone: {error:#}");
        }
    }
}

impl Context {
    /// Freezes a machine.
    pub fn freeze(&self, machine: &str) -> Result<Fault> {
        let machine = self.machine(machine)?;
        machine.freeze()?;
        Ok(Fault::new(move || Ok(machine.thaw()?)))
    }

    /// Pulls a machine's cable.
    pub fn unplug(&self, machine: &str) -> Result<Fault> {
        let machine = self.machine(machine)?;
        machine.pull_cable()?;
        Ok(Fault::new(move || Ok(machine.plug_cable()?)))
    }

    /// Delays everything that a machine sends to the others.
    pub fn slow_down(&self, machine: &str, delay: Duration) -> Result<Fault> {
        let machine = self.machine(machine)?;
        let slowed = machine.clone();
        // Before the link is touched: a setting that fails half-way is undone as well.
        let fault = Fault::new(move || Ok(slowed.clear_latency()?));
        machine.set_latency(delay, 0.0)?;
        Ok(fault)
    }

    /// Cuts a machine's power; the repair boots it.
    pub fn power_cut(&self, machine: &str) -> Result<Fault> {
        let machine = self.machine(machine)?;
        machine.cut_power()?;
        Ok(Fault::new(move || boot(&machine)))
    }

    /// Reboots a machine with these drives in this order; the repair reboots it with all as usual.
    pub fn reboot_with(&self, machine: &str, drives: &[Plugged]) -> Result<Fault> {
        let machine = self.machine(machine)?;
        let rebooted = machine.clone();
        let fault = Fault::new(move || {
            rebooted.cut_power()?;
            boot(&rebooted)
        });
        machine.reboot_with(drives)?;
        Ok(fault)
    }

    /// Pulls one of a machine's drives: everything that is asked of it fails.
    pub fn pull_drive(&self, machine: &str, drive: Drive) -> Result<Fault> {
        let machine = self.machine(machine)?;
        machine.pull_drive(drive)?;
        Ok(Fault::new(move || Ok(machine.plug_drive(drive)?)))
    }

    /// Changes a kernel setting of a machine.
    pub fn sysctl(&self, machine: &str, name: &'static str, value: &str) -> Result<Fault> {
        let machine = self.machine(machine)?;
        let before = machine.run(&["sysctl", "--values", name])?.trim().to_owned();
        machine.run(&["sysctl", "--write", &format!("{name}={value}")])?;
        Ok(Fault::new(move || {
            Ok(machine.run(&["sysctl", "--write", &format!("{name}={before}")]).map(drop)?)
        }))
    }

    /// Stops a program of the control plane, as a hang would.
    pub fn hang(&self, program: &'static str) -> Result<Fault> {
        let found = Process::read(&self.cluster().layout().processes(), program)?;
        let process = found.with_context(|| format!("{program} was never started"))?;
        process.signal(Signal::STOP)?;
        Ok(Fault::new(move || Ok(process.signal(Signal::CONT)?)))
    }
}

fn boot(machine: &Machine) -> Result<()> {
    Ok(machine.boot()?)
}
