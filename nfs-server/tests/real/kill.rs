//! Stepping through a program's system calls, and killing it before the n-th that matters.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use nix::libc::{self, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Runs `mkfs.xfs` with these arguments and kills it when it is about to make its n-th write to the device. False if it
/// ended before that.
pub fn mkfs_killed_at(arguments: &[&str], write: usize) -> bool {
    // The shell waits until it is traced.
    let line = format!("read line; exec mkfs.xfs {}", arguments.join(" "));
    let mut child = Command::new("sh")
        .args(["-c", &line])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = pid(&child);
    seize(pid);
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let is_write = |registers: &user_regs_struct| registers.orig_rax == libc::SYS_pwrite64 as u64;
    let killed = runs_to(pid, write, is_write);
    end(child, killed);
    killed
}

/// Runs this program as `step ARGUMENTS`, which says "ready" and waits for a line, and kills it when it is about to make its
/// n-th change to the disk after that. False if it ended before that.
pub fn step_killed_at(arguments: &[&str], change: usize) -> bool {
    let mut child = Command::new("/proc/self/exe")
        .arg("step")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = pid(&child);
    seize(pid);
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let killed = runs_to(pid, change, is_change);
    end(child, killed);
    killed
}

/// Whether a call changes what is on the disk.
fn is_change(registers: &user_regs_struct) -> bool {
    const FS_IOC_FSSETXATTR: u64 = 0x401c_5820;
    const Q_XSETQLIM_PROJECT: u64 = 0x5804 << 8 | 2;
    let call = i64::try_from(registers.orig_rax).unwrap_or(-1);
    match call {
        libc::SYS_ioctl => registers.rsi & 0xffff_ffff == FS_IOC_FSSETXATTR,
        libc::SYS_quotactl_fd => registers.rsi & 0xffff_ffff == Q_XSETQLIM_PROJECT,
        // Creating a file, too.
        libc::SYS_openat2 => true,
        _ => [
            libc::SYS_write,
            libc::SYS_fsync,
            libc::SYS_mkdirat,
            libc::SYS_fchown,
            libc::SYS_fchmod,
            libc::SYS_renameat,
            libc::SYS_renameat2,
            libc::SYS_unlinkat,
        ]
        .contains(&call),
    }
}

/// Lets a program run until it is about to make its n-th call of a kind. False if it ended before that.
fn runs_to(pid: Pid, number: usize, kind: impl Fn(&user_regs_struct) -> bool) -> bool {
    let mut seen = 0;
    while step(pid) {
        // Both borders of a call show its number; the first one has the kernel's mark for "no result yet".
        let registers = ptrace::getregs(pid).unwrap();
        let entering = registers.rax as i64 == -i64::from(libc::ENOSYS);
        if entering && kind(&registers) {
            seen += 1;
            if seen == number {
                return true;
            }
        }
    }
    false
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

fn end(mut child: Child, killed: bool) {
    if killed {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn seize(pid: Pid) {
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD).unwrap();
    ptrace::interrupt(pid).unwrap();
    assert!(wait(pid), "it ended before it was told to begin");
}

/// To the next border of a system call. False if the program has ended.
fn step(pid: Pid) -> bool {
    ptrace::syscall(pid, None).unwrap();
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::PtraceSyscall(_) => return true,
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0, "the program failed by itself");
                return false;
            }
            WaitStatus::Signaled(_, signal, _) => panic!("the program died by itself: {signal}"),
            // A signal is passed on and does not count; so does the stop that an exec makes.
            WaitStatus::Stopped(_, signal) => {
                let signal = (signal != nix::sys::signal::Signal::SIGTRAP).then_some(signal);
                ptrace::syscall(pid, signal).unwrap();
            }
            _ => ptrace::syscall(pid, None).unwrap(),
        }
    }
}

fn wait(pid: Pid) -> bool {
    !matches!(
        waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap(),
        WaitStatus::Exited(..) | WaitStatus::Signaled(..)
    )
}
