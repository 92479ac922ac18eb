//! FileSystems, the volumes on their shares, and the embedded server's agent: in memory, with troubles on demand. Each call
//! of a seam has two steps, before its effect and after it, and the controller can be killed at each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use csi_driver::controller::Controller;
use csi_driver::controller::agent::AgentError;
use csi_driver::controller::seams::{Agents, FileSystems, Home, LookupError, Volumes};
use csi_driver::share::{Leaving, OwnFolder, ShareError, Taken, VolumeRecord};
use tokio::sync::Notify;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status};
use workspacefs_agent_proto::v1::{self, Disposal};
use workspacefs_api::{
    Backend, FileSystem, FileSystemSpec, FileSystemStatus, ManagedBackend, NfsBackend, SharePlace,
};
use workspacefs_csi_proto::csi::v1::controller_client::ControllerClient;
use workspacefs_csi_proto::csi::v1::controller_server::ControllerServer;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use workspacefs_csi_proto::csi::v1::*;

use crate::common::TestServer;

pub const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
pub const OTHER_UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950f";
pub const GIB: i64 = 1 << 30;
/// Address of the embedded server.
pub const SERVER: &str = "10.96.0.7";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Trouble {
    #[default]
    None,
    Unreachable,
    Full,
    Denied,
}

#[derive(Clone, Default)]
pub struct World(pub Arc<Mutex<State>>);

#[derive(Clone, Default)]
pub struct State {
    pub file_systems: Vec<FileSystem>,
    pub api_away: bool,
    /// On shares, by `<FileSystem uid>/<folder>`.
    pub volumes: BTreeMap<String, VolumeRecord>,
    /// What left a share, and where to.
    pub left: Vec<(String, Leaving)>,
    pub trouble: Trouble,
    pub agent: Agent,
    /// A creation waits here, if set.
    pub hold: Option<Arc<Notify>>,
    pub steps: Steps,
}

/// What the agent keeps.
#[derive(Clone, Default)]
pub struct Agent {
    /// By FileSystem uid.
    pub file_systems: BTreeMap<String, Kept>,
    pub removed: Vec<(String, Disposal)>,
    /// Every call fails so.
    pub failure: Option<fn() -> AgentError>,
    pub asked: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    pub capacity: u64,
    pub used: u64,
    pub claims: BTreeMap<String, u64>,
}

impl Kept {
    pub fn left(&self) -> u64 {
        self.capacity.saturating_sub(self.used).saturating_sub(self.claims.values().sum())
    }
}

/// Where the controller is killed.
#[derive(Clone, Default)]
pub struct Steps {
    pub done: usize,
    pub kill_at: Option<usize>,
    pub killed: Arc<Notify>,
}

pub fn refused(code: Code, words: impl Into<String>) -> AgentError {
    AgentError::Refused { code, words: words.into() }
}

fn claim(uid: &str, name: &str, size: u64) -> v1::Claim {
    v1::Claim {
        name: name.into(),
        folder: format!("claims/{uid}/{name}"),
        size_bytes: size,
        usage: Some(v1::Usage { bytes_limit: size, ..Default::default() }),
    }
}

impl World {
    pub fn with(file_systems: Vec<FileSystem>) -> Self {
        Self(Arc::new(Mutex::new(State { file_systems, ..State::default() })))
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    pub fn get<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.lock().unwrap())
    }

    pub fn controller(&self) -> Controller {
        Controller::new(self.clone(), self.clone(), self.clone())
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

    async fn find(
        &self,
        wanted: impl Fn(&FileSystem) -> bool + Send,
    ) -> Result<Option<FileSystem>, LookupError> {
        self.step().await;
        self.get(|state| match state.api_away {
            true => Err(LookupError("connection refused".into())),
            false => Ok(state.file_systems.iter().find(|fs| wanted(fs)).cloned()),
        })
    }

    async fn on_share<T>(&self, effect: impl FnOnce(&mut State) -> T + Send) -> Result<T, ShareError> {
        self.step().await;
        let result = {
            let mut state = self.0.lock().unwrap();
            match state.trouble {
                Trouble::None => Ok(effect(&mut state)),
                Trouble::Unreachable => {
                    Err(ShareError::Unreachable { server: "nfs".into(), reason: "timed out".into() })
                }
                Trouble::Full => {
                    Err(ShareError::NoSpace { path: "nfs:/export".into(), reason: "ENOSPC".into() })
                }
                Trouble::Denied => {
                    Err(ShareError::Denied { path: "nfs:/export".into(), reason: "EACCES".into() })
                }
            }
        }?;
        self.step().await;
        Ok(result)
    }

    async fn on_agent<T>(
        &self,
        server: &str,
        effect: impl FnOnce(&mut Agent) -> Result<T, AgentError> + Send,
    ) -> Result<T, AgentError> {
        assert_eq!(server, SERVER, "the agent is where the FileSystem's status says");
        self.step().await;
        let result = {
            let agent = &mut self.0.lock().unwrap().agent;
            agent.asked += 1;
            match agent.failure {
                Some(failure) => Err(failure()),
                None => effect(agent),
            }
        }?;
        self.step().await;
        Ok(result)
    }
}

impl Agent {
    fn file_system(&mut self, uid: &str) -> Result<&mut Kept, AgentError> {
        let known = self.file_systems.get_mut(uid);
        known.ok_or_else(|| refused(Code::NotFound, format!("no FileSystem {uid}")))
    }
}

#[async_trait]
impl FileSystems for World {
    async fn by_name(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.find(move |fs| {
            fs.metadata.namespace.as_ref() == Some(&namespace) && fs.metadata.name.as_ref() == Some(&name)
        })
        .await
    }

    async fn by_uid(&self, uid: &str) -> Result<Option<FileSystem>, LookupError> {
        let uid = uid.to_owned();
        self.find(move |fs| fs.metadata.uid.as_ref() == Some(&uid)).await
    }
}

fn key(home: &Home, folder: &str) -> String {
    format!("{}/{folder}", home.attributes.file_system_uid)
}

#[async_trait]
impl Volumes for World {
    async fn create(
        &self,
        home: &Home,
        folder: &str,
        record: &VolumeRecord,
    ) -> Result<VolumeRecord, ShareError> {
        let hold = self.get(|state| state.hold.clone());
        if let Some(hold) = hold {
            hold.notified().await;
        }
        self.on_share(|state| *state.volumes.entry(key(home, folder)).or_insert(*record)).await
    }

    async fn record(&self, home: &Home, folder: &str) -> Result<Option<VolumeRecord>, ShareError> {
        self.on_share(|state| state.volumes.get(&key(home, folder)).copied()).await
    }

    async fn remove(&self, home: &Home, folder: &str, leaving: Leaving) -> Result<(), ShareError> {
        self.on_share(|state| {
            if state.volumes.remove(&key(home, folder)).is_some() {
                state.left.push((key(home, folder), leaving));
            }
        })
        .await
    }

    async fn remove_own(&self, _: &Home, _: OwnFolder, _: Leaving) -> Result<Taken, ShareError> {
        panic!("no RPC takes a FileSystem's own folder away")
    }

    async fn bytes_available(&self, _: &Home) -> Result<u64, ShareError> {
        self.on_share(|_| 7).await
    }
}

#[async_trait]
impl Agents for World {
    async fn ensure_claim(
        &self,
        server: &str,
        request: v1::EnsureClaimRequest,
    ) -> Result<v1::Claim, AgentError> {
        self.on_agent(server, |agent| {
            let uid = &request.file_system_uid;
            let kept = agent.file_system(uid)?;
            let fits = |size: u64| {
                size >= request.required_bytes && (request.limit_bytes == 0 || size <= request.limit_bytes)
            };
            if let Some(size) = kept.claims.get(&request.name) {
                return match fits(*size) {
                    true => Ok(claim(uid, &request.name, *size)),
                    false => Err(refused(Code::AlreadyExists, format!("the claim has {size} bytes"))),
                };
            }
            let (asked, capacity, left) = (request.required_bytes, kept.capacity, kept.left());
            if asked > capacity {
                let words = format!("{asked} bytes of a FileSystem of {capacity}");
                return Err(refused(Code::OutOfRange, words));
            }
            if asked > left {
                return Err(refused(Code::ResourceExhausted, format!("{asked} bytes, {left} are left")));
            }
            let size = if asked == 0 { left.min(GIB as u64) } else { asked };
            kept.claims.insert(request.name.clone(), size);
            Ok(claim(uid, &request.name, size))
        })
        .await
    }

    async fn get_claim(&self, server: &str, request: v1::GetClaimRequest) -> Result<v1::Claim, AgentError> {
        self.on_agent(server, |agent| {
            let uid = &request.file_system_uid;
            let size = agent.file_system(uid)?.claims.get(&request.name).copied();
            size.map(|size| claim(uid, &request.name, size))
                .ok_or_else(|| refused(Code::NotFound, "no such claim"))
        })
        .await
    }

    async fn grow_claim(&self, server: &str, request: v1::GrowClaimRequest) -> Result<v1::Claim, AgentError> {
        self.on_agent(server, |agent| {
            let uid = &request.file_system_uid;
            let kept = agent.file_system(uid)?;
            let (left, capacity) = (kept.left(), kept.capacity);
            let size = kept.claims.get_mut(&request.name);
            let size = size.ok_or_else(|| refused(Code::NotFound, "no such claim"))?;
            let asked = request.required_bytes;
            if asked > capacity {
                let words = format!("{asked} bytes of a FileSystem of {capacity}");
                return Err(refused(Code::OutOfRange, words));
            }
            if asked > *size + left {
                let words = format!("{asked} bytes, {} can be had", *size + left);
                return Err(refused(Code::ResourceExhausted, words));
            }
            *size = asked.max(*size);
            Ok(claim(uid, &request.name, *size))
        })
        .await
    }

    async fn remove_claim(
        &self,
        server: &str,
        request: v1::RemoveClaimRequest,
    ) -> Result<v1::Removed, AgentError> {
        self.on_agent(server, |agent| {
            let kept = agent.file_system(&request.file_system_uid)?;
            if kept.claims.remove(&request.name).is_some() {
                let which = format!("{}/{}", request.file_system_uid, request.name);
                agent.removed.push((which, request.disposal()));
            }
            Ok(v1::Removed::default())
        })
        .await
    }

    async fn list_file_systems(&self, server: &str) -> Result<Vec<v1::FileSystem>, AgentError> {
        self.on_agent(server, |agent| {
            let each = |(uid, kept): (&String, &Kept)| v1::FileSystem {
                uid: uid.clone(),
                capacity_bytes: kept.capacity,
                bytes_left: kept.left(),
                ..Default::default()
            };
            Ok(agent.file_systems.iter().map(each).collect())
        })
        .await
    }
}

pub fn file_system(name: &str, uid: &str, backend: Backend) -> FileSystem {
    let mut fs = FileSystem::new(name, FileSystemSpec { backend, ..Default::default() });
    fs.metadata.namespace = Some("team-a".into());
    fs.metadata.uid = Some(uid.into());
    fs
}

pub fn nfs(name: &str, uid: &str) -> FileSystem {
    let nfs = NfsBackend { server: "nfs".into(), export: "/export".into(), ..Default::default() };
    file_system(name, uid, Backend { nfs: Some(nfs), ..Default::default() })
}

/// A managed FileSystem of ten GiB, as the operator leaves it.
pub fn managed(name: &str, uid: &str) -> FileSystem {
    let backend = ManagedBackend { capacity: k8s_quantity("10Gi"), adopt: None };
    let mut fs = file_system(name, uid, Backend { managed: Some(backend), ..Default::default() });
    let folder = format!("workspaces/11111111-d9cb-469f-a165-70867728950e/{name}");
    let share = SharePlace { server: SERVER.into(), export: "/workspacefs".into(), folder };
    fs.status = Some(FileSystemStatus { share: Some(share), ..Default::default() });
    fs
}

pub fn k8s_quantity(text: &str) -> k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.into())
}

/// A world with a managed FileSystem `team-a/default` of ten GiB, of which two are used.
pub fn managed_world() -> World {
    let world = World::with(vec![managed("default", UID)]);
    let kept = Kept { capacity: 10 * GIB as u64, used: 2 * GIB as u64, ..Default::default() };
    world.set(|state| drop(state.agent.file_systems.insert(UID.into(), kept)));
    world
}

pub fn capability(access_type: AccessType) -> VolumeCapability {
    let mode = Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() });
    VolumeCapability { access_type: Some(access_type), access_mode: mode }
}

pub fn mount() -> VolumeCapability {
    capability(AccessType::Mount(MountVolume::default()))
}

/// A StorageClass's, with what external-provisioner adds for a claim of the FileSystem's own namespace.
pub fn parameters(namespace: &str, name: &str) -> std::collections::HashMap<String, String> {
    let all = [("namespace", namespace), ("fileSystem", name), (CLAIM_NAMESPACE, namespace)];
    all.map(|(k, v)| (k.into(), v.into())).into()
}

pub const CLAIM_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";

pub fn wish(name: &str) -> CreateVolumeRequest {
    sized_wish(name, 10, 10)
}

pub fn sized_wish(name: &str, required_bytes: i64, limit_bytes: i64) -> CreateVolumeRequest {
    CreateVolumeRequest {
        name: name.into(),
        capacity_range: Some(CapacityRange { required_bytes, limit_bytes }),
        volume_capabilities: vec![mount()],
        parameters: parameters("team-a", "default"),
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
    pub async fn create(&mut self, request: CreateVolumeRequest) -> Result<Volume, Code> {
        self.try_create(request).await.map_err(|status| status.code())
    }

    pub async fn try_create(&mut self, request: CreateVolumeRequest) -> Result<Volume, Status> {
        Ok(self.client.create_volume(request).await?.into_inner().volume.unwrap())
    }

    pub async fn delete(&mut self, id: &str) -> Result<(), Code> {
        let request = DeleteVolumeRequest { volume_id: id.into(), ..Default::default() };
        self.client.delete_volume(request).await.map(|_| ()).map_err(|status| status.code())
    }

    pub async fn expand(
        &mut self,
        id: &str,
        required_bytes: i64,
        limit_bytes: i64,
    ) -> Result<ControllerExpandVolumeResponse, Status> {
        let request = ControllerExpandVolumeRequest {
            volume_id: id.into(),
            capacity_range: Some(CapacityRange { required_bytes, limit_bytes }),
            ..Default::default()
        };
        Ok(self.client.controller_expand_volume(request).await?.into_inner())
    }

    pub async fn validate(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut ValidateVolumeCapabilitiesRequest),
    ) -> Result<ValidateVolumeCapabilitiesResponse, Code> {
        let mut request = ValidateVolumeCapabilitiesRequest {
            volume_id: id.into(),
            volume_capabilities: vec![mount()],
            ..Default::default()
        };
        change(&mut request);
        let answer = self.client.validate_volume_capabilities(request).await;
        answer.map(|answer| answer.into_inner()).map_err(|status| status.code())
    }
}
