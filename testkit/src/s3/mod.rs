//! An S3 service in this process: one bucket, read over HTTP, with each request's signature checked by code that has nothing in
//! common with the clients'. It changes objects, fails and lies where a test tells it to.

mod answers;
mod signature;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use md5::{Digest, Md5};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The keys that it knows.
pub const ACCESS_KEY_ID: &str = "AKIDOFTHESTUB";
/// See [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG+secret-of-the-stub";

/// See the module. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeS3 {
    address: SocketAddr,
    store: Store,
    server: JoinHandle<()>,
}

/// What it holds. Clones are of the same.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
    /// Held while it is asked, so that no request beside is answered without it.
    hook: Arc<Mutex<Option<Hook>>>,
}

struct Inner {
    bucket: String,
    region: String,
    exists: bool,
    objects: BTreeMap<String, Stored>,
    clock: i64,
    seen: Vec<Seen>,
    knows_if_match: bool,
    delay: Duration,
}

type Hook = Box<dyn FnMut(&Seen, &Store) -> Option<Fault> + Send>;

/// An object.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its content.
    pub content: Bytes,
    /// Without quotes.
    pub etag: String,
    /// Sent with it, beside those that every object has.
    pub headers: Vec<(&'static str, String)>,
    /// Seconds since 1970.
    modified: i64,
}

/// A request that came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// GET or HEAD.
    pub method: String,
    /// The object's key; empty for a listing.
    pub key: String,
    /// Of a listing.
    pub query: BTreeMap<String, String>,
    /// The header of that name.
    pub range: Option<String>,
    /// The header of that name.
    pub if_match: Option<String>,
}

/// What is answered instead of the truth.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An error with this status and code.
    Error(u16, &'static str),
    /// Half of the body, and then the end of the connection.
    Cut,
    /// The body with one bit that is another.
    Flip,
    /// A redirect to this URL.
    Redirect(String),
    /// Nothing for ever.
    Silence,
}

impl FakeS3 {
    /// With an empty bucket of this name, in region `us-east-1`.
    ///
    /// # Errors
    /// Of the listener.
    pub async fn start(bucket: &str) -> std::io::Result<Self> {
        Self::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, bucket)
    }

    /// The same, where `listener` listens.
    ///
    /// # Errors
    /// Of the listener.
    pub fn serve(listener: TcpListener, bucket: &str) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let inner = Inner {
            bucket: bucket.to_owned(),
            region: "us-east-1".to_owned(),
            exists: true,
            objects: BTreeMap::new(),
            clock: 1_700_000_000,
            seen: Vec::new(),
            knows_if_match: true,
            delay: Duration::ZERO,
        };
        let store = Store { inner: Arc::new(Mutex::new(inner)), hook: Arc::default() };
        let router = Router::new().fallback(answer).with_state(store.clone());
        let server = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, store, server })
    }

    /// For clients.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Store(…)")
    }
}

impl Store {
    /// Puts an object there as a plain upload does: its ETag is its MD5.
    pub fn put(&self, key: &str, content: impl Into<Vec<u8>>) {
        let content = content.into();
        let etag = Md5::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.put_as(key, content, &etag, &[]);
    }

    /// Puts one there with any ETag and headers.
    pub fn put_as(&self, key: &str, content: Vec<u8>, etag: &str, headers: &[(&'static str, &str)]) {
        let mut inner = self.lock();
        inner.clock += 1;
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let stored =
            Stored { content: content.into(), etag: etag.to_owned(), headers, modified: inner.clock };
        inner.objects.insert(key.to_owned(), stored);
    }

    /// Takes one away.
    pub fn remove(&self, key: &str) {
        self.lock().objects.remove(key);
    }

    /// There is no bucket any more, or again.
    pub fn set_exists(&self, exists: bool) {
        self.lock().exists = exists;
    }

    /// The bucket lies there.
    pub fn set_region(&self, region: &str) {
        self.lock().region = region.to_owned();
    }

    /// Whether If-Match is heeded; not all services do.
    pub fn set_knows_if_match(&self, knows: bool) {
        self.lock().knows_if_match = knows;
    }

    /// So long each answer's first byte is waited for, as one from far away is.
    pub fn set_delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Asked about each request whose signature is good, before it is answered. It may change the store, but not its hook.
    pub fn on_request(&self, hook: impl FnMut(&Seen, &Self) -> Option<Fault> + Send + 'static) {
        *self.hook() = Some(Box::new(hook));
    }

    /// Nothing goes wrong any more.
    pub fn clear_hook(&self) {
        *self.hook() = None;
    }

    /// The requests with a good signature since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.lock().seen)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hook(&self) -> MutexGuard<'_, Option<Hook>> {
        self.hook.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(store): State<Store>, request: Request) -> Response<Body> {
    let (answer, delay) = (decide(&store, &request), store.lock().delay);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match answer {
        Some(response) => response,
        None => std::future::pending().await,
    }
}

/// None: nothing, for ever.
fn decide(store: &Store, request: &Request) -> Option<Response<Body>> {
    let (bucket, region) = {
        let inner = store.lock();
        (inner.bucket.clone(), inner.region.clone())
    };
    if let Err(error) = signature::check(request, &region) {
        return Some(answers::unsigned(&error, &region));
    }
    let path = request.uri().path();
    let missing = || answers::error(404, "NoSuchBucket", "The specified bucket does not exist");
    let Some(key) = path.strip_prefix(&format!("/{bucket}")) else { return Some(missing()) };
    let header = |name: &str| request.headers().get(name)?.to_str().ok().map(str::to_owned);
    let seen = Seen {
        method: request.method().to_string(),
        key: signature::decoded(key.strip_prefix('/').unwrap_or(key)),
        query: signature::query(request.uri()).into_iter().collect(),
        range: header("range"),
        if_match: header("if-match"),
    };
    store.lock().seen.push(seen.clone());
    // Without the store's own lock: the hook changes it.
    let fault = store.hook().as_mut().and_then(|hook| hook(&seen, store));
    if !store.lock().exists {
        return Some(missing());
    }
    let is_silent = matches!(fault, Some(Fault::Silence));
    (!is_silent).then(|| answers::answer(&store.lock(), &seen, fault))
}
