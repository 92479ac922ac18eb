//! `files`, the API to the files of a FileSystem, run per FileSystem: a Deployment, a Service and a NetworkPolicy of its own and
//! its entries in the workspace's Secret. All are owned by the FileSystem. What is wished comes from [`objects`], what is found
//! goes through [`findings`]; here they meet, as a part of the pass over a FileSystem ([`crate::filesystem`]).
//!
//! What goes wrong here is told in condition FilesReady and touches nothing else of the FileSystem: workloads mount it all the
//! same.

mod caches;
mod certificate;
pub mod config;
pub mod findings;
pub mod keys;
pub mod objects;
mod refusals;
pub mod sweep;
mod taints;

use std::collections::HashMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::PostParams;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, to_value};
use tokio::sync::watch;
use workspacefs_api::FileSystemSpec;
use workspacefs_api::files::{FILES_PORT, FILES_SECRET, object_name};

pub use self::caches::{Caches, watch};
use self::certificate::{Certificates, CertificatesError, Held};
use self::config::FilesConfig;
use self::keys::{Known, Trust};
use self::objects::{Parts, Shop, WISH_ANNOTATION};
use self::refusals::Refusals;
use crate::FIELD_MANAGER;
use crate::child::{self, Child, namespace_is_ending};
use crate::conditions::Finding;
use crate::error::{PassError, chain};
use crate::filesystem::objects::Identity;
use crate::filesystem::own::covers;

/// A certificate is renewed months before its end; this is how often somebody looks.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Runs `files`.
pub struct Files {
    client: Client,
    config: FilesConfig,
    /// The operator's, where the gateway is.
    namespace: String,
    node_group_label: String,
    trust: watch::Receiver<Known>,
    caches: Caches,
    certificates: Certificates,
    refusals: Refusals,
    /// By FileSystem: the uid of its Deployment, and the generation that this had after we last wrote it.
    written: Mutex<HashMap<String, (String, i64)>>,
}

/// What a pass found.
pub struct Found {
    /// Condition FilesReady.
    pub finding: Finding,
    /// Where the file API listens, as far as its Service is known.
    pub address: Option<String>,
    /// When to look again, even if nothing changes.
    pub again: Duration,
}

/// Why an object is not there, for now.
enum Obstacle {
    Taken(&'static str, String),
    Leaving(&'static str),
    Refused(String),
}

/// Where `files` are run, and with whose keys.
pub struct Site<'a> {
    /// The API server.
    pub client: Client,
    /// The operator's namespace.
    pub namespace: &'a str,
    /// Key of the node label whose value is a node's group.
    pub node_group_label: &'a str,
    /// The keys.
    pub trust: watch::Receiver<Known>,
}

impl Files {
    /// Runs them as `config` says.
    pub fn new(config: FilesConfig, site: Site<'_>, caches: Caches) -> Self {
        let Site { client, namespace, node_group_label, trust } = site;
        Self {
            certificates: Certificates::new(client.clone()),
            client,
            config,
            namespace: namespace.into(),
            node_group_label: node_group_label.into(),
            trust,
            caches,
            refusals: Refusals::default(),
            written: Mutex::default(),
        }
    }

    /// Has `files` run for a FileSystem. `ready`: it can be mounted; `renewed`: what it says of its rsync daemon's secret. None where the namespace is ending, in which nothing can
    /// be made.
    ///
    /// # Errors
    /// [`PassError`]: worth another try.
    pub async fn apply(
        &self,
        fs: &Identity,
        spec: &FileSystemSpec,
        ready: bool,
        renewed: Option<&str>,
    ) -> Result<Option<Found>, PassError> {
        let found = |finding, again| Ok(Some(Found { finding, address: self.address(fs), again }));
        if !self.caches.filled().await {
            let why =
                "the Deployments, Services, NetworkPolicies, pods and nodes of files cannot be watched yet";
            return found(findings::starting(why), LOOK_AGAIN);
        }
        let known = self.trust.borrow().clone();
        let trust = match known {
            None => {
                return found(Finding::not_yet(findings::FILES_READY, "its keys are being made"), LOOK_AGAIN);
            }
            Some(Err(why)) => return found(findings::starting(why), LOOK_AGAIN),
            Some(Ok(trust)) => trust,
        };
        let name = object_name(&fs.name, &fs.uid);
        let is_there = self.caches.deployments.get(&ObjectRef::new(&name).within(&fs.namespace)).is_some();
        if !ready && !is_there {
            let why = "waits until the FileSystem itself is Ready: its pod could not mount it";
            return found(findings::starting(why), LOOK_AGAIN);
        }
        if let Some((why, left)) = self.refusals.standing(&fs.uid, Instant::now()) {
            return found(findings::refused(&why), left);
        }
        match self.ensure(fs, spec, &trust, renewed).await {
            Ok(Ok(deployment)) => {
                self.refusals.clear(&fs.uid);
                let pods = self.caches.pods(&fs.uid);
                let pods: Vec<&Pod> = pods.iter().map(Arc::as_ref).collect();
                found(findings::running(&deployment, &pods), LOOK_AGAIN)
            }
            Ok(Err(Obstacle::Refused(why))) => {
                let wait = self.refusals.add(&fs.uid, &why, Instant::now());
                found(findings::refused(&why), wait)
            }
            Ok(Err(Obstacle::Taken(kind, name))) => found(findings::name_taken(kind, &name), LOOK_AGAIN),
            Ok(Err(Obstacle::Leaving(kind))) => found(
                findings::starting(format!("its {kind} is being deleted, and is made again then")),
                LOOK_AGAIN,
            ),
            Err(CertificatesError::Pass(error)) if namespace_is_ending(&error) => Ok(None),
            Err(CertificatesError::Pass(error)) => Err(error),
            Err(error @ CertificatesError::Make(_)) => found(findings::starting(chain(&error)), LOOK_AGAIN),
        }
    }

    /// Whether this pod is one of a FileSystem's `files`.
    pub fn is_one(pod: &Pod, fs: &Identity) -> bool {
        objects::is_labelled(pod, &fs.uid)
    }

    /// Brings all of it into order, what the pod needs before the pod itself; the Deployment.
    async fn ensure(
        &self,
        fs: &Identity,
        spec: &FileSystemSpec,
        trust: &Trust,
        renewed: Option<&str>,
    ) -> Result<Result<Arc<Deployment>, Obstacle>, CertificatesError> {
        match self.certificates.ensure(fs, trust, Timestamp::now()).await? {
            Held::Good(_) => {}
            Held::Foreign => return Ok(Err(Obstacle::Taken("Secret", FILES_SECRET.into()))),
            Held::Leaving => return Ok(Err(Obstacle::Leaving("Secret"))),
            Held::Refused(why) => return Ok(Err(Obstacle::Refused(why))),
        }
        let shop = self.shop();
        let service = objects::service(&self.config, fs);
        if let Err(obstacle) = self.keep(&self.caches.services, fs, service, "Service").await? {
            return Ok(Err(obstacle));
        }
        let policy = objects::network_policy(&shop, fs);
        if !self.config.network_policy {
            self.drop_policy(fs).await?;
        } else if let Err(obstacle) = self.keep(&self.caches.policies, fs, policy, "NetworkPolicy").await? {
            return Ok(Err(obstacle));
        }
        let parts = Parts { public_keys: &trust.public_keys, tolerations: Vec::new(), renewed };
        Ok(self.keep_deployment(fs, spec, parts).await?)
    }

    /// Of its Service, as it was seen last.
    fn address(&self, fs: &Identity) -> Option<String> {
        let name = object_name(&fs.name, &fs.uid);
        let service = self.caches.services.get(&ObjectRef::new(&name).within(&fs.namespace))?;
        let address = service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok()?;
        objects::is_of(service.as_ref(), &fs.uid).then(|| SocketAddr::new(address, FILES_PORT).to_string())
    }

    fn shop(&self) -> Shop<'_> {
        let Self { config, node_group_label, namespace, .. } = self;
        Shop { config, node_group_label, namespace }
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The object as the cache knows it, else as the API server does: a foreign one has no label, so no cache.
    async fn find<K>(&self, cache: &Store<K>, fs: &Identity) -> Result<Child<K>, PassError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let name = object_name(&fs.name, &fs.uid);
        let object = match cache.get(&ObjectRef::new(&name).within(&fs.namespace)) {
            Some(object) => Some(object),
            None => {
                let asked = self.api::<K>(&fs.namespace).get_opt(&name).await;
                asked.map_err(PassError::api("read what runs its files"))?.map(Arc::new)
            }
        };
        Ok(Child::of(object, |object| objects::is_of(object, &fs.uid)))
    }

    /// Makes an object, or brings it into the wished state.
    async fn keep<K>(
        &self,
        cache: &Store<K>,
        fs: &Identity,
        wish: Value,
        kind: &'static str,
    ) -> Result<Result<Arc<K>, Obstacle>, PassError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize
            + Send
            + Sync
            + 'static,
    {
        let api = self.api::<K>(&fs.namespace);
        let child = match self.find(cache, fs).await? {
            Child::Absent => child::create(&api, wish, "make what runs its files").await?,
            Child::Ours(seen) => {
                let actual = to_value(seen.as_ref()).map_err(PassError::json("read what runs its files"))?;
                if covers(&actual, &wish) {
                    return Ok(Ok(seen));
                }
                child::update(&api, seen.as_ref(), wish, "update what runs its files").await?
            }
            other => other,
        };
        Ok(there(child, kind, fs))
    }

    async fn keep_deployment(
        &self,
        fs: &Identity,
        spec: &FileSystemSpec,
        parts: Parts<'_>,
    ) -> Result<Result<Arc<Deployment>, Obstacle>, PassError> {
        let api = self.api::<Deployment>(&fs.namespace);
        let child = self.find(&self.caches.deployments, fs).await?;
        let tolerations = self.tolerations(spec, child.ours().map(Arc::as_ref));
        let parts = Parts { tolerations, ..parts };
        let wish = objects::deployment(&self.shop(), fs, spec, &parts);
        let child = match child {
            Child::Absent => child::create(&api, wish, "make the Deployment of its files").await?,
            Child::Ours(seen) if self.is_as_wished(fs, &seen, &wish)? => return Ok(Ok(seen)),
            Child::Ours(seen) => replace(&api, &seen, wish).await?,
            other => other,
        };
        if let Child::Ours(deployment) = &child
            && let Some(version) = deployment.uid().zip(deployment.metadata.generation)
        {
            self.written().insert(fs.uid.clone(), version);
        }
        Ok(there(child, "Deployment", fs))
    }

    /// Those of its group's taints; where nobody knows them, what it has.
    fn tolerations(&self, spec: &FileSystemSpec, seen: Option<&Deployment>) -> Vec<Value> {
        let Some(group) = &spec.node_group else { return Vec::new() };
        let nodes = self.caches.nodes(group);
        let has = || {
            let pod = seen?.spec.as_ref()?.template.spec.as_ref()?;
            to_value(&pod.tolerations).ok()?.as_array().cloned()
        };
        taints::tolerations(nodes.iter().map(Arc::as_ref)).or_else(has).unwrap_or_default()
    }

    /// Whether nothing is to be written. What the API server itself makes of a wish (a webhook may put another image in) is not
    /// written again and again.
    fn is_as_wished(&self, fs: &Identity, seen: &Deployment, wish: &Value) -> Result<bool, PassError> {
        let said = seen.annotations().get(WISH_ANNOTATION).map(String::as_str);
        if said != wish["metadata"]["annotations"][WISH_ANNOTATION].as_str() {
            return Ok(false);
        }
        let version = seen.uid().zip(seen.metadata.generation);
        let ours_since = version.is_some() && self.written().get(&fs.uid) == version.as_ref();
        let actual = to_value(seen).map_err(PassError::json("read the Deployment of its files"))?;
        Ok(ours_since || covers(&actual, wish))
    }

    fn written(&self) -> MutexGuard<'_, HashMap<String, (String, i64)>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn drop_policy(&self, fs: &Identity) -> Result<(), PassError> {
        match self.caches.policies.get(&ObjectRef::new(&object_name(&fs.name, &fs.uid)).within(&fs.namespace))
        {
            Some(policy) if objects::is_of(policy.as_ref(), &fs.uid) => {
                let api = self.api::<NetworkPolicy>(&fs.namespace);
                child::delete(&api, policy.as_ref(), "delete the NetworkPolicy of its files").await
            }
            _ => Ok(()),
        }
    }

    /// Takes all of it away, the pods first. Repeatable; what is gone is asked of the API server, since it happens once. Says what
    /// the API server says where it refuses: that is no error, for an owner's end takes along what it owns.
    ///
    /// # Errors
    /// [`PassError`].
    pub async fn take_away(&self, fs: &Identity) -> Result<Option<String>, PassError> {
        self.refusals.clear(&fs.uid);
        self.written().remove(&fs.uid);
        let gone = async {
            self.delete::<Deployment>(fs).await?;
            self.delete::<Service>(fs).await?;
            self.delete::<NetworkPolicy>(fs).await?;
            self.certificates.remove(fs).await
        };
        match gone.await {
            Err(error) if error.is_refused() => {
                let why = chain(&error);
                tracing::warn!(error = why, "what ran its files is left to the garbage collector");
                Ok(Some(why))
            }
            gone => gone.map(|()| None),
        }
    }

    async fn delete<K>(&self, fs: &Identity) -> Result<(), PassError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api = self.api::<K>(&fs.namespace);
        let name = object_name(&fs.name, &fs.uid);
        let found = api.get_opt(&name).await.map_err(PassError::api("read what runs its files"))?;
        match found
            .filter(|object| objects::is_of(object, &fs.uid) && object.meta().deletion_timestamp.is_none())
        {
            Some(object) => child::delete(&api, &object, "delete what runs its files").await,
            None => Ok(()),
        }
    }
}

/// The object, or what stands in its way.
fn there<K: Resource>(child: Child<K>, kind: &'static str, fs: &Identity) -> Result<Arc<K>, Obstacle> {
    match child {
        Child::Ours(object) => Ok(object),
        Child::Refused(why) => Err(Obstacle::Refused(why)),
        Child::Leaving | Child::Absent => Err(Obstacle::Leaving(kind)),
        Child::Foreign => Err(Obstacle::Taken(kind, object_name(&fs.name, &fs.uid))),
    }
}

/// Writes the whole Deployment over exactly the one that was seen. Applying it would leave what is not wished any more: it was
/// created, and is not managed by an apply.
async fn replace(
    api: &Api<Deployment>,
    seen: &Deployment,
    wish: Value,
) -> Result<Child<Deployment>, PassError> {
    const STEP: &str = "update the Deployment of its files";
    let wish: Deployment = serde_json::from_value(wish).map_err(PassError::json(STEP))?;
    let mut new = Deployment { spec: wish.spec, ..seen.clone() };
    new.status = None;
    new.labels_mut().extend(wish.metadata.labels.unwrap_or_default());
    new.annotations_mut().extend(wish.metadata.annotations.unwrap_or_default());
    let by_us = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    match api.replace(&seen.name_any(), &by_us, &new).await {
        Ok(object) => Ok(Child::Ours(Arc::new(object))),
        Err(error) => match child::refusal(&error) {
            Some(why) => Ok(Child::Refused(why)),
            None => Err(PassError::api(STEP)(error)),
        },
    }
}
