//! Stepping a process through its system calls, and killing it at one of them: before the call or after it, in
//! whichever thread. Every point at which a process can die with different effects is one of these borders.
//!
//! Processes that the stepped one starts are left alone, and so are the other children of whoever steps it: only its
//! own process group is waited for.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdout, Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid};

/// What a program says on a line of its output before it waits for a line of input: then it is stepped.
const READY: &str = "ready\n";

/// A process that stands still from one step to the next.
#[derive(Debug)]
pub struct Stepper {
    process: Pid,
    /// As waitpid(2) names it.
    group: Pid,
    /// Threads that stand still, each with the signal that it has yet to get.
    stopped: Vec<(Pid, Option<Signal>)>,
    /// So that it can go on writing.
    _output: Option<BufReader<ChildStdout>>,
}

/// A border of a system call at which the process stands.
#[derive(Clone, Copy, Debug)]
pub struct Border(Pid);

/// A system call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// `SYS_*`.
    pub number: i64,
    /// The first two arguments.
    pub arguments: [u64; 2],
}

/// Starts a program as [`Stepper::start`] does and kills it at border number `at`. False if it ended well before that.
///
/// # Panics
/// As [`Stepper::step`].
pub fn killed_at(program: &mut Command, at: usize) -> bool {
    let mut stepper = Stepper::start(program);
    let reached = (0..at).all(|_| stepper.step().is_some());
    if reached {
        stepper.kill();
    }
    reached
}

/// The same, but kills it when it is about to make its `nth` call, from 1, of a kind.
///
/// # Panics
/// As [`Stepper::step`].
#[cfg(target_arch = "x86_64")]
pub fn killed_at_call(program: &mut Command, nth: usize, kind: impl Fn(&Call) -> bool) -> bool {
    let mut stepper = Stepper::start(program);
    let mut seen = 0;
    while let Some(border) = stepper.step() {
        seen += usize::from(border.call().is_some_and(|call| kind(&call)));
        if seen == nth {
            stepper.kill();
            return true;
        }
    }
    false
}

impl Stepper {
    /// Starts a program, which says `ready` on a line and then waits for a line. When this returns it has been given
    /// that, and stands still. It dies with this process.
    ///
    /// # Panics
    /// It cannot be started, or says something else.
    // Its threads are waited for, below, and it with them.
    #[allow(clippy::zombie_processes)]
    pub fn start(program: &mut Command) -> Self {
        let child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot start {program:?}: {error}"));
        let mut output = child.stdout.take().map(BufReader::new);
        let mut line = String::new();
        let read = output.as_mut().map(|output| output.read_line(&mut line));
        assert!(matches!(read, Some(Ok(_))) && line == READY, "{program:?} says {line:?}");
        let process = Pid::from_raw(child.id().cast_signed());
        let mut stepper = Self::seize(process, Options::PTRACE_O_EXITKILL);
        let written = child.stdin.take().map(|mut input| input.write_all(b"go\n"));
        assert!(matches!(written, Some(Ok(()))), "{program:?} takes no line");
        stepper._output = output;
        stepper
    }

    /// Takes hold of a running process. It runs on when this process ends.
    ///
    /// # Panics
    /// It cannot be traced.
    pub fn of(process: Pid) -> Self {
        Self::seize(process, Options::empty())
    }

    /// With all its threads, and those that it will have.
    fn seize(process: Pid, further: Options) -> Self {
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | further;
        let group = getpgid(Some(process)).map(|group| Pid::from_raw(-group.as_raw()));
        let group = group.unwrap_or_else(|errno| panic!("there is no process {process}: {errno}"));
        let (mut tried, mut stopped) = (Vec::new(), Vec::new());
        // Until all stand still: some may end meanwhile, and others begin.
        while let Some(thread) = threads(process).into_iter().find(|thread| !tried.contains(thread)) {
            tried.push(thread);
            stopped.extend(halt(process, thread, options));
        }
        Self { process, group, stopped, _output: None }
    }

    /// Lets it run to the next border of a system call of any thread. None if it has ended, well.
    ///
    /// # Panics
    /// It failed, or was killed by somebody else.
    pub fn step(&mut self) -> Option<Border> {
        self.stopped.drain(..).for_each(|(thread, signal)| resume(thread, signal));
        loop {
            match wait(self.group) {
                WaitStatus::PtraceSyscall(thread) => {
                    self.stopped.push((thread, None));
                    return Some(Border(thread));
                }
                // A new thread, or the one that made it.
                WaitStatus::PtraceEvent(thread, ..) => resume(thread, None),
                WaitStatus::Stopped(thread, signal) => resume(thread, Some(signal)),
                WaitStatus::Exited(thread, code) if thread == self.process => {
                    assert_eq!(code, 0, "what was stepped failed by itself");
                    return None;
                }
                WaitStatus::Exited(..) => {}
                other => panic!("what was stepped ended by itself: {other:?}"),
            }
        }
    }

    /// Kills it where it stands, and waits until it is gone.
    ///
    /// # Panics
    /// It is gone already.
    pub fn kill(self) {
        kill(self.process, Signal::SIGKILL).unwrap_or_else(|errno| panic!("cannot kill: {errno}"));
        loop {
            match wait(self.group) {
                WaitStatus::Signaled(thread, ..) | WaitStatus::Exited(thread, _)
                    if thread == self.process =>
                {
                    return;
                }
                _ => {}
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Border {
    /// The call, if it has yet to be made.
    pub fn call(self) -> Option<Call> {
        let registers = ptrace::getregs(self.0).ok()?;
        // Both borders show the call's number; the first one has the kernel's mark for "no result yet".
        let is_before = registers.rax as i64 == -i64::from(nix::libc::ENOSYS);
        let number = i64::try_from(registers.orig_rax).ok()?;
        is_before.then_some(Call { number, arguments: [registers.rdi, registers.rsi] })
    }
}

fn threads(process: Pid) -> Vec<Pid> {
    let listed = std::fs::read_dir(format!("/proc/{process}/task"));
    let listed = listed.unwrap_or_else(|error| panic!("there is no process {process}: {error}"));
    let thread = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    listed.filter_map(thread).map(Pid::from_raw).collect()
}

/// Makes a thread stand still; None if it has ended, or will be heard of because the one that made it is traced.
fn halt(process: Pid, thread: Pid, options: Options) -> Option<(Pid, Option<Signal>)> {
    match ptrace::seize(thread, options).and_then(|()| ptrace::interrupt(thread)) {
        Ok(()) => {}
        Err(Errno::ESRCH | Errno::EPERM) if thread != process => return None,
        Err(errno) => panic!("cannot trace {thread}: {errno}"),
    }
    match wait(thread) {
        WaitStatus::PtraceEvent(..) => Some((thread, None)),
        WaitStatus::Stopped(_, signal) => Some((thread, Some(signal))),
        WaitStatus::Exited(..) if thread != process => None,
        other => panic!("{thread} cannot be stopped: {other:?}"),
    }
}

fn wait(whom: Pid) -> WaitStatus {
    waitpid(whom, Some(WaitPidFlag::__WALL)).unwrap_or_else(|errno| panic!("cannot wait for {whom}: {errno}"))
}

fn resume(thread: Pid, signal: Option<Signal>) {
    match ptrace::syscall(thread, signal) {
        // It went with its process.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("cannot resume {thread}: {errno}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// A folder, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("wsfs-step-{name}-{}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// Which of the two files are there; they are not any more, then.
        fn take(&self) -> [bool; 2] {
            ["first", "second"].map(|name| std::fs::remove_file(self.0.join(name)).is_ok())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Makes two files, one after the other, each after a call by which it is known.
    fn program(folder: &Path) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "echo ready; read line; cd /; : > \"$0/first\"; cd /; : > \"$0/second\""])
            .arg(folder);
        shell
    }

    #[test]
    fn at_some_border_each_effect_is_there_and_the_next_is_not() {
        let folder = Folder::new("border");
        let mut seen = Vec::new();
        for at in 0.. {
            let killed = killed_at(&mut program(&folder.0), at);
            seen.push(folder.take());
            if !killed {
                break;
            }
        }
        assert!(seen.len() > 10, "{seen:?}");
        seen.dedup();
        assert_eq!(seen, [[false, false], [true, false], [true, true]]);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_program_is_killed_before_its_nth_call_of_a_kind() {
        let folder = Folder::new("call");
        for (nth, killed, made) in
            [(1, true, [false, false]), (2, true, [true, false]), (3, false, [true, true])]
        {
            let is_change = |call: &Call| call.number == nix::libc::SYS_chdir;
            assert_eq!(killed_at_call(&mut program(&folder.0), nth, is_change), killed, "{nth}");
            assert_eq!(folder.take(), made, "{nth}");
        }
    }

    #[test]
    fn another_child_of_ours_is_not_waited_for() {
        let mut other = Command::new("true").spawn().unwrap();
        let folder = Folder::new("other");
        assert!(!killed_at(&mut program(&folder.0), usize::MAX));
        assert_eq!(folder.take(), [true, true]);
        assert!(other.wait().unwrap().success());
    }
}
