//! What ties a helper process to the process that started it.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Asks the kernel to kill this process when the thread that started it ends, and finds out whether that has already
/// happened: then nobody would ever send the signal.
///
/// # Errors
/// `SRCH` if `parent` is gone already: the caller should leave.
pub fn die_with(parent: u32) -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let alive = getppid().map(Pid::as_raw_pid) == i32::try_from(parent).ok();
    if alive { Ok(()) } else { Err(Errno::SRCH) }
}
