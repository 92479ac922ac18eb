//! LocalStorages, LocalVolumes and nodes in memory. A node does what it is told to the volumes on it when somebody waits. Each
//! call of a seam has two steps, before its effect and after it, and the controller can be killed at each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use csi_driver::local_controller::LocalController;
use csi_driver::local_controller::seams::{
    ApiError, LocalStorages, LocalVolumes, NodeState, Nodes, Until, Waited,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status};
use workspacefs_api::local_volume::{DISCARD_FILES_ANNOTATION, LOCAL_VOLUME_FINALIZER};
use workspacefs_api::{
    LocalStorage, LocalStorageSpec, LocalStorageStatus, LocalVolume, LocalVolumePhase, LocalVolumeReason,
    LocalVolumeStatus,
};
use workspacefs_csi_proto::csi::v1::controller_client::ControllerClient;
use workspacefs_csi_proto::csi::v1::controller_server::ControllerServer;
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use workspacefs_csi_proto::csi::v1::*;
use workspacefs_testkit::builders;

use crate::common::TestServer;

pub const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
pub const OTHER_UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950f";
pub const GIB: i64 = 1 << 30;
pub const NODE_KEY: &str = "topology.local.csi.workspacefs.io/node";

/// What a node does with the volumes on it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Habit {
    /// What is asked.
    #[default]
    Obeys,
    /// It says why not.
    Says(LocalVolumeReason),
    /// Nothing.
    Silent,
}

#[derive(Clone, Default)]
pub struct World(pub Arc<Mutex<State>>);

#[derive(Clone, Default)]
pub struct State {
    pub storages: Vec<LocalStorage>,
    pub volumes: BTreeMap<String, LocalVolume>,
    /// Those that Kubernetes knows.
    pub nodes: BTreeMap<String, NodeState>,
    pub habits: BTreeMap<String, Habit>,
    /// `<node>/<CSI name>` of all that nodes have made, and what of it they have moved into the trash.
    pub made: Vec<String>,
    pub trashed: Vec<String>,
    pub api_away: bool,
    pub asked: usize,
    /// Whoever waits waits for this too, if set.
    pub hold: Option<Arc<Notify>>,
    pub steps: Steps,
    versions: i64,
}

/// Where the controller is killed.
#[derive(Clone, Default)]
pub struct Steps {
    pub done: usize,
    pub kill_at: Option<usize>,
    pub killed: Arc<Notify>,
}

impl State {
    fn version(&mut self) -> Option<String> {
        self.versions += 1;
        Some(self.versions.to_string())
    }

    /// Changes what is there under a name, as the API server does: an object that is deleted and that nothing holds goes.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut LocalVolume)) {
        let version = self.version();
        let Some(volume) = self.volumes.get_mut(name) else { return };
        let (spec, leaving) = (volume.spec.clone(), volume.metadata.deletion_timestamp.is_some());
        change(volume);
        volume.metadata.resource_version = version;
        if volume.spec != spec || volume.metadata.deletion_timestamp.is_some() != leaving {
            volume.metadata.generation = volume.metadata.generation.map(|generation| generation + 1);
        }
        if volume.metadata.deletion_timestamp.is_some() && volume.finalizers().is_empty() {
            self.volumes.remove(name);
        }
    }

    /// The node of a volume looks at it.
    fn node_acts(&mut self, name: &str) {
        let Some(volume) = self.volumes.get(name).cloned() else { return };
        // Without the mark a node touches nothing.
        if volume.metadata.deletion_timestamp.is_some() && !is_marked(&volume) {
            return;
        }
        let what = format!("{}/{}", volume.spec.node, volume.spec.volume);
        let status = volume.status.clone().unwrap_or_default();
        let observed_generation = volume.metadata.generation;
        let said = match self.habits.get(&volume.spec.node).copied().unwrap_or_default() {
            Habit::Silent => return,
            Habit::Says(reason) => LocalVolumeStatus {
                observed_generation,
                reason: Some(reason),
                message: format!("{reason:?}"),
                ..status
            },
            Habit::Obeys if volume.metadata.deletion_timestamp.is_some() => {
                if self.made.contains(&what) && !self.trashed.contains(&what) {
                    self.trashed.push(what);
                }
                let phase = LocalVolumePhase::Removed;
                LocalVolumeStatus { observed_generation, phase, ..LocalVolumeStatus::default() }
            }
            Habit::Obeys => {
                if !self.made.contains(&what) {
                    self.made.push(what);
                }
                LocalVolumeStatus {
                    observed_generation,
                    phase: LocalVolumePhase::Ready,
                    size_bytes: Some(volume.spec.size_bytes),
                    ..LocalVolumeStatus::default()
                }
            }
        };
        self.change(name, |volume| volume.status = Some(said));
    }

    /// The only volume there is.
    pub fn only(&self) -> &LocalVolume {
        assert_eq!(self.volumes.len(), 1);
        self.volumes.values().next().unwrap()
    }

    /// Deletes the only volume as a person does.
    pub fn delete_by_hand(&mut self) {
        let name = self.only().name_any();
        self.change(&name, leave);
    }

    /// Minutes go by since the volumes were written.
    pub fn age(&mut self) {
        let long_ago = Some(Time(Timestamp::UNIX_EPOCH));
        self.volumes.values_mut().for_each(|one| one.metadata.creation_timestamp = long_ago.clone());
    }

    /// What no RPC waits for any more: as `leftovers` does.
    pub fn sweep(&mut self) {
        let leaving: Vec<String> = self
            .volumes
            .values()
            .filter(|v| v.metadata.deletion_timestamp.is_some() && is_marked(v))
            .map(|v| v.name_any())
            .collect();
        for name in leaving {
            self.node_acts(&name);
            self.change(&name, |volume| {
                if volume.phase() == LocalVolumePhase::Removed {
                    volume.metadata.finalizers = None;
                }
            });
        }
    }
}

impl World {
    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    pub fn get<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.lock().unwrap())
    }

    pub fn controller(&self) -> LocalController {
        LocalController::new(self.clone(), self.clone(), self.clone(), Duration::from_millis(100))
    }

    /// Sets what a node does.
    pub fn node(&self, node: &str, habit: Habit) {
        self.set(|state| _ = state.habits.insert(node.into(), habit));
    }

    /// Sets what Kubernetes knows of a node.
    pub fn kubernetes_says(&self, node: &str, said: NodeState) {
        self.set(|state| _ = state.nodes.insert(node.into(), said));
    }

    /// Sets a node's entry in the status of the LocalStorage `fast`.
    pub fn entry(&self, node: &str, ready: bool, available: Option<i64>) {
        let mut entry = builders::node_storage(node, ready);
        entry.available = available.map(|bytes| Quantity(bytes.to_string()));
        self.set(|state| {
            let nodes = &mut state.storages[0].status.get_or_insert_default().nodes;
            nodes.retain(|known| known.node != node);
            nodes.push(entry);
        });
    }

    /// One step; the controller gets no further if it is killed here.
    async fn step(&self) {
        let killed = self
            .get(|state| (state.steps.kill_at == Some(state.steps.done)).then(|| state.steps.killed.clone()));
        if let Some(killed) = killed {
            killed.notify_one();
            std::future::pending::<()>().await;
        }
        self.set(|state| state.steps.done += 1);
    }

    async fn ask<T: Send>(
        &self,
        effect: impl FnOnce(&mut State) -> Result<T, ApiError> + Send,
    ) -> Result<T, ApiError> {
        self.step().await;
        let result = {
            let mut state = self.0.lock().unwrap();
            state.asked += 1;
            match state.api_away {
                true => Err(ApiError::NoAnswer { action: "do it", source: "connection refused".into() }),
                false => effect(&mut state),
            }
        }?;
        self.step().await;
        Ok(result)
    }
}

#[async_trait]
impl LocalStorages for World {
    async fn by_name(&self, name: &str) -> Result<Option<Arc<LocalStorage>>, ApiError> {
        let find = |state: &mut State| {
            Ok(state.storages.iter().find(|one| one.name_any() == name).cloned().map(Arc::new))
        };
        self.ask(find).await
    }
}

#[async_trait]
impl Nodes for World {
    async fn state(&self, name: &str) -> Result<NodeState, ApiError> {
        self.ask(|state| Ok(state.nodes.get(name).copied().unwrap_or(NodeState::Absent))).await
    }
}

#[async_trait]
impl LocalVolumes for World {
    async fn get(&self, name: &str) -> Result<Option<LocalVolume>, ApiError> {
        self.ask(|state| Ok(state.volumes.get(name).cloned())).await
    }

    async fn labelled(&self, value: &str) -> Result<Vec<LocalVolume>, ApiError> {
        let has = |one: &&LocalVolume| {
            one.labels().get("workspacefs.io/local-volume-name").is_some_and(|v| v == value)
        };
        self.ask(|state| Ok(state.volumes.values().filter(has).cloned().collect())).await
    }

    async fn create(&self, volume: &LocalVolume) -> Result<Option<LocalVolume>, ApiError> {
        self.ask(|state| {
            let name = volume.name_any();
            if state.volumes.contains_key(&name) {
                return Ok(None);
            }
            let mut created = volume.clone();
            created.metadata.resource_version = state.version();
            created.metadata.uid = Some(format!("uid-{}", state.versions));
            created.metadata.generation = Some(1);
            created.metadata.creation_timestamp = Some(Time(Timestamp::now()));
            state.volumes.insert(name, created.clone());
            Ok(Some(created))
        })
        .await
    }

    async fn delete(&self, volume: &LocalVolume) -> Result<(), ApiError> {
        let mark: fn(&mut LocalVolume) =
            |one| _ = one.annotations_mut().insert(DISCARD_FILES_ANNOTATION.into(), "true".into());
        // Two requests, with a step in between.
        for change in [mark, leave] {
            self.ask(|state| {
                let name = volume.name_any();
                if state.volumes.get(&name).is_some_and(|there| there.metadata.uid == volume.metadata.uid) {
                    state.change(&name, change);
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn resize(&self, volume: &LocalVolume, size_bytes: i64) -> Result<LocalVolume, ApiError> {
        self.ask(|state| {
            let name = volume.name_any();
            let there = state.volumes.get(&name).ok_or(ApiError::Overtaken)?;
            if there.metadata.resource_version != volume.metadata.resource_version {
                return Err(ApiError::Overtaken);
            }
            state.change(&name, |one| one.spec.size_bytes = size_bytes);
            Ok(state.volumes[&name].clone())
        })
        .await
    }

    async fn release(&self, volume: &LocalVolume) -> Result<(), ApiError> {
        self.ask(|state| {
            state.change(&volume.name_any(), |one| {
                one.finalizers_mut().retain(|finalizer| finalizer != LOCAL_VOLUME_FINALIZER);
            });
            Ok(())
        })
        .await
    }

    async fn wait(&self, name: &str, until: Until, _: Instant) -> Result<Waited, ApiError> {
        let hold = self.get(|state| state.hold.clone());
        if let Some(hold) = hold {
            hold.notified().await;
        }
        self.ask(|state| {
            if !until(state.volumes.get(name)) {
                state.node_acts(name);
            }
            let now = state.volumes.get(name);
            Ok(if until(now) { Waited::Came(now.cloned().map(Box::new)) } else { Waited::Late })
        })
        .await
    }
}

fn leave(volume: &mut LocalVolume) {
    volume.metadata.deletion_timestamp.get_or_insert(Time(Timestamp::UNIX_EPOCH));
}

/// Whether it is being deleted because the controller asked for it.
pub fn is_given_up(volume: &LocalVolume) -> bool {
    volume.metadata.deletion_timestamp.is_some() && is_marked(volume)
}

fn is_marked(volume: &LocalVolume) -> bool {
    volume.annotations().get("workspacefs.io/discard-files").is_some_and(|value| value == "true")
}

/// LocalStorage `fast` of node group `gpu`, for the workspace `team-a`, ready on n1 with 10 GiB and on n2 with 20.
pub fn world() -> World {
    let mut storage = LocalStorage::new(
        "fast",
        LocalStorageSpec {
            node_group: "gpu".into(),
            workspaces: vec!["team-a".into()],
            ..LocalStorageSpec::default()
        },
    );
    storage.metadata.uid = Some(UID.into());
    storage.status = Some(LocalStorageStatus::default());
    let world = World::default();
    world.set(|state| state.storages.push(storage));
    for (node, gib) in [("n1", 10), ("n2", 20)] {
        world.entry(node, true, Some(gib * GIB));
        world.kubernetes_says(node, NodeState::Ready);
    }
    world
}

pub fn mount(mode: i32) -> VolumeCapability {
    VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume::default())),
        access_mode: Some(AccessMode { mode }),
    }
}

pub fn on(nodes: &[&str]) -> Option<TopologyRequirement> {
    let term = |node: &&str| Topology { segments: [(NODE_KEY.to_owned(), (*node).to_owned())].into() };
    let terms: Vec<Topology> = nodes.iter().map(term).collect();
    Some(TopologyRequirement { requisite: terms.clone(), preferred: terms })
}

/// As external-provisioner asks for a claim of `team-a` whose pod is to run on n1.
pub fn wish(name: &str, required_bytes: i64) -> CreateVolumeRequest {
    let parameters = [
        ("localStorage", "fast"),
        ("csi.storage.k8s.io/pvc/namespace", "team-a"),
        ("csi.storage.k8s.io/pvc/name", "scratch"),
    ];
    CreateVolumeRequest {
        name: name.into(),
        capacity_range: Some(CapacityRange { required_bytes, limit_bytes: 0 }),
        volume_capabilities: vec![mount(1)],
        parameters: parameters.map(|(k, v)| (k.into(), v.into())).into(),
        accessibility_requirements: on(&["n1"]),
        ..Default::default()
    }
}

pub struct Setup {
    pub world: World,
    pub server: TestServer,
    pub client: ControllerClient<Channel>,
}

pub async fn setup(world: World) -> Setup {
    let service = ControllerServer::new(world.controller());
    let server = TestServer::start(Routes::new(service), Duration::from_secs(10));
    let client = ControllerClient::new(server.connect().await);
    Setup { world, server, client }
}

impl Setup {
    pub async fn create(&mut self, request: CreateVolumeRequest) -> Result<Volume, Status> {
        Ok(self.client.create_volume(request).await?.into_inner().volume.unwrap())
    }

    pub async fn refused(&mut self, request: CreateVolumeRequest) -> (Code, String) {
        let status = self.create(request).await.unwrap_err();
        (status.code(), status.message().to_owned())
    }

    pub async fn delete(&mut self, id: &str) -> Result<(), Code> {
        let request = DeleteVolumeRequest { volume_id: id.into(), ..Default::default() };
        self.client.delete_volume(request).await.map(drop).map_err(|status| status.code())
    }

    pub async fn expand(&mut self, id: &str, required_bytes: i64, limit_bytes: i64) -> Result<i64, Code> {
        let request = ControllerExpandVolumeRequest {
            volume_id: id.into(),
            capacity_range: Some(CapacityRange { required_bytes, limit_bytes }),
            volume_capability: Some(mount(1)),
            ..Default::default()
        };
        let answer = self.client.controller_expand_volume(request).await;
        let answer = answer.map_err(|status| status.code())?.into_inner();
        assert!(!answer.node_expansion_required);
        Ok(answer.capacity_bytes)
    }
}
