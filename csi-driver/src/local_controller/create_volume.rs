//! CreateVolume: writes a LocalVolume for a node with room, and waits until that node has made the volume.
//!
//! A call that is repeated finds the object by its label, on whatever node it was written, and carries on. What has become of the
//! object follows from what external-provisioner makes of the answer. After "still running" it asks again, for the same
//! node, until the answer is another, even if the claim is gone meanwhile. After RESOURCE_EXHAUSTED it takes the chosen node off a claim
//! that waits for its first consumer, and the scheduler chooses again. After anything else it may never ask again. So a call
//! that ends for good has asked for the deletion of what was not made yet: nothing is made for nobody. A volume that was made
//! may be somebody's, and stays; but who asks for it has no PersistentVolume of it, so where its node or its files are gone it is given
//! up too.

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_api::local_storage::LOCAL_STORAGE_UID_LABEL;
use workspacefs_api::local_volume::{LOCAL_VOLUME_FINALIZER, LOCAL_VOLUME_NAME_LABEL};
use workspacefs_api::{LocalStorage, LocalVolume, LocalVolumePhase, LocalVolumeSpec};
use workspacefs_csi_proto::csi::v1::{CreateVolumeRequest, CreateVolumeResponse, Volume};

use super::LocalController;
use super::capability::{self, LocalCapabilityError};
use super::names;
use super::parameters::{LocalParameters, LocalParametersError};
use super::place::{self, NoPlace, Reach};
use super::progress::{Progress, Refusal, Removal, is_marked, is_old, is_unheard, progress, size};
use super::seams::{ApiError, NodeState, Waited};
use super::size::{self, RangeError};
use crate::controller::request::{self, RequestError};
use crate::op_guard::Busy;
use crate::rpc;
use crate::share::VolumeRecord;

/// Why no volume was made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CreateVolumeError {
    #[error(transparent)]
    Request(RequestError),
    #[error(transparent)]
    Capability(LocalCapabilityError),
    #[error(transparent)]
    Parameters(LocalParametersError),
    #[error(transparent)]
    Range(RangeError),
    #[error(transparent)]
    Busy(Busy),
    #[error(transparent)]
    Api(ApiError),
    #[error("the StorageClass names LocalStorage {0:?}, and there is none")]
    NoStorage(String),
    #[error("LocalStorage {0:?} is being deleted")]
    StorageLeaving(String),
    #[error(
        "LocalStorage {storage:?} does not list namespace {namespace:?} in spec.workspaces, so its claims get no volume of it"
    )]
    NotAllowed { storage: String, namespace: String },
    #[error("volume {0:?} exists and was made for another size, or for another namespace")]
    Incompatible(String),
    #[error(
        "the volume was made on node {node:?}, and is asked for on another: LocalVolume {volume} can be deleted if no \
         PersistentVolume has it"
    )]
    Elsewhere { node: String, volume: String },
    #[error(transparent)]
    NoPlace(NoPlace),
    #[error("no node that has room is Ready: {}", .0.join(", "))]
    NodesAway(Vec<String>),
    #[error("an earlier volume of that name is being moved away by node {0:?}")]
    Leaving(String),
    #[error("an earlier volume of that name is on node {0:?}, which does not move it away")]
    Stuck(String),
    #[error("there is a LocalVolume {0} that is not this one: somebody has written it by hand")]
    Foreign(String),
    #[error("node {node:?} has not made the volume: {}", .refusal.message)]
    Refused { node: String, refusal: Refusal },
    #[error("node {0:?} has not answered yet")]
    Late(String),
    #[error("node {node:?} has not answered, and {reason}: the volume was given up there")]
    NodeLeft { node: String, reason: String },
    #[error(
        "the volume was made on node {0:?}, is not on the disk that is in it now, and was given up there"
    )]
    Lost(String),
    #[error("the LocalVolume was deleted while node {0:?} was to make it")]
    Vanished(String),
}

use CreateVolumeError as E;

/// Attempts to write an object whose name another has that is just leaving.
const ATTEMPTS: usize = 3;

/// A request whose fields make sense by themselves.
struct Wish {
    name: String,
    asked: VolumeRecord,
    size: i64,
    parameters: LocalParameters,
    namespace: String,
    reach: Reach,
}

impl LocalController {
    pub(super) async fn create(
        &self,
        request: CreateVolumeRequest,
    ) -> Result<CreateVolumeResponse, CreateVolumeError> {
        let deadline = Instant::now() + self.patience;
        let wish = read(&request)?;
        let name = &wish.parameters.storage;
        let storage = self.storages.by_name(name).await.map_err(E::Api)?;
        let storage = storage.ok_or_else(|| E::NoStorage(name.clone()))?;
        let uid = storage.metadata.uid.clone().unwrap_or_default();
        let label = names::label(&uid, &wish.name);
        let _guard = self.guards.try_acquire(&label).map_err(E::Busy)?;
        let volume = match self.found(&uid, &label, &wish).await? {
            Some(volume) => volume,
            None => self.begin(&storage, &label, &wish, deadline).await?,
        };
        let id = LocalVolumeId::Volume { storage: uid, volume: name_of(&volume) }.to_string();
        rpc::note(&id, None);
        let _guard = self.guards.try_acquire(&id).map_err(E::Busy)?;
        let size = self.made(name, &volume, deadline).await?;
        // A node that makes another size than it was asked for must not be told as a success.
        if !size::satisfies(size, &wish.asked) {
            return Err(E::Incompatible(wish.name));
        }
        let attributes = LocalVolumeAttributes {
            storage: name.clone(),
            namespace: wish.namespace,
            node_group: storage.spec.node_group.clone(),
            node: Some(volume.spec.node.clone()),
        };
        let volume = Volume {
            volume_id: id,
            capacity_bytes: size,
            volume_context: attributes.to_map().into_iter().collect(),
            content_source: None,
            accessible_topology: vec![place::topology(&volume.spec.node)],
        };
        Ok(CreateVolumeResponse { volume: Some(volume) })
    }

    /// The volume that an earlier call has begun or made. One that is being deleted does not count: it was given up, and on
    /// another node this one can be made at once.
    async fn found(
        &self,
        uid: &str,
        label: &str,
        wish: &Wish,
    ) -> Result<Option<LocalVolume>, CreateVolumeError> {
        let mut all = Vec::new();
        for one in self.volumes.labelled(label).await.map_err(E::Api)? {
            if !is_of(&one, uid, &wish.name) || one.metadata.deletion_timestamp.is_some() {
                continue;
            }
            match self.is_void(&one).await? {
                true => self.volumes.delete(&one).await.map_err(E::Api)?,
                false => all.push(one),
            }
        }
        let elsewhere = |one: &LocalVolume| !wish.reach.admits(&one.spec.node);
        all.sort_by_key(|one| (elsewhere(one), size(one).is_none(), name_of(one)));
        let mut chosen: Option<LocalVolume> = None;
        for one in all {
            if chosen.is_none() && (!elsewhere(&one) || size(&one).is_some()) {
                chosen = Some(one);
            } else if size(&one).is_none() {
                // The scheduler has changed its mind, and nobody was told of this one.
                self.volumes.delete(&one).await.map_err(E::Api)?;
            }
        }
        let Some(volume) = chosen else { return Ok(None) };
        if elsewhere(&volume) {
            let (node, volume) = (volume.spec.node.clone(), name_of(&volume));
            return Err(E::Elsewhere { node, volume });
        }
        let bytes = size(&volume).unwrap_or(volume.spec.size_bytes);
        if volume.spec.namespace != wish.namespace || !size::satisfies(bytes, &wish.asked) {
            return Err(E::Incompatible(wish.name.clone()));
        }
        Ok(Some(volume))
    }

    /// Whether nothing can come of it any more: a process was killed while it gave it up, or its files or its node are gone.
    async fn is_void(&self, volume: &LocalVolume) -> Result<bool, CreateVolumeError> {
        if is_marked(&volume.metadata) || volume.phase() == LocalVolumePhase::Lost {
            return Ok(true);
        }
        Ok(self.nodes.state(&volume.spec.node).await.map_err(E::Api)? == NodeState::Absent)
    }

    /// Writes the object for the first node that can have the volume.
    async fn begin(
        &self,
        storage: &LocalStorage,
        label: &str,
        wish: &Wish,
        deadline: Instant,
    ) -> Result<LocalVolume, CreateVolumeError> {
        let name = &wish.parameters.storage;
        if storage.metadata.deletion_timestamp.is_some() {
            return Err(E::StorageLeaving(name.clone()));
        }
        if !storage.spec.workspaces.contains(&wish.namespace) {
            return Err(E::NotAllowed { storage: name.clone(), namespace: wish.namespace.clone() });
        }
        let nodes = place::candidates(storage, &wish.reach, wish.size).map_err(E::NoPlace)?;
        let mut away = Vec::new();
        for node in nodes {
            match self.nodes.state(&node).await.map_err(E::Api)? {
                NodeState::Ready => return self.write(&wish.object(storage, label, &node), deadline).await,
                NodeState::NotReady | NodeState::Absent => away.push(node),
            }
        }
        Err(E::NodesAway(away))
    }

    async fn write(&self, object: &LocalVolume, deadline: Instant) -> Result<LocalVolume, CreateVolumeError> {
        let name = name_of(object);
        for _ in 0..ATTEMPTS {
            if let Some(created) = self.volumes.create(object).await.map_err(E::Api)? {
                return Ok(created);
            }
            match self.volumes.get(&name).await.map_err(E::Api)? {
                // Given up here before, and asked for here again.
                Some(there) if there.metadata.deletion_timestamp.is_some() => {
                    self.leave(&there, deadline).await?;
                }
                // By a process whose successor we are.
                Some(there)
                    if there.metadata.labels == object.metadata.labels && there.spec == object.spec =>
                {
                    return Ok(there);
                }
                Some(_) => return Err(E::Foreign(name)),
                None => {}
            }
        }
        Err(E::Vanished(object.spec.node.clone()))
    }

    /// Waits until the name of one that is being deleted is free.
    async fn leave(&self, volume: &LocalVolume, deadline: Instant) -> Result<(), CreateVolumeError> {
        let node = || volume.spec.node.clone();
        match self.gone(volume, deadline).await.map_err(E::Api)? {
            Removal::Done | Removal::Gone => Ok(()),
            Removal::Working | Removal::Refused(_) if is_old(volume, Timestamp::now()) => {
                Err(E::Stuck(node()))
            }
            Removal::Working | Removal::Refused(_) => Err(E::Leaving(node())),
        }
    }

    /// Waits until the volume is made; gives back its size.
    async fn made(
        &self,
        storage: &str,
        volume: &LocalVolume,
        deadline: Instant,
    ) -> Result<i64, CreateVolumeError> {
        let (name, node) = (name_of(volume), volume.spec.node.clone());
        let until = Box::new(|now: Option<&LocalVolume>| progress(now) != Progress::Working);
        let now = match progress(Some(volume)) {
            Progress::Working => match self.volumes.wait(&name, until, deadline).await.map_err(E::Api)? {
                Waited::Came(now) => progress(now.as_deref()),
                Waited::Late => Progress::Working,
            },
            known => known,
        };
        match now {
            Progress::Made(size) => Ok(size),
            Progress::Working => match self.why_not(storage, volume).await? {
                None => Err(E::Late(node)),
                Some(reason) => {
                    self.volumes.delete(volume).await.map_err(E::Api)?;
                    Err(E::NodeLeft { node, reason })
                }
            },
            Progress::Refused(refusal) => {
                self.volumes.delete(volume).await.map_err(E::Api)?;
                Err(E::Refused { node, refusal })
            }
            Progress::Lost => {
                self.volumes.delete(volume).await.map_err(E::Api)?;
                Err(E::Lost(node))
            }
            Progress::Leaving => Err(E::Leaving(node)),
            Progress::Gone => Err(E::Vanished(node)),
        }
    }

    /// Why the node will not answer soon, if it will not.
    async fn why_not(
        &self,
        storage: &str,
        volume: &LocalVolume,
    ) -> Result<Option<String>, CreateVolumeError> {
        let node = &volume.spec.node;
        // First: what the node says of itself stays there when it is gone.
        if self.nodes.state(node).await.map_err(E::Api)? != NodeState::Ready {
            return Ok(Some("Kubernetes does not take it for Ready".into()));
        }
        let storage = self.storages.by_name(storage).await.map_err(E::Api)?;
        Ok(match storage.as_ref().map(|storage| storage.on_node(node)) {
            None => Some("its LocalStorage is gone".into()),
            Some(None) => Some("it says nothing of the LocalStorage".into()),
            Some(Some(entry)) if !entry.ready => Some(format!("its disk is not ready ({})", entry.reason)),
            Some(Some(_)) => {
                let now = self.volumes.get(&name_of(volume)).await.map_err(E::Api)?;
                let unheard = now.is_some_and(|now| is_unheard(&now, Timestamp::now()));
                unheard.then(|| "nobody has looked at the volume there for minutes".into())
            }
        })
    }
}

impl Wish {
    fn object(&self, storage: &LocalStorage, label: &str, node: &str) -> LocalVolume {
        let uid = storage.metadata.uid.clone().unwrap_or_default();
        let mut object = LocalVolume::new(
            &names::object(&uid, &self.name, node),
            LocalVolumeSpec {
                storage: self.parameters.storage.clone(),
                storage_uid: uid.clone(),
                node: node.into(),
                volume: self.name.clone(),
                namespace: self.namespace.clone(),
                claim: self.parameters.claim.clone(),
                size_bytes: self.size,
            },
        );
        let labels = [(LOCAL_VOLUME_NAME_LABEL, label.to_owned()), (LOCAL_STORAGE_UID_LABEL, uid)];
        object.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value)).into());
        object.metadata.finalizers = Some(vec![LOCAL_VOLUME_FINALIZER.into()]);
        object
    }
}

/// Whether an object with the label is what the label says: labels are anybody's to write.
fn is_of(volume: &LocalVolume, storage_uid: &str, name: &str) -> bool {
    let spec = &volume.spec;
    spec.storage_uid == storage_uid
        && spec.volume == name
        && name_of(volume) == names::object(storage_uid, name, &spec.node)
}

fn name_of(volume: &LocalVolume) -> String {
    volume.metadata.name.clone().unwrap_or_default()
}

fn read(request: &CreateVolumeRequest) -> Result<Wish, CreateVolumeError> {
    let asked = request::sizes(request).map_err(E::Request)?;
    for one in &request.volume_capabilities {
        capability::check(one).map_err(E::Capability)?;
    }
    let parameters = LocalParameters::parse(&request.parameters).map_err(E::Parameters)?;
    let namespace = parameters.namespace().map_err(E::Parameters)?.to_owned();
    let size = size::wished(&asked).map_err(E::Range)?;
    let reach = Reach::of(request.accessibility_requirements.as_ref());
    Ok(Wish { name: request.name.clone(), asked, size, parameters, namespace, reach })
}
