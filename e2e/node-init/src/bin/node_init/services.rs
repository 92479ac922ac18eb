//! Programs that PID 1 runs by itself: once, or for as long as the machine lives.

use crate::children::Children;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use workspacefs_node_init::spec::MACHINE_DIR;

/// How long a step may run, and how long a service may take to become ready.
const STEP_TIME_MAX: Duration = Duration::from_secs(60);

/// Pause before a service that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// A program of the set-up that failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It could not be started.
    #[error("cannot start {program}")]
    Start {
        /// Its name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It failed or was killed; its output is on the console.
    #[error("`{command}` ended with {status}")]
    Failed {
        /// The whole command.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It did not end, or what it makes did not appear.
    #[error("`{what}` took more than {} s", STEP_TIME_MAX.as_secs())]
    Late {
        /// What was waited for.
        what: String,
    },
}

/// Runs a program to its end, its output on the console.
pub fn run(children: &Children, argv: &[String]) -> Result<(), StepError> {
    let Some((program, arguments)) = argv.split_first() else {
        return Ok(());
    };
    let mut command = prepare(program, arguments);
    let start = |source| StepError::Start { program: program.clone(), source };
    let (_child, end) = children.spawn(&mut command).map_err(start)?;
    match end.recv_timeout(STEP_TIME_MAX) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(StepError::Failed { command: argv.join(" "), status }),
        Err(_) => Err(StepError::Late { what: argv.join(" ") }),
    }
}

/// Starts a service and keeps it running. The first start must work.
pub fn serve(children: &Arc<Children>, name: &str, argv: &[String]) -> Result<(), StepError> {
    let Some((program, arguments)) = argv.split_first() else {
        return Ok(());
    };
    let start = |source| StepError::Start { program: program.clone(), source };
    let log = open_log(name).map_err(start)?;
    let mut command = prepare(program, arguments);
    command.stdout(log.try_clone().map_err(start)?).stderr(log);
    let (_child, mut end) = children.spawn(&mut command).map_err(start)?;
    let children = Arc::clone(children);
    let name = name.to_owned();
    std::thread::spawn(move || {
        loop {
            match end.recv() {
                Ok(status) => println!("node-init: {name} ended with {status}"),
                Err(_) => println!("node-init: the end of {name} was missed"),
            }
            end = loop {
                std::thread::sleep(RESTART_PAUSE);
                match children.spawn(&mut command) {
                    Ok((_child, end)) => break end,
                    Err(error) => println!("node-init: cannot start {name}: {error}"),
                }
            };
        }
    });
    Ok(())
}

/// Waits until a service has made `path`.
pub fn wait_for_path(name: &str, path: &str) -> Result<(), StepError> {
    let started = Instant::now();
    while !Path::new(path).exists() {
        if started.elapsed() > STEP_TIME_MAX {
            return Err(StepError::Late { what: format!("{name}, to make {path}") });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A program as PID 1 starts it: no input, a process group of its own, the machine's environment.
fn prepare(program: &str, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).process_group(0).current_dir("/");
    environment(&mut command);
    command
}

/// What every program on the machine starts with.
pub fn environment(command: &mut Command) {
    command.env_clear();
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", "/root").env("LANG", "C.UTF-8");
}

fn open_log(name: &str) -> io::Result<File> {
    let folder = format!("{MACHINE_DIR}/log");
    fs::create_dir_all(&folder)?;
    File::options().create(true).append(true).open(format!("{folder}/{name}.log"))
}
