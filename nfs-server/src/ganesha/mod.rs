//! NFS-Ganesha as our child: started, asked whether it answers, started again with growing pauses when it ends, ended
//! gracefully with us. What its clients had open survives each of these: the recovery state is on the disk.

pub mod config;
pub mod log;
pub mod probe;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use workspacefs_runtime::{CancellationToken, Gate};

use crate::agent::state::State;
use crate::metrics::Metrics;

/// NFS's port.
pub const PORT: u16 = 2049;
/// Between two starts: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// One that ran so long was well.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(5);
const ASK_EVERY_AT_FIRST: Duration = Duration::from_millis(200);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(4);
/// One that has not answered for so long is stuck: its clients wait, and a new one lets them go on.
const STUCK_AFTER: Duration = Duration::from_secs(90);
/// Time to end gracefully.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// How to run it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program.
    pub program: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Where it may write its process id.
    pub pid_file: PathBuf,
}

/// Who is told how it is.
#[derive(Clone)]
pub struct Watchers {
    /// The service.
    pub state: State,
    /// /readyz.
    pub gate: Gate,
    /// /metrics.
    pub metrics: Metrics,
}

impl Watchers {
    fn tell(&self, serving: Result<(), &str>) {
        self.state.set_serving(serving.is_ok());
        self.metrics.show_serving(serving.is_ok());
        match serving {
            Ok(()) => self.gate.open(),
            Err(reason) => self.gate.close_because(reason),
        }
    }
}

/// Runs it until `stop` is cancelled and it has ended.
pub async fn supervise(settings: Settings, watchers: Watchers, stop: CancellationToken) {
    let mut pause = PAUSE_MIN;
    loop {
        let started = Instant::now();
        match start(&settings) {
            Ok(child) => match run(child, &watchers, &stop).await {
                Some(status) => tracing::error!(%status, "the NFS server ended by itself"),
                None => return,
            },
            Err(error) => {
                tracing::error!(%error, program = ?settings.program, "the NFS server cannot be started");
            }
        }
        watchers.tell(Err("it ended by itself and is being started again"));
        watchers.metrics.restarts.inc();
        if started.elapsed() > WELL_AFTER {
            pause = PAUSE_MIN;
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            () = stop.cancelled() => return,
        }
    }
}

fn start(settings: &Settings) -> std::io::Result<Child> {
    let mut child = Command::new(&settings.program)
        .args(["-F", "-L", "STDERR"])
        .arg("-f")
        .arg(&settings.config)
        .arg("-p")
        .arg(&settings.pid_file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(output) = child.stdout.take() {
        tokio::spawn(pass_on(output));
    }
    if let Some(output) = child.stderr.take() {
        tokio::spawn(pass_on(output));
    }
    Ok(child)
}

async fn pass_on(output: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log::pass_on(&line);
    }
}

/// Watches a running one. None: it was asked to end, and has.
async fn run(mut child: Child, watchers: &Watchers, stop: &CancellationToken) -> Option<ExitStatus> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut last_answer = Instant::now();
    let mut ask_every = ASK_EVERY_AT_FIRST;
    loop {
        tokio::select! {
            ended = child.wait() => return Some(ended.unwrap_or_default()),
            () = stop.cancelled() => {
                watchers.tell(Err("it is being stopped"));
                end(child).await;
                return None;
            }
            () = sleep(ask_every) => {}
        }
        match probe::null(address, ANSWER_TIME_MAX).await {
            Ok(()) => {
                last_answer = Instant::now();
                ask_every = ASK_EVERY;
                watchers.tell(Ok(()));
            }
            Err(error) => {
                watchers.tell(Err("it does not answer"));
                if last_answer.elapsed() > STUCK_AFTER {
                    tracing::error!(%error, "the NFS server has not answered for {STUCK_AFTER:?}: killing it");
                    if let Err(error) = child.start_kill() {
                        tracing::error!(%error, "cannot kill the NFS server");
                    }
                }
            }
        }
    }
}

async fn end(mut child: Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(Err(errno)) = pid.map(|pid| kill_process(pid, Signal::TERM)) {
        tracing::warn!(%errno, "cannot ask the NFS server to end");
    }
    match tokio::time::timeout(END_TIME_MAX, child.wait()).await {
        Ok(Ok(status)) => tracing::info!(%status, "the NFS server has ended"),
        Ok(Err(error)) => tracing::error!(%error, "the NFS server cannot be waited for"),
        Err(_) => {
            tracing::warn!("the NFS server does not end within {END_TIME_MAX:?}: killing it");
            if let Err(error) = child.kill().await {
                tracing::error!(%error, "cannot kill the NFS server");
            }
        }
    }
}
