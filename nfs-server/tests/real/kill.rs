//! Killing a program when it is about to make the n-th system call that matters.

use std::process::Command;

use workspacefs_testkit::step::{Call, killed_at_call};

/// Runs `mkfs.xfs` with these arguments and kills it when it is about to make its n-th write to the device. False if it
/// ended before that.
pub fn mkfs_killed_at(arguments: &[&str], write: usize) -> bool {
    // The shell waits until it is traced.
    let line = format!("echo ready; read line; exec mkfs.xfs {} > /dev/null 2>&1", arguments.join(" "));
    let is_write = |call: &Call| call.number == libc::SYS_pwrite64;
    killed_at_call(Command::new("sh").args(["-c", &line]), write, is_write)
}

/// Runs this program as `step ARGUMENTS` and kills it when it is about to make its n-th change to the disk. False if it
/// ended before that.
pub fn step_killed_at(arguments: &[&str], change: usize) -> bool {
    killed_at_call(Command::new("/proc/self/exe").arg("step").args(arguments), change, is_change)
}

/// Whether a call changes what is on the disk.
fn is_change(call: &Call) -> bool {
    const FS_IOC_FSSETXATTR: u64 = 0x401c_5820;
    const Q_XSETQLIM_PROJECT: u64 = 0x5804 << 8 | 2;
    let command = call.arguments[1] & 0xffff_ffff;
    match call.number {
        libc::SYS_ioctl => command == FS_IOC_FSSETXATTR,
        libc::SYS_quotactl_fd => command == Q_XSETQLIM_PROJECT,
        // Creating a file, too.
        libc::SYS_openat2 => true,
        number => [
            libc::SYS_write,
            libc::SYS_fsync,
            libc::SYS_mkdirat,
            libc::SYS_fchown,
            libc::SYS_fchmod,
            libc::SYS_renameat,
            libc::SYS_renameat2,
            libc::SYS_unlinkat,
        ]
        .contains(&number),
    }
}
