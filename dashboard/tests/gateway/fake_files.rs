//! A file API that believes only the gateway's assertion, remembers what reached it, and answers as a test says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use workspacefs_files_proto::{ASSERTION_HEADER, Claims, PublicKey, Verifier};

type Answer = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// A request that reached it, with what its assertion says.
#[derive(Clone, Debug)]
pub struct Seen {
    pub request: String,
    pub headers: HeaderMap,
    pub claims: Result<Claims, String>,
}

pub struct FakeFiles {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

struct Shared {
    verifier: Verifier,
    seen: Mutex<Vec<Seen>>,
    answer: Mutex<Answer>,
}

impl Drop for FakeFiles {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl FakeFiles {
    pub async fn start(tls: Arc<ServerConfig>, uid: &str, key: PublicKey) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer: Answer = Arc::new(|_| Box::pin(async { Response::new(Body::from("ok")) }));
        let verifier = Verifier::new(vec![key], uid);
        let shared = Arc::new(Shared { verifier, seen: Mutex::default(), answer: Mutex::new(answer) });
        let (acceptor, own) = (TlsAcceptor::from(tls), shared.clone());
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, shared) = (acceptor.clone(), own.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| shared.clone().handle(request));
                    let http = hyper::server::conn::http1::Builder::new();
                    drop(http.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
                });
            }
        });
        Self { address, shared, serving }
    }

    /// What it answers from now on to whoever has a good assertion.
    pub fn answer<F>(&self, answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        *self.shared.answer.lock().unwrap() = Arc::new(move |request| Box::pin(answer(request)));
    }

    /// All that reached it.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The last one.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("nothing reached the file API")
    }
}

impl Shared {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let line = format!("{} {}", request.method(), request.uri());
        let header = request.headers().get(ASSERTION_HEADER).map_or("", |value| value.to_str().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = self.verifier.verify(header, &line, now).map_err(|error| error.to_string());
        let good = claims.is_ok();
        let seen = Seen { request: line, headers: request.headers().clone(), claims };
        self.seen.lock().unwrap().push(seen);
        if !good {
            let mut refused = Response::new(Body::empty());
            *refused.status_mut() = StatusCode::UNAUTHORIZED;
            return Ok(refused);
        }
        let answer = self.answer.lock().unwrap().clone();
        Ok(answer(request).await)
    }
}
