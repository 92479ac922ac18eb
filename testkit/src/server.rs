//! The running server and what tests do with it behind its clients' backs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use kube::{Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::access::Access;
use crate::faults::{Fault, Moment, Outage, Trap, Verdict};
use crate::requests::{Request, Verb};
use crate::resources::Resource;
use crate::state::{Key, Preconditions, State, key};

/// By which the server tells its clients apart.
pub(crate) const CLIENT_HEADER: &str = "x-testkit-client";

/// An API server on a loopback port of the kernel's choice. It ends when it is dropped.
pub struct FakeApi {
    shared: Arc<Shared>,
    url: String,
    serving: JoinHandle<()>,
}

/// Which requests nobody may make.
type Forbids = Box<dyn Fn(&Request) -> bool + Send>;

pub(crate) struct Shared {
    state: Mutex<State>,
    access: Mutex<Access>,
    requests: Mutex<Vec<Request>>,
    traps: Mutex<Vec<Trap>>,
    forbidden: Mutex<Option<Forbids>>,
    version: watch::Sender<u64>,
    outage: watch::Sender<Outage>,
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl FakeApi {
    /// Starts a server without any object.
    ///
    /// # Panics
    /// When no loopback port can be had.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            access: Mutex::default(),
            requests: Mutex::default(),
            traps: Mutex::default(),
            forbidden: Mutex::default(),
            version: watch::Sender::new(0),
            outage: watch::Sender::new(Outage::None),
        });
        let listener =
            TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|e| panic!("no loopback port: {e}"));
        let url = match listener.local_addr() {
            Ok(address) => format!("http://{address}"),
            Err(error) => panic!("no loopback port: {error}"),
        };
        let router = Router::new().fallback(crate::http::handle).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                panic!("the fake API server ended: {error}");
            }
        });
        Self { shared, url, serving }
    }

    /// Where it listens, for a kubeconfig.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client; its requests are recorded under `name`.
    ///
    /// # Panics
    /// When `name` is no header value.
    pub fn client_as(&self, name: &str) -> Client {
        let Ok(url) = self.url.parse() else { panic!("{} is no URL", self.url) };
        let mut config = Config::new(url);
        // Retries are the business of the program under test, and would be counted twice.
        config.default_retry = false;
        let value = HeaderValue::from_str(name).unwrap_or_else(|e| panic!("client name {name:?}: {e}"));
        config.headers.push((HeaderName::from_static(CLIENT_HEADER), value));
        Client::try_from(config).unwrap_or_else(|e| panic!("no client: {e}"))
    }

    /// Creates an object, or changes an existing one (status included), without going through the API.
    ///
    /// # Panics
    /// When the server refuses it: the test is wrong.
    pub fn put<T: Serialize + DeserializeOwned>(&self, object: &T) -> T {
        let mut value = serde_json::to_value(object).unwrap_or_else(|e| panic!("no JSON: {e}"));
        let kind = value["kind"].as_str().unwrap_or_default().to_string();
        let Some(resource) = Resource::of_kind(&kind) else { panic!("the fake knows no kind {kind:?}") };
        let text = |field: &str| value["metadata"][field].as_str().unwrap_or("").to_string();
        let (namespace, name) = (text("namespace"), text("name"));
        let key = key(resource, &namespace, &name);
        let status = value["status"].clone();
        let mut state = self.shared.state();
        let refused = |refusal: crate::status::Refusal| panic!("{kind} {name}: {}", refusal.message);
        let known = state.objects.contains_key(&key);
        if known {
            if let Some(meta) = value["metadata"].as_object_mut() {
                meta.remove("resourceVersion");
            }
            state.replace(resource, &key, value, false).unwrap_or_else(refused);
        } else {
            state.create(resource, &namespace, value).unwrap_or_else(refused);
        }
        if !status.is_null() {
            let patch = serde_json::json!({"metadata": {}, "status": status});
            state.replace(resource, &key, patch, true).unwrap_or_else(refused);
        }
        let made = state.get(&key).unwrap_or_else(refused);
        let version = state.version;
        drop(state);
        self.shared.announce(version);
        serde_json::from_value(made).unwrap_or_else(|e| panic!("{kind} {name} reads back differently: {e}"))
    }

    /// The object as it is now.
    ///
    /// # Panics
    /// When the kind is unknown or the object is not of type `T`.
    pub fn find<T: DeserializeOwned>(&self, kind: &str, namespace: &str, name: &str) -> Option<T> {
        let value = self.shared.state().get(&own_key(kind, namespace, name)).ok()?;
        Some(serde_json::from_value(value).unwrap_or_else(|e| panic!("{kind} {name}: {e}")))
    }

    /// Every object of a kind, in the order of namespace and name.
    ///
    /// # Panics
    /// When the kind is unknown.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        let plural = own_key(kind, "", "").0;
        let state = self.shared.state();
        state.objects.iter().filter(|(key, _)| key.0 == plural).map(|(_, object)| object.clone()).collect()
    }

    /// Changes an object by hand; nothing is checked. False when there is none.
    ///
    /// # Panics
    /// When the kind is unknown.
    pub fn edit(&self, kind: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) -> bool {
        let key = own_key(kind, namespace, name);
        let mut state = self.shared.state();
        let Some(mut object) = state.objects.get(&key).cloned() else {
            return false;
        };
        change(&mut object);
        state.commit(&key, Some(object));
        crate::cluster::settle(&mut state);
        let version = state.version;
        drop(state);
        self.shared.announce(version);
        true
    }

    /// Deletes as a person does (finalizers hold it). False when there is none.
    ///
    /// # Panics
    /// When the kind is unknown.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let mut state = self.shared.state();
        let deleted = state.delete(&own_key(kind, namespace, name), &Preconditions::default()).is_ok();
        let version = state.version;
        drop(state);
        self.shared.announce(version);
        deleted
    }

    /// Forgets the history: watches that begin at an older version get 410 and list anew. Those that run go on.
    pub fn compact(&self) {
        let mut state = self.shared.state();
        state.compacted = state.version;
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// How many requests there were of that verb and resource.
    pub fn count(&self, verb: Verb, resource: &str) -> usize {
        lock(&self.shared.requests).iter().filter(|r| r.verb == verb && r.resource == resource).count()
    }

    /// Sets a fault for the `nth` write (from 0) that `matches`. The receiver tells when it struck.
    pub fn trap(
        &self,
        nth: usize,
        moment: Moment,
        fault: Fault,
        matches: impl Fn(&Request) -> bool + Send + 'static,
    ) -> oneshot::Receiver<Request> {
        let (sender, receiver) = oneshot::channel();
        let trap = Trap { skip: nth, moment, fault, matches: Box::new(matches), sprung: Some(sender) };
        lock(&self.shared.traps).push(trap);
        receiver
    }

    /// From now on nobody may make requests that match, be it to read or to write.
    pub fn forbid(&self, matches: impl Fn(&Request) -> bool + Send + 'static) {
        *lock(&self.shared.forbidden) = Some(Box::new(matches));
    }

    /// Takes back what [`FakeApi::forbid`] said.
    pub fn permit(&self) {
        *lock(&self.shared.forbidden) = None;
    }

    /// Begins or ends an outage.
    pub fn set_outage(&self, outage: Outage) {
        self.shared.outage.send_replace(outage);
    }

    pub(crate) fn access(&self) -> MutexGuard<'_, Access> {
        self.shared.access()
    }

    /// Waits until `done` holds for the server's objects, for at most 20 seconds.
    ///
    /// # Panics
    /// When it does not: with `what` and the state of things.
    pub async fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let mut versions = self.shared.versions();
        let wait = async {
            while !done(self) {
                versions.borrow_and_update();
                if done(self) {
                    return;
                }
                if versions.changed().await.is_err() {
                    return;
                }
            }
        };
        if timeout(Duration::from_secs(20), wait).await.is_err() {
            panic!("never happened: {what}\n{}", self.dump());
        }
    }

    /// Waits until nothing but leases was changed for `quiet`.
    pub async fn settled(&self, quiet: Duration) {
        let latest = || {
            let state = self.shared.state();
            state.history.iter().rev().find(|change| change.resource != "leases").map(|change| change.version)
        };
        let mut versions = self.shared.versions();
        let (mut last, mut since) = (latest(), Instant::now());
        while since.elapsed() < quiet {
            // Ends early at any change; the loop looks whether it counts.
            drop(timeout(quiet.saturating_sub(since.elapsed()), versions.changed()).await);
            let now = latest();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    /// Everything there is, as text, for messages.
    pub fn dump(&self) -> String {
        let state = self.shared.state();
        let objects: Vec<String> = state.objects.values().map(|object| format!("{object:#}")).collect();
        format!("{}\nrequests: {:#?}", objects.join("\n"), lock(&self.shared.requests))
    }
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn access(&self) -> MutexGuard<'_, Access> {
        lock(&self.access)
    }

    pub fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub fn outage(&self) -> watch::Receiver<Outage> {
        self.outage.subscribe()
    }

    /// Wakes the watches.
    pub fn announce(&self, version: u64) {
        self.version.send_if_modified(|known| {
            let newer = version > *known;
            *known = version.max(*known);
            newer
        });
    }

    pub fn record(&self, request: Request) -> Verdict {
        let caught = lock(&self.traps).iter_mut().find_map(|trap| {
            let caught = trap.catches(&request);
            caught.then_some(Verdict::Strike(trap.moment, trap.fault))
        });
        let forbidden = lock(&self.forbidden).as_ref().is_some_and(|forbids| forbids(&request));
        lock(&self.requests).push(request);
        if forbidden {
            return Verdict::Strike(Moment::Before, Fault::Status(403));
        }
        caught.unwrap_or(Verdict::Pass)
    }
}

fn own_key(kind: &str, namespace: &str, name: &str) -> Key {
    let Some(resource) = Resource::of_kind(kind) else { panic!("the fake knows no kind {kind:?}") };
    key(resource, namespace, name)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
