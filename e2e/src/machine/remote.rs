//! Running programs on a machine, over its command channel.

use super::Machine;
use crate::host::namespace::NamespaceError;
use rustix::net::sockopt;
use std::fs::File;
use std::io::{self, Read};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};
use workspacefs_node_init::wire::{Exit, Kind, Request, read_frame, write_frame};

/// Time for a program unless said otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// How much longer than its program a silent machine is waited for.
const GRACE: Duration = Duration::from_secs(10);

/// Time to connect.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Time to connect to a machine that is about to come up.
const PROBE_TIME_MAX: Duration = Duration::from_millis(300);

/// Bytes per frame of input.
const CHUNK: usize = 64 * 1024;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The network namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// No connection, or it broke, or the machine went silent (frozen, for one).
    #[error("the machine {machine} does not answer")]
    Unreachable {
        /// Its name.
        machine: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its program could not be started.
    #[error("{machine} cannot start `{command}`: {reason}")]
    NotStarted {
        /// Its name.
        machine: &'static str,
        /// Program and arguments.
        command: String,
        /// The machine's words.
        reason: String,
    },
    /// The program was killed at its limit.
    #[error("`{command}` on {machine} took more than {} s\n{output}", limit.as_secs_f32())]
    TimedOut {
        /// Its name.
        machine: &'static str,
        /// Program and arguments.
        command: String,
        /// The limit.
        limit: Duration,
        /// What it had printed.
        output: String,
    },
    /// The program failed; only from [`Machine::run`] and the likes of it, which want success.
    #[error("`{command}` on {machine} ended with {output}")]
    Failed {
        /// Its name.
        machine: &'static str,
        /// Program and arguments.
        command: String,
        /// Exit code and output.
        output: Output,
    },
    /// A file on this side.
    #[error("cannot copy {path} to {machine}")]
    Copy {
        /// Its name.
        machine: &'static str,
        /// The local file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 128 + n for signal n, as a shell says it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, without the last line break.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (stdout, stderr) = (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        write!(formatter, "code {}\n{stdout}{stderr}", self.code)
    }
}

impl Machine {
    /// Runs a program that must succeed within a minute; gives its standard output as text.
    pub fn run(&self, argv: &[&str]) -> Result<String, RunError> {
        let output = self.run_within(argv, b"", TIME_LIMIT)?;
        if output.code != 0 {
            return Err(RunError::Failed { machine: self.name(), command: argv.join(" "), output });
        }
        Ok(output.text())
    }

    /// Runs a line of shell that must succeed within a minute; gives its standard output as text.
    pub fn shell(&self, line: &str) -> Result<String, RunError> {
        self.run(&["sh", "-c", line])
    }

    /// Runs a program with this input and time limit; any exit code is a result. At the limit its whole process group
    /// is killed.
    pub fn run_within(&self, argv: &[&str], input: &[u8], limit: Duration) -> Result<Output, RunError> {
        let mut output = Output { code: 0, stdout: Vec::new(), stderr: Vec::new() };
        output.code =
            self.stream(argv, io::Cursor::new(input.to_vec()), limit, |kind, bytes| match kind {
                Stream::Stdout => output.stdout.extend_from_slice(bytes),
                Stream::Stderr => output.stderr.extend_from_slice(bytes),
            })?;
        Ok(output)
    }

    /// As [`Machine::run_within`], with output as it comes.
    pub fn stream(
        &self,
        argv: &[&str],
        input: impl Read + Send + 'static,
        limit: Duration,
        mut on_output: impl FnMut(Stream, &[u8]),
    ) -> Result<i32, RunError> {
        let machine = self.name();
        let unreachable = |source| RunError::Unreachable { machine, source };
        let command = argv.join(" ");
        let mut stream = self.connect(argv, limit, CONNECT_TIME_MAX)?;
        let sender = stream.try_clone().map_err(unreachable)?;
        // Input flows while output does. Input that never ends holds only this thread; when the program has ended,
        // the next byte meets a closed connection.
        std::thread::spawn(move || drop(send_input(sender, input)));
        let deadline = Instant::now() + limit + GRACE;
        let mut shown = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            stream.set_read_timeout(Some(left)).map_err(unreachable)?;
            let frame = read_frame(&mut stream).map_err(unreachable)?;
            let (kind, bytes) = frame
                .ok_or_else(|| unreachable(io::Error::other("the connection ended without a result")))?;
            match kind {
                Kind::Stdout => on_output(Stream::Stdout, &bytes),
                Kind::Stderr => on_output(Stream::Stderr, &bytes),
                Kind::Exit => {
                    let exit = serde_json::from_slice(&bytes).map_err(|error| unreachable(error.into()))?;
                    let output = String::from_utf8_lossy(&shown).into_owned();
                    return self.result(exit, command, limit, output);
                }
                Kind::Request | Kind::Stdin | Kind::StdinEnd => {}
            }
            // Enough to explain a program that hangs.
            if shown.len() < 8192 {
                shown.extend_from_slice(&bytes);
            }
        }
    }

    fn result(&self, exit: Exit, command: String, limit: Duration, output: String) -> Result<i32, RunError> {
        let machine = self.name();
        match exit {
            Exit::Code(code) => Ok(code),
            Exit::Signal(signal) => Ok(128 + signal),
            Exit::TimedOut => Err(RunError::TimedOut { machine, command, limit, output }),
            Exit::NotStarted(reason) => Err(RunError::NotStarted { machine, command, reason }),
        }
    }

    /// Opens the channel and asks for the program.
    fn connect(&self, argv: &[&str], limit: Duration, patience: Duration) -> Result<TcpStream, RunError> {
        let unreachable = |source| RunError::Unreachable { machine: self.name(), source };
        let request = Request {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            time_limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        };
        // The socket belongs to the namespace of the thread that makes it, whoever uses it later.
        self.namespace.within(|| {
            let mut stream =
                TcpStream::connect_timeout(&self.plan.commands(), patience).map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            notice_death(&stream).map_err(|errno| unreachable(errno.into()))?;
            stream.set_write_timeout(Some(GRACE)).map_err(unreachable)?;
            let request = serde_json::to_vec(&request).map_err(|error| unreachable(error.into()))?;
            write_frame(&mut stream, Kind::Request, &request).map_err(unreachable)?;
            Ok(stream)
        })
    }

    /// Whether it takes commands now. Asks once, briefly.
    pub(super) fn answers(&self) -> Result<(), RunError> {
        self.connect(&["true"], PROBE_TIME_MAX, PROBE_TIME_MAX).map(drop)
    }

    /// Copies a local file to a path on the machine, with these permission bits. Large files go faster through the
    /// shared folder, see [`crate::Cluster::share`].
    pub fn copy(&self, from: &Path, to: &str, mode: u32) -> Result<(), RunError> {
        let failed =
            |source| RunError::Copy { machine: self.name(), path: from.display().to_string(), source };
        let file = File::open(from).map_err(failed)?;
        let line = format!("mkdir -p \"$(dirname \"$1\")\" && cat > \"$1\" && chmod {mode:o} \"$1\"");
        let argv = ["sh", "-c", &line, "copy", to];
        let mut output = Output { code: 0, stdout: Vec::new(), stderr: Vec::new() };
        output.code =
            self.stream(&argv, file, TIME_LIMIT, |_, bytes| output.stderr.extend_from_slice(bytes))?;
        if output.code != 0 {
            return Err(RunError::Failed { machine: self.name(), command: format!("write {to}"), output });
        }
        Ok(())
    }
}

/// Where a program's bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Asks a silent machine whether it still knows the connection. One that lost its power and came up again does not and
/// says so within seconds; one that stays frozen or off is given up after a minute.
fn notice_death(stream: &TcpStream) -> rustix::io::Result<()> {
    let seconds = Duration::from_secs(5);
    sockopt::set_tcp_keepidle(stream, seconds)?;
    sockopt::set_tcp_keepintvl(stream, seconds)?;
    sockopt::set_tcp_keepcnt(stream, 12)?;
    sockopt::set_socket_keepalive(stream, true)
}

fn send_input(mut stream: TcpStream, mut input: impl Read) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return write_frame(&mut stream, Kind::StdinEnd, b"");
        }
        write_frame(&mut stream, Kind::Stdin, &buffer[..count])?;
    }
}
