//! Host programs that run to their end, always with a time limit.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Why a host program did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Not found, not executable, no memory.
    #[error("cannot start `{command}`")]
    Start {
        /// Program and arguments.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("`{command}` ended with {status}\n{output}")]
    Failed {
        /// Program and arguments.
        command: String,
        /// Exit code or signal.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// It was killed at its limit.
    #[error("`{command}` took more than {} s and was ended\n{output}", limit.as_secs())]
    TimedOut {
        /// Program and arguments.
        command: String,
        /// The limit.
        limit: Duration,
        /// The end of what it printed.
        output: String,
    },
}

/// What a program printed, whatever its exit status.
#[derive(Debug)]
pub struct Ended {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Runs a program; anything but success is an error. Gives its standard output.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Result<Vec<u8>, CommandError> {
    let ended = run_any(command, input, limit)?;
    if !ended.status.success() {
        return Err(CommandError::Failed {
            command: describe(command),
            status: ended.status,
            output: output_tail(&ended.stdout, &ended.stderr),
        });
    }
    Ok(ended.stdout)
}

/// Runs a program whose failure is an answer too.
pub fn run_any(command: &mut Command, input: &[u8], limit: Duration) -> Result<Ended, CommandError> {
    let described = describe(command);
    let start = |source| CommandError::Start { command: described.clone(), source };
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    let child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(start)?;
    let feeder = child.stdin.take().map(|mut pipe| {
        let input = input.to_vec();
        // A program that does not read its input fails by its own words, not by this pipe.
        thread::spawn(move || drop(pipe.write_all(&input)))
    });
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let status = wait(&mut child, limit);
    let (stdout, stderr) = (join(stdout), join(stderr));
    if let Some(feeder) = feeder {
        drop(feeder.join());
    }
    match status.map_err(start)? {
        Some(status) => Ok(Ended { status, stdout, stderr }),
        None => {
            Err(CommandError::TimedOut { command: described, limit, output: output_tail(&stdout, &stderr) })
        }
    }
}

/// A command from words.
pub fn command<S: AsRef<OsStr>>(argv: &[S]) -> Command {
    let mut words = argv.iter();
    let mut command = Command::new(words.next().map_or(OsStr::new(""), AsRef::as_ref));
    command.args(words);
    command
}

/// Program and arguments as one line.
pub fn describe(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    words.join(" ")
}

/// `None` when the limit passed and the program was killed.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

fn join(reader: Option<JoinHandle<Vec<u8>>>) -> Vec<u8> {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}

fn output_tail(stdout: &[u8], stderr: &[u8]) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr));
    last_lines(&text, 20)
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn input_goes_in_and_output_comes_out() {
        assert_eq!(run(&mut command(&["cat"]), b"hello", LIMIT).unwrap(), b"hello");
    }

    #[test]
    fn a_failure_shows_the_command_and_the_end_of_its_output() {
        let error = run(&mut command(&["sh", "-c", "echo why >&2; exit 3"]), b"", LIMIT).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("echo why") && text.contains("exit status: 3") && text.ends_with("why"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_at_its_limit() {
        let started = Instant::now();
        let error = run(&mut command(&["sleep", "60"]), b"", Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = run(&mut command(&["/no/such/program"]), b"", LIMIT).unwrap_err();
        assert!(error.to_string().contains("/no/such/program"));
    }
}
