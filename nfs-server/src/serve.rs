//! The process: HTTP port and service at once, so that whoever asks hears the reason while the disk is not ours; then the
//! disk, its folders, the NFS server, the trash. SIGTERM takes them down in the opposite order.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, bail};
use prometheus_client::registry::Registry;
use workspacefs_runtime::{CancellationToken, Gate, Readiness, chain, http, logging, shutdown};
use workspacefs_storage::folders::{Folders, system_clock};
use workspacefs_storage::{device, emptier};

use crate::agent::state::State;
use crate::agent::{Agent, listen, listen::CredentialFiles};
use crate::cli::ServeArgs;
use crate::ganesha::{self, Settings, Watchers};
use crate::metrics::Metrics;
use crate::storage::{self, Source, Storage};

/// Between two looks at a disk that cannot be used: somebody may have helped it.
const RETRY: Duration = Duration::from_secs(5);
/// Between two looks at a disk that works.
const LOOK: Duration = Duration::from_secs(15);
/// Between two looks at the certificates' files: three short local reads.
const CREDENTIALS_LOOK: Duration = Duration::from_secs(10);
/// A disk that fails this often in a row has given up: a new start mounts it again.
const FAILURES_MAX: u32 = 4;
/// For what still holds a thread at the end.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// Runs until SIGTERM.
///
/// # Errors
/// What the process could not do without.
pub fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    logging::init()?;
    let source = args.source().context("neither --device nor --directory is given")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mounted = matches!(source, Source::Device(_)).then(|| args.mount_point.clone());
    let result = runtime.block_on(serve(args, source));
    runtime.shutdown_timeout(END_TIME_MAX);
    // Every descriptor of it is closed by now.
    if let Some(path) = mounted {
        device::unmount_if_mounted(&path);
    }
    result.map(|()| ExitCode::SUCCESS)
}

async fn serve(args: ServeArgs, source: Source) -> anyhow::Result<()> {
    let run_dir = &args.common.run_dir;
    std::fs::create_dir_all(run_dir).with_context(|| format!("cannot make {}", run_dir.display()))?;
    let (mut registry, readiness, stop) =
        (Registry::with_prefix("workspacefs"), Readiness::new(), shutdown::signal()?);
    let metrics = Metrics::register(&mut registry);
    let (state, disk_gate, nfs_gate) =
        (State::new(), readiness.gate("the disk"), readiness.gate("the NFS server"));
    let agent = Agent::new(state.clone(), metrics.calls.clone());
    let listener = listen::bind(args.agent_port)?;
    let credentials = CredentialFiles { folder: args.tls.clone(), look: CREDENTIALS_LOOK };
    let socket = args.common.socket();
    // Until the NFS server has ended: a shutdown can be watched.
    let last = CancellationToken::new();
    let watchers = Watchers { state, gate: nfs_gate, metrics };
    let work = async {
        let result = work(&args, source, watchers, disk_gate, stop.clone()).await;
        last.cancel();
        result
    };
    let (http, tls, socket, worked) = tokio::join!(
        ended_early(http::serve(args.http, Arc::new(registry), readiness, last.clone()), &stop),
        ended_early(listen::tls(listener, credentials, agent.clone(), last.clone()), &stop),
        ended_early(listen::socket(&socket, agent, last.clone()), &stop),
        work,
    );
    http.context("the HTTP port")?;
    tls.context("the agent's port")?;
    socket.context("the command line's socket")?;
    worked
}

/// A server that ends by itself takes the process with it.
async fn ended_early<E>(
    server: impl Future<Output = Result<(), E>>,
    stop: &CancellationToken,
) -> Result<(), E> {
    let result = server.await;
    stop.cancel();
    result
}

/// The disk and everything on it.
async fn work(
    args: &ServeArgs,
    source: Source,
    watchers: Watchers,
    gate: Gate,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let taken = take(args, &source, &watchers.state, &gate, &stop).await;
    let Some((storage, folders)) = taken else { return Ok(()) };

    let config = args.common.run_dir.join("ganesha.conf");
    std::fs::write(&config, &storage.config).with_context(|| format!("cannot write {}", config.display()))?;
    let pid_file = args.common.run_dir.join("ganesha.pid");
    let settings = Settings { program: args.ganesha.clone(), config, pid_file };
    watchers.state.open(folders.clone());
    gate.open();

    let (trash, stopped) = mpsc::channel();
    let (rate, emptied) = (args.trash_entries_per_second, folders.clone());
    let emptier = std::thread::Builder::new()
        .name("emptier".into())
        .spawn(move || emptier::run(&emptied, rate, &stopped))
        .context("cannot start a thread")?;
    let metrics = watchers.metrics.clone();
    let state = watchers.state.clone();
    // Ends when the NFS server has: nothing uses the disk any more.
    let nfs_ended = CancellationToken::new();
    let nfs = async {
        ganesha::supervise(settings, watchers, stop.clone()).await;
        nfs_ended.cancel();
    };
    let watch = async {
        let watched = watch(storage, folders, metrics, &nfs_ended).await;
        // A disk that has given up ends the process.
        stop.cancel();
        watched
    };
    let ((), watched) = tokio::join!(nfs, watch);
    state.wait("the server is shutting down".into());
    drop(trash);
    let joined = tokio::task::spawn_blocking(move || emptier.join()).await;
    if !matches!(joined, Ok(Ok(()))) {
        tracing::error!("the thread that empties the trash panicked");
    }
    watched
}

/// What of a storage is needed after its disk is shared.
struct Taken {
    path: PathBuf,
    /// Ganesha's configuration for it.
    config: String,
    growth: Option<storage::GrowthWatch>,
}

/// Tries until the disk is ours. None if the process is to end before that.
async fn take(
    args: &ServeArgs,
    source: &Source,
    state: &State,
    gate: &Gate,
    stop: &CancellationToken,
) -> Option<(Taken, Arc<Folders>)> {
    let mut said = String::new();
    loop {
        let (source, wanted) = (source.clone(), args.clone());
        let reason = match tokio::task::spawn_blocking(move || open(&source, &wanted)).await {
            Ok(Ok(taken)) => return Some(taken),
            Ok(Err(error)) => format!("{error:#}"),
            Err(error) => error.to_string(),
        };
        if said != reason {
            tracing::error!(reason, "the disk cannot be used");
            said.clone_from(&reason);
        }
        gate.close_because(&reason);
        state.wait(reason);
        stop.run_until_cancelled(tokio::time::sleep(RETRY)).await?;
    }
}

fn open(source: &Source, args: &ServeArgs) -> anyhow::Result<(Taken, Arc<Folders>)> {
    // Before anything is touched: a path that cannot be exported.
    let root = source.root(&args.mount_point);
    ganesha::config::text(root, "", args.grace_seconds)?;
    let storage = source.take(&args.mount_point).map_err(|error| anyhow::anyhow!(chain(&error)))?;
    let growth = storage.growth();
    let Storage { disk, path, id, .. } = storage;
    let config = ganesha::config::text(&path, &id, args.grace_seconds)?;
    let keep = i64::try_from(args.trash_keep_seconds).unwrap_or(i64::MAX);
    let folders = Folders::open(Arc::new(disk), system_clock(), keep)?;
    tracing::info!(?path, id, "the disk is ours");
    Ok((Taken { path, config, growth }, Arc::new(folders)))
}

/// Keeps the figures fresh, grows with the device, and notices a disk that has given up, until `stop` is cancelled.
async fn watch(
    taken: Taken,
    folders: Arc<Folders>,
    metrics: Metrics,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut taken = taken;
    let mut failures = 0;
    loop {
        let (folders, metrics) = (folders.clone(), metrics.clone());
        let look = tokio::task::spawn_blocking(move || {
            let result = look(&mut taken, &folders, &metrics);
            (taken, result)
        });
        let result;
        (taken, result) = look.await.context("the look at the disk panicked")?;
        failures = match result {
            Ok(()) => 0,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the disk does not answer as it should");
                failures + 1
            }
        };
        if failures == FAILURES_MAX {
            bail!("the disk has failed {failures} times in a row: ending, so that it is mounted again");
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return Ok(());
        }
    }
}

fn look(taken: &mut Taken, folders: &Folders, metrics: &Metrics) -> anyhow::Result<()> {
    // XFS gives up, with EIO to everybody, when its device fails.
    std::fs::metadata(&taken.path).with_context(|| format!("{}", taken.path.display()))?;
    metrics.show(&folders.overview()?);
    if let Some(growth) = &mut taken.growth {
        growth.look()?;
    }
    Ok(())
}
