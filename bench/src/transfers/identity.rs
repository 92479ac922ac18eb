//! Who the servers are and who asks: one certificate for all of them, of the kind that the operator makes, and the key by
//! which `files` believes a request.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rcgen::generate_simple_self_signed;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use workspacefs_files_proto::{Claims, Signer, Verb};

/// The name in the certificate.
pub const HOST: &str = "localhost";
/// The FileSystem's uid.
pub const FILE_SYSTEM: &str = "bench";

/// See the module.
#[derive(Debug)]
pub struct Identity {
    /// PEM, for everybody.
    pub certificate: PathBuf,
    /// Its key, ECDSA on P-256, PEM.
    pub key: PathBuf,
    der: CertificateDer<'static>,
    signer: Signer,
}

impl Identity {
    /// A new one, with its files in this folder.
    ///
    /// # Errors
    /// There is no randomness, or no room.
    pub fn new(folder: &Path) -> Result<Self> {
        let made = generate_simple_self_signed(vec![HOST.to_owned()])?;
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let signer = Signer::from_pem(&Signer::generate_pem()?)?;
        Ok(Self { certificate, key, der: made.cert.der().clone(), signer })
    }

    /// By which `files` checks who asks.
    pub fn public_key(&self) -> String {
        self.signer.public_key().to_base64()
    }

    /// What vouches for one request from now on, for half a minute.
    ///
    /// # Errors
    /// The clock stands before 1970.
    pub fn assertion(&self, method: &str, target: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let verbs = [Verb::Read, Verb::Write, Verb::Delete];
        Ok(self.signer.sign(&Claims::new("bench", FILE_SYSTEM, &verbs, format!("{method} {target}"), now)))
    }

    /// Of a client that believes this certificate and no other.
    ///
    /// # Errors
    /// The certificate is none.
    pub fn client(&self) -> Result<reqwest::Client> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(reqwest::Client::builder().no_proxy().tls_backend_preconfigured(config).build()?)
    }
}

/// An address of this computer that nobody listens on.
///
/// # Errors
/// There is none.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    Ok(listener.local_addr()?)
}
