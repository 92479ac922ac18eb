//! Certificates: read from files, and read again when these change; or made at the start where there are none, whose digest a
//! person can compare.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use workspacefs_runtime::{CancellationToken, chain};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read, or does not hold what it should.
    #[error("cannot read {file:?} as PEM")]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not belong together, or cannot be used.
    #[error("the certificate cannot be used")]
    Use(#[source] rustls::Error),
    /// None could be made.
    #[error("no certificate could be made")]
    Make(#[source] rcgen::Error),
    /// Nobody would be let in.
    #[error("the proxy's authority cannot be used")]
    Clients(#[source] rustls::server::VerifierBuilderError),
}

/// The certificate that is shown now.
#[derive(Debug)]
pub struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Where certificate and key are, PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain, its own certificate first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn shown(&self) -> Result<Arc<Shown>, TlsError> {
        Ok(Arc::new(Shown(RwLock::new(self.read()?))))
    }

    fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| TlsError::File { file: self.key.clone(), source })?;
        usable(certificates(&self.certificate)?, key)
    }

    fn contents(&self) -> io::Result<[Vec<u8>; 2]> {
        Ok([std::fs::read(&self.certificate)?, std::fs::read(&self.key)?])
    }

    /// Reads them again whenever they change. What cannot be used is not shown.
    pub async fn keep(self, shown: Arc<Shown>, stop: CancellationToken) {
        // By their contents: two may be written at the same time of a clock.
        let mut known = self.contents().ok();
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let now = self.contents().ok();
            if now == known || now.is_none() {
                continue;
            }
            match self.read() {
                Ok(read) => {
                    *shown.0.write().unwrap_or_else(PoisonError::into_inner) = read;
                    known = now;
                }
                Err(error) => tracing::warn!(error = chain(&error), "the new certificate is not used"),
            }
        }
    }
}

/// A certificate of nobody's, and its SHA-256.
///
/// # Errors
/// [`TlsError`].
pub fn own(names: &[&str]) -> Result<(Arc<Shown>, String), TlsError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).map_err(TlsError::Make)?;
    let certificate = made.cert.der().clone();
    let digest: Vec<String> = Sha256::digest(&certificate).iter().map(|byte| format!("{byte:02X}")).collect();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let shown = Shown(RwLock::new(usable(vec![certificate], key.into())?));
    Ok((Arc::new(shown), digest.join(":")))
}

fn usable(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map(Arc::new).map_err(TlsError::Use)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    read.map_err(|source| TlsError::File { file: file.to_owned(), source })
}

/// How connections begin. With `clients`, PEM, only those with a certificate of that authority do.
///
/// # Errors
/// [`TlsError`].
pub fn config(shown: Arc<Shown>, clients: Option<&Path>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Use)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(TlsError::Use)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(TlsError::Clients)?)
        }
    };
    let mut config = builder.with_cert_resolver(shown);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kubelet renews a Secret's files: beside, and by one rename of the link that leads to them.
    #[tokio::test(start_paused = true)]
    async fn a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("now");
        let renew = |version: &str, is_good: bool| {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
            let folder = dir.path().join(version);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
            let key = if is_good { made.signing_key.serialize_pem() } else { "rubbish".into() };
            std::fs::write(folder.join("tls.key"), key).unwrap();
            std::os::unix::fs::symlink(&folder, dir.path().join("next")).unwrap();
            std::fs::rename(dir.path().join("next"), &link).unwrap();
            made.cert.der().clone()
        };
        let first = renew("1", true);
        let files = Files { certificate: link.join("tls.crt"), key: link.join("tls.key") };
        let shown = files.shown().unwrap();
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(files.keep(shown.clone(), stop.clone()));
        let now = async || {
            tokio::time::sleep(2 * LOOK_EVERY).await;
            shown.0.read().unwrap().cert[0].clone()
        };
        assert_eq!(now().await, first);
        let second = renew("2", true);
        assert_eq!(now().await, second);
        renew("3", false);
        assert_eq!(now().await, second);
        let fourth = renew("4", true);
        assert_eq!(now().await, fourth);
        stop.cancel();
        keeping.await.unwrap();
    }
}
