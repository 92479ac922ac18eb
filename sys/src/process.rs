//! What ties a helper process to the process that started it, and what keeps a thread in the background.

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

/// Lets the calling thread work only where nobody else wants the processor or the disk.
///
/// # Errors
/// Never for one's own thread on a kernel that has the calls.
pub fn be_last() -> Result<(), Errno> {
    // To Linux, process 0 is the calling thread.
    rustix::process::setpriority_process(None, LOWEST_PRIORITY)?;
    idle_disk_priority()
}

const LOWEST_PRIORITY: i32 = 19;

#[allow(unsafe_code)]
fn idle_disk_priority() -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    const IOPRIO_CLASS_IDLE: libc::c_int = 3;
    const IOPRIO_CLASS_SHIFT: libc::c_int = 13;
    // SAFETY: three numbers go in, nothing is written; 0 names the calling thread.
    let result = unsafe {
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT)
    };
    if result == 0 { Ok(()) } else { Err(crate::project::last_errno()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_in_the_background_leaves_the_others_as_they_are() {
        let before = rustix::process::getpriority_process(None).unwrap();
        let inside = std::thread::spawn(|| {
            be_last().unwrap();
            rustix::process::getpriority_process(None).unwrap()
        });
        assert_eq!(inside.join().unwrap(), LOWEST_PRIORITY);
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
    }
}
