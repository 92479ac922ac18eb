//! Stepping through a program's system calls, and killing it before or after the n-th that matters.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// pwrite64, by which mkfs.xfs writes to its device.
pub const PWRITE: u64 = 18;

/// Runs `mkfs.xfs` with these arguments and kills it when it is about to make its n-th call of pwrite64. False if it ended
/// before that.
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
    let mut seen = 0;
    let killed = loop {
        if !step(pid) {
            break false;
        }
        // Both borders of a call show its number; the first one has the kernel's mark for "no result yet".
        let registers = ptrace::getregs(pid).unwrap();
        let entering = registers.rax as i64 == -i64::from(nix::libc::ENOSYS);
        if registers.orig_rax == PWRITE && entering {
            seen += 1;
            if seen == write {
                break true;
            }
        }
    };
    end(child, killed);
    killed
}

/// Runs this program as `step ARGUMENTS`, which says "ready" and waits for a line, and kills it at its n-th stop after that:
/// before or after a system call. False if it ended before that.
pub fn step_killed_at(arguments: &[&str], stop: usize) -> bool {
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
    let killed = (0..stop).all(|_| step(pid));
    end(child, killed);
    killed
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
