//! The certificate that the gateway checks, read again when its files change: the operator renews it in place.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// It holds something else.
    #[error("{0} is not PEM of what it should be")]
    Pem(PathBuf),
    /// They do not fit together.
    #[error("the certificate and its key cannot be used")]
    Use(#[source] rustls::Error),
}

/// Certificate and key as they are now. Clones see the same.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<RwLock<(Files, Arc<ServerConfig>)>>,
}

/// Both files' contents.
#[derive(Clone, Eq, PartialEq)]
struct Files(Vec<u8>, Vec<u8>);

impl std::fmt::Debug for Files {
    /// Without the key: it must stand in no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let files = read(&certificate, &key)?;
        let config = config(&files, &certificate, &key)?;
        Ok(Self { certificate, key, current: Arc::new(RwLock::new((files, config))) })
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.1))
    }

    /// Reads both again; true if they were others. What cannot be used leaves the old ones.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn renew(&self) -> Result<bool, TlsError> {
        let files = read(&self.certificate, &self.key)?;
        if self.current.read().unwrap_or_else(PoisonError::into_inner).0 == files {
            return Ok(false);
        }
        let config = config(&files, &self.certificate, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (files, config);
        Ok(true)
    }

    /// Looks now and then until it is told to stop.
    pub async fn keep(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.renew() {
                Ok(true) => tracing::info!("the certificate was renewed"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = workspacefs_runtime::chain(&error), "the old certificate stays");
                }
            }
        }
    }
}

fn read(certificate: &PathBuf, key: &PathBuf) -> Result<Files, TlsError> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| TlsError::Read(path.clone(), error));
    Ok(Files(read(certificate)?, read(key)?))
}

fn config(files: &Files, certificate: &PathBuf, key: &PathBuf) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&files.0).collect();
    let chain = chain.map_err(|_| TlsError::Pem(certificate.clone()))?;
    let secret = PrivateKeyDer::from_pem_slice(&files.1).map_err(|_| TlsError::Pem(key.clone()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Use)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(TlsError::Use)?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("crt"), dir.path().join("key"));
        let write = || {
            let made = rcgen::generate_simple_self_signed(vec!["x.files.workspacefs.io".into()]).unwrap();
            std::fs::write(&certificate, made.cert.pem()).unwrap();
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        };
        write();
        let identity = Identity::read(certificate.clone(), key.clone()).unwrap();
        assert!(!identity.renew().unwrap());
        write();
        assert!(identity.renew().unwrap());
        std::fs::write(&key, "rubbish").unwrap();
        assert!(matches!(identity.renew(), Err(TlsError::Pem(_))));
        write();
        assert!(identity.renew().unwrap());
    }
}
