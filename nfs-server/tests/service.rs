//! The service as its callers reach it: over TLS with certificates of the operator's making, and over the command line's
//! socket.

// Every line here is a test.
#![allow(clippy::unwrap_used)]

#[path = "../../storage/tests/folders/fake.rs"]
#[allow(dead_code)]
mod fake;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use workspacefs_agent_proto::tls::{AUTHORITY_FILE, CERTIFICATE_FILE, Credentials, KEY_FILE, SERVER_NAME};
use workspacefs_agent_proto::v1::agent_client::AgentClient;
use workspacefs_agent_proto::v1::console_client::ConsoleClient;
use workspacefs_agent_proto::v1::{self, Disposal, EnsureFileSystemRequest, Owner};
use workspacefs_nfs_server::agent::listen::{self, CredentialFiles, ListenError};
use workspacefs_nfs_server::agent::{Agent, state::State};
use workspacefs_nfs_server::command;
use workspacefs_nfs_server::metrics::Metrics;
use workspacefs_runtime::CancellationToken;
use workspacefs_storage::folders::Folders;

const A: &str = "aaaaaaaa-d9cb-469f-a165-70867728950e";
const NAMESPACE: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
const GIB: u64 = 1 << 30;
/// Between two looks at the certificates.
const LOOK: Duration = Duration::from_millis(200);

/// What the operator makes: an authority, and certificates that it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, name: &str) -> Credentials {
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Credentials { authority: self.pem.clone(), certificate, key: key.serialize_pem() }
    }
}

fn store(folder: &Path, credentials: &Credentials) {
    std::fs::write(folder.join(AUTHORITY_FILE), &credentials.authority).unwrap();
    std::fs::write(folder.join(CERTIFICATE_FILE), &credentials.certificate).unwrap();
    std::fs::write(folder.join(KEY_FILE), &credentials.key).unwrap();
}

struct Running {
    address: SocketAddr,
    folder: TempDir,
    state: State,
    stop: CancellationToken,
    servers: [JoinHandle<Result<(), ListenError>>; 2],
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = State::new();
        let metrics = Metrics::register(&mut Registry::default());
        let agent = Agent::new(state.clone(), metrics.calls);
        let stop = CancellationToken::new();
        let listener = listen::bind(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tls, socket) = (folder.path().join("tls"), folder.path().join("agent.sock"));
        std::fs::create_dir(&tls).unwrap();
        let other = (agent.clone(), stop.clone());
        let servers = [
            tokio::spawn(listen::tls(
                listener,
                CredentialFiles { folder: tls, look: LOOK },
                agent,
                stop.clone(),
            )),
            tokio::spawn(async move { listen::socket(&socket, other.0, other.1).await }),
        ];
        Self { address: ([127, 0, 0, 1], port).into(), folder, state, stop, servers }
    }

    fn tls(&self) -> PathBuf {
        self.folder.path().join("tls")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    fn open_disk(&self) {
        let folders = Folders::open(fake::FakeDisk::new(), Arc::new(|| 1_000_000), 3600).unwrap();
        self.state.open(Arc::new(folders));
    }

    async fn channel(&self, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        let endpoint = endpoint.tls_config(tls).unwrap().connect_timeout(Duration::from_secs(2));
        endpoint.connect().await
    }

    async fn connect(&self, tls: ClientTlsConfig) -> Result<AgentClient<Channel>, tonic::transport::Error> {
        self.channel(tls).await.map(AgentClient::new)
    }

    async fn console_as(&self, credentials: &Credentials) -> ConsoleClient<Channel> {
        let identity = Identity::from_pem(&credentials.certificate, &credentials.key);
        ConsoleClient::new(self.channel(believing(credentials).identity(identity)).await.unwrap())
    }

    async fn connect_as(
        &self,
        credentials: &Credentials,
    ) -> Result<AgentClient<Channel>, tonic::transport::Error> {
        self.connect(
            believing(credentials).identity(Identity::from_pem(&credentials.certificate, &credentials.key)),
        )
        .await
    }

    async fn end(self) {
        self.stop.cancel();
        for server in self.servers {
            tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap().unwrap();
        }
    }
}

fn believing(credentials: &Credentials) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&credentials.authority))
        .domain_name(SERVER_NAME)
}

fn wish() -> EnsureFileSystemRequest {
    EnsureFileSystemRequest {
        uid: A.into(),
        namespace_uid: NAMESPACE.into(),
        namespace: "team-a".into(),
        name: "default".into(),
        capacity_bytes: GIB,
        owner: Some(Owner { uid: 0, gid: 0, mode: 0o777 }),
        adopt: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_certificates_of_the_authority_are_let_in() {
    let running = Running::start().await;
    let (ours, others) = (Authority::new(), Authority::new());
    store(&running.tls(), &ours.sign(SERVER_NAME));
    running.open_disk();
    let client = ours.sign("operator");
    // The files are found within one look.
    let mut agent = loop {
        match running.connect_as(&client).await {
            Ok(agent) => break agent,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    assert_eq!(agent.ensure_file_system(wish()).await.unwrap().into_inner().bytes_left, GIB);
    // What a person decides is not theirs to ask for.
    let mut console = running.console_as(&client).await;
    let discard = v1::DiscardRequest { id: "archive/x".into() };
    assert_eq!(console.discard(discard).await.unwrap_err().code(), Code::Unimplemented);
    let restore = v1::RestoreRequest { id: "archive/x".into() };
    assert_eq!(console.restore(restore).await.unwrap_err().code(), Code::Unimplemented);

    // With TLS 1.3 a client hears of its refusal with the first answer.
    let refused = async |tls: ClientTlsConfig| match running.connect(tls).await {
        Ok(mut agent) => agent.get_server(v1::GetServerRequest {}).await.is_err(),
        Err(_) => true,
    };
    assert!(refused(believing(&client)).await, "no certificate");
    let stranger = others.sign("operator");
    let identity = Identity::from_pem(&stranger.certificate, &stranger.key);
    assert!(refused(believing(&client).identity(identity)).await, "another authority's certificate");
    // And a client believes no other server.
    let identity = Identity::from_pem(&client.certificate, &client.key);
    assert!(refused(believing(&stranger).identity(identity)).await, "another authority's server");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_taken_up_and_calls_go_on() {
    let running = Running::start().await;
    let (old, new) = (Authority::new(), Authority::new());
    store(&running.tls(), &old.sign(SERVER_NAME));
    running.open_disk();
    let client = old.sign("operator");
    let connected = async |credentials: &Credentials| {
        for _ in 0..300 {
            if let Ok(mut agent) = running.connect_as(credentials).await
                && agent.get_server(v1::GetServerRequest {}).await.is_ok()
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    };
    assert!(connected(&client).await);
    // While authorities change, both are believed.
    let both = Credentials { authority: format!("{}{}", old.pem, new.pem), ..old.sign(SERVER_NAME) };
    store(&running.tls(), &both);
    let early = Credentials { authority: both.authority.clone(), ..new.sign("operator") };
    assert!(connected(&early).await && connected(&client).await);
    // A key that does not belong to its certificate changes nothing.
    let torn = Credentials { key: new.sign(SERVER_NAME).key, ..both };
    store(&running.tls(), &torn);
    tokio::time::sleep(5 * LOOK).await;
    assert!(connected(&early).await);
    store(&running.tls(), &new.sign(SERVER_NAME));
    assert!(connected(&new.sign("operator")).await);
    let late = running.connect_as(&client).await;
    assert!(late.is_err(), "the old authority is not believed any more");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_is_refused_every_call_says_why() {
    let running = Running::start().await;
    running.state.wait("the device /dev/vdb cannot be used: it holds ext4".into());
    let channel = loop {
        match command::connect(&running.socket()).await {
            Ok(channel) => break channel,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let mut agent = AgentClient::new(channel);
    let status = agent.get_server(v1::GetServerRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("/dev/vdb") && status.message().contains("ext4"), "{status}");
    assert_eq!(agent.ensure_file_system(wish()).await.unwrap_err().code(), Code::Unavailable);
    // What is wrong with a request is said even then.
    let hostile = EnsureFileSystemRequest { name: "../../etc".into(), ..wish() };
    let status = agent.ensure_file_system(hostile).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("name: ") && !status.message().contains("etc"), "{status}");

    running.open_disk();
    running.state.set_serving(true);
    let server = agent.get_server(v1::GetServerRequest {}).await.unwrap().into_inner();
    assert!(server.serving && server.bytes_unpromised > 0);
    assert_eq!(server.export, "/workspacefs");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_over_the_wire() {
    let running = Running::start().await;
    running.open_disk();
    let channel = loop {
        match command::connect(&running.socket()).await {
            Ok(channel) => break channel,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let mut agent = AgentClient::new(channel.clone());
    let made = agent.ensure_file_system(wish()).await.unwrap().into_inner();
    assert!(made.folder.starts_with(&format!("workspaces/{NAMESPACE}/default.")), "{}", made.folder);
    let claim = v1::EnsureClaimRequest {
        file_system_uid: A.into(),
        name: "pvc-1".into(),
        required_bytes: GIB / 4,
        limit_bytes: 0,
        owner: Some(Owner { uid: 0, gid: 0, mode: 0o777 }),
    };
    let made = agent.ensure_claim(claim.clone()).await.unwrap().into_inner();
    assert_eq!((made.folder, made.size_bytes), (format!("claims/{A}/pvc-1"), GIB / 4));
    let larger = v1::EnsureClaimRequest { name: "pvc-2".into(), required_bytes: GIB, ..claim.clone() };
    let status = agent.ensure_claim(larger).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().contains(&GIB.to_string()) && status.message().contains(&(GIB / 4 * 3).to_string()),
        "{status}"
    );
    let unowned = v1::EnsureClaimRequest { owner: None, ..claim };
    assert_eq!(agent.ensure_claim(unowned).await.unwrap_err().code(), Code::InvalidArgument);
    let grow = v1::GrowClaimRequest {
        file_system_uid: A.into(),
        name: "pvc-1".into(),
        required_bytes: GIB / 2,
        limit_bytes: 0,
    };
    assert_eq!(agent.grow_claim(grow).await.unwrap().into_inner().size_bytes, GIB / 2);
    let remove = |disposal: Disposal| v1::RemoveClaimRequest {
        file_system_uid: A.into(),
        name: "pvc-1".into(),
        disposal: disposal.into(),
    };
    let status = agent.remove_claim(remove(Disposal::Unspecified)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let kept = agent.remove_claim(remove(Disposal::Trash)).await.unwrap().into_inner().kept_as;
    let get = v1::GetClaimRequest { file_system_uid: A.into(), name: "pvc-1".into() };
    assert_eq!(agent.get_claim(get.clone()).await.unwrap_err().code(), Code::NotFound);

    // The commands, as a person runs them: each with a runtime of its own.
    let socket = running.socket();
    let id = kept.clone();
    tokio::task::spawn_blocking(move || {
        command::removed(&socket).unwrap();
        command::restore(&socket, id).unwrap();
        assert!(command::restore(&socket, "trash/nothing".into()).is_err());
    })
    .await
    .unwrap();
    assert_eq!(agent.get_claim(get).await.unwrap().into_inner().size_bytes, GIB / 2);
    let mut console = ConsoleClient::new(channel);
    let list = console.list_removed(v1::ListRemovedRequest {}).await.unwrap().into_inner();
    assert!(list.folders.is_empty());
    let ended = v1::RemoveFileSystemRequest { uid: A.into(), disposal: Disposal::Retain.into() };
    agent.remove_file_system(ended).await.unwrap();
    let list = console.list_removed(v1::ListRemovedRequest {}).await.unwrap().into_inner().folders;
    assert_eq!(list.len(), 2, "the folder, and the claim that lost its FileSystem");
    let own = list.iter().find(|folder| folder.claim.is_empty()).unwrap();
    assert_eq!(own.key, format!("{NAMESPACE}/default"));
    let orphan = list.iter().find(|folder| folder.claim == "pvc-1").unwrap();
    assert_eq!((orphan.disposal(), orphan.bytes_held), (Disposal::Retain, GIB / 2));
    let (socket, ids) = (running.socket(), [own.id.clone(), orphan.id.clone()]);
    tokio::task::spawn_blocking(move || {
        for id in ids {
            command::discard(&socket, id).unwrap();
        }
        assert!(command::discard(&socket, "archive/nothing".into()).is_err());
    })
    .await
    .unwrap();
    let list = console.list_removed(v1::ListRemovedRequest {}).await.unwrap().into_inner().folders;
    assert!(list.iter().all(|folder| folder.disposal() == Disposal::Trash), "{list:?}");
    drop((agent, console));
    running.end().await;
}
