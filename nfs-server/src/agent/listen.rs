//! Where the service listens: a TLS port for operator and CSI controller, and a socket in the container for the command
//! line. Certificates are read again when their files change; calls under way finish on the old ones.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::transport::server::Router;
use workspacefs_agent_proto::tls::Credentials;
use workspacefs_agent_proto::v1::agent_server::AgentServer;
use workspacefs_agent_proto::v1::console_server::ConsoleServer;
use workspacefs_runtime::{CancellationToken, chain};

use super::Agent;

/// Calls are short: who takes longer than this has gone.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Calls at a time of one connection; they queue for one lock anyway.
const CALLS_MAX: usize = 64;

/// The service cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address.
    #[error("cannot listen on {0}")]
    Bind(String, #[source] io::Error),
    /// The server ended.
    #[error("the server ended")]
    Serve(#[from] tonic::transport::Error),
}

/// A listening port on every address, IPv6 and IPv4, or IPv4 alone where there is no IPv6.
///
/// # Errors
/// [`ListenError`].
pub fn bind(port: u16) -> Result<TcpListener, ListenError> {
    let any: [SocketAddr; 2] = [(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()];
    let failed = |error| ListenError::Bind(format!("port {port}"), error);
    let listener = TcpListener::bind(any[0]).or_else(|_| TcpListener::bind(any[1])).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn router(mut server: Server, agent: &Agent) -> Router {
    server.add_service(AgentServer::new(agent.clone()))
}

/// Serves with TLS until `stop` is cancelled. Waits for certificates that are not there yet.
///
/// # Errors
/// [`ListenError`].
pub async fn tls(
    listener: TcpListener,
    files: CredentialFiles,
    agent: Agent,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    let (mut current, mut complained) = (None, String::new());
    let mut serving: Option<Serving> = None;
    loop {
        let next = files.next(current.as_ref(), &mut complained);
        let Some(credentials) = stop.run_until_cancelled(next).await else { break };
        let server = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .concurrency_limit_per_connection(CALLS_MAX)
            .tls_config(credentials.server());
        current = Some(credentials);
        let server = match server {
            Ok(server) => router(server, &agent),
            // The files are written one after the other: the next look finds those that belong together.
            Err(error) => {
                tracing::error!(folder = ?files.folder, error = chain(&error), "the certificates cannot be used");
                continue;
            }
        };
        // A copy of the same listening socket: whoever connects while one server follows the other is served by either.
        let copy = listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        let copy = copy.map_err(|error| ListenError::Bind("the agent's port".into(), error))?;
        let end = CancellationToken::new();
        let served =
            server.serve_with_incoming_shutdown(TcpListenerStream::new(copy), end.clone().cancelled_owned());
        let new = Serving { end, task: tokio::spawn(served) };
        tracing::info!(folder = ?files.folder, "serving operator and controller");
        if let Some(old) = serving.replace(new) {
            tokio::spawn(old.drain());
        }
    }
    if let Some(last) = serving {
        last.drain().await;
    }
    Ok(())
}

/// A server with its certificates.
struct Serving {
    end: CancellationToken,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Serving {
    /// Takes no new connection, and lets calls under way finish.
    async fn drain(self) {
        self.end.cancel();
        let abort = self.task.abort_handle();
        match tokio::time::timeout(DRAIN_TIME_MAX, self.task).await {
            Ok(Ok(Err(error))) => tracing::warn!(error = chain(&error), "a server ended"),
            Ok(_) => {}
            Err(_) => abort.abort(),
        }
    }
}

/// Where certificates and key are found.
#[derive(Clone, Debug)]
pub struct CredentialFiles {
    /// Their folder.
    pub folder: PathBuf,
    /// How long between two looks at them.
    pub look: Duration,
}

impl CredentialFiles {
    /// Waits until they hold other credentials than `current`.
    async fn next(&self, current: Option<&Credentials>, complained: &mut String) -> Credentials {
        loop {
            match Credentials::read(&self.folder) {
                Ok(found) if Some(&found) != current => return found,
                Ok(_) => {}
                Err(error) => {
                    let complaint = error.to_string();
                    if *complained != complaint {
                        tracing::warn!(folder = ?self.folder, complaint, "waiting for certificates");
                        *complained = complaint;
                    }
                }
            }
            tokio::time::sleep(self.look).await;
        }
    }
}

/// Serves the command line on a socket that only root may open, until `stop` is cancelled.
///
/// # Errors
/// [`ListenError`].
pub async fn socket(path: &Path, agent: Agent, stop: CancellationToken) -> Result<(), ListenError> {
    let failed = |error| ListenError::Bind(path.display().to_string(), error);
    let listener = bind_private(path).map_err(failed)?;
    router(Server::builder(), &agent)
        .add_service(ConsoleServer::new(agent))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop.cancelled_owned())
        .await?;
    Ok(())
}

fn bind_private(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    // What a predecessor left.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Private before anybody can know its name.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = path.with_file_name(format!(".{name}"));
    match std::fs::remove_file(&hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&hidden)?;
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&hidden, path)?;
    Ok(listener)
}
