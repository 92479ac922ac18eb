//! A gRPC server on a private unix socket: services in, one logging layer around them, graceful end. When the shutdown
//! token is cancelled it takes no new connection, lets the RPCs under way finish and returns; mounts stay.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::rpc::RpcLayer;
use crate::socket::PrivateSocket;

/// The server ended with an error.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server on {path:?} ended")]
pub struct ServeError {
    path: PathBuf,
    #[source]
    source: tonic::transport::Error,
}

/// Serves `routes` on `socket`. See [`serve_on`].
pub async fn serve(
    socket: PrivateSocket,
    routes: Routes,
    rpcs: RpcLayer,
    shutdown: CancellationToken,
    drain: Duration,
) -> Result<(), ServeError> {
    let path = socket.path().to_path_buf();
    serve_on(path, socket.incoming(), routes, rpcs, shutdown, drain).await
}

/// Serves `routes` on the connections of the socket `path` until `shutdown` is cancelled and what was under way has finished, or `drain` has passed:
/// more than an RPC's own deadline, less than the time after which Kubernetes kills.
pub async fn serve_on<S>(
    path: PathBuf,
    incoming: impl Stream<Item = io::Result<S>>,
    routes: Routes,
    rpcs: RpcLayer,
    shutdown: CancellationToken,
    drain: Duration,
) -> Result<(), ServeError>
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    tracing::info!(socket = ?path, "serving");
    let server = Server::builder()
        .layer(rpcs.clone())
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let drained = async {
        server.await?;
        rpcs.drained().await;
        Ok(())
    };
    let too_late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        ended = drained => ended.map_err(|source| ServeError { path, source }),
        () = too_late => {
            tracing::warn!(socket = ?path, seconds = drain.as_secs(), "RPCs still under way: ending all the same");
            Ok(())
        }
    }
}
