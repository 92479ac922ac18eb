//! Connections: those of `files`, at a socket in a folder that nobody else has, and those of whoever knows the secret, at a port,
//! where one is exposed. Each gets a daemon of its own, which ends with it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::unix::pipe::Receiver;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use workspacefs_files_proto::rsync::SOCKET_FILE;
use workspacefs_runtime::{CancellationToken, chain};

use crate::children::Children;
use crate::config::{self, Login, Settings};
use crate::prepare::{MODE_VARIABLE, ROOT_VARIABLE};
use crate::{log, secret};

/// Connections beyond the daemon's own limit, which it tells itself that there are too many.
const SPARE: usize = 8;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Where the daemon's programs would be looked for; it is given no shell.
const NO_PATH: &str = "/nonexistent";

/// What is served, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The mounted directory.
    pub root: PathBuf,
    /// The folder shared with `files`.
    pub run: PathBuf,
    /// The daemon's program.
    pub rsync: PathBuf,
    /// Permission bits of folders that are made on the way, octal.
    pub mode: String,
    /// Connections at once, of each kind.
    pub connections_max: u32,
    /// The port, if one is exposed.
    pub exposed: Option<Exposed>,
}

/// A port for whoever knows the secret.
#[derive(Clone, Debug)]
pub struct Exposed {
    /// Where it is.
    pub listen: SocketAddr,
    /// The one user.
    pub user: String,
    /// How long a secret is good, and how long a connection may last that was made by it.
    pub period: Duration,
}

/// One kind of connections.
struct Kind {
    children: Children,
    options: Arc<Options>,
    config: PathBuf,
    slots: Arc<Semaphore>,
    /// It ends after so long.
    time_max: Option<Duration>,
    open: Gauge,
    program: PathBuf,
}

/// All that is needed to serve, had already.
pub struct Open {
    options: Arc<Options>,
    children: Children,
    log: Receiver,
    inside: (Kind, UnixListener),
    outside: Option<(Kind, TcpListener, Exposed, u16)>,
}

impl Open {
    /// Takes the socket and the port, and makes the first secret.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub async fn begin(options: Options, registry: &mut Registry) -> anyhow::Result<Self> {
        let options = Arc::new(options);
        let (children, gauge) = (Children::default(), Gauge::default());
        registry.register("connections", "Open connections", gauge.clone());
        let log = log::open(&options.run).context("cannot make the pipe of the log")?;
        let socket = listen(&options.run.join(SOCKET_FILE)).context("cannot listen on the socket")?;
        let inside = (kind(&options, &children, "tunnel", None, &gauge)?, socket);
        let outside = match &options.exposed {
            None => None,
            Some(exposed) => {
                let bound = TcpListener::bind(exposed.listen).await;
                let port = bound.with_context(|| format!("cannot listen on {}", exposed.listen))?;
                let number = port.local_addr()?.port();
                secret::renew(&options.run, &exposed.user, number)?;
                Some((
                    kind(&options, &children, "exposed", Some(exposed), &gauge)?,
                    port,
                    exposed.clone(),
                    number,
                ))
            }
        };
        Ok(Self { options, children, log, inside, outside })
    }

    /// Serves until `stop`; then what runs is killed: what it has not finished is gone on with by the next run.
    ///
    /// # Errors
    /// Something that never ends did.
    pub async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { options, children, log, inside: (kind, socket), outside } = self;
        tracing::info!(root = %options.root.display(), exposed = outside.is_some(), "serving");
        let exposed = async {
            match outside {
                None => std::future::pending().await,
                Some((kind, port, exposed, number)) => tokio::select! {
                    () = kind.take(&port) => {}
                    () = rotate(&options.run, &exposed, number) => {}
                },
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            reaped = children.reap() => reaped.context("the signal of children that end"),
            () = log::pass_on(log) => anyhow::bail!("the pipe of the log broke"),
            () = kind.take(&socket) => anyhow::bail!("the socket broke"),
            () = exposed => anyhow::bail!("the port broke"),
        }
    }
}

fn kind(
    options: &Arc<Options>,
    children: &Children,
    name: &'static str,
    exposed: Option<&Exposed>,
    open: &Gauge,
) -> anyhow::Result<Kind> {
    let login =
        exposed.map(|exposed| Login { user: exposed.user.clone(), secrets: secret::file(&options.run) });
    let settings = Settings {
        root: &options.root,
        run: &options.run,
        name,
        connections_max: options.connections_max,
        login: login.as_ref(),
        is_root: rustix::process::geteuid().is_root(),
    };
    let config = options.run.join(format!("{name}.conf"));
    fs::write(&config, config::text(&settings)?)
        .with_context(|| format!("cannot write {}", config.display()))?;
    Ok(Kind {
        children: children.clone(),
        options: Arc::clone(options),
        config,
        slots: Arc::new(Semaphore::new(options.connections_max as usize + SPARE)),
        time_max: exposed.map(|exposed| exposed.period),
        open: open.clone(),
        program: std::env::current_exe().context("cannot find our own program")?,
    })
}

/// A socket that only this user gets to, in place of what an earlier run left.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Another secret each period. If there is none to be had the old one stays, and the log says so.
async fn rotate(run: &Path, exposed: &Exposed, port: u16) {
    let mut ticks = tokio::time::interval(exposed.period);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = secret::renew(run, &exposed.user, port) {
            tracing::error!(error = chain(&error), "the secret stays what it was");
        }
    }
}

/// Where connections come from.
trait Listener {
    async fn next(&self) -> io::Result<OwnedFd>;
}

impl Listener for UnixListener {
    async fn next(&self) -> io::Result<OwnedFd> {
        let stream = self.accept().await?.0.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream.into())
    }
}

impl Listener for TcpListener {
    async fn next(&self) -> io::Result<OwnedFd> {
        let stream = self.accept().await?.0.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream.into())
    }
}

impl Kind {
    /// Takes connections, for ever.
    async fn take(&self, listener: &impl Listener) {
        loop {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
            let begun = match listener.next().await {
                Ok(stream) => self.begin(stream, slot),
                Err(error) => Err(error),
            };
            if let Err(error) = begun {
                // Out of descriptors or processes, mostly: those that are there must end first.
                tracing::warn!(%error, "a connection was not taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn begin(&self, stream: OwnedFd, slot: OwnedSemaphorePermit) -> io::Result<()> {
        let mut command = Command::new(&self.options.rsync);
        // It takes its own standard input for the connection; its shell is this program.
        command
            .arg("--daemon")
            .arg(format!("--config={}", self.config.display()))
            .env_clear()
            .env("PATH", NO_PATH)
            .env("RSYNC_SHELL", &self.program)
            .env(ROOT_VARIABLE, &self.options.root)
            .env(MODE_VARIABLE, &self.options.mode)
            .current_dir("/")
            .stdin(stream.try_clone()?)
            .stdout(Stdio::from(stream))
            .stderr(Stdio::null());
        let mut child = self.children.start(&mut command)?;
        // Its copies of the connection are the child's alone now.
        drop(command);
        let (time_max, open) = (self.time_max, self.open.clone());
        open.inc();
        tokio::spawn(async move {
            match time_max {
                None => child.ended().await,
                Some(time_max) => {
                    if tokio::time::timeout(time_max, child.ended()).await.is_err() {
                        tracing::info!("a connection is ended: its secret is good no longer");
                    }
                }
            }
            open.dec();
            drop((child, slot));
        });
        Ok(())
    }
}
