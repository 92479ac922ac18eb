//! Processes that outlive the program that started them: each has a record of its id and start time, and a signal is
//! sent only to a process that still matches its record, never to one that got the same id later.

use crate::host::namespace::{Namespace, NamespaceError};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a killed process may take to go: its memory is freed first.
const KILL_TIME_MAX: Duration = Duration::from_secs(15);

/// Why a process cannot be started, read or ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The namespace it should live in.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// It could not be started.
    #[error("cannot start {name}")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its record cannot be read or written.
    #[error("cannot use the record {}", path.display())]
    Record {
        /// The record's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A signal was refused.
    #[error("cannot signal {name} (process {pid})")]
    Signal {
        /// Its name.
        name: String,
        /// Its id.
        pid: i32,
        /// Why.
        #[source]
        source: Errno,
    },
    /// It has ended, so there is nothing to signal.
    #[error("{name} does not run")]
    NotRunning {
        /// Its name.
        name: String,
    },
    /// It survived SIGKILL.
    #[error("{name} (process {pid}) does not end")]
    Stuck {
        /// Its name.
        name: String,
        /// Its id.
        pid: i32,
    },
}

/// A process that was started once; it may have ended since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// What it is, for messages.
    pub name: String,
    pid: i32,
    /// Clock ticks after the system's start, from /proc/PID/stat: with the id it names a process for ever.
    start_ticks: u64,
}

/// What /proc says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    session: i32,
    start_ticks: u64,
}

impl Process {
    /// Starts a program in the namespace, in a session of its own so that it outlives this process and its terminal,
    /// and writes its record into the folder `records`. Its output is appended to `log`.
    pub fn start(
        namespace: &Namespace,
        name: &str,
        program: &Command,
        log: &Path,
        records: &Path,
    ) -> Result<Process, ProcessError> {
        namespace.within(|| Process::start_outside(name, program, log, records))
    }

    /// The same in this thread's own network, for a process that belongs to a cluster and stands before it.
    pub fn start_outside(
        name: &str,
        program: &Command,
        log: &Path,
        records: &Path,
    ) -> Result<Process, ProcessError> {
        let failed = |source| ProcessError::Start { name: name.to_owned(), source };
        let log = open_log(log).map_err(failed)?;
        // setsid(1) becomes the program, with the same id: it forks only if it leads a process group.
        let mut launcher = Command::new("setsid");
        launcher.arg(program.get_program()).args(program.get_args()).current_dir("/");
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => launcher.env(name, value),
                None => launcher.env_remove(name),
            };
        }
        launcher.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
        let child = launcher.spawn().map_err(failed)?;
        let pid = child.id().cast_signed();
        let stat = read_stat(pid).ok_or_else(|| failed(io::Error::other("it ended at once")))?;
        let process = Process { name: name.to_owned(), pid, start_ticks: stat.start_ticks };
        process.write(records)?;
        Ok(process)
    }

    /// All records in a folder; a folder that does not exist has none.
    pub fn read_all(records: &Path) -> Result<Vec<Process>, ProcessError> {
        let failed = |source| ProcessError::Record { path: records.to_owned(), source };
        let entries = match fs::read_dir(records) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut processes = Vec::new();
        for entry in entries {
            let text = fs::read(entry.map_err(failed)?.path()).map_err(failed)?;
            // A record cut short by a crash: its process is found by its namespace.
            processes.extend(serde_json::from_slice::<Process>(&text).ok());
        }
        Ok(processes)
    }

    /// The record of that name, if there is one.
    pub fn read(records: &Path, name: &str) -> Result<Option<Process>, ProcessError> {
        Ok(Process::read_all(records)?.into_iter().find(|process| process.name == name))
    }

    fn write(&self, records: &Path) -> Result<(), ProcessError> {
        let path = records.join(&self.name);
        let write = || {
            fs::create_dir_all(records)?;
            fs::write(&path, serde_json::to_vec(self)?)
        };
        write().map_err(|source| ProcessError::Record { path: path.clone(), source })
    }

    /// Its id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it still runs (or is stopped): the same process, not another of the same id, and no zombie.
    pub fn runs(&self) -> bool {
        // A child of this very program stays a zombie until somebody looks.
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        read_stat(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && stat.state != 'Z')
    }

    /// Whether it was stopped with SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        self.runs() && read_stat(self.pid).is_some_and(|stat| stat.state == 'T')
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let pid = Pid::from_raw(self.pid)
            .filter(|_| self.runs())
            .ok_or_else(|| ProcessError::NotRunning { name: self.name.clone() })?;
        kill_process(pid, signal).map_err(|source| ProcessError::Signal {
            name: self.name.clone(),
            pid: self.pid,
            source,
        })
    }

    /// Ends it and what it started with SIGKILL and waits until all is gone; fine if it is gone already.
    pub fn kill(&self) -> Result<(), ProcessError> {
        // A user-mode kernel's guest processes and helpers are in its session. While one of them lives, the kernel
        // gives the session's id to nobody else, but once all are gone it may: so the leader must be ours.
        if !self.runs() {
            return Ok(());
        }
        let members = || processes().filter(|(pid, stat)| *pid == self.pid || stat.session == self.pid);
        kill_until_gone(&self.name, members)
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::options().create(true).append(true).open(path)
}

fn read_stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fields after the program's name, which stands in parentheses and may hold anything.
fn parse_stat(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    // The state is field 3 of the line, the start time field 22.
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// All processes that are no zombies.
fn processes() -> impl Iterator<Item = (i32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|pid| Some((pid, read_stat(pid)?))).filter(|(_, stat)| stat.state != 'Z')
}

/// Ends every process in the namespace but this one and the ones that wait for it, and waits until they are gone.
/// What is in a cluster's namespace was started for that cluster, whether or not its record was still written.
pub fn kill_all(namespace: &Namespace) -> Result<(), ProcessError> {
    let spared = with_ancestors(std::process::id().cast_signed());
    let others = || {
        let inside = namespace.processes();
        processes()
            .filter(|(pid, _)| !spared.contains(pid) && inside.contains(&pid.cast_unsigned()))
            .collect::<Vec<_>>()
    };
    kill_until_gone(namespace.name(), || others().into_iter())
}

fn kill_until_gone<I: Iterator<Item = (i32, Stat)>>(
    name: &str,
    targets: impl Fn() -> I,
) -> Result<(), ProcessError> {
    let started = Instant::now();
    loop {
        let mut last = None;
        for pid in targets().filter_map(|(pid, _)| Pid::from_raw(pid)) {
            // It may end by itself meanwhile.
            let _ = kill_process(pid, Signal::KILL);
            // A child of this very program stays a zombie until somebody looks.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            last = Some(pid.as_raw_nonzero().get());
        }
        match last {
            None => return Ok(()),
            Some(pid) if started.elapsed() > KILL_TIME_MAX => {
                return Err(ProcessError::Stuck { name: name.to_owned(), pid });
            }
            Some(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A process and its parents.
fn with_ancestors(mut pid: i32) -> Vec<i32> {
    let mut line = Vec::new();
    while pid > 0 && !line.contains(&pid) {
        line.push(pid);
        pid = read_stat(pid).map_or(0, |stat| stat.parent);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = "42 (a) b (c)) T 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21";
        assert_eq!(parse_stat(line), Some(Stat { state: 'T', parent: 1, session: 3, start_ticks: 777 }));
    }

    #[test]
    fn an_id_that_another_process_got_later_is_not_ours() {
        let own = std::process::id().cast_signed();
        let ticks = read_stat(own).unwrap().start_ticks;
        let same = Process { name: "test".into(), pid: own, start_ticks: ticks };
        let other = Process { name: "test".into(), pid: own, start_ticks: ticks + 1 };
        assert!(same.runs());
        assert!(!other.runs());
        assert!(matches!(other.signal(Signal::KILL), Err(ProcessError::NotRunning { .. })));
    }

    #[test]
    fn a_record_that_was_cut_short_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("etcd"), b"{\"name\":\"et").unwrap();
        assert_eq!(Process::read_all(folder.path()).unwrap(), Vec::new());
        assert_eq!(Process::read_all(&folder.path().join("missing")).unwrap(), Vec::new());
    }
}
