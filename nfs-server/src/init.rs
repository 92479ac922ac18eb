//! The container's first process. The kernel gives it every orphan to reap, and no default action for signals: so it does
//! only that, and the agent proper is its child. It ends with the agent, and the kernel ends everything else with it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

/// What shells say of a process that ended by a signal.
const BY_SIGNAL: i32 = 128;

/// Whether this process is the first one of its container.
pub fn is_first() -> bool {
    std::process::id() == 1
}

/// Runs this same command line as a child, passes on SIGTERM and SIGINT, and reaps until the child ends.
///
/// # Errors
/// The child cannot be started.
pub fn run() -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        // Before the child: a signal meanwhile waits for the first turn of the loop.
        let mut children = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let program = std::env::current_exe().context("cannot find our own program")?;
        let agent = Command::new(program).args(std::env::args_os().skip(1)).spawn();
        let agent = agent.context("cannot start the agent")?;
        let agent =
            i32::try_from(agent.id()).ok().and_then(Pid::from_raw).context("a child without an id")?;
        loop {
            tokio::select! {
                _ = children.recv() => {}
                _ = terminate.recv() => pass_on(agent, Signal::TERM),
                _ = interrupt.recv() => pass_on(agent, Signal::INT),
            }
            if let Some(code) = reap(agent) {
                return Ok(ExitCode::from(code));
            }
        }
    })
}

fn pass_on(agent: Pid, signal: Signal) {
    if let Err(errno) = kill_process(agent, signal) {
        eprintln!("nfs-server: cannot pass a signal on: {errno}");
    }
}

/// Reaps whatever has ended. The agent's exit code, if it was among them.
fn reap(agent: Pid) -> Option<u8> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == agent {
            let status = ExitStatus::from_raw(status.as_raw());
            let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
            ended = Some(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX));
        }
    }
    ended
}
