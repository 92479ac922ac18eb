//! A server as a process that ends with us, and what the kernel counts of it.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Ticks of /proc/PID/stat in a second: part of the kernel's interface, whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;
const START_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

/// See the module.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it, to be killed if this thread ends, and waits until it listens.
    ///
    /// # Errors
    /// It could not be started, or does not listen.
    pub fn start(command: &Command, listens: SocketAddr) -> Result<Self> {
        // What it says, it says to whoever looks why nothing was measured.
        Self::start_saying(command, listens, Stdio::inherit())
    }

    /// The same, where what it says goes somewhere else.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_saying(command: &Command, listens: SocketAddr, says: Stdio) -> Result<Self> {
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        wrapped.stdin(Stdio::null()).stdout(Stdio::null()).stderr(says).env("WSFS_LOG", "warn");
        let name = command.get_program().to_string_lossy().into_owned();
        let mut this = Self(wrapped.spawn().with_context(|| format!("cannot start {name}"))?);
        let started = Instant::now();
        while TcpStream::connect(listens).is_err() {
            if let Some(status) = this.0.try_wait()? {
                bail!("{name} ended with {status}");
            }
            if started.elapsed() > START_MAX {
                bail!("{name} does not listen on {listens}");
            }
            std::thread::sleep(LOOK);
        }
        Ok(this)
    }

    /// User and system time so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn processor_seconds(&self) -> Result<f64> {
        let stat = self.read("stat")?;
        Ok(ticks(&stat).context("/proc/PID/stat has another form")? as f64 / TICKS_PER_SECOND)
    }

    /// The largest resident memory so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn memory_peak_bytes(&self) -> Result<u64> {
        self.memory("VmHWM")
    }

    /// The resident memory now.
    ///
    /// # Errors
    /// It is gone.
    pub fn memory_bytes(&self) -> Result<u64> {
        self.memory("VmRSS")
    }

    fn memory(&self, name: &str) -> Result<u64> {
        let status = self.read("status")?;
        let kib = kibibytes(&status, name).with_context(|| format!("/proc/PID/status has no {name}"))?;
        Ok(kib * 1024)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.0.id());
        std::fs::read_to_string(&path).with_context(|| path)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of user and system together. The name of a program, in parentheses, may be anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    Some(times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?)
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 900 0 3 0 120 30 9 9 20 0 5 0 100 1 2";
        assert_eq!(ticks(stat), Some(150));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_found_by_its_whole_name() {
        let status = "VmHWM2:\t 1 kB\nVmHWM:\t   20020 kB\nVmRSS:\t 17036 kB\n";
        assert_eq!((kibibytes(status, "VmHWM"), kibibytes(status, "VmRSS")), (Some(20_020), Some(17_036)));
        assert_eq!(kibibytes(status, "VmSwap"), None);
    }

    #[test]
    fn what_does_not_listen_is_told_as_soon_as_it_has_ended() {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let error = Process::start(&Command::new("false"), nobody).unwrap_err();
        assert!(error.to_string().contains("false ended with"), "{error}");
    }
}
