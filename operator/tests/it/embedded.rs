//! An embedded server for tests: the agent's protocol over real TLS, with the certificate that the operator made, and an NFS
//! server that answers NULL calls. Each has a loopback address of its own, so that the fixed ports do not collide. The
//! agent's rules about sizes are those of `agent.proto`; its disk is a map.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::api::core::v1::Secret;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use workspacefs_agent_proto::tls::Credentials;
use workspacefs_agent_proto::v1::agent_server::{Agent, AgentServer};
use workspacefs_agent_proto::v1::*;
use workspacefs_operator::config::Config;
use workspacefs_testkit::{FakeApi, Moment, builders};

use crate::world::*;

pub const SERVICE: &str = "workspacefs-nfs";
pub const GIB: u64 = 1 << 30;

/// The whole server.
pub struct Embedded {
    pub address: String,
    pub agent: FakeAgent,
    nfs: Option<NfsServer>,
    /// Dropped, it ends the agent and all its connections.
    serving: Option<(oneshot::Sender<()>, std::thread::JoinHandle<()>)>,
}

/// The agent, as tests see it.
#[derive(Clone, Default)]
pub struct FakeAgent(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    total: u64,
    file_systems: BTreeMap<String, FileSystem>,
    /// Folders that ended, by where they are.
    kept: BTreeMap<String, String>,
    calls: Vec<String>,
    trap: Option<Trap>,
    refusal: Option<Status>,
}

struct Trap {
    skip: usize,
    moment: Moment,
    sprung: Option<oneshot::Sender<()>>,
}

/// With an embedded server, which is asked often.
pub fn embedded_config() -> Config {
    Config {
        nfs_server: Some(SERVICE.into()),
        usage_interval: std::time::Duration::from_millis(200),
        ..config()
    }
}

impl Embedded {
    /// A server of 100 GiB, up once the operator has made its certificate; and its Service.
    pub async fn start(api: &FakeApi) -> Self {
        Self::at(api, &fresh_address()).await
    }

    pub async fn at(api: &FakeApi, address: &str) -> Self {
        api.put(&builders::service(SYSTEM, SERVICE, address));
        let agent = FakeAgent::default();
        agent.disk().total = 100 * GIB;
        let mut server = Self { address: address.into(), agent, nfs: None, serving: None };
        server.resume(api).await;
        server
    }

    /// Comes up, again.
    pub async fn resume(&mut self, api: &FakeApi) {
        let nfs = TcpListener::bind((self.address.as_str(), 2049)).await.unwrap();
        self.nfs = Some(NfsServer::on(nfs));
        let listener =
            std::net::TcpListener::bind((self.address.as_str(), workspacefs_agent_proto::PORT)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (api, agent) = (api.url().to_string(), self.agent.clone());
        let (stop, stopped) = oneshot::channel();
        // In a runtime of its own: with it go the connections, as with a process.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let serve = async {
                    let credentials = credentials(&api).await;
                    let mut server = Server::builder().tls_config(credentials.server()).unwrap();
                    let served = server.add_service(AgentServer::new(agent));
                    let listener = TcpListener::from_std(listener).unwrap();
                    served.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
                };
                tokio::select! { () = serve => {}, _ = stopped => {} }
            });
        });
        self.serving = Some((stop, thread));
    }

    /// As a lost node does, but that its ports refuse at once.
    pub async fn stop(&mut self) {
        if let Some(nfs) = self.nfs.take() {
            nfs.stop().await;
        }
        if let Some((stop, thread)) = self.serving.take() {
            drop(stop);
            tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
        }
    }
}

/// What the operator put into the agent's Secret, as soon as it has.
async fn credentials(url: &str) -> Credentials {
    let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    let api: kube::Api<Secret> = kube::Api::namespaced(client, SYSTEM);
    loop {
        if let Ok(Some(secret)) = api.get_opt("workspacefs-nfs-tls").await {
            let data = secret.data.unwrap();
            let text = |file: &str| String::from_utf8(data[file].0.clone()).unwrap();
            return Credentials {
                authority: text("ca.crt"),
                certificate: text("tls.crt"),
                key: text("tls.key"),
            };
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// An address of loopback that no other test has.
pub fn fresh_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // Two test processes side by side have different ids.
    let process = u8::try_from(std::process::id() % 120).unwrap() + 100;
    Ipv4Addr::new(127, process, high, low).to_string()
}

impl FakeAgent {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    pub fn file_system(&self, uid: &str) -> Option<FileSystem> {
        self.disk().file_systems.get(uid).cloned()
    }

    pub fn all(&self) -> Vec<FileSystem> {
        self.disk().file_systems.values().cloned().collect()
    }

    /// The uids of FileSystems that ended.
    pub fn ended(&self) -> Vec<String> {
        self.disk().kept.values().cloned().collect()
    }

    /// Where ended folders are.
    pub fn kept(&self) -> Vec<String> {
        self.disk().kept.keys().cloned().collect()
    }

    /// Calls so far of that name.
    pub fn calls(&self, name: &str) -> usize {
        self.disk().calls.iter().filter(|call| *call == name).count()
    }

    /// Forgets everything, as a fresh disk has.
    pub fn wipe(&self) {
        self.disk().file_systems.clear();
    }

    /// Has a FileSystem hold so many bytes and inodes.
    pub fn fill(&self, uid: &str, bytes: u64, inodes: u64) {
        let mut disk = self.disk();
        let fs = disk.file_systems.get_mut(uid).unwrap();
        let usage = fs.usage.as_mut().unwrap();
        (usage.bytes_used, usage.inodes_used) = (bytes, inodes);
        settle(fs);
    }

    /// Makes a claim, or changes it.
    pub fn put_claim(&self, uid: &str, name: &str, size: u64, used: u64) {
        let mut disk = self.disk();
        let fs = disk.file_systems.get_mut(uid).unwrap();
        fs.claims.retain(|claim| claim.name != name);
        let usage = Usage { bytes_limit: size, bytes_used: used, inodes_limit: 1000, inodes_used: 1 };
        let folder = format!("claims/{uid}/{name}");
        fs.claims.push(Claim { name: name.into(), folder, size_bytes: size, usage: Some(usage) });
        settle(fs);
    }

    /// Answers every call so; None: as usual.
    pub fn refuse(&self, status: Option<Status>) {
        self.disk().refusal = status;
    }

    /// Never answers the `nth` call (from 0) that changes something.
    pub fn trap(&self, nth: usize, moment: Moment) -> oneshot::Receiver<()> {
        let (sprung, receiver) = oneshot::channel();
        self.disk().trap = Some(Trap { skip: nth, moment, sprung: Some(sprung) });
        receiver
    }

    /// Counts a call that changes something; when it is the trapped one, says at which moment it is to hang.
    fn strike(&self) -> Option<Moment> {
        let mut disk = self.disk();
        let trap = disk.trap.as_mut()?;
        if trap.skip > 0 {
            trap.skip -= 1;
            return None;
        }
        let moment = trap.moment;
        let sprung = trap.sprung.take();
        disk.trap = None;
        // The test may have stopped waiting.
        sprung?.send(()).ok();
        Some(moment)
    }

    async fn change<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Disk) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let struck = self.strike();
        if struck == Some(Moment::Before) {
            std::future::pending::<()>().await;
        }
        let answer = {
            let mut disk = self.disk();
            disk.calls.push(name.into());
            match &disk.refusal {
                Some(status) => Err(status.clone()),
                None => change(&mut disk),
            }
        };
        if struck == Some(Moment::After) {
            std::future::pending::<()>().await;
        }
        answer.map(Response::new)
    }
}

/// Limits follow from capacity and claims.
fn settle(fs: &mut FileSystem) {
    let claims: u64 = fs.claims.iter().map(|claim| claim.size_bytes).sum();
    let usage = fs.usage.as_mut().unwrap();
    usage.bytes_limit = fs.capacity_bytes - claims;
    fs.bytes_left = usage.bytes_limit.saturating_sub(usage.bytes_used);
}

impl Disk {
    fn ensure(&mut self, wish: EnsureFileSystemRequest) -> Result<FileSystem, Status> {
        let folder = if wish.adopt.is_empty() {
            format!("workspaces/{}/{}", wish.namespace_uid, wish.name)
        } else {
            format!("workspaces/{}", wish.adopt)
        };
        let others: u64 =
            self.file_systems.values().filter(|fs| fs.uid != wish.uid).map(|fs| fs.capacity_bytes).sum();
        let left = self.total - others;
        if wish.capacity_bytes > left {
            return Err(Status::resource_exhausted(format!("the disk has {left} bytes left")));
        }
        if let Some(fs) = self.file_systems.get_mut(&wish.uid) {
            let used: u64 =
                fs.usage.unwrap().bytes_used + fs.claims.iter().map(|c| c.size_bytes).sum::<u64>();
            if wish.capacity_bytes < used {
                return Err(Status::failed_precondition(format!("{used} bytes are used")));
            }
            fs.capacity_bytes = wish.capacity_bytes;
            settle(fs);
            return Ok(fs.clone());
        }
        if self.file_systems.values().any(|fs| fs.folder == folder) {
            return Err(Status::failed_precondition("the folder is another FileSystem's"));
        }
        if !wish.adopt.is_empty() && self.kept.remove(&folder).is_none() {
            return Err(Status::failed_precondition("no such folder was retained"));
        }
        self.kept.remove(&folder);
        let usage = Usage { inodes_limit: 1000, inodes_used: 1, ..Usage::default() };
        let mut fs = FileSystem {
            uid: wish.uid.clone(),
            namespace: wish.namespace,
            name: wish.name,
            folder,
            capacity_bytes: wish.capacity_bytes,
            usage: Some(usage),
            ..FileSystem::default()
        };
        settle(&mut fs);
        self.file_systems.insert(wish.uid, fs.clone());
        Ok(fs)
    }

    fn remove(&mut self, wish: &RemoveFileSystemRequest) -> Result<Removed, Status> {
        let fs =
            self.file_systems.remove(&wish.uid).ok_or_else(|| Status::not_found("no such FileSystem"))?;
        let kept_as = match wish.disposal() {
            Disposal::Retain => fs.folder,
            Disposal::Trash => format!("trash/{}", fs.uid),
            Disposal::Archive => format!("archive/{}-{}", fs.namespace, fs.name),
            Disposal::Unspecified => return Err(Status::invalid_argument("disposal")),
        };
        self.kept.insert(kept_as.clone(), wish.uid.clone());
        Ok(Removed { kept_as })
    }
}

fn no<T>() -> Result<T, Status> {
    Err(Status::unimplemented("the operator does not ask for it"))
}

#[tonic::async_trait]
impl Agent for FakeAgent {
    async fn ensure_file_system(
        &self,
        request: Request<EnsureFileSystemRequest>,
    ) -> Result<Response<FileSystem>, Status> {
        self.change("ensure", |disk| disk.ensure(request.into_inner())).await
    }

    async fn remove_file_system(
        &self,
        request: Request<RemoveFileSystemRequest>,
    ) -> Result<Response<Removed>, Status> {
        self.change("remove", |disk| disk.remove(&request.into_inner())).await
    }

    async fn list_file_systems(
        &self,
        _: Request<ListFileSystemsRequest>,
    ) -> Result<Response<ListFileSystemsResponse>, Status> {
        let mut disk = self.disk();
        disk.calls.push("list".into());
        match &disk.refusal {
            Some(status) => Err(status.clone()),
            None => {
                let file_systems = disk.file_systems.values().cloned().collect();
                Ok(Response::new(ListFileSystemsResponse { file_systems }))
            }
        }
    }

    async fn get_server(
        &self,
        _: Request<GetServerRequest>,
    ) -> Result<Response<workspacefs_agent_proto::v1::Server>, Status> {
        no()
    }

    async fn ensure_claim(&self, _: Request<EnsureClaimRequest>) -> Result<Response<Claim>, Status> {
        no()
    }

    async fn get_claim(&self, _: Request<GetClaimRequest>) -> Result<Response<Claim>, Status> {
        no()
    }

    async fn grow_claim(&self, _: Request<GrowClaimRequest>) -> Result<Response<Claim>, Status> {
        no()
    }

    async fn remove_claim(&self, _: Request<RemoveClaimRequest>) -> Result<Response<Removed>, Status> {
        no()
    }
}
