//! The way to the file APIs: HTTP/1.1 over TLS, where the certificate must be that of the FileSystem's uid and signed by the
//! operator's authority. Connections are kept and used again, each for one FileSystem only: they are found by that name.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use axum::body::Body;
use axum::http::{Request, Response, Uri};
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
const IDLE_PER_FILE_SYSTEM_MAX: usize = 16;

/// Where the file API with that TLS name listens, as `host:port`; None: there is none.
pub type Locate = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The way to all file APIs.
pub struct Upstream {
    client: Client<Connector, Body>,
}

impl Upstream {
    /// `authority` has the certificates of those who are believed, PEM; it is read again when it changes.
    pub fn new(authority: PathBuf, locate: Locate) -> Self {
        let connector = Connector { authority: Arc::new(Authority::new(authority)), locate };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .pool_max_idle_per_host(IDLE_PER_FILE_SYSTEM_MAX)
            .build(connector);
        Self { client }
    }

    /// Sends a request whose URI's host is the TLS name.
    ///
    /// # Errors
    /// There is no connection, or it broke.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        self.client.request(request).await
    }
}

/// The certificates that are believed, as the file has them now.
struct Authority {
    file: PathBuf,
    read: Mutex<Option<(SystemTime, Arc<ClientConfig>)>>,
}

impl Authority {
    fn new(file: PathBuf) -> Self {
        Self { file, read: Mutex::new(None) }
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let changed = fs::metadata(&self.file)?.modified()?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = read.as_ref().filter(|(at, _)| *at == changed) {
            return Ok(config.clone());
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.file).map_err(io::Error::other)? {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        *read = Some((changed, config.clone()));
        Ok(config)
    }
}

#[derive(Clone)]
struct Connector {
    authority: Arc<Authority>,
    locate: Locate,
}

impl Connector {
    async fn connect(self, uri: Uri) -> io::Result<Pipe> {
        let name = uri.host().unwrap_or_default();
        let place = (self.locate)(name).ok_or_else(|| io::Error::other("the file system is gone"))?;
        let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let config = self.authority.config()?;
        let connecting = async {
            let stream = TcpStream::connect(&place).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(config).connect(server, stream).await
        };
        let stream = timeout(CONNECT_TIME_MAX, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Pipe::new(stream))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Pipe;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.clone().connect(uri).boxed()
    }
}

/// A connection to one file API. Who refuses a body answers before its end, and closes: what is written then breaks, while the answer
/// waits to be read. So what cannot be written is dropped, and reading tells what became of the request.
pub struct Pipe {
    stream: TokioIo<TlsStream<TcpStream>>,
    takes_nothing: bool,
}

impl Pipe {
    fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: TokioIo::new(stream), takes_nothing: false }
    }

    /// What came of a write of `count` bytes.
    fn written(&mut self, polled: Poll<io::Result<usize>>, count: usize) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(error)) = polled {
            tracing::debug!(%error, "a file API takes no more");
            self.takes_nothing = true;
            return Poll::Ready(Ok(count));
        }
        polled
    }
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.takes_nothing {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(polled, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.takes_nothing {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(polled.map_ok(|()| 0), 0).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = bytes.iter().map(|piece| piece.len()).sum();
        if self.takes_nothing {
            return Poll::Ready(Ok(count));
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(polled, count)
    }
}
