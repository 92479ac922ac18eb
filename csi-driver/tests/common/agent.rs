//! An agent of the embedded NFS server that answers by the name it is asked about, over mutual TLS, with an authority of
//! its own. Each test file uses a part of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use workspacefs_agent_proto::tls::{self, Credentials};
use workspacefs_agent_proto::v1::agent_server::{Agent, AgentServer};
use workspacefs_agent_proto::v1::*;
use workspacefs_agent_proto::{PORT, v1};

type Answer<T> = Result<Response<T>, Status>;

/// Answers by the name that it is asked about.
#[derive(Clone, Default)]
pub struct Fake {
    pub asked: Arc<AtomicUsize>,
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
}

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn issue(&self, name: &str) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Credentials { authority: self.0.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

pub fn write(folder: &Path, credentials: &Credentials) {
    for (name, text) in [
        (tls::AUTHORITY_FILE, &credentials.authority),
        (tls::CERTIFICATE_FILE, &credentials.certificate),
        (tls::KEY_FILE, &credentials.key),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

/// An agent on a loopback address of this test's own: its port is fixed.
pub struct Running {
    pub host: String,
    pub fake: Fake,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start(number: u8, credentials: &Credentials) -> Self {
        // Test processes beside this one have other addresses.
        let host =
            format!("127.{}.{}.{number}", 1 + std::process::id() % 250, std::process::id() / 250 % 250);
        Self::start_at(host, credentials).await
    }

    pub async fn start_at(host: String, credentials: &Credentials) -> Self {
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

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}
