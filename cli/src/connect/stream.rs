//! Connections to the gateway: over TCP, or over a port that the API server forwards to its pod; with TLS inside either.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Until there is a connection, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// Makes connections; what the URL of a request names is not looked at: there is one gateway.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    way: Way,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// How bytes get there.
pub enum Way {
    /// Straight.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// By the API server, to a pod's port.
    Forward {
        /// In the pod's namespace.
        pods: Box<Api<Pod>>,
        /// Its name.
        pod: String,
        /// The port in it.
        port: u16,
    },
}

impl Connector {
    /// With TLS if there is a configuration for it, and the name the server has to have.
    pub fn new(way: Way, tls: Option<(ClientConfig, ServerName<'static>)>) -> Self {
        let tls = tls.map(|(config, name)| (TlsConnector::from(Arc::new(config)), name));
        Self(Arc::new(Inner { way, tls }))
    }

    async fn connect(self) -> io::Result<TokioIo<Stream>> {
        let made = tokio::time::timeout(CONNECT_MAX, self.0.connect()).await;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection in {CONNECT_MAX:?}"));
        Ok(TokioIo::new(Stream(made.map_err(late)??)))
    }
}

impl Inner {
    async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        let plain = self.way.connect().await?;
        Ok(match &self.tls {
            Some((tls, name)) => Box::new(tls.connect(name.clone(), plain).await?),
            None => plain,
        })
    }
}

impl Way {
    async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        match self {
            Self::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Forward { pods, pod, port } => {
                let mut forwarder = pods.portforward(pod, &[*port]).await.map_err(io::Error::other)?;
                let stream = forwarder.take_stream(*port);
                let stream = stream.ok_or_else(|| io::Error::other("the API server forwards nothing"))?;
                // The task behind the forwarder ends with its streams.
                Ok(Box::new(stream))
            }
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection, whatever it is made of.
pub struct Stream(Box<dyn Duplex>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Stream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}
