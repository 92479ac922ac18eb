//! A door for clients that believe names only: TLS for `localhost` by an authority of its own, before the gateway. It passes bytes, as
//! a load balancer with a certificate of the company's does; what the gateway shows is believed by its hash.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use workspacefs_testkit::lep::{Client, Release};

use crate::suites::context::Context;
use crate::suites::files::{Door, believing};

/// The door; it is closed when this is dropped.
pub struct Front {
    port: u16,
    folder: TempDir,
    task: AbortHandle,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// Before that gateway.
    pub async fn before(_: &Context, door: &Door) -> Result<Front> {
        let (config, authority) = certificate()?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.crt"), authority)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let connector = TlsConnector::from(Arc::new(believing(door.fingerprint())?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let behind = door.address();
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, connector) = (acceptor.clone(), connector.clone());
                // What breaks is the client's to tell.
                tokio::spawn(async move { pass(stream, &acceptor, &connector, behind).await.ok() });
            }
        };
        Ok(Front { port, folder, task: tokio::spawn(accept).abort_handle() })
    }

    /// The address of a workspace for `lep`.
    pub fn url(&self, workspace: &str) -> String {
        format!("https://localhost:{}/api/v2/workspaces/{workspace}", self.port)
    }

    /// A real client of that workspace.
    pub fn client(&self, release: Release, workspace: &str, token: &str) -> Client {
        Client::new(release, workspace, &self.url(workspace), token, &self.authority())
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }
}

async fn pass(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    behind: SocketAddr,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let gateway = TcpStream::connect(behind).await?;
    let mut gateway = connector.connect(ServerName::from(behind.ip()), gateway).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut gateway).await.map(drop)
}

/// For `localhost`, and its authority in PEM. Python wants both to be by the book.
fn certificate() -> Result<(ServerConfig, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "workspacefs test of lep");
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.use_authority_key_identifier_extension = true;
    let certificate: CertificateDer<'static> = params.signed_by(&key, &issuer)?.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok((config, authority))
}
