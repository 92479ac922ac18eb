//! Resident memory of our processes on a machine.

use anyhow::{Result, ensure};
use workspacefs_e2e::Machine;

use super::IDLE;

/// Where the node plugin's program lies, as a pattern: in its container, or anywhere.
pub const INSTALLED: &str = "*/csi-driver";

/// Resident memory, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The node plugin, with its watches on the API server.
    pub node_plugin: u64,
    /// One helper process.
    pub helper: u64,
}

/// What a node plugin, whose program has that path (a pattern of the shell), and one of its helpers of that role take once they
/// have had nothing to do for a while.
pub fn idle(machine: &Machine, program: &str, helper: &str) -> Result<Memory> {
    std::thread::sleep(IDLE);
    Ok(Memory {
        node_plugin: resident(machine, program, "node")?,
        helper: resident(machine, program, helper)?,
    })
}

fn resident(machine: &Machine, program: &str, role: &str) -> Result<u64> {
    // By program and arguments: the shell that looks has the same words in its own.
    let line = format!(
        "for p in /proc/[0-9]*; do \
           case $(readlink $p/exe) in {program}) ;; *) continue ;; esac; \
           tr '\\0' ' ' <$p/cmdline | grep -q ' {role} ' && awk '/^VmRSS/ {{print $2}}' $p/status; \
         done; true"
    );
    let found = machine.shell(&line)?;
    let first = found.lines().next().unwrap_or_default().trim();
    ensure!(!first.is_empty(), "no process `{role}` of {program} runs on {}", machine.name());
    Ok(first.parse()?)
}
