//! The client of the embedded server's agent, against a server that speaks its protocol: mutual TLS, renewed certificates,
//! deadlines, and whose words a caller hears.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use csi_driver::controller::agent::{AgentError, TlsAgents};
use csi_driver::controller::seams::Agents;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use workspacefs_agent_proto::tls::{self, Credentials, SERVER_NAME};
use workspacefs_agent_proto::v1::agent_server::{Agent, AgentServer};
use workspacefs_agent_proto::v1::*;
use workspacefs_agent_proto::{PORT, v1};

type Answer<T> = Result<Response<T>, Status>;

/// Answers by the name that it is asked about.
#[derive(Clone, Default)]
struct Fake {
    asked: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
}

impl Fake {
    async fn claim(&self, name: String) -> Answer<Claim> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = match name.as_str() {
            "late" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(Claim::default())
            }
            "away" => Err(Status::unavailable("the disk is not mounted yet")),
            "large" => Err(Status::resource_exhausted("9 bytes were asked for, 8 are left")),
            _ => Ok(Claim { size_bytes: 7, name, ..Claim::default() }),
        };
        self.finished.fetch_add(1, Ordering::SeqCst);
        answer.map(Response::new)
    }
}

#[tonic::async_trait]
impl Agent for Fake {
    async fn get_server(&self, _: Request<GetServerRequest>) -> Answer<v1::Server> {
        Err(Status::unimplemented("not asked by the driver"))
    }
    async fn ensure_file_system(&self, _: Request<EnsureFileSystemRequest>) -> Answer<FileSystem> {
        Err(Status::unimplemented("not asked by the driver"))
    }
    async fn remove_file_system(&self, _: Request<RemoveFileSystemRequest>) -> Answer<Removed> {
        Err(Status::unimplemented("not asked by the driver"))
    }
    async fn list_file_systems(&self, _: Request<ListFileSystemsRequest>) -> Answer<ListFileSystemsResponse> {
        let one = FileSystem { uid: "u".into(), bytes_left: 5, ..FileSystem::default() };
        Ok(Response::new(ListFileSystemsResponse { file_systems: vec![one] }))
    }
    async fn ensure_claim(&self, request: Request<EnsureClaimRequest>) -> Answer<Claim> {
        self.claim(request.into_inner().name).await
    }
    async fn get_claim(&self, request: Request<GetClaimRequest>) -> Answer<Claim> {
        self.claim(request.into_inner().name).await
    }
    async fn grow_claim(&self, request: Request<GrowClaimRequest>) -> Answer<Claim> {
        self.claim(request.into_inner().name).await
    }
    async fn remove_claim(&self, _: Request<RemoveClaimRequest>) -> Answer<Removed> {
        Ok(Response::new(Removed { kept_as: "trash/x".into() }))
    }
    async fn list_removed(&self, _: Request<ListRemovedRequest>) -> Answer<ListRemovedResponse> {
        Err(Status::unimplemented("not asked by the driver"))
    }
    async fn restore(&self, _: Request<RestoreRequest>) -> Answer<RestoreResponse> {
        Err(Status::unimplemented("not asked by the driver"))
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Credentials { authority: self.0.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn write(folder: &Path, credentials: &Credentials) {
    for (name, text) in [
        (tls::AUTHORITY_FILE, &credentials.authority),
        (tls::CERTIFICATE_FILE, &credentials.certificate),
        (tls::KEY_FILE, &credentials.key),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

/// An agent on a loopback address of this test's own: its port is fixed.
struct Running {
    host: String,
    fake: Fake,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(number: u8, credentials: &Credentials) -> Self {
        // Test processes beside this one have other addresses.
        let host =
            format!("127.{}.{}.{number}", 1 + std::process::id() % 250, std::process::id() / 250 % 250);
        Self::start_at(host, credentials).await
    }

    async fn start_at(host: String, credentials: &Credentials) -> Self {
        let fake = Fake::default();
        let shutdown = CancellationToken::new();
        let address: SocketAddr = format!("{host}:{PORT}").parse().unwrap();
        let incoming = TcpIncoming::from(TcpListener::bind(address).await.unwrap());
        let served = Server::builder()
            .tls_config(credentials.server())
            .unwrap()
            .add_service(AgentServer::new(fake.clone()))
            .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
        let task = tokio::spawn(async move { served.await.unwrap() });
        Self { host, fake, shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn agents(credentials: &Credentials) -> (TlsAgents, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), credentials);
    (TlsAgents::new(Some(folder.path().into())), folder)
}

fn get(name: &str) -> GetClaimRequest {
    GetClaimRequest { file_system_uid: "u".into(), name: name.into() }
}

#[tokio::test]
async fn a_caller_with_a_certificate_of_the_same_authority_is_answered() {
    let authority = Authority::new();
    let agent = Running::start(1, &authority.issue(SERVER_NAME)).await;
    let (agents, _folder) = agents(&authority.issue("client"));
    assert_eq!(agents.get_claim(&agent.host, get("a")).await.unwrap().size_bytes, 7);
    assert_eq!(agents.list_file_systems(&agent.host).await.unwrap()[0].bytes_left, 5);
    assert_eq!(agents.remove_claim(&agent.host, Default::default()).await.unwrap().kept_as, "trash/x");
    drop(agents);
    agent.stop().await;
}

#[tokio::test]
async fn the_agents_own_words_and_code_are_passed_on() {
    let authority = Authority::new();
    let agent = Running::start(2, &authority.issue(SERVER_NAME)).await;
    let (agents, _folder) = agents(&authority.issue("client"));
    for (name, expected, words) in [
        ("large", Code::ResourceExhausted, "9 bytes were asked for, 8 are left"),
        // Not the way to it: it is there and says so.
        ("away", Code::Unavailable, "the disk is not mounted yet"),
    ] {
        let error = agents.get_claim(&agent.host, get(name)).await.unwrap_err();
        assert_eq!(error.to_string(), words);
        assert!(matches!(error, AgentError::Refused { code, .. } if code == expected), "{error:?}");
    }
    drop(agents);
    agent.stop().await;
}

#[tokio::test]
async fn strangers_are_not_believed_on_either_side() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let agent = Running::start(3, &authority.issue(SERVER_NAME)).await;
    let (own, other) = (authority.issue("client"), stranger.issue("client"));
    for credentials in [
        // Signed by somebody else.
        Credentials { authority: own.authority.clone(), ..other.clone() },
        // Believes somebody else.
        Credentials { authority: other.authority.clone(), ..own.clone() },
    ] {
        let (agents, _folder) = agents(&credentials);
        let error = agents.get_claim(&agent.host, get("a")).await.unwrap_err();
        assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    }
    // Of the right authority, but not the agent.
    let impostor = Running::start(4, &authority.issue("somebody")).await;
    let (agents, _folder) = agents(&own);
    let error = agents.get_claim(&impostor.host, get("a")).await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    assert_eq!(agent.fake.asked.load(Ordering::SeqCst) + impostor.fake.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn renewed_certificates_are_taken_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let agent = Running::start(5, &old.issue(SERVER_NAME)).await;
    let host = agent.host.clone();
    let (agents, folder) = agents(&old.issue("client"));
    agents.get_claim(&host, get("a")).await.unwrap();
    agent.stop().await;
    // The agent comes back with certificates of another authority.
    let agent = Running::start_at(host.clone(), &new.issue(SERVER_NAME)).await;
    let error = agents.get_claim(&host, get("a")).await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    write(folder.path(), &new.issue("client"));
    agents.get_claim(&host, get("a")).await.unwrap();
    drop(agents);
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_that_comes_back_is_reached_again() {
    let authority = Authority::new();
    let agent = Running::start(6, &authority.issue(SERVER_NAME)).await;
    let host = agent.host.clone();
    let (agents, _folder) = agents(&authority.issue("client"));
    agents.get_claim(&host, get("a")).await.unwrap();
    agent.stop().await;
    let error = agents.get_claim(&host, get("a")).await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&host), "{error}");
    let agent = Running::start_at(host.clone(), &authority.issue(SERVER_NAME)).await;
    agents.get_claim(&host, get("a")).await.unwrap();
    drop(agents);
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_that_does_not_answer_is_given_up_and_known_to_be_at_work() {
    let authority = Authority::new();
    let agent = Running::start(7, &authority.issue(SERVER_NAME)).await;
    let (agents, _folder) = agents(&authority.issue("client"));
    let started = Instant::now();
    let error = agents.get_claim(&agent.host, get("late")).await.unwrap_err();
    assert!(matches!(error, AgentError::Late { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(18), "{:?}", started.elapsed());
    // Others are not held up by it.
    let started = Instant::now();
    agents.get_claim(&agent.host, get("a")).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn without_credentials_it_is_said_which_are_missing() {
    let error = TlsAgents::new(None).get_claim("127.0.0.1", get("a")).await.unwrap_err();
    assert!(error.to_string().contains("--agent-tls"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let agents = TlsAgents::new(Some(folder.path().into()));
    let error = agents.get_claim("127.0.0.1", get("a")).await.unwrap_err();
    assert!(matches!(error, AgentError::Credentials { .. }), "{error:?}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    let broken = Credentials { authority: "x".into(), certificate: "y".into(), key: "z".into() };
    write(folder.path(), &broken);
    let error = agents.get_claim("127.0.0.1", get("a")).await.unwrap_err();
    let code =
        tonic::Status::from(csi_driver::controller::create_volume::CreateVolumeError::Agent(error)).code();
    assert_eq!(code, Code::Internal, "terminal");
}
